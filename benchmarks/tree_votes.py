"""Labels of tree leaves against those of separate votes at equal sampled tokens, of a frozen policy.

    python benchmarks/tree_votes.py [--problems 512] [--seeds 0 1 2 3] [--draw 0] [--page]

Protocol: results/PROTOCOL-systems.md, written before the first problem was answered. Every problem has 4
trunks, which the arms share: separate votes (the trunks and more completions), ETTRL's trees (forks at the
most uncertain tokens), and trees with forks at random tokens. A tree arm is compared with as many separate
votes, in the sequence in which they were drawn, as come nearest to its own sampled tokens on that problem.
Writes ``results/benchmarks/tree-votes.json`` and ``tree-votes.md``; with ``--page`` the page alone.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch

import numpy as np

from hammerlib import load_backbone, load_problems
from hammerlib.evaluation import equivalence_test, holm, paired_interval, permutation_test
from hammerlib.grading import final_answer, grade
from hammerlib.problems import fingerprint
from hammerlib.runs.storage import write_json
from hammerlib.systems.branching import Sampler
from hammerlib.systems.etmr import effective_votes
from hammerlib.systems.etmr.algorithm import TreeVotes
from hammerlib.systems.ttrl import majority_vote
from hammerlib.training.generation import generate

FOLDER = Path(__file__).resolve().parents[1] / "results" / "benchmarks"
TREES, FORKS, BRANCHES = 4, 2, 2  # 20 leaves, as in configs/study/systems-etmr.yaml
MORE = 20  # separate votes beside the trunks: more than the tokens of a tree arm ever buy
ARMS = {"trees": "entropy", "random": "random"}  # arm -> where its trunks fork
MARGIN = 0.01
DRAWS = 2000  # of problems, for intervals of effective votes
AT_ONCE = 48  # problems


def answered(sampler: Sampler, rows: list[dict]) -> dict[str, list]:
    """All arms on some problems: of each problem labels, votes, tokens and right leaves of every tree."""
    trunks = generate(sampler, [row for row in rows for _ in range(TREES)])
    more = generate(sampler, [row for row in rows for _ in range(MORE)])
    leaves = {arm: TreeVotes(TREES, FORKS, BRANCHES, choice=choice).grow(sampler, trunks, len(rows))
              for arm, choice in ARMS.items()}  # fmt: skip
    decode = sampler.processing_class.batch_decode
    answers = {}
    lengths = {}
    for name, made in {"trunks": trunks, "more": more, **leaves}.items():
        texts = decode(made.completion_ids, skip_special_tokens=True)
        answers[name] = np.array([final_answer(text) for text in texts], dtype=object).reshape(len(rows), -1)
        tokens = [len(ids) - forced for ids, forced in zip(made.completion_ids, made.forced, strict=True)]
        lengths[name] = np.array(tokens).reshape(len(rows), -1)
    separate = np.hstack([answers["trunks"], answers["more"]])
    spent = np.hstack([lengths["trunks"], lengths["more"]]).cumsum(axis=1)
    kept: dict[str, list] = {"votes_right": []}
    for k, row in enumerate(rows):
        known: dict[str | None, bool] = {None: False}

        def right(answer: str | None, row: dict = row, known: dict = known) -> bool:
            if answer not in known:
                known[answer] = grade(f"\\boxed{{{answer}}}", row).correct
            return known[answer]

        kept["votes_right"].append(sum(right(answer) for answer in separate[k]))
        for arm in ARMS:
            tokens = int(lengths[arm][k].sum())
            votes = int(np.abs(spent[k] - tokens).argmin()) + 1
            right_leaves = np.array([right(answer) for answer in answers[arm][k]])
            values = {
                "label": right(majority_vote(answers[arm][k].tolist()).label),
                "separate": right(majority_vote(separate[k, :votes].tolist()).label),
                "votes": votes,
                "tokens": tokens,
                "separate_tokens": int(spent[k, votes - 1]),
                # Leaves come trunks first, then one branch of every tree, then the next.
                "leaves": right_leaves.reshape(-1, TREES).sum(axis=0).tolist(),
            }
            for name, value in values.items():
                kept.setdefault(f"{arm}/{name}", []).append(value)
    return kept


def run(problems: int, seeds: list[int], draw: int) -> dict:
    """Answer all problems with every seed; the record."""
    backbone = load_backbone("nano", dtype="float32")
    backbone.model.eval()
    table = load_problems("reasoning-gym:nano", split="heldout", n=problems, seed=draw)
    rows = table.to_list()
    samplings = []
    for seed in seeds:
        sampler = Sampler(backbone, seed=seed)
        whole: dict[str, list] = {}
        for first in range(0, problems, AT_ONCE):
            for name, values in answered(sampler, rows[first : first + AT_ONCE]).items():
                whole.setdefault(name, []).extend(values)
            done = min(first + AT_ONCE, problems)
            print(f"seed {seed}: {done} of {problems} problems", flush=True)
        samplings.append({"seed": seed, "sampled_tokens": sampler.sampled} | packed(whole))
    return {
        "schema_version": 1,
        "weights": backbone.weights_hash,
        "problems": {"draw": draw, "n": problems, "fingerprint": fingerprint(table)},
        "shape": {"trees": TREES, "forks": FORKS, "branches": BRANCHES},
        "samplings": samplings,
    }


def packed(values: dict[str, list]) -> dict[str, object]:
    """Texts of digits for what a problem has of one or two digits; sums of tokens."""
    texts: dict[str, object] = {}
    for name, column in values.items():
        if name.endswith("tokens"):
            texts[name] = sum(column)
        elif name.endswith("leaves"):
            texts[name] = "".join(str(count) for trees in column for count in trees)
        elif name.endswith(("votes", "votes_right")):
            texts[name] = "".join(f"{count:02d}" for count in column)
        else:
            texts[name] = "".join(str(int(one)) for one in column)
    return texts


def digits(text: str, width: int = 1) -> np.ndarray:
    """The numbers of a text of digits."""
    return np.array([int(text[place : place + width]) for place in range(0, len(text), width)])


def labels(record: dict, name: str) -> np.ndarray:
    """Right labels, (seeds, problems)."""
    return np.array([digits(sampling[name]) for sampling in record["samplings"]], dtype=float)


def worth(record: dict, arm: str) -> tuple[float, float, float]:
    """Effective votes of an arm's leaves with a 95 % percentile interval over problems."""
    seeds = [digits(sampling[f"{arm}/leaves"]).reshape(-1, TREES) for sampling in record["samplings"]]
    size = 1 + FORKS * BRANCHES
    # Right leaves of a tree, first: only the mean of a tree enters.
    leaves = (
        np.arange(size)[None, None] < np.stack(seeds, axis=1)[..., None]
    )  # problems, seeds, trees, leaves
    problems = len(leaves)
    rng = np.random.default_rng(0)

    def value(rows: np.ndarray) -> float:
        return effective_votes(leaves[rows].reshape(-1, TREES, size))

    drawn = [value(rng.integers(problems, size=problems)) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return value(np.arange(problems)), float(low), float(high)


def page(record: dict, command: str) -> str:
    """The record in words and tables."""
    seeds = len(record["samplings"])
    n = record["problems"]["n"]
    lines = ["# Labels of trees at equal tokens", ""]
    leaves = TREES * (1 + FORKS * BRANCHES)
    lines += [
        f"`{command}`: shipped nano checkpoint, {n} held-out problems, {seeds} seeds of sampling; {TREES} "
        f"trees with {FORKS} forks of {BRANCHES} branches, {leaves} leaves. Protocol: "
        "[PROTOCOL-systems](../PROTOCOL-systems.md).",
        "",
    ]
    header = ["arm", "right labels, %", "separate votes at its tokens, %", "tokens of a problem"]
    header += ["separate votes for them", "right leaves, %", "right separate votes, %"]
    header += [f"effective votes of {leaves} leaves"]
    lines += [f"| {' | '.join(header)} |"]
    lines += ["|" + " --- |" * 8]
    differences = {}
    for arm in ARMS:
        own = labels(record, f"{arm}/label")
        separate = labels(record, f"{arm}/separate")
        differences[f"{arm} - separate"] = (separate, own)
        votes = np.mean([digits(sampling[f"{arm}/votes"], 2).mean() for sampling in record["samplings"]])
        tokens = sum(sampling[f"{arm}/tokens"] for sampling in record["samplings"]) / (n * seeds)
        right_leaves = np.mean([digits(sampling[f"{arm}/leaves"]).mean() for sampling in record["samplings"]])
        right = np.mean([digits(sampling["votes_right"], 2).mean() for sampling in record["samplings"]])
        mean, low, high = worth(record, arm)
        lines.append(
            f"| {arm} | {100 * own.mean():.1f} | {100 * separate.mean():.1f} | {tokens:.0f} | {votes:.1f} | "
            f"{100 * right_leaves / (1 + FORKS * BRANCHES):.1f} | {100 * right / (TREES + MORE):.1f} | "
            f"{mean:.1f} [{low:.1f}, {high:.1f}] |"
        )
    lines += ["", "## Contrasts", ""]
    lines += [
        "Right labels, points, paired; the unit is the problem, with its mean over seeds, for every sample "
        "has random numbers of its own. Interval: Student's, 95 %. p: flips of signs, Holm over the two. "
        "Equivalence: two one-sided tests against one point, not corrected.",
        "",
        "| contrast | difference | p | Holm | equivalence | verdict |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    pairs = [(a.mean(0), b.mean(0)) for a, b in differences.values()]
    chances = [permutation_test(a, b).p for a, b in pairs]
    for name, (low, high), p, adjusted in zip(differences, pairs, chances, holm(chances), strict=True):
        equivalent = equivalence_test(low, high, margin=MARGIN)
        interval = paired_interval(low, high, method="student")
        found = adjusted < 0.05 and not interval.low <= 0 <= interval.high
        said = ("better" if interval.value > 0 else "worse") if found else "inconclusive"
        if equivalent < 0.05:
            said = f"{said}, by less than one point" if found else "no difference larger than one point"
        ends = [100 * end for end in interval]
        lines.append(
            f"| {name} | {ends[0]:+.2f} [{ends[1]:.2f}, {ends[2]:.2f}] | {p:.3f} | {adjusted:.3f} | "
            f"{equivalent:.3f} | {said} |"
        )
    trees, random = (b - a for a, b in differences.values())
    apart = paired_interval(random.mean(0), trees.mean(0), bounds=(-1, 1), method="student")
    ends = [100 * end for end in apart]
    lines += ["", "Forks by entropy less forks at random, each less the separate votes at its own tokens: "
              f"{ends[0]:+.2f} [{ends[1]:.2f}, {ends[2]:.2f}] points.", ""]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Run the study, or write its page anew."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=512)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--draw", type=int, default=0, help="seed of the problems; 100 and above: pilots")
    parser.add_argument("--page", action="store_true", help="write the page of the committed record")
    parser.add_argument("--out", type=Path, default=FOLDER)
    asked = parser.parse_args()
    path = asked.out / "tree-votes.json"
    if not asked.page:
        record = run(asked.problems, asked.seeds, asked.draw)
        record["command"] = "python benchmarks/tree_votes.py"
        write_json(path, record)
    record = json.loads(path.read_text(encoding="utf-8"))
    (asked.out / "tree-votes.md").write_text(page(record, record["command"]), encoding="utf-8")


if __name__ == "__main__":
    main()
