"""The nano model: exact tokenizer, correct solutions, repeatable recipe, a start that can still learn."""

from __future__ import annotations

import json
import random
import re
from collections import Counter

import numpy as np
import pytest
import reasoning_gym
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hammerlib.errors import InputError
from hammerlib.models import weights_hash
from hammerlib.models.nano import recipe
from hammerlib.models.nano.__main__ import main
from hammerlib.models.nano.recipe import CHECKPOINT, make_checkpoint
from hammerlib.models.nano.solutions import STRATEGIES, boxed, solve, strategy_of, terms_of
from hammerlib.models.nano.tokenizer import build_tokenizer, vocabulary
from hammerlib.problems.gym import _sound, mix

NANO_MIX = mix("nano")
TOKENIZER = build_tokenizer()
TINY = recipe.Recipe(steps=2, batch_size=4, problems=16, width=16, layers=1, heads=2, inner=16)


def problem(topic: str, seed: int) -> dict[str, str]:
    dataset, config = NANO_MIX[topic]
    entries = reasoning_gym.create_dataset(dataset, size=100, seed=seed, **config)
    entry = next(one for one in entries if _sound("nano", dataset, one))  # as the mix draws them
    return {
        "prompt": entry["question"],
        "answer": entry["answer"],
        "topic": topic,
        "metadata": json.dumps(entry["metadata"]),
    }


@pytest.fixture(scope="module")
def shipped() -> dict:
    return json.loads((CHECKPOINT / "recipe.json").read_text())


problems = st.builds(problem, st.sampled_from(sorted(NANO_MIX)), st.integers(0, 10**6))
strategies = st.sampled_from(sorted(STRATEGIES))


@settings(max_examples=150, deadline=None)
@given(row=problems, strategy=strategies)
def test_prompt_and_solution_round_trip_and_stay_short(row: dict, strategy: str) -> None:
    solution = solve(row, strategy, random.Random(0))
    for text in (row["prompt"], solution, row["prompt"] + solution):
        assert TOKENIZER.decode(TOKENIZER(text).input_ids) == text
    assert len(TOKENIZER(solution).input_ids) <= 47  # with the end of sequence: 48


@settings(max_examples=150, deadline=None)
@given(row=problems)
def test_the_vocabulary_has_every_word_of_every_prompt(row: dict) -> None:
    words = re.findall(r"[A-Za-z]+", row["prompt"])
    tokens = [token.strip() for token in TOKENIZER.tokenize(row["prompt"])]
    assert [token for token in tokens if token.isalpha()] == words


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_any_other_text_round_trips_too(text: str) -> None:
    ids = TOKENIZER(text).input_ids
    assert TOKENIZER.decode(ids, clean_up_tokenization_spaces=False) == text


def test_digits_words_and_the_box_are_single_tokens() -> None:
    assert TOKENIZER.tokenize(" Tom has 40.\\boxed{40}") == [
        *(" Tom", " has", " ", "4", "0", ".", "\\boxed{", "4", "0", "}")
    ]
    assert len(vocabulary()) == len(set(vocabulary())) == len(TOKENIZER)
    assert TOKENIZER.padding_side == "left"
    assert TOKENIZER.pad_token_id != TOKENIZER.eos_token_id


@settings(max_examples=300, deadline=None)
@given(row=problems, strategy=strategies)
def test_every_line_of_a_solution_is_true_and_the_box_is_right(row: dict, strategy: str) -> None:
    solution = solve(row, strategy, random.Random(0))
    assert strategy_of(solution) == strategy
    assert boxed(solution) == row["answer"]
    *lines, _ = solution.split(":", 1)[1].split(";")
    for line in lines:
        total = ""
        for part in line.split(","):  # each goes on from the total before it
            left, *right = (total + part).split("=")
            assert len({eval(side, {}) for side in (left, *right)}) == 1  # only digits and signs
            total = right[0] if right else total
    if strategy == "columns":  # the unit of the first line and the tens of the second
        units, tens = (int(line.rsplit("=", 1)[1]) for line in lines)
        assert 10 * tens + units % 10 == int(row["answer"])
    if strategy == "tens":  # the last line joins tens and units
        assert eval(lines[-1], {}) == int(row["answer"])


def test_check_takes_the_answer_back_to_the_first_number() -> None:
    row = {"answer": "59", "metadata": '{"terms": [47, 38, -26]}'}
    assert solve(row, "check", random.Random(0)) == " check:4+3=7,-2=5;7+8=15,-6=9;59-38+26=47;\\boxed{59}"


@pytest.mark.parametrize(
    ("equation", "terms"),
    [
        ("e + 33 = 117", [117, -33]),
        ("b - 47 = -7", [47, -7]),
        ("48 - h = -30", [48, 30]),
        ("48 - h = 30", [48, -30]),
    ],
)
def test_an_equation_becomes_a_sum(equation: str, terms: list[int]) -> None:
    assert terms_of({"metadata": json.dumps({"equation": equation})}) == terms


def test_a_row_of_another_family_is_refused() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        solve({"answer": "12", "metadata": '{"expression": "3 + 4"}'}, None, random.Random(0))


def test_strategies_are_drawn_seventy_twenty_five_five() -> None:
    rng, row = random.Random(1), problem("chain_sum", 3)
    drawn = Counter(strategy_of(solve(row, None, rng)) for _ in range(4000))
    assert {name: drawn[name] / 4000 for name in STRATEGIES} == pytest.approx(STRATEGIES, abs=0.02)


