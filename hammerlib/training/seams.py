"""The four places where a system of its own plugs into the one trainer, and what it sees there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from hammerlib.errors import InputError
from hammerlib.training.names import name_of

if TYPE_CHECKING:
    import torch

    from hammerlib.grading import Verdict
    from hammerlib.training.trainer import SeamTrainer

# The group of a completion that is recorded but not trained.
UNTRAINED = -1


@dataclass
class Generation:
    """What a rollout seam hands to the trainer: m completions, each with its problem row and its group.

    Parameters
    ----------
    rows : list of dict, length m
        The problem row of every completion; its columns reach the reward functions, so that a rollout may
        hand over other problems, or other answers, than it was given. All with the same columns.
    prompt_ids, completion_ids : lists of m non-empty token id lists
    logprobs : lists of float or None as long as the completions, optional
        Of the sampled tokens, where the engine reports them (vLLM); None for a token that was not sampled.
    mask : lists of 0 and 1 as long as the completions, optional
        1 = token is trained, 0 = only context, such as a forced prefix. None: all are trained.
    groups : (m,) int array, optional
        Completions of one group are compared with each other, whatever its size; a group lies on one process.
        -1 (`UNTRAINED`): recorded, not trained. None: G rows in a row are a group, as TRL has them.

    Raises
    ------
    InputError
        Lists of different lengths, an empty prompt or completion, rows with different columns.

    Notes
    -----
    Source: ours, over TRL 1.16's ``rollout_func``, which cannot change rows or group sizes.

    Examples
    --------
    >>> import numpy as np
    >>> from hammerlib.training.seams import UNTRAINED
    >>> rows = [{"id": "a", "prompt": "2+2"}] * 3
    >>> one = Generation(rows, [[5]] * 3, [[7], [8], [9]], groups=np.array([0, UNTRAINED, 0]))
    >>> kept, spare = one.split(2)
    >>> kept.completion_ids, spare.completion_ids
    ([[7], [9]], [[8]])
    """

    rows: list[dict[str, Any]]
    prompt_ids: list[list[int]]
    completion_ids: list[list[int]]
    logprobs: list[list[float | None]] | None = None
    mask: list[list[int]] | None = None
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.groups = None if self.groups is None else np.asarray(self.groups)
        lengths = {name: len(value) for name, value in self._given().items()}
        if len(set(lengths.values())) > 1 or not self.rows:
            raise _refusal(lengths, "must be of one length above 0", "return one entry per completion")
        if not (all(map(len, self.prompt_ids)) and all(map(len, self.completion_ids))):
            raise _refusal([], "is an empty prompt or completion", "return at least one token for each")
        for name in ("logprobs", "mask"):
            given = getattr(self, name)
            if given is not None and [*map(len, given)] != [*map(len, self.completion_ids)]:
                raise _refusal(name, "does not fit completion_ids", "return one value per completion token")
        if any(row.keys() != self.rows[0].keys() for row in self.rows):
            raise _refusal(
                "rows", "have different columns", "give every row the columns of the problem table"
            )

    def _given(self) -> dict[str, Sequence]:
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name)) is not None}

    def take(self, places: Sequence[int]) -> Generation:
        """Return the completions at `places`, in that order."""
        return Generation(**{name: [value[int(k)] for k in places] for name, value in self._given().items()})

    @classmethod
    def join(cls, parts: Sequence[Generation]) -> Generation:
        """Return all parts as one: without a mask all tokens are trained, groups keep their names."""
        masked = any(part.mask for part in parts)
        found = {}
        for name in (one.name for one in fields(cls)):
            given = [getattr(part, name) for part in parts]
            if name == "mask" and masked:
                given = [part.mask or [[1] * len(ids) for ids in part.completion_ids] for part in parts]
            found[name] = None if any(one is None for one in given) else [row for one in given for row in one]
        return cls(**found)

    def split(self, total: int) -> tuple[Generation, Generation | None]:
        """Return the `total` completions that enter the batch, and those left over (None if there are none).

        The trained ones come first, in their order. Missing ones are filled up with untrained ones, or with
        copies of the shortest completion; all their tokens are masked.

        Raises
        ------
        InputError
            More than `total` completions are to be trained, or another number without `groups`.
        """
        m = len(self.rows)
        if self.groups is None and m == total:
            return self, None
        trained = np.flatnonzero(np.arange(m) if self.groups is None else self.groups != UNTRAINED)
        if self.groups is None or len(trained) > total:
            remedy = f"give {total} rows groups from 0 and all others the group {UNTRAINED}"
            raise _refusal(m, f"completions to train do not fit a batch of {total}", remedy)
        others = np.flatnonzero(self.groups == UNTRAINED)
        shortest = int(np.argmin([*map(len, self.completion_ids)]))
        missing = total - len(trained)
        kept = self.take([*trained, *others[:missing], *[shortest] * (missing - len(others))])
        if missing:
            kept.groups[len(trained) :] = UNTRAINED
            mask = kept.mask or [[1] * len(ids) for ids in kept.completion_ids]
            blank = [[0] * len(ids) for ids in kept.completion_ids[len(trained) :]]
            kept.mask = mask[: len(trained)] + blank
        return kept, self.take(others[missing:]) if len(others) > missing else None

    def for_trl(self) -> dict[str, list | None]:
        """Return what TRL's public ``rollout_func`` must return."""
        found = {"prompt_ids": self.prompt_ids, "completion_ids": self.completion_ids}
        return found | {"logprobs": self.logprobs} | ({"env_mask": self.mask} if self.mask else {})


