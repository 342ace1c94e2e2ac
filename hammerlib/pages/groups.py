"""The group browser: every group of a run with rewards, similarities, weights and advantages, as one page."""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hammerlib.advantages import group_advantages
from hammerlib.dra import adjust_rewards, diversity_weights, permuted_weights
from hammerlib.errors import InputError
from hammerlib.evaluation.foreign import SHOWN
from hammerlib.pages.page import make_page
from hammerlib.pages.rollouts import Completion, Rollouts, read_rollouts

if TYPE_CHECKING:
    from scipy import sparse

    from hammerlib.models import Backbone

MOST = 20_000  # groups of a page; of 8 completions of 1 kB each they are some 40 MB
CHUNK = 50  # groups that are unpacked together
TERM = re.compile(r"\w+|[^\w\s]")  # words, numbers and single signs
PAIRED = 64  # completions of a group whose similarities are drawn
ALIKE = 0.02  # merge heights closer than this are one cluster
PAGE = "groups.html"


def group_browser(
    run: str | Path,
    out: str | Path | None = None,
    *,
    backbone: Backbone | str | None = None,
    steps: tuple[int, int] | None = None,
) -> Path:
    """Write the groups of a run as one HTML page that needs no network, and return its path.

    Each group has its rewards, the similarities of its completions, and the advantages that GRPO gives them
    as they are, under DRA, and under its placebo (DRA's weights dealt among completions of equal reward),
    beside what the file itself holds. ``groups.html#group=12.3`` opens the third group of step 12. Damaged
    files and lines beside whole ones are named on the page.

    Parameters
    ----------
    run : path
        Folder of a training or evaluation run, TRL's output folder (``log_completions``), verl's
        ``rollout_data_dir``, inspect's logs (``.eval``, ``.json``), JSON lines of completions; or a file.
    out : path, optional
        Default ``groups.html`` in the folder, or ``<name>-groups.html`` beside the file.
    backbone : Backbone or str, optional
        Compare completions by the mean-pooled hidden states of this model, as DRA does in training; default:
        by their words (cosine of TF-IDF), which needs no model.
    steps : (int, int), optional
        First and last step; default all.

    Examples
    --------
    >>> import json, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> lines = [{"input": "1+1", "output": text, "score": 1.0, "step": 1} for text in ("2", "so 2")]
    >>> _ = (folder / "1.jsonl").write_text("\\n".join(map(json.dumps, lines)))
    >>> group_browser(folder).name
    'groups.html'
    """
    source = Path(run)
    read = read_rollouts(source, steps)
    if len(read.groups) > MOST:
        last = read.groups[MOST - 1][0].step
        remedy = f"choose steps (--steps A-B); the first {MOST:,} groups end at step {last}"
        raise InputError("run", source.name, f"holds {len(read.groups):,} groups, too many", remedy)
    if read.damaged:
        more = f"; {len(read.damaged) - SHOWN} more" if len(read.damaged) > SHOWN else ""
        warnings.warn(f"left out: {'; '.join(read.damaged[:SHOWN])}{more}", stacklevel=2)
    page = make_page("groups", f"Groups of {source.resolve().name}", _content(read, backbone))
    if out is None:
        out = source / PAGE if source.is_dir() else source.with_name(f"{source.stem}-{PAGE}")
    return page.write(out)


def _content(read: Rollouts, backbone: Backbone | str | None) -> dict[str, Any]:
    """Index and chunks of the page."""
    from hammerlib.models.nano.solutions import strategy_of

    texts = list({completion.text: None for rows in read.groups for completion in rows})
    place = {text: row for row, text in enumerate(texts)}
    vectors, how = _vectors(texts, backbone)
    labelled = {text: strategy_of(text) or "" for text in texts}  # where a completion names one of nano's
    index: list[list[Any]] = []
    chunks: list[list[dict[str, Any]]] = []
    counts: Counter[int | None] = Counter()
    for number, rows in enumerate(read.groups):
        step = rows[0].step
        counts[step] += 1
        key = f"{counts[step]}" if step is None else f"{step}.{counts[step]}"
        if number % CHUNK == 0:
            chunks.append([])
        chunks[-1].append(_group(rows, vectors, [place[row.text] for row in rows], labelled, number))
        rewards = [row.reward for row in rows if row.reward is not None]
        mean = sum(rewards) / len(rewards) if rewards else None
        # the end of the prompt, where the question stands
        name = rows[0].problem or " ".join(rows[0].prompt[-400:].split())[-60:] or "?"
        states = "".join({None: "-", True: "1", False: "0"}[_is_right(row)] for row in rows)
        index.append([key, step, name, states, _short(mean)])
    remarks = [*read.remarks, how]
    if any(row.right is None and row.reward is not None for rows in read.groups for row in rows):
        remarks.insert(-1, "right: a reward above 0, where the file has no verdict")
    about = {
        "kinds": read.kinds,
        "damaged": read.damaged,
        "remarks": remarks,
        "chunk": CHUNK,
        "chunks": len(chunks),
        "strategies": any(labelled.values()),
        "groups": index,
    }
    return {"index": about} | {f"chunk-{number}": chunk for number, chunk in enumerate(chunks)}


