"""TTRL and ETTRL's advantage side in the trainer's seams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hammerlib.errors import InputError
from hammerlib.grading import final_answer, grade
from hammerlib.systems.ttrl.votes import clip_advantages, entropy_scale, majority_vote, vote_metrics
from hammerlib.training.generation import completion_entropies, generate
from hammerlib.training.hooks import UNTRAINED, Generation, Rollout

if TYPE_CHECKING:
    import torch

    from hammerlib.training.trainer import PolicyTrainer

KINDS = ("residual", "clip")
JUDGED_BY = ("answer", "scorer", "metadata")  # columns that may tell the truth


@dataclass(frozen=True)
class VoteThenSample:
    """Rollout plug: the majority of `votes` completions is the answer that the first G are rewarded for.

    The true ``answer``, ``scorer`` and ``metadata`` move to the column ``truth``, which no reward reads; in
    their place stand the majority's answer and None, so that `accuracy_reward` and every other reward of the
    configuration judges by the majority, under math equivalence. Without any readable answer the problem has
    no reward. Group statistics are those of the G that are trained.

    Parameters
    ----------
    votes : int
        Completions that vote, at least the configuration's group size; 64 with 32 trained in the paper.

    Raises
    ------
    InputError
        Fewer than one vote; when called: fewer votes than the group size, or groups that straddle processes.

    Notes
    -----
    Source: arXiv 2504.16084, Section 3 and its code (the first samples are trained, not a random choice).

    Examples
    --------
    >>> from hammerlib.training import Plugs
    >>> Plugs(rollout=VoteThenSample(16), observe=watch_votes).rollout.votes
    16
    """

    votes: int = 64

    def __post_init__(self) -> None:
        if self.votes < 1:
            raise InputError("votes", self.votes, "must be at least 1", "use 64")

    def __call__(self, rows: list[dict[str, Any]], trainer: PolicyTrainer) -> Generation:
        """Return `votes` completions for each problem, the first G of them in a group."""
        size = trainer.num_generations
        if self.votes < size:
            raise InputError("votes", self.votes, f"are fewer than the group size {size}", "vote with more")
        heads = rows[::size]
        if len(rows) % size or any(row["id"] != rows[k - k % size]["id"] for k, row in enumerate(rows)):
            remedy = "make prompts_per_step a multiple of processes and gradient_accumulation"
            raise InputError("plugs.rollout", len(rows), f"rows are not whole groups of {size}", remedy)
        said = generate(trainer, [row for row in heads for _ in range(self.votes)])
        texts = trainer.processing_class.batch_decode(said.completion_ids, skip_special_tokens=True)
        answers = [final_answer(text) for text in texts]
        said.rows = [
            labelled
            for place, row in enumerate(heads)
            for labelled in [relabelled(row, answers[place * self.votes : (place + 1) * self.votes])]
            * self.votes
        ]
        place = np.arange(len(said.rows))
        said.groups = np.where(place % self.votes < size, place // self.votes, UNTRAINED)
        return said


def relabelled(row: dict[str, Any], answers: Sequence[str | None]) -> dict[str, Any]:
    """Return a problem row whose answer is the majority's, with its truth set aside.

    Notes
    -----
    Source: ours; arXiv 2504.16084 trains on questions that have no answer.

    Examples
    --------
    >>> row = {"id": "a", "prompt": "2+2", "answer": "4", "scorer": "own"}
    >>> relabelled(row, ["5", "5", "4"])
    {'id': 'a', 'prompt': '2+2', 'answer': '5', 'scorer': None, 'truth': {'answer': '4', 'scorer': 'own'}}
    """
    truth = {name: row[name] for name in JUDGED_BY if name in row}
    blank = {name: None for name in truth}
    return {**row, **blank, "answer": majority_vote(answers).label, "truth": truth}


def watch_votes(rollout: Rollout) -> dict[str, float]:
    """Return the means over problems of `vote_metrics` as ``vote/...``; the only place that reads the truth.

    Parameters
    ----------
    rollout : Rollout
        Of a run with `VoteThenSample`.

    Returns
    -------
    dict of str to float
        Shares in [0, 1]; ``post_`` after down-selection.

    Raises
    ------
    InputError
        The rows were not labelled by `VoteThenSample`.

    Notes
    -----
    Source: ``ttt_metrics.py`` of arXiv 2504.16084's code.

    Examples
    --------
    >>> row = relabelled({"id": "a", "answer": "4"}, ["5", "5", "4"])
    >>> texts, nothing = [r"\\\\boxed{5}", r"\\\\boxed{5}", r"\\\\boxed{4}"], np.zeros(3)
    >>> said = Rollout(0, [row] * 3, texts, [[7]] * 3, [None] * 3, nothing, nothing, nothing, 3)
    >>> watch_votes(said)["vote/label_accuracy"]
    0.0
    """
    parts = [rollout, *([rollout.spare] if rollout.spare else [])]
    if any("truth" not in row for part in parts for row in part.rows):
        raise InputError("plugs.rollout", "rows", "have no truth set aside", "use it with VoteThenSample")
    texts: dict[str, list[str]] = {}
    kept: dict[str, int] = {}
    rows: dict[str, dict] = {}
    for part in parts:
        for row, text, group in zip(part.rows, part.completions, part.groups, strict=True):
            texts.setdefault(row["id"], []).append(text)
            kept[row["id"]] = kept.get(row["id"], 0) + int(group != UNTRAINED)
            rows[row["id"]] = row
    found = [_worth(rows[name], said, kept[name]) for name, said in texts.items() if kept[name]]
    return {f"vote/{name}": float(np.mean([one[name] for one in found])) for name in found[0]}


def _worth(row: dict[str, Any], texts: Sequence[str], kept: int) -> dict[str, float]:
    right = [grade(text, row["truth"]).correct for text in texts]
    label = row["answer"]
    label_right = label is not None and grade(f"\\boxed{{{label}}}", row["truth"]).correct
    return vote_metrics([final_answer(text) for text in texts], right, label_right=label_right, kept=kept)


@dataclass(frozen=True)
class EntropyReshape:
    """Advantage plug: ETTRL's reshaping of whatever advantages the configuration gives.

    Parameters
    ----------
    kind : str
        ``residual`` (Adv-Res, see `entropy_scale`) or ``clip`` (Adv-Clip, see `clip_advantages`); two
        alternatives of the paper.
    beta : float, optional
        Of ``clip``; default 2.
    clamp_min : float, optional
        Of ``residual``.

    Raises
    ------
    InputError
        Another kind, a `beta` that is not above 0; `beta` with ``residual``, or `clamp_min` with ``clip``,
        where it does nothing.

    Notes
    -----
    Source: arXiv 2508.11356. Entropies are those of the policy that generated, at the sampling temperature,
    over trained tokens.

    Examples
    --------
    >>> EntropyReshape("clip").beta
    2.0
    """

    kind: str = "residual"
    beta: float | None = None
    clamp_min: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError("kind", self.kind, "is unknown", f"use one of {', '.join(KINDS)}")
        if self.kind == "clip" and self.clamp_min is not None:
            raise InputError("clamp_min", self.clamp_min, "does nothing with clip", "use kind residual")
        if self.kind == "residual" and self.beta is not None:
            raise InputError("beta", self.beta, "does nothing with residual", "use kind clip")
        if self.kind == "clip" and self.beta is None:
            object.__setattr__(self, "beta", 2.0)
        if self.beta is not None and not self.beta > 0:
            raise InputError("beta", self.beta, "must be above 0", "use 2")

    def __call__(self, rollout: Rollout) -> torch.Tensor:
        """Return the reshaped advantages, in the shape they have."""
        given = rollout.advantages
        if self.kind == "clip":
            return given.new_tensor(clip_advantages(given.cpu().numpy(), self.beta))
        entropies = completion_entropies(rollout)
        scale = given.new_tensor(entropy_scale(entropies, rollout.groups, clamp_min=self.clamp_min))
        return given * (scale if given.dim() == 1 else scale[:, None])
