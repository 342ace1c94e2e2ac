"""Published rewards for diversity: who keeps right modes in an exact flow, and what they do to real texts.

    python benchmarks/diversity.py [--steps 1000] [--problems N]

First part: a softmax policy over three right and two wrong modes, trained by the expected step of groups of
eight (`hammerlib.exact.modes`), under each method and its placebo, in which a group's advantages are dealt
at random among equal rewards. Second part: the 19,440 completions of CHAMP as groups of one model and one
problem, embedded by counts of words, without a model. No language model is trained.
Writes ``results/benchmarks/diversity.json`` and ``diversity.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy

import numpy as np
import pandas as pd

from hammerlib import load_problems
from hammerlib.adapters.rewards import word_counts
from hammerlib.advantages import batched_advantages, pass_at_k_advantages, ucpo_weights
from hammerlib.dra import adjust_rewards
from hammerlib.evaluation import bootstrap_interval, mean_interval
from hammerlib.exact.modes import advantage_policy, effective_modes, equicosine
from hammerlib.problems.champ import champ_completions, stated_number
from hammerlib.runs.storage import write_json

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "results" / "benchmarks"
RIGHT = np.array([True, True, True, False, False])
STARTS = {"even": [0.25, 0.15, 0.10, 0.25, 0.25], "skewed": [0.30, 0.03, 0.01, 0.33, 0.33]}
COSINES = (0.0, 0.5, 0.936)  # the last: between right answers of two strategies of nano
SCALES = {"GRPO": "group", "Dr. GRPO": "none"}
REWARDS = {
    "none": None,
    "DRA": {},
    "MMR": {"method": "mmr"},
    "DSDR, bonus .001": {"method": "dsdr"},
    "DSDR, bonus .1": {"method": "dsdr", "bonus": 0.1},
}
PASS_AT_K = "pass@k training, k 4"
UCPO = {"UCPO, tau .2": 0.2, "UCPO, tau 1": 1.0}
REACHED = 0.85  # reward at which modes are compared as well: slower learning keeps modes too


def advantages_of(method: str, scale: str) -> Callable:
    """The advantages of a method's groups, from rewards, vectors and log-probabilities."""
    if method == PASS_AT_K:  # divides in its own way
        return lambda rewards, vectors, log_probs: pass_at_k_advantages(rewards, 4)
    if method in UCPO:
        return lambda rewards, vectors, log_probs: (
            batched_advantages(rewards, scale_rewards=scale) * ucpo_weights(rewards, log_probs, UCPO[method])
        )
    options = REWARDS[method]
    if options is None:
        return lambda rewards, vectors, log_probs: batched_advantages(rewards, scale_rewards=scale)
    return lambda rewards, vectors, log_probs: batched_advantages(
        adjust_rewards(rewards, vectors, **options), scale_rewards=scale
    )


def flows(steps: int) -> list[dict]:
    """Every method and placebo under every scaling, start and cosine: modes kept, reward on the way."""
    rows = []
    for scaling, scale in SCALES.items():
        for start, chances in STARTS.items():
            for method in (*REWARDS, PASS_AT_K, *UCPO):
                # what reads no embedding is the same at every cosine
                blind = method in ("none", PASS_AT_K, *UCPO)
                for cosine in COSINES[:1] if blind else COSINES:
                    for placebo in [False] if method == "none" else [False, True]:
                        path = advantage_policy(
                            np.array(chances), RIGHT, equicosine(len(RIGHT), cosine),
                            advantages_of(method, scale), placebo=placebo, steps=steps,
                            on_policy=method in UCPO,
                        )  # fmt: skip
                        reward = path[:, RIGHT].sum(axis=1)
                        row = {"scaling": scaling, "start": start, "method": method, "placebo": placebo}
                        row |= {"cosine": None if blind else cosine, "reward_mean": float(reward.mean())}
                        row |= {"reward_end": float(reward[-1]),
                                "modes": float(effective_modes(path[-1], RIGHT))}  # fmt: skip
                        at = int((reward >= REACHED).argmax())  # 0 where it never is
                        row["modes_reached"] = float(effective_modes(path[at], RIGHT)) if at else None
                        rows.append(row)
    return rows


def rarer_pairs(answers: np.ndarray) -> np.ndarray:
    """Pairs (n, n) of completions with an answer each, the first one's rarer in the group."""
    known = pd.notna(answers)
    counts = np.array([(answers == answer).sum() for answer in answers])
    return (counts[:, None] < counts[None]) & known[:, None] & known[None]


