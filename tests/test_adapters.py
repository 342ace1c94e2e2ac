"""Orders handed to other trainers, and audits of logs: what needs none of their packages.

Their own loaders and dumps are driven by ``adapters_*.py`` (`make test-adapters`). The dumps of prime-rl,
NeMo-RL and slime, which no registry serves, are written here as their sources write them.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from trainer_cases import BATCH, Handed, finds_all

from hammerlib.adapters import TRAINERS, audit, hand_over
from hammerlib.adapters.asynchrony import simulate, survival, untrained
from hammerlib.adapters.files import trainer_named
from hammerlib.adapters.findings import KINDS
from hammerlib.adapters.logs import Log, Trained
from hammerlib.adapters.rewards import (
    Waiting,
    adjuster,
    embedder_named,
    reward_func,
    score,
    trl_dra,
    verl_dra,
    verl_score,
)
from hammerlib.cli import main
from hammerlib.dra import adjust_rewards
from hammerlib.errors import InputError
from hammerlib.ordering import Order, order_by
from hammerlib.problems.files import read_records, write_records
from hammerlib.training import TrainConfig, train


def values(thing: object) -> list[object]:
    """All values in nested objects and lists."""
    if isinstance(thing, dict):
        return [value for one in thing.values() for value in values(one)]
    if isinstance(thing, list):
        return [value for one in thing for value in values(one)]
    return [thing]


@pytest.mark.parametrize("trainer", TRAINERS)
def test_rows_stand_in_the_order_and_say_their_id_and_place(trainer: str, tmp_path: Path) -> None:
    handed = Handed(trainer, tmp_path, 14)
    table = handed.order.apply(handed.problems)
    for place, (row, problem) in enumerate(zip(read_records(handed.path), table, strict=True)):
        held = values(row)
        assert problem["prompt"] in held and problem["answer"] in held
        assert problem["id"] in held and place in held


@pytest.mark.parametrize("trainer", TRAINERS)
def test_what_is_dropped_is_refused_or_named(trainer: str, tmp_path: Path) -> None:
    handed = Handed(trainer, tmp_path, 14)
    path = tmp_path / "data" / handed.path.name
    assert handed.handed.lost == (
        handed.order.apply(handed.problems)["id"][12:] if handed.handed.trainer.tail == "dropped" else []
    )
    if handed.handed.trainer.tail == "dropped":
        with pytest.raises(InputError, match=r"batch = 4: .* 2 problems .*--tail report"):
            hand_over(trainer, handed.problems, handed.order, path, batch=4)
    if trainer != "verifiers":
        assert hand_over(trainer, handed.problems, handed.order, path, batch=7).lost == []


# What each option of `hammer order --for` does; "refused" with these words, or seen in what is printed.
DROPPED = "never trained, for they fill no batch: 2 problems ("
SHORTER = "the last 2 problems fill no batch: they are trained in a shorter one"
WRAPPED = "the last 2 problems fill no batch: the next epoch's first fill it up"
USED = {
    "trl": (" must be 4 prompts", DROPPED),
    "verl": ("data.train_batch_size=4", DROPPED),
    "openrlhf": ("--rollout.batch_size 4", SHORTER),
    "ms-swift": (" must be 4 prompts", DROPPED),
    "trinity-rft": ("batch_size: 4", WRAPPED),
    "verifiers": None,
    "prime-rl": (" must be 4 tasks a step", WRAPPED),
    "nemo-rl": ("grpo.num_prompts_per_step=4", DROPPED),
    "slime": ("--rollout-batch-size 4", WRAPPED),
}


@pytest.mark.parametrize("trainer", TRAINERS)
def test_every_option_for_a_trainer_is_used_or_refused(
    trainer: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    handed = Handed(trainer, tmp_path, 14)
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(14, 4)))
    out = tmp_path / "new" / handed.path.name
    words = ["order", f"file:{tmp_path / 'problems.jsonl'}", "--embeddings", str(tmp_path / "v.npy")]
    words += ["--no-certificate", "--out", str(tmp_path / "o.json"), "--for", trainer, "--write", str(out)]

    def refused(*more: str) -> str:
        assert main([*words, *more]) == 2 and not out.exists()
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "tail = 'report': is of a batch, and none is given" in refused("--tail", "report")
    assert "tail = 'drop': " in refused("--tail", "drop")
    batch = ["--batch", "4", "--tail", "report"]
    if USED[trainer] is None:
        assert refused(*batch) == "error: batch = 4: is set nowhere in verifiers; leave it out"
        return
    assert main([*words, *batch]) == 0 and out.exists()
    printed = capsys.readouterr().out
    assert all(line in printed for line in USED[trainer])


def test_what_cannot_be_handed_over_is_refused(tmp_path: Path) -> None:
    handed = Handed("verl", tmp_path, 14)
    give = (handed.problems, handed.order)
    with pytest.raises(InputError, match=r"trainer = 'verk': .*did you mean verl"):
        hand_over("verk", *give, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"is not what verl reads; name a file that ends with \.parquet"):
        hand_over("verl", *give, tmp_path / "a.jsonl")
    with pytest.raises(InputError, match="batch = 15: is more than the 14 problems"):
        hand_over("verl", *give, tmp_path / "a.parquet", batch=15)
    with pytest.raises(InputError, match="holds a blank"):
        hand_over("verl", *give, tmp_path / "a b.parquet")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "p.jsonl").touch()
    with pytest.raises(InputError, match=r"lies beside p\.jsonl, and trinity-rft reads every file"):
        hand_over("trinity-rft", *give, tmp_path / "own" / "a.jsonl")
    other = handed.problems.select(range(13, -1, -1))
    with pytest.raises(InputError, match="in another row order"):
        hand_over("verl", other, handed.order, tmp_path / "a.parquet")


def test_one_command_orders_for_a_trainer_and_one_audits(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    Handed("verl", tmp_path, 14)  # writes problems.jsonl
    source = f"file:{tmp_path / 'problems.jsonl'}"
    order, ordered = tmp_path / "order.json", tmp_path / "o.parquet"
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(14, 4)))
    words = [
        "order",
        source,
        "--embeddings",
        str(tmp_path / "v.npy"),
        "--no-certificate",
        "--out",
        str(order),
    ]
    assert main([*words, "--for", "verl", "--batch", "4"]) == 2
    assert "for = 'verl': needs a file to write" in capsys.readouterr().err
    assert main([*words, "--batch", "4"]) == 2
    assert main([*words, "--for", "verl", "--write", str(ordered), "--batch", "4"]) == 2
    assert "would be trained in no epoch" in capsys.readouterr().err and not order.exists()
    assert main([*words, "--tail", "report"]) == 2
    assert "tail = 'report': is of a trainer, and none is named" in capsys.readouterr().err
    assert main([*words, "--for", "verl", "--write", str(ordered), "--batch", "7"]) == 0
    assert "data.train_batch_size=7" in capsys.readouterr().out

    rows = read_records(ordered)
    log = [
        {"step": 1 + k // 7, "input": f"user\n{row['prompt'][0]['content']}\nassistant\n"}
        for k, row in enumerate(rows)
    ]
    write_records(log, tmp_path / "log.jsonl")
    command = ["audit", str(tmp_path / "log.jsonl"), "--order", str(order), "--problems", source]
    page = tmp_path / "page.html"
    assert main([*command, "--page", str(page)]) == 0
    assert "the order was kept" in capsys.readouterr().out
    text = page.read_text()
    assert text.count("<svg") == 1 and not any(part in text for part in ("<script", "src=", 'href="http'))
    log[0]["input"], log[13]["input"] = log[13]["input"], log[0]["input"]
    write_records(log, tmp_path / "log.jsonl")
    assert main(command) == 1
    assert "order: 2 problems were trained in other steps" in capsys.readouterr().out
    assert main([*command, "--allow", "order"]) == 0
    assert main([*command, "--late", "1"]) == 0
    assert main([*command, "--allow", "disorder"]) == 2


def batches_of(handed: Handed) -> list[list[str]]:
    """Two epochs of prompts in the order, as a loader hands them out."""
    rows = handed.prompts * 2
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def write_nemo(damaged: list[list[str]], folder: Path) -> Path:
    """NeMo-RL: ``log_batched_dict_as_jsonl`` of grpo.py, prompts and completions in one text."""
    folder.mkdir()
    for step, prompts in enumerate(damaged, start=1):
        rows = [
            {"content": [f"Think. {prompt}\\n So it is {k}."], "rewards": 1.0}
            for prompt in prompts
            for k in range(3)
        ]
        (folder / f"train_data_step{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / f"val_data_step{step}.jsonl").write_text('{"content": ["other"], "rewards": 0.0}\n')
    return folder


def write_slime(damaged: list[list[str]], folder: Path) -> Path:
    """slime: ``save_debug_rollout_data``, whose samples are ``Sample.to_dict()``."""
    folder.mkdir()
    for step, prompts in enumerate(damaged):
        samples = [
            {"index": k, "prompt": prompt, "response": "4", "metadata": {}, "weight_versions": [str(step)]}
            for prompt in prompts
            for k in range(2)
        ]
        torch.save({"rollout_id": step, "samples": samples}, folder / f"{step}.pt")
    return folder


def write_prime(damaged: list[list[str]], folder: Path) -> Path:
    """prime-rl: ``FileMonitor.log_episodes``, one episode a rollout."""
    for step, prompts in enumerate(damaged):
        for kind in ("all", "effective"):
            file = folder / "rollouts" / f"step_{step}" / "train" / kind / "traces.jsonl"
            file.parent.mkdir(parents=True)
            tasks = [
                {"type": "OrderedTask", "data": {"prompt": prompt}} for prompt in prompts for _ in range(2)
            ]
            extra = tasks[::-1] if kind == "all" else tasks
            file.write_text(
                "".join(json.dumps({"id": "e", "task": task, "traces": [{}]}) + "\n" for task in extra)
            )
    return folder / "rollouts"


@pytest.mark.parametrize("write", [write_nemo, write_slime, write_prime])
def test_every_planted_fault_is_found_in_dumps_that_no_registry_serves(write: object, tmp_path: Path) -> None:
    handed = Handed("slime", tmp_path, 24)
    finds_all(
        handed,
        batches_of(handed),
        lambda row: handed.place_of[row],
        lambda row: row.replace("cows", "goats"),
        write,
    )


def test_our_own_index_log_is_read_with_and_without_problems(tmp_path: Path) -> None:
    config = TrainConfig(
        n_problems=8, prompts_per_step=4, group_size=2, epochs=2, max_completion_length=4, order="random"
    )
    run = train(config, root=tmp_path, progress=False)
    order = Order.load(run.folder / "order.json")
    assert audit(run.folder, order).kept
    log = pd.read_csv(run.folder / "index_log.csv")
    log.loc[[0, 4], ["index", "id"]] = log.loc[[4, 0], ["index", "id"]].to_numpy()
    log.drop(columns="position").to_csv(tmp_path / "index_log.csv", index=False)
    assert [finding.kind for finding in audit(tmp_path / "index_log.csv", order).findings] == ["order"]


def rows_of(places: list[int], size: int = 4) -> list[Trained]:
    """Places trained one after the other, so many a step."""
    return [Trained(1 + k // size, (place,), f"p-{place}") for k, place in enumerate(places)]


def test_a_trainer_that_wraps_keeps_the_order() -> None:
    order = Order(np.arange(10), "dataset")
    found = audit(Log("", rows_of([*range(10)] * 2)), order)
    assert found.kept and found.kendall == [0.0, 0.0]


def test_an_unfinished_epoch_is_no_fault() -> None:
    order = Order(np.arange(10), "dataset")
    found = audit(Log("", rows_of([*range(10), *range(6)])), order)
    assert found.kept and "the log ends in epoch 2 at position 5" in found.notes[0]


@pytest.mark.parametrize("seed", range(5))
def test_the_distance_is_that_of_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = rng.permutation(23)
    found = audit(Log("", rows_of(places.tolist(), 3)), Order(np.arange(23), "dataset"))
    steps = np.arange(23) // 3
    pairs = [(i, j) for i in range(23) for j in range(i) if steps[i] != steps[j]]
    wrong = sum(places[i] < places[j] for i, j in pairs)
    assert found.kendall == [pytest.approx(wrong / len(pairs))]


def test_problems_with_the_same_text_are_told_apart_by_what_is_still_to_come() -> None:
    twins = [Trained(1 + k // 2, (2, 7) if k in (2, 7) else (k,), str(k)) for k in range(10)]
    assert audit(Log("", twins), Order(np.arange(10), "dataset")).kept


def test_old_weights_are_reported_and_refused_beyond_what_is_allowed() -> None:
    rows = [Trained(step, (step - 1,), "p", None, step - 2) for step in range(2, 8)]
    order = Order(np.arange(7), "dataset")
    assert "stale" in {one.kind for one in audit(Log("", rows), order, allow=["skipped"]).findings}
    kept = audit(Log("", rows), order, late=2, allow=["skipped"])
    assert kept.kept and "completions are 2.00 steps old on average, 2 at most" in kept.notes


def test_a_log_without_steps_is_counted(tmp_path: Path) -> None:
    handed = Handed("openrlhf", tmp_path, 12)
    rows = [{"prompt": f"<|user|>{prompt}<|assistant|>"} for prompt in handed.prompts for _ in range(3)]
    write_records(rows, tmp_path / "log.jsonl")
    with pytest.raises(InputError, match="says no steps; say how many problems a step has: --per-step N"):
        handed.audit(tmp_path / "log.jsonl")
    assert handed.audit(tmp_path / "log.jsonl", per_step=4).kept


def test_logs_that_say_nothing_are_refused(tmp_path: Path) -> None:
    order = order_by("dataset", None, problems=Handed("verl", tmp_path, 4).problems)
    (tmp_path / "empty").mkdir()
    write_records([{"step": 1, "loss": 0.5}], tmp_path / "a.jsonl")
    write_records([{"step": 1, "prompt": "What?"}], tmp_path / "b.jsonl")
    for log, message in [
        ("missing", "there is no such file or folder"),
        ("empty", "holds no rows"),
        ("a.jsonl", "no column is known to name a problem"),
        ("b.jsonl", "are needed to find a log's prompts; name them: --problems"),
    ]:
        with pytest.raises(InputError, match=message):
            audit(tmp_path / log, order)
    with pytest.raises(InputError, match="columns = 'steps': is nothing that a log is read for"):
        audit(tmp_path / "a.jsonl", order, columns={"steps": "step"})
    with pytest.raises(InputError, match=r"columns = 'n': is not in a\.jsonl"):
        audit(tmp_path / "a.jsonl", order, columns={"position": "n"})


def test_every_kind_is_told_by_the_command() -> None:
    from typer.testing import CliRunner

    from hammerlib.cli import application

    told = CliRunner().invoke(application(), ["audit", "--help"], env={"COLUMNS": "110"}).output
    assert all(kind in told for kind in KINDS)


# Rewards


def test_grades_have_the_signatures_of_others() -> None:
    assert score("so \\boxed{4}", "4") == 1.0 and score("5", "4") == 0.0
    assert verl_score("x", "4", "4", {"index": 3}) == {"score": 1.0, "acc": 1.0, "position": 3}


def test_openrlhf_gets_tensors_and_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAMMER_ROLLOUTS", str(tmp_path / "log.jsonl"))
    found = reward_func(["What is 2+2?4", "What is 2+2?5"], ["What is 2+2?"] * 2, ["4", "4"])
    assert found["rewards"].tolist() == [1.0, 0.0] and found["scores"][0].item() == 1.0
    assert [row["completion"] for row in read_records(tmp_path / "log.jsonl")] == ["4", "5"]


def test_dra_over_words_prefers_the_answer_unlike_the_others() -> None:
    said = ["it is 4 because 2 + 2 = 4", "it is 4 because 2 + 2 = 4", "four: \\boxed{4}"]
    found = trl_dra(3)(["?"] * 3, said, answer=["4"] * 3)
    assert found[2] > found[0]
    assert found == pytest.approx(adjust_rewards([1.0] * 3, embedder_named("words")(said)).tolist())


def test_completions_that_wait_for_their_prompt_may_come_in_any_sequence() -> None:
    said = {"a": ["2", "2", "so 2"], "b": ["2", "3", "so it is 2"]}
    calls = [(name, text) for k in (2, 0, 1) for name, texts in said.items() for text in [texts[k]]]

    async def run() -> list[dict]:
        return await asyncio.gather(
            *(verl_dra("x", text, "2", {"id": name}, group_size=3) for name, text in calls)
        )

    found = asyncio.run(run())
    for name in said:
        mine = [(text, one) for (prompt, text), one in zip(calls, found, strict=True) if prompt == name]
        words = [text for text, _ in mine]
        grades = [float("3" not in text) for text in words]
        assert [one["acc"] for _, one in mine] == grades
        ours = adjust_rewards(grades, embedder_named("words")(words))
        assert [one["score"] for _, one in mine] == pytest.approx(ours.tolist())
    assert Waiting.groups == {}


def test_a_completion_that_comes_late_is_compared_with_all_who_came() -> None:
    said = ["it is 4", "it is 4", "4"]

    async def run() -> list[float]:
        for _ in said:
            group = Waiting.at("late", 3, adjuster(), 0.05)
        two = await asyncio.gather(*(group.add(text, 1.0) for text in said[:2]))
        return [*two, await asyncio.wait_for(group.add(said[2], 1.0), 10)]

    ours = [adjuster()(said[:size], [1.0] * size) for size in (2, 3)]
    assert asyncio.run(run()) == pytest.approx([*ours[0], ours[1][2]])


def test_dra_over_a_backbone() -> None:
    vectors = embedder_named("nano")(["4 + 4 = 8", "8"])
    assert vectors.shape[0] == 2 and np.isfinite(vectors).all()


def test_versions_and_ways_of_checking_are_told() -> None:
    assert {name: trainer_named(name).checked for name in TRAINERS} == {
        **dict.fromkeys(("trl", "verl", "openrlhf", "ms-swift", "trinity-rft", "verifiers"), "package"),
        **dict.fromkeys(("prime-rl", "nemo-rl", "slime"), "source"),
    }


# Asynchrony


def lengths(n: int, seed: int = 0) -> list[list[float]]:
    """Lengths of four completions of n prompts."""
    return np.random.default_rng(seed).lognormal(3, 0.8, size=(n, 4)).tolist()


def test_in_lockstep_nothing_moves() -> None:
    life = simulate(lengths(64), batch=8, staleness=0)
    assert survival(life, 64).kept and not life["dropped"].any()
    assert [untrained(life, step) for step in range(9)] == [[]] * 9


@pytest.mark.parametrize("staleness", [1, 2, 4, 8])
def test_a_life_is_in_sequence_and_within_the_staleness(staleness: int) -> None:
    life = simulate(lengths(96, staleness), batch=4, staleness=staleness)
    trained = life[life["trained"] > 0]
    assert (trained["finished"] >= trained["generated"]).all()
    ages = trained["trained"] - trained["generated"]
    assert ages.between(0, staleness).all() and not (life["dropped"] & (life["trained"] > 0)).any()
    assert trained.groupby("trained").size().eq(4).all() and trained["place"].is_unique
    for step in range(1, int(trained["trained"].max()) + 1):
        # never more begun than the bound, counted when a step ends
        assert len(untrained(life, step)) <= (staleness + 1) * 4


def test_more_staleness_leaves_less_of_the_path() -> None:
    distances = [survival(simulate(lengths(240), batch=8, staleness=k), 240).kendall[0] for k in (0, 2, 8)]
    assert distances[0] == 0 < distances[1] < distances[2] < 0.2


def test_a_resume_that_counts_skips_what_one_at_the_frontier_hands_out() -> None:
    life = simulate(lengths(96), batch=4, staleness=4)
    lost = untrained(life, 8)
    before = set(life[life["trained"].between(1, 8)]["place"])
    rows = [
        Trained(step, (place,), "p")
        for place, step in zip(life["place"], life["trained"], strict=True)
        if place in before
    ]
    # The counting loader goes on behind everything that was handed out.
    first = max(before | set(lost)) + 1
    after = [Trained(9 + k // 4, (first + k,), "p") for k in range(96 - first)]
    order = Order(np.arange(96), "dataset")
    found = audit(Log("", sorted([*rows, *after], key=lambda row: row.step)), order, late=9)
    missing = {finding.kind: finding.count for finding in found.findings}
    assert lost and missing.get("skipped", 0) + missing.get("filtered", 0) >= len(lost)
    aligned = [Trained(9 + k // 4, (place,), "p") for k, place in enumerate([*lost, *range(first, 96)])]
    kept = audit(Log("", sorted([*rows, *aligned], key=lambda row: row.step)), order, late=9)
    dropped = int((life["dropped"] & (life["place"] < first)).sum())
    assert sum(finding.count for finding in kept.findings) == dropped, str(kept)