def _is_right(row: Completion) -> bool | None:
    if row.right is not None:
        return bool(row.right)
    return None if row.reward is None else row.reward > 0


def _short(value: float | None) -> float | None:
    """Five significant digits."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")


def _group(
    rows: list[Completion],
    vectors: sparse.csr_array | np.ndarray,
    places: list[int],
    labelled: dict[str, str],
    number: int,
) -> dict[str, Any]:
    """What the page shows of one group."""
    cosines = _cosines(vectors, places)
    told: dict[str, Any] = {
        "prompt": rows[0].prompt,
        "gold": rows[0].gold,
        "texts": [row.text for row in rows],
        "notes": [dict(row.notes) for row in rows],
        "reward": [_short(row.reward) for row in rows],
        "file": [[_short(value) for value in (row.weight, row.paid, row.advantage)] for row in rows],
        "strategy": [labelled[row.text] for row in rows],
        "cluster": _clusters(cosines),
        "cosines": np.rint(100 * cosines[:PAIRED, :PAIRED]).astype(int).tolist(),
    }
    rewards = np.array([np.nan if row.reward is None else row.reward for row in rows])
    if not np.isnan(rewards).all():
        told["arms"] = _arms(rewards, cosines, number)
    return told


def _arms(rewards: np.ndarray, cosines: np.ndarray, number: int) -> dict[str, list[float | None]]:
    """Weights and advantages as they are, under DRA and under its placebo; G numbers each."""
    values, axes = np.linalg.eigh(cosines)
    units = axes * np.sqrt(np.maximum(values, 0.0))  # rows whose products are the cosines
    one_group = np.zeros(len(rewards), dtype=int)
    weights = diversity_weights(units)
    # A seed of the group: the page is the same whenever it is made.
    placebo = permuted_weights(weights, rewards, np.random.default_rng(number))
    arms = {
        "plain": group_advantages(rewards, one_group),
        "weight": weights,
        "dra": group_advantages(adjust_rewards(rewards, units), one_group),
        "dealt": placebo,
        "placebo": group_advantages(rewards * placebo, one_group),
    }
    return {name: [_short(value) for value in column.tolist()] for name, column in arms.items()}


# Similarity


def _vectors(texts: list[str], backbone: Backbone | str | None) -> tuple[sparse.csr_array | np.ndarray, str]:
    """A unit vector for each text, and how it was made."""
    if backbone is None:
        return _word_vectors(texts), "similarity: cosine of the completions' words (TF-IDF), no model"
    from hammerlib.models import load_backbone
    from hammerlib.models.embedder import CompletionEmbedder

    model = load_backbone(backbone) if isinstance(backbone, str) else backbone
    vectors = CompletionEmbedder(model)(texts).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, f"similarity: cosine of hidden states of {model.name}, mean over the completion"


def _word_vectors(texts: list[str]) -> sparse.csr_array:
    """Smoothed TF-IDF in rows of length one; texts without a word are alike."""
    from scipy import sparse

    vocabulary: dict[str, int] = {"": 0}  # what a text without a word has
    starts = [0]
    columns: list[int] = []
    counts: list[int] = []
    for text in texts:
        terms = Counter(TERM.findall(text.lower())) or {"": 1}
        columns += [vocabulary.setdefault(term, len(vocabulary)) for term in terms]
        counts += terms.values()
        starts.append(len(columns))
    table = sparse.csr_array((np.array(counts, float), columns, starts), shape=(len(texts), len(vocabulary)))
    seen = np.bincount(table.indices, minlength=len(vocabulary))
    # tf * (ln((1 + texts) / (1 + texts with the word)) + 1), as scikit-learn weighs by default.
    table.data *= (np.log((1 + len(texts)) / (1 + seen)) + 1)[table.indices]
    lengths = np.sqrt(np.add.reduceat(table.data**2, table.indptr[:-1]))
    table.data /= np.repeat(lengths, np.diff(table.indptr))
    return table


def _cosines(vectors: sparse.csr_array | np.ndarray, places: list[int]) -> np.ndarray:
    chosen = vectors[places]
    product = chosen @ chosen.T
    return product if isinstance(product, np.ndarray) else product.toarray()


def _clusters(cosines: np.ndarray) -> list[int]:
    """Clusters by average linkage, cut where the next merge is the largest step up; all alike: one."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(cosines) < 2:
        return [0] * len(cosines)
    # Rounding leaves a product of rows a hair from symmetric, and cosines above 1.
    distances = np.maximum(1.0 - (cosines + cosines.T) / 2, 0.0)
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(distances, checks=False), "average")
    heights = np.concatenate([[0.0], tree[:, 2]])
    if heights[-1] < ALIKE:
        return [0] * len(cosines)
    steps = np.diff(heights)
    # Without copies the first merge, from nothing, is no such step: it would leave each completion alone.
    if len(steps) > 1 and heights[1] > ALIKE:
        steps[0] = 0.0
    cut = heights[steps.argmax()] + steps.max() / 2
    names = fcluster(tree, cut, "distance").tolist()
    order = {name: rank for rank, (name, _) in enumerate(Counter(names).most_common())}
    return [order[name] for name in names]