def preferred(adjusted: np.ndarray, pairs: np.ndarray) -> float:
    """Chance that the first of a pair has the higher reward, equal rewards half."""
    gap = adjusted[:, None] - adjusted[None]
    # rounding is no preference
    return float(((gap > 1e-9) + 0.5 * (np.abs(gap) <= 1e-9))[pairs].mean()) if pairs.any() else np.nan


def champ(problems: int | None) -> tuple[list[dict], dict]:
    """Groups of one model and one problem under every method that reads texts; a row a method."""
    gold = load_problems("champ:all").to_pandas().set_index("id")["answer"]
    whole = gold[gold.str.fullmatch(r"-?\d+")]
    written = champ_completions()
    if problems is not None:
        written = written[written["id"].isin(written["id"].unique()[:problems])]
    written = written.assign(answer=written["summary"].map(stated_number))
    unread = ~written["id"].isin(whole.index) | written["truncated"] | written["answer"].isna()
    written["answer"] = written["answer"].where(~unread, None)
    rng = np.random.default_rng(0)
    measured = []
    for (problem, _), group in written.groupby(["id", "model"]):
        group = group.iloc[rng.permutation(len(group))]  # MMR looks at the sequence
        # the same inner products, in as many dimensions as there are texts
        vectors = np.linalg.qr(word_counts(group["completion"].tolist()).T, mode="r").T
        answers = group["answer"].to_numpy(dtype=object)
        solved = np.ones(len(group))
        pairs = rarer_pairs(answers)
        right = (group["answer"] == whole.get(problem)).to_numpy(dtype=float)
        for method, options in REWARDS.items():
            if options is None:
                continue
            adjusted = adjust_rewards(solved, vectors, **options)
            row = {"problem": problem, "method": method, "n": len(group)}
            row["spread"] = float(adjusted.std())
            row["advantage"] = float(np.abs(batched_advantages(adjusted)).mean())
            row["rare"] = preferred(adjusted, pairs)
            row["placebo_rare"] = preferred(rng.permutation(adjusted), pairs)
            if pairs.any():
                first, second = np.nonzero(pairs)
                row |= {"rarer_right": right[first].mean(), "other_right": right[second].mean()}
            if 0 < right.sum() < len(group):
                plain = batched_advantages(right)
                moved = batched_advantages(adjust_rewards(right, vectors, **options)) - plain
                row["moved"] = float(np.abs(moved).mean() / np.abs(plain).mean())
            measured.append(row)
    table = pd.DataFrame(measured)
    rows = []
    for method, of_method in table.groupby("method", sort=False):
        # a problem is the unit, over its models
        by_problem = of_method.drop(columns=["method", "n"]).groupby("problem").mean()
        row = {"method": method}
        for name in ("spread", "advantage", "moved", "rare", "placebo_rare"):
            values = by_problem[name].dropna().to_numpy()
            share = name in ("rare", "placebo_rare")
            ends = mean_interval(values) if share else bootstrap_interval(values, method="student")
            row[name] = dict(zip(("value", "low", "high"), map(float, ends), strict=True))
            row[name]["problems"] = len(values)
        rows.append(row)
    counted = {"completions": len(written), "groups": int(written.groupby(["id", "model"]).ngroups)}
    counted |= {"with_a_verdict": int(written["answer"].notna().sum())}
    # the same for every method: how often the two of a pair are right, over problems
    right_ones = table.groupby("problem")[["rarer_right", "other_right"]].mean().mean()
    counted |= {name: float(value) for name, value in right_ones.items()}
    return rows, counted


def lost(rows: pd.DataFrame, row: pd.Series, name: str) -> float:
    """Reward of plain GRPO (or Dr. GRPO) less that of a row, in points."""
    same = (rows["scaling"] == row["scaling"]) & (rows["start"] == row["start"]) & (rows["method"] == "none")
    return 100 * float(rows[same][name].iloc[0] - row[name])


