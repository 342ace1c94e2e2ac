"""Figures of the semantic space: how alike problems are, and where they lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from datasets import Dataset
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from hammerlib.errors import InputError, need, printable
from hammerlib.plots.style import CYCLE, MUTED, axes_or_new, caption
from hammerlib.runs.storage import atomic_path

OTHERS = "other topics"
TOPICS = 9  # that a reader tells apart
PAIRS = 20_000


def sampled_cosines(vectors: np.ndarray, *, seed: int = 0, centred: bool = False) -> np.ndarray:
    """Return cosines of random pairs of distinct rows, in [-1, 1], shape (`PAIRS`,)."""
    rng = np.random.default_rng(seed)
    rows = vectors - vectors.mean(0) if centred else vectors
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    first = rng.integers(len(rows), size=PAIRS)
    # A step of 1 to n - 1 around the ring never meets the row itself.
    second = (first + rng.integers(1, len(rows), size=PAIRS)) % len(rows)
    return np.einsum("ij,ij->i", rows[first], rows[second])


def similarity_histogram(
    vectors: np.ndarray, *, name: str = "", seed: int = 0, ax: Axes | None = None
) -> Axes:
    """Draw the cosine similarities of random pairs, raw and with the common mean removed.

    Parameters
    ----------
    vectors : float array, shape (n_items, dim)
    name : str
        Backbone, for the title.

    Examples
    --------
    >>> ax = similarity_histogram(np.random.default_rng(0).normal(size=(50, 8)), name="noise")
    >>> ax.get_xlabel()
    'cosine similarity of two problems'
    """
    ax = axes_or_new(ax)
    spans = []
    for label, centred, shade in (("raw", False, "#D55E00"), ("mean removed", True, "#0072B2")):
        cosines = sampled_cosines(vectors, seed=seed, centred=centred)
        low, high = np.quantile(cosines, [0.025, 0.975])
        spans.append(f"{label} {low:z.2f} to {high:z.2f}")
        label = f"{label}, mean {cosines.mean():z.2f}"
        ax.hist(cosines, bins=80, range=(-1, 1), density=True, alpha=0.55, color=shade, label=label)
        ax.axvline(cosines.mean(), color=shade, linewidth=1)
    ax.set(xlabel="cosine similarity of two problems", ylabel="density", xlim=(-1, 1))
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.3), ncols=2)  # below the note
    note = f"n = {len(vectors)} problems, 20,000 random pairs, of which the title spans 95 %; lines: means"
    caption(ax, f"{name}: {', '.join(spans)}", note)
    return ax


def project(vectors: np.ndarray, *, seed: int = 0, neighbours: int = 15) -> np.ndarray:
    """Return UMAP coordinates of the rows under the cosine metric, shape (n_items, 2), repeatable by seed.

    Coordinates carry no unit; claims belong to the full space.

    Parameters
    ----------
    vectors : float array, shape (n_items, dim)
        At least 4 rows.
    neighbours : int
        UMAP's ``n_neighbors``; fewer where there are fewer rows.

    Examples
    --------
    >>> project(np.random.default_rng(0).normal(size=(40, 5))).shape
    (40, 2)
    """
    import warnings

    if len(vectors) < 4:
        raise InputError("vectors", len(vectors), "are too few rows for a map", "project at least 4")
    need("umap")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "n_jobs overridden to 1 by setting random_state": wanted
        from umap import UMAP

        neighbours = min(neighbours, len(vectors) - 1)
        return UMAP(n_neighbors=neighbours, metric="cosine", random_state=seed, n_jobs=1).fit_transform(
            vectors
        )


def trustworthiness(vectors: np.ndarray, coordinates: np.ndarray, *, neighbours: int = 10) -> float:
    """Return how far near neighbours on the map are near in the full space too (cosine), in [0, 1].

    Source: Venna and Kaski (2001), by scikit-learn.

    Parameters
    ----------
    vectors : float array, shape (n_items, dim)
    coordinates : float array, shape (n_items, 2)
    neighbours : int
        Fewer than half of the rows.

    Examples
    --------
    >>> points = np.random.default_rng(0).normal(size=(60, 2))
    >>> round(trustworthiness(np.c_[points, np.ones(60)], points), 1) > 0.5
    True
    """
    if len(vectors) < 2 * neighbours + 1:
        remedy = f"take {2 * neighbours + 1} problems or more, or fewer neighbours"
        raise InputError("vectors", len(vectors), f"are too few rows for {neighbours} neighbours", remedy)
    need("sklearn")
    from sklearn.manifold import trustworthiness as measure

    return float(measure(vectors, coordinates, n_neighbors=neighbours, metric="cosine"))


def semantic_map(
    coordinates: np.ndarray,
    topics: list[str],
    *,
    path: np.ndarray | None = None,
    title: str = "",
    note: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the problems on the plane, coloured by topic, with the path through them coloured by position.

    Parameters
    ----------
    coordinates : float array, shape (n_items, 2)
    topics : list of str, length n_items
    path : int array, shape (m,), optional
        Row indices in the order of training; drawn from dark (first) to light (last).
    note : str
        Data, seed and trustworthiness, for the line below.

    Examples
    --------
    >>> ax = semantic_map(np.eye(2), ["a", "b"], path=np.array([1, 0])); len(ax.collections)
    3
    """
    ax = axes_or_new(ax)
    labels = np.array(grouped(topics))
    names = sorted(set(labels), key=lambda name: (name.endswith(OTHERS), name))
    for name, shade, marker in zip(names, (*CYCLE, MUTED), "os^Dvos^Dvo", strict=False):
        shade = MUTED if name.endswith(OTHERS) else shade
        points = coordinates[labels == name]
        ax.scatter(*points.T, s=9, color=shade, marker=marker, label=printable(name), linewidths=0, zorder=2)
    if path is not None:
        steps = np.stack([coordinates[path[:-1]], coordinates[path[1:]]], axis=1)
        lines = LineCollection(list(steps), cmap="viridis", linewidths=0.5, alpha=0.45, zorder=1)
        lines.set_array(np.linspace(0, 1, len(steps)))
        ax.add_collection(lines)
        if not ax.figure.legends:  # one scale for all maps of the figure
            bar = ax.figure.colorbar(lines, ax=list(ax.figure.axes), fraction=0.02, pad=0.01)
            bar.set_label("position on the path (0 first, 1 last)")
    # Coordinates have no unit, so the map may fill its panel: no blank halves.
    ax.set(xticks=[], yticks=[], xlabel="UMAP 1 (no unit)", ylabel="UMAP 2 (no unit)")
    ax.grid(False)
    if not ax.figure.legends:  # and one legend
        ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside lower left", ncols=5, markerscale=2)
    return caption(ax, title, note)