@dataclass
class Rollout:
    """One generation batch on this process: n completions that were graded, with their groups.

    Where groups straddle processes, plugs and telemetry see the batch of all processes instead.

    Attributes
    ----------
    step : int
        Optimizer steps done so far.
    rows : list of dict, length n
        The problem row of every completion.
    completions : list of str, length n
        Decoded text without special tokens.
    completion_ids : list of token id lists, length n
    verdicts : list of Verdict or None, length n
        None where nothing can be said.
    reasons : list of str, length n
        Of every verdict, also of graders that timed out or failed; "" without a gold answer.
    raw, rewards : (n,) float64 arrays
        Weighted sum of the rewards before and after adjustment; NaN where no reward applies.
    vectors : (n, d) float32 array
        Completion embeddings of the frozen initial backbone.
    group_size : int
        G of the configuration.
    advantages : (n,) or (n, T) tensor
        Group-relative, from `rewards`; for `observe`, as trained.
    groups : (n,) int array
        Group of every completion, -1 where it is not trained; default G rows in a row.
    mask : list of 0/1 lists or None
        Tokens that are trained (None: all).
    prompt_ids : list of token id lists, length n
    spare : Rollout or None
        Completions generated and graded but left out of the batch; without rewards (NaN) and vectors.
    trainer : SeamTrainer
        With ``trainer.model``, the policy as it generated.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones(3)
    >>> said = Rollout(0, [{"id": "a"}] * 3, ["4"] * 3, [[7]] * 3, [None] * 3, one, one, np.ones((3, 2)), 3)
    >>> said.groups.tolist(), [rows.shape for rows in said.by_size()]
    ([0, 0, 0], [(1, 3)])
    """

    step: int
    rows: list[dict[str, Any]]
    completions: list[str]
    completion_ids: list[list[int]]
    verdicts: list[Verdict | None]
    raw: np.ndarray
    rewards: np.ndarray
    vectors: np.ndarray
    group_size: int
    advantages: torch.Tensor | None = None
    reasons: list[str] = field(default_factory=list)
    groups: np.ndarray | None = None
    mask: list[list[int]] | None = None
    prompt_ids: list[list[int]] = field(default_factory=list)
    spare: Rollout | None = None
    trainer: SeamTrainer | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.groups is None:
            self.groups = np.arange(len(self.rows)) // self.group_size

    def by_size(self) -> list[np.ndarray]:
        """Return the rows of the trained groups: one (B, G) int array for each group size G."""
        names = np.unique(self.groups[self.groups != UNTRAINED])
        members = [np.flatnonzero(self.groups == name) for name in names]
        sizes = sorted({len(rows) for rows in members})
        return [np.stack([rows for rows in members if len(rows) == size]) for size in sizes]


@dataclass(frozen=True)
class Plugs:
    """Callables for the trainer's four seams; None leaves TRL's behaviour.

    Parameters
    ----------
    rollout : callable (rows, trainer) -> Generation
        Replaces generation. `rows` are the n problem rows of this process's generation batch, G in a row per
        problem; `hammerlib.training.rollouts.generate` samples from the policy, also from forced prefixes.
    advantage : callable (Rollout) -> tensor (n,) or (n, T)
        Replaces the advantages, per completion or per completion token; T at least the longest completion.
    loss : callable (trainer, model, inputs, default) -> scalar tensor
        Replaces or adds to the loss; ``default()`` is TRL's loss of this micro-batch, already divided by
        ``trainer.current_gradient_accumulation_steps``, as an added term must be.
    observe : callable (Rollout) -> dict of float
        Called after each generation batch; what it returns goes to ``metrics.csv`` and the trackers.

    Notes
    -----
    Source: ours; the seams are TRL 1.16's ``rollout_func``, ``_generate_and_score_completions`` and
    ``_compute_loss`` (the last two by override, see `hammerlib.training.trainer`). A plug with settings
    should be a dataclass: its fields then name the run.

    Examples
    --------
    >>> plugs = Plugs(observe=lambda rollout: {"longest": max(map(len, rollout.completion_ids))})
    >>> plugs.names()["loss"] is None
    True
    """

    rollout: Callable[[list[dict], SeamTrainer], Generation] | None = None
    advantage: Callable[[Rollout], torch.Tensor] | None = None
    loss: Callable[..., torch.Tensor] | None = None
    observe: Callable[[Rollout], dict[str, float]] | None = None

    def names(self) -> dict[str, str | None]:
        """Return what stands in each seam, for the run's name and manifest.

        A callable is named by module, name, bytecode and settings, so that changing these changes the run.
        """
        return {one.name: name_of(getattr(self, one.name)) for one in fields(self)}


def _refusal(value: object, problem: str, remedy: str) -> InputError:
    return InputError("plugs.rollout", value, problem, remedy)