def page(record: dict) -> str:
    """The record in words and tables."""
    rows = pd.DataFrame(record["flows"])
    lines = ["# Published rewards for diversity", ""]
    lines += [
        f"`{record['command']}`, commit {record['commit']}, {record['cpu_seconds']:.0f} CPU seconds. Exact "
        "toy flows and statistics of texts; nothing here trains a language model.",
        "",
        "## Modes kept in an exact flow",
        "",
        f"Three right and two wrong modes, groups of 8, rate 0.5, {record['steps']} expected steps; n = 1, "
        "no sampling, so no interval. Effective number of right modes at the end (1 to 3), in brackets that "
        "of the placebo, which deals the advantages of a group at random among equal rewards. Cost: the "
        "reward lost against no method, in points, at the middle cosine: mean over all steps / at the end. "
        f"Because slower learning keeps modes too, the last column has the modes when the reward first "
        f"reaches {REACHED}, at the middle cosine. "
        f"Starts: {'; '.join(f'*{name}* {values}' for name, values in STARTS.items())}.",
        "",
    ]
    for scaling in SCALES:
        lines += [f"### {scaling}", ""]
        head = ["method", "start", *(f"cosine {cosine}" for cosine in COSINES), "cost, points"]
        head.append(f"modes at reward {REACHED}")
        lines += [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
        for (start, method), cells in rows[rows["scaling"] == scaling].groupby(
            ["start", "method"], sort=False
        ):
            own = cells[~cells["placebo"]]
            shuffled = cells[cells["placebo"]]
            texts = []
            for place in range(len(own)):
                told = f"{own['modes'].iloc[place]:.2f}"
                texts.append(told if shuffled.empty else f"{told} ({shuffled['modes'].iloc[place]:.2f})")
            texts = texts * len(COSINES) if len(texts) == 1 else texts
            middle = own.iloc[len(own) // 2]
            cost = " / ".join(f"{lost(rows, middle, name):+.1f}" for name in ("reward_mean", "reward_end"))
            lines.append(
                f"| {method} | {start} | {' | '.join(texts)} | {cost} | {middle['modes_reached']:.2f} |"
            )
        lines.append("")
    counted = record["champ"]["counts"]
    lines += [
        "## On what four large models wrote",
        "",
        f"CHAMP: {counted['completions']:,} completions in {counted['groups']:,} groups (one model, one "
        "problem, 18 prompts), vectors are counts of words and pairs of words. *Spread* and *advantage* take "
        "all rewards for 1: standard deviation of the adjusted rewards, and mean size of GRPO's advantages "
        "of them, 0 without a method. *Moved*: mean change of GRPO's advantages in groups with right and "
        "wrong answers, as a share of their size. *Rarer answer*: all rewards 1 again; chance that of two "
        "completions the one whose answer is rarer in its group gets the higher reward, 1/2 without a "
        f"preference (equal rewards count half). Answers were read by pattern: {counted['with_a_verdict']:,} "
        "completions state a whole number, on problems whose answer is one; all others count as wrong for "
        "*moved*. 95 % intervals over problems, the unit being a problem's mean over models. CHAMP's human "
        "notes of first wrong steps are two a problem and give no label that solutions could share, so the "
        "final answer is the label. Of the two completions of a pair the one with the rarer answer is right "
        f"in {counted['rarer_right']:.0%}, the other in {counted['other_right']:.0%}: the rare answers are "
        "mostly wrong. DRA and DSDR rank a group alike, both by the mean cosine. Pass@k training and UCPO "
        "read no texts.",
        "",
    ]
    head = ["method", "spread", "advantage", "moved", "rarer answer", "its placebo", "problems"]
    lines += [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for row in record["champ"]["rows"]:
        texts = []
        for name, digits in {"spread": 4, "advantage": 3, "moved": 3, "rare": 3, "placebo_rare": 3}.items():
            cell = row[name]
            shown = [f"{cell[end]:.{digits}f}" for end in ("value", "low", "high")]
            texts.append(f"{shown[0]} [{shown[1]}, {shown[2]}]")
        numbers = ", ".join(str(row[name]["problems"]) for name in ("spread", "moved", "rare"))
        lines.append(f"| {row['method']} | {' | '.join(texts)} | {numbers} |")
    lines += ["", "Problems: for spread and advantage, for moved, for the rarer answer.", ""]
    return "\n".join(lines)


def main() -> None:
    """Measure both parts and write record and page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=1000, help="expected steps of a flow")
    parser.add_argument("--problems", type=int, help="of CHAMP, the first so many; default all")
    parser.add_argument("--page", action="store_true", help="write the page of the committed record")
    parser.add_argument("--out", type=Path, default=FOLDER)
    asked = parser.parse_args()
    path = asked.out / "diversity.json"
    if not asked.page:
        begun = time.process_time()
        rows, counts = champ(asked.problems)
        flowed = flows(asked.steps)
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
        )
        command = "python benchmarks/diversity.py"
        record = {"schema_version": 1, "command": command, "commit": commit.stdout.strip(),
                  "steps": asked.steps, "cpu_seconds": time.process_time() - begun, "flows": flowed,
                  "champ": {"counts": counts, "rows": rows}}  # fmt: skip
        write_json(path, record)
    record = json.loads(path.read_text(encoding="utf-8"))
    (asked.out / "diversity.md").write_text(page(record), encoding="utf-8")


if __name__ == "__main__":
    main()