def grouped(topics: Sequence[str]) -> list[str]:
    """Return the topics with the rarer ones as one, where there are more than a reader tells apart."""
    counts = Counter(topics)
    if len(counts) <= TOPICS + 1:
        return list(topics)
    kept = {name for name, _ in counts.most_common(TOPICS)}
    rest = f"{len(counts) - TOPICS} {OTHERS}"
    return [name if name in kept else rest for name in topics]


def hover_map(
    coordinates: np.ndarray, problems: Dataset, file: str | Path, *, path: np.ndarray | None = None
) -> Path:
    """Write the map as one HTML page that works without a network: hover shows prompt, answer and position.

    Parameters
    ----------
    coordinates : float array, shape (n_items, 2)
    problems : Dataset of n_items rows
        Columns prompt, answer, topic.
    file : path
        Written whole or not at all.

    Examples
    --------
    >>> import tempfile
    >>> table = Dataset.from_dict({"prompt": ["1+1?"], "answer": ["2"], "topic": ["sum"]})
    >>> hover_map(np.zeros((1, 2)), table, Path(tempfile.mkdtemp()) / "map.html").name
    'map.html'
    """
    import pandas as pd

    need("plotly")
    import plotly.express as px

    frame = pd.DataFrame(coordinates, columns=["x", "y"])
    frame["topic"] = problems["topic"]
    frame["position"] = -1
    frame["prompt"] = [text if len(text) < 300 else text[:300] + " ..." for text in problems["prompt"]]
    frame["answer"] = problems["answer"]
    if path is not None:
        frame.loc[path, "position"] = np.arange(len(path))
    hover = {"x": False, "y": False, "prompt": True, "answer": True, "position": True}
    figure = px.scatter(frame, x="x", y="y", color="topic", hover_data=hover, template="simple_white")
    if path is not None:
        steps = {"width": 0.4, "color": "rgba(60,60,60,0.5)"}
        x, y = coordinates[path].T
        figure.add_scatter(x=x, y=y, mode="lines", line=steps, name="path", hoverinfo="skip")
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    with atomic_path(file) as part:
        figure.write_html(part, include_plotlyjs=True)
    return Path(file)