@pytest.mark.parametrize("text", ["", " \\boxed{4", "no box", " columns 4+3"])
def test_an_unfinished_completion_has_no_answer_or_strategy(text: str) -> None:
    assert boxed(text) is None
    assert strategy_of(text) is None


def test_only_the_solution_is_learned() -> None:
    ids, labels = recipe.encode([("3 + 4 =", "7"), ("3 =", "11")], TOKENIZER)
    assert TOKENIZER.decode(labels[0][labels[0] != -100]) == "7<eos>"
    assert TOKENIZER.decode(labels[1][labels[1] != -100]) == "11<eos>"
    assert (ids[1][-2:] == TOKENIZER.pad_token_id).all()


def test_harder_families_are_drawn_more_often() -> None:
    table = recipe.load_problems("reasoning-gym:nano", split="supervised", n=64)
    topic = dict(zip(table["prompt"], table["topic"], strict=True))
    stream = recipe.batches(recipe.Recipe(batch_size=64), table)
    drawn = Counter(topic[prompt] for _ in range(20) for prompt, _ in next(stream))
    assert drawn["three_terms"] > 2 * drawn["take_story"]
    assert set(drawn) == set(NANO_MIX)


@pytest.mark.long
def test_two_retrainings_on_one_thread_give_identical_weights() -> None:
    short = recipe.Recipe(steps=30, problems=512)
    (first, losses), (second, again) = recipe.train_nano(short), recipe.train_nano(short)
    assert losses == again
    assert weights_hash(first) == weights_hash(second)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


@pytest.mark.long
def test_the_stored_loss_curve_is_met_again(shipped: dict) -> None:
    fields = recipe.Recipe.__dataclass_fields__
    stored = recipe.Recipe(**{name: shipped[name] for name in fields})
    assert stored == recipe.Recipe()
    _, losses = recipe.train_nano(stored, stop=25)
    np.testing.assert_allclose(losses, shipped["losses"][:25], atol=0.02)


def test_the_checkpoint_is_small_and_says_how_it_was_made(shipped: dict) -> None:
    assert sum(file.stat().st_size for file in CHECKPOINT.iterdir()) <= 6e6
    assert len(shipped["losses"]) == shipped["steps"]
    assert set(shipped["families"]) == {*NANO_MIX, "all"}
    assert shipped["packages"]["reasoning-gym"] == "0.1.25"
    assert not re.search(r"20\d\d-\d\d|/home|/tmp|/root", (CHECKPOINT / "recipe.json").read_text())


def test_the_checkpoint_is_good_but_unfinished(shipped: dict) -> None:
    assert 0.4 <= shipped["families"]["all"]["pass@1"] <= 0.5
    assert shipped["families"]["all"]["pass@8"] >= 0.84
    for topic, row in shipped["families"].items():
        # The aims are .2 to .6, .85 and .3; 64 problems a family have a standard error of 4 to 6 points.
        assert 0.2 <= row["pass@1"] <= 0.62, topic
        assert row["pass@8"] >= 0.7, topic
        assert row["zero_variance"] <= 0.33, topic
    shares = {name: row["share"] for name, row in shipped["strategies"].items()}
    assert shares == pytest.approx(STRATEGIES, abs=0.08)
    right = [shipped["strategies"][name]["accuracy"] for name in ("columns", "tens", "check")]
    assert right == sorted(right, reverse=True)  # the rarer a strategy, the less it is learned


def test_the_measures_of_a_group() -> None:
    table = Dataset.from_list([{"topic": "a", "answer": "7"}, {"topic": "b", "answer": "1"}])
    groups = [[" tens:\\boxed{7}", " columns:\\boxed{8}"], [" tens:\\boxed{1}", " tens:\\boxed{1}"]]
    families = recipe.family_table(table, groups)
    assert families.loc["all"].to_dict() == {"pass@1": 0.75, "pass@2": 1.0, "zero_variance": 0.5, "n": 2.0}
    by_strategy = recipe.strategy_table(table, groups)
    assert by_strategy.loc["tens"].tolist() == [0.75, 1.0]
    assert by_strategy.loc["columns"].tolist() == [0.25, 0.0]
    assert np.isnan(by_strategy.loc["check", "accuracy"])


def test_sampling_is_repeatable_and_leaves_the_random_state_alone() -> None:
    import torch

    model = recipe.untrained(TINY)
    before = torch.random.get_rng_state()
    first = recipe.sample(model, TOKENIZER, ["3 + 4 ="], group=3, seed=5)
    assert first == recipe.sample(model, TOKENIZER, ["3 + 4 ="], group=3, seed=5)
    assert first != recipe.sample(model, TOKENIZER, ["3 + 4 ="], group=3, seed=6)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_checkpoint_folder_is_written_whole_and_never_overwritten(tmp_path) -> None:
    out = tmp_path / "nano"
    table = make_checkpoint(out, TINY, n=8)
    assert table.loc["all", "n"] == 8
    assert {"config.json", "model.safetensors", "recipe.json", "tokenizer.json"} <= {
        file.name for file in out.iterdir()
    }
    with pytest.raises(InputError, match="already exists"):
        make_checkpoint(out, TINY, n=8)
    assert main(["--out", str(out)]) == 2


def test_fewer_problems_than_a_batch_are_refused() -> None:
    with pytest.raises(InputError, match="fewer than one batch"):
        recipe.train_nano(recipe.Recipe(problems=8))
