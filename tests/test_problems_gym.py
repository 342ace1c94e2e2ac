"""Generated problems: enough of them, the same for everybody, in parts that never meet."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hammerlib.errors import InputError
from hammerlib.problems import check_problems, fingerprint, item_hashes, load_problems, normalise
from hammerlib.problems.gym import MIXES, PARTS, mix, part_of, scorer


@pytest.fixture(scope="module")
def tables():
    return {
        (name, part): load_problems(f"reasoning-gym:{name}", split=part, n=200)
        for name in MIXES
        for part in PARTS
    }


def test_the_math_mix_has_at_least_14_topics():
    assert len(MIXES["math"]) >= 14


def test_the_nano_mix_has_at_least_8_topics():
    assert len(mix("nano")) >= 8


@pytest.mark.parametrize("name", MIXES)
def test_every_topic_has_500_distinct_prompts_over_its_parts(name):
    topics = mix(name)
    found = Counter()
    for part, count in (("supervised", 200), ("rl", 200), ("heldout", 100)):
        table = load_problems(f"reasoning-gym:{name}", split=part, n=count * len(topics))
        found.update(dict.fromkeys(zip(table["topic"], map(normalise, table["prompt"]), strict=True), 1))
    per_topic = Counter(topic for topic, _ in found)
    assert set(per_topic) == set(topics)
    assert min(per_topic.values()) >= 500


@pytest.mark.parametrize("name", MIXES)
def test_parts_share_no_prompt_whatever_the_seeds(tables, name):
    prompts = {part: set(map(normalise, tables[name, part]["prompt"])) for part in PARTS}
    prompts["rl"] |= set(
        map(normalise, load_problems(f"reasoning-gym:{name}", split="rl", n=200, seed=9)["prompt"])
    )
    assert not prompts["supervised"] & prompts["rl"]
    assert not prompts["supervised"] & prompts["heldout"]
    assert not prompts["rl"] & prompts["heldout"]
    for part in PARTS:
        assert {part_of(prompt) for prompt in prompts[part]} == {part}


@pytest.mark.parametrize("name", MIXES)
def test_topics_are_even(tables, name):
    counts = Counter(tables[name, "rl"]["topic"])
    assert set(counts) == set(mix(name))
    assert max(counts.values()) - min(counts.values()) <= 1


def test_fewer_problems_than_topics_still_give_n():
    table = load_problems("reasoning-gym:math", n=3)
    assert len(table) == len(set(table["topic"])) == 3


@pytest.mark.parametrize("name", MIXES)
def test_no_two_prompts_are_equal_and_ids_name_their_prompts(tables, name):
    for part in PARTS:
        table = tables[name, part]
        check_problems(table)
        assert len(set(map(normalise, table["prompt"]))) == len(table)
        for row in table.select(range(20)):
            digest = hashlib.sha256(normalise(row["prompt"]).encode()).hexdigest()[:8]
            assert row["id"] == f"{name}-{row['topic']}-{digest}"


def test_the_same_prompt_has_the_same_id_under_another_seed():
    one, other = (load_problems("reasoning-gym:nano", n=2000, seed=seed) for seed in (0, 1))
    ids = dict(zip(one["prompt"], one["id"], strict=True))
    shared = [row for row in other if row["prompt"] in ids]
    assert shared
    assert all(ids[row["prompt"]] == row["id"] for row in shared)


def test_the_default_part_is_rl_and_the_default_size_1000():
    table = load_problems("reasoning-gym:nano")
    assert len(table) == 1000
    assert {part_of(prompt) for prompt in table["prompt"]} == {"rl"}


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 40))
def test_a_seed_decides_everything(seed, n):
    one, other = (load_problems("reasoning-gym:nano", n=n, seed=seed) for _ in range(2))
    assert fingerprint(one) == fingerprint(other)
    assert one["metadata"][:] == other["metadata"][:]
    assert len(one) == n


def test_another_seed_draws_other_problems(tables):
    other = load_problems("reasoning-gym:math", n=200, seed=1)
    assert fingerprint(other) != fingerprint(tables["math", "rl"])


PROGRAM = """
import hashlib
from hammerlib.problems import fingerprint, load_problems
table = load_problems("reasoning-gym:math", n=20)
print(fingerprint(table), hashlib.sha256("".join(table["metadata"]).encode()).hexdigest())
"""


def test_neither_the_process_nor_its_hash_seed_matters():
    outputs = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        outputs.add(done.stdout)
    assert len(outputs) == 1


def test_the_date_does_not_matter(tables, monkeypatch):
    from reasoning_gym.arithmetic import time_intervals

    class Another(time_intervals.date):
        @classmethod
        def today(cls):
            return cls(1999, 12, 31)

    before = tables["math", "rl"]
    monkeypatch.setattr(time_intervals, "date", Another)
    after = load_problems("reasoning-gym:math", split="rl", n=200)
    assert before["metadata"][:] == after["metadata"][:]
    assert fingerprint(before) == fingerprint(after)


@pytest.mark.parametrize("name", MIXES)
def test_metadata_hold_no_dates_and_no_place_in_the_draw(tables, name):
    for text in tables[name, "rl"]["metadata"]:
        assert not re.search(r"\d{4}-\d{2}-\d{2}", text)
        assert "source_index" not in json.loads(text)


@pytest.mark.parametrize("name", MIXES)
def test_the_stored_metadata_satisfy_each_topics_own_scorer(tables, name):
    for part in PARTS:
        for row in tables[name, part]:
            entry = {
                "question": row["prompt"],
                "answer": row["answer"],
                "metadata": json.loads(row["metadata"]),
            }
            assert scorer(row["scorer"])(row["answer"], entry) == 1.0, row


def test_flawed_items_of_the_generators_are_left_out():
    table = load_problems("reasoning-gym:math", n=40 * len(MIXES["math"]))
    for row in table:
        if row["topic"] == "time":
            assert not row["answer"].startswith("-")
        if row["topic"] == "angles":
            assert 0 < float(row["answer"]) < 180


def test_word_problems_keep_their_worked_solution(tables):
    rows = [row for row in tables["math", "rl"] if row["topic"] == "word-problems"]
    assert rows
    assert all("####" in row["solution"] for row in rows)


def test_metadata_do_not_enter_the_fingerprint(tables):
    table = tables["nano", "rl"]
    assert fingerprint(table) == fingerprint(table.remove_columns("metadata"))
    assert fingerprint(table) != fingerprint(table.select(range(len(table) - 1, -1, -1)))


def test_item_hashes_follow_their_rows(tables):
    table = tables["nano", "rl"]
    hashes = item_hashes(table)
    assert item_hashes(table.select([5, 2])) == [hashes[5], hashes[2]]
    assert len(set(hashes)) == len(table)


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("reasoning-gym:poetry", {}, "use one of math, nano, one-digit"),
        ("reasoning-gym:math", {"split": "test"}, "supervised, rl, heldout"),
        ("reasoning-gym:math", {"n": 0}, "at least 1"),
        ("reasoning-gym:nano", {"n": 10_000_000}, "n = 10000000: part rl of mix nano has 38400"),
        ("reasoning-gym:math", {"n": 48_001, "split": "heldout"}, "ask for at most 48000"),
        ("reasoning-gym:math", {"columns": {"prompt": "q"}}, "leave columns out"),
        ("reasoning-gym", {}, "unknown source"),
        ("ftp:somewhere", {}, "file:..."),
    ],
)
def test_bad_requests_are_named(source, options, words):
    with pytest.raises(InputError, match=re.escape(words)):
        load_problems(source, **options)


def test_a_topic_that_runs_dry_says_how_many_it_has(monkeypatch):
    small = {"tiny": ("count_bits", {"max_n": 50})}
    monkeypatch.setitem(MIXES, "math", small)
    with pytest.raises(InputError, match=r"topic tiny of mix math has only \d+ distinct prompts"):
        load_problems("reasoning-gym:math", n=100)


def test_the_smallest_topic_has_as_many_problems_as_are_promised():
    from hammerlib.problems.gym import LARGEST, _draw, mix

    most = LARGEST["rl"]
    rows = _draw("nano", "chain_sum", *mix("nano")["chain_sum"], part="rl", quota=most, seed=0, seen=set())
    assert len({row["id"] for row in rows}) == most


def test_one_digit_problems_have_one_digit_and_no_negative_answer():
    for row in load_problems("reasoning-gym:one-digit", n=500):
        assert max(int(number) for number in re.findall(r"\d+", row["prompt"])) <= 9, row["prompt"]
        assert int(row["answer"]) >= 0, row["prompt"]


def test_an_unknown_scorer_is_refused():
    with pytest.raises(InputError, match="unknown scorer"):
        scorer("reasoning-gym:nonsense")
