"""Best of 16 by a learnt step score against the majority of 16, with a policy that stands still.

    python benchmarks/step_search.py [--problems 512] [--seeds 0 1 2 3] [--draw 0] [--page]

Protocol: results/PROTOCOL-systems.md, written before the first problem was answered. For every seed the f of
AIRL-S learns beside the shipped nano checkpoint, whose weights do not move (``mix: 0``, learning rate 1e-12),
from its own right answers to 512 problems; then it chooses among 16 samples of each held-out problem. Writes
``results/benchmarks/step-search.json`` and the page ``step-search.md``; ``--page`` writes the page alone.
``--references`` answers the problems of the committed record again, checks that they are the same answers,
and adds what needs no f: a random choice among *different* completions, and the most likely completion.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch

import numpy as np

from hammerlib import TrainConfig, load_backbone, load_problems, train
from hammerlib.evaluation import holm, paired_interval, permutation_test
from hammerlib.grading import final_answer, grade
from hammerlib.problems import fingerprint
from hammerlib.runs.storage import write_json
from hammerlib.systems.airl_s.algorithm import ends_of, load_scorer, score_steps
from hammerlib.systems.branching import Sampler
from hammerlib.systems.search import AGGREGATES, baselines, best_of_n
from hammerlib.training.generation import generate, scored_tokens

FOLDER = Path(__file__).resolve().parents[1] / "results" / "benchmarks"
SAMPLES = 16
AT_ONCE = 32  # problems
MARGIN = 0.01
LEARNT = {"name": "airl-s", "mix": 0.0, "separator": ";", "updates": 1, "batch": 64, "learning_rate": 3e-4}
WATCHED = ("airl/loss", "airl/told_apart", "airl/value_right", "airl/value_wrong")
PRIMARY = "last"  # f of the last step, which has seen the whole answer


def learnt(seed: int, draw: int, folder: Path) -> tuple[object, dict[str, float]]:
    """The f of one seed, and its last logged values."""
    config = TrainConfig(
        n_problems=512,
        order="random",
        learning_rate=1e-12,
        scheduler="constant",
        sampler="decoding",
        completions_every=None,
        seed=1000 * draw + seed,
        algorithms=(LEARNT,),
    )
    problems = load_problems("reasoning-gym:nano", split="rl", n=512, seed=1000 * draw + seed)
    run = train(config, problems=problems, root=folder, progress=False)
    table = run.table("metrics.csv")
    last = {}
    for name in WATCHED:
        values = table[table["metric"] == name].sort_values("step")["value"]
        last[name] = round(float(values.tail(8).mean()), 4)
    return load_scorer(run.folder, load_backbone("nano", dtype="float32")), last


def chosen(scorer: object | None, rows: list[dict], sampler: Sampler) -> dict[str, list]:
    """What every choice hands in for some problems; without a scorer those that need none."""
    made = generate(sampler, [row for row in rows for _ in range(SAMPLES)])
    texts = sampler.processing_class.batch_decode(made.completion_ids, skip_special_tokens=True)
    passes = scored_tokens(sampler, made.prompt_ids, made.completion_ids, rows=256)
    likelihood = [[chance] for logps, _, _ in passes for chance in logps.sum(dim=1).tolist()]
    scores: list[list[float]] = []
    if scorer is not None:
        ends = ends_of(sampler.processing_class, made.completion_ids, ";")
        scores = score_steps(scorer, made.prompt_ids, made.completion_ids, ends, rows=256)
    kept: dict[str, list] = {}
    for k, row in enumerate(rows):
        place = slice(k * SAMPLES, (k + 1) * SAMPLES)
        right = [grade(text, row).correct for text in texts[place]]
        values = baselines([final_answer(text) for text in texts[place]], right)
        values["right"] = sum(right)
        # Equal completions have equal scores: a score that knows nothing chooses among the different ones.
        values["distinct"] = float(np.mean(list(dict(zip(texts[place], right, strict=True)).values())))
        values["likelihood"] = float(right[best_of_n(likelihood[place])])
        for how in AGGREGATES if scores else ():
            values[how] = float(right[best_of_n(scores[place], how)])
        for name, value in values.items():
            kept.setdefault(name, []).append(value)
    return kept


def answered(scorer: object | None, rows: list[dict], sampler: Sampler) -> dict[str, object]:
    """What `chosen` says of all problems, as a record keeps it."""
    whole: dict[str, list] = {}
    for first in range(0, len(rows), AT_ONCE):
        for name, values in chosen(scorer, rows[first : first + AT_ONCE], sampler).items():
            whole.setdefault(name, []).extend(values)
    ways = [name for name in ("majority", "likelihood", *AGGREGATES) if name in whole]
    texts: dict[str, object] = {name: "".join(str(int(one)) for one in whole[name]) for name in ways}
    texts["right"] = "".join(f"{count:02d}" for count in whole["right"])
    texts["distinct"] = [round(share, 4) for share in whole["distinct"]]
    return texts


def with_references(record: dict) -> dict:
    """The record with what needs no f, from the same answers."""
    backbone = load_backbone("nano", dtype="float32")
    backbone.model.eval()
    assert backbone.weights_hash == record["weights"], "the record is of other weights"
    given = record["problems"]
    table = load_problems("reasoning-gym:nano", split="heldout", n=given["n"], seed=given["draw"])
    assert fingerprint(table) == given["fingerprint"], "the record is of other problems"
    for search in record["searches"]:
        added = answered(None, table.to_list(), Sampler(backbone, seed=search["seed"]))
        for name in ("right", "majority"):
            assert added[name] == search[name], f"seed {search['seed']}: other answers than the recorded ones"
        search |= {name: added[name] for name in ("distinct", "likelihood")}
        print(f"seed {search['seed']}: the same answers", flush=True)
    return record


def run(problems: int, seeds: list[int], draw: int) -> dict:
    """Learn and search with every seed; the record."""
    backbone = load_backbone("nano", dtype="float32")
    backbone.model.eval()
    table = load_problems("reasoning-gym:nano", split="heldout", n=problems, seed=draw)
    rows = table.to_list()
    searches = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            scorer, last = learnt(seed, draw, Path(folder))
        print(f"seed {seed}: f learnt, {last}", flush=True)
        sampler = Sampler(backbone, seed=seed)
        texts = answered(scorer, rows, sampler)
        searches.append({"seed": seed, "sampled_tokens": sampler.sampled, "learnt": last} | texts)
        print(f"seed {seed}: {problems} problems answered", flush=True)
    return {
        "schema_version": 1,
        "weights": backbone.weights_hash,
        "problems": {"draw": draw, "n": problems, "fingerprint": fingerprint(table)},
        "samples": SAMPLES,
        "f": LEARNT,
        "searches": searches,
    }


def shares(record: dict) -> dict[str, np.ndarray]:
    """Right answers of every choice, (seeds, problems)."""
    searches = record["searches"]
    values = {name: np.array([[int(one) for one in search[name]] for search in searches], dtype=float)
              for name in ("majority", "likelihood", *AGGREGATES) if name in searches[0]}  # fmt: skip
    counts = np.array([[int(search["right"][k : k + 2]) for k in range(0, len(search["right"]), 2)]
                       for search in searches])  # fmt: skip
    if "distinct" in searches[0]:
        values["distinct"] = np.array([search["distinct"] for search in searches])
    return values | {"random": counts / record["samples"], "oracle": (counts > 0).astype(float)}


def _gain(values: dict[str, np.ndarray]) -> str:
    interval = paired_interval(values["distinct"], values[PRIMARY])
    value, low, high = (100 * end for end in interval)
    return f"{value:+.1f} points [{low:.1f}, {high:.1f}]"


def page(record: dict, command: str) -> str:
    """The record in words and tables."""
    values = shares(record)
    names = {how: f"best by f, {how}" for how in AGGREGATES}
    seeds, n = values["majority"].shape
    lines = ["# Best of 16 by a learnt step score", ""]
    lines += [
        f"`{command}`: shipped nano checkpoint, which stands still; {n} held-out problems, "
        f"{record['samples']} samples, {seeds} seeds, each with an f of its own. Protocol: "
        "[PROTOCOL-systems](../PROTOCOL-systems.md).",
        "",
        "| choice | right, % | less majority, points | p | Holm | verdict |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| majority | {100 * values['majority'].mean():.1f} | | | | |",
    ]
    names |= {"random": "one of 16 at random", "distinct": "one of the different ones at random"}
    names |= {"likelihood": "the most likely by the policy", "oracle": "oracle"}
    tested = [PRIMARY, *(how for how in AGGREGATES if how != PRIMARY)]
    tested += [how for how in ("distinct", "random", "likelihood", "oracle") if how in values]
    majority = values["majority"]
    for how in tested:
        interval = paired_interval(majority, values[how])
        p = permutation_test(majority.mean(0), values[how].mean(0)).p
        primary = how == PRIMARY
        narrow = paired_interval(majority, values[how], level=0.90)
        small = narrow.low > -MARGIN and narrow.high < MARGIN
        found = (holm([p])[0] if primary else p) < 0.05 and not interval.low <= 0 <= interval.high
        said = ("better" if interval.value > 0 else "worse") if found else "inconclusive"
        if small:
            said = f"{said}, by less than one point" if found else "no difference larger than one point"
        ends = [100 * end for end in interval]
        name = f"**{names[how]}**" if primary else names.get(how, how)
        corrected = f"{p:.3f}" if primary else "–"
        lines.append(
            f"| {name} | {100 * values[how].mean():.1f} | {ends[0]:+.2f} [{ends[1]:.2f}, {ends[2]:.2f}] | "
            f"{p:.3f} | {corrected} | {said}{'' if primary else ' (exploratory)'} |"
        )
    lines += [
        "",
        "Intervals: 95 %, over problems and seeds. p: flips of the signs of the problems' differences, means "
        "over seeds; one primary contrast, so that Holm changes nothing. Equivalence: the 90 % interval "
        "inside one point.",
        "",
        "Equal completions have equal scores, so that the largest of 16 scores is one of the *different* "
        "completions, of which most are wrong: what knows nothing is right as often as a random choice among "
        f"them; over that f of the last step gains {_gain(values)}. This choice and the most likely "
        "completion were added after the result, see the protocol's amendments.",
        "",
        "What f had learnt, means of its last eight updates:",
        "",
        "| seed | loss, nats | classified correctly | f of right answers | f of wrong ones |",
        "| --- | --- | --- | --- | --- |",
    ]
    for search in record["searches"]:
        last = " | ".join(f"{search['learnt'][name]:.3f}" for name in WATCHED)
        lines.append(f"| {search['seed']} | {last} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Run the study, or write its page anew."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=512)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--draw", type=int, default=0, help="seed of the problems; 100 and above: pilots")
    parser.add_argument("--page", action="store_true", help="write the page of the committed record")
    parser.add_argument("--references", action="store_true", help="add to the record what needs no f")
    parser.add_argument("--out", type=Path, default=FOLDER)
    asked = parser.parse_args()
    path = asked.out / "step-search.json"
    if asked.references:
        write_json(path, with_references(json.loads(path.read_text(encoding="utf-8"))))
    elif not asked.page:
        record = run(asked.problems, asked.seeds, asked.draw)
        record["command"] = "python benchmarks/step_search.py"
        write_json(path, record)
    record = json.loads(path.read_text(encoding="utf-8"))
    (asked.out / "step-search.md").write_text(page(record, record["command"]), encoding="utf-8")


if __name__ == "__main__":
    main()
