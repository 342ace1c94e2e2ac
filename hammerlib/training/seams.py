"""The four places where a system of its own plugs into the one trainer, and what it sees there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from hammerlib.storage import content_hash

if TYPE_CHECKING:
    import numpy as np
    import torch

    from hammerlib.grading import Verdict


@dataclass
class Rollout:
    """One generation batch on this process: n = prompts x G completions, G in a row per prompt.

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
        G.
    advantages : (n,) or (n, T) tensor
        As TRL computed them from `rewards`; for `observe`, as trained.

    Examples
    --------
    >>> import numpy as np
    >>> Rollout(0, [{"id": "a"}], ["4"], [[7]], [None], np.ones(1), np.ones(1), np.ones((1, 2)), 1).step
    0
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


@dataclass(frozen=True)
class Plugs:
    """Callables for the trainer's four seams; None leaves TRL's behaviour.

    Parameters
    ----------
    rollout : callable (prompts, trainer) -> dict
        Replaces generation: ``prompt_ids``, ``completion_ids``, ``logprobs`` (None allowed), one list per
        prompt row; TRL's public ``rollout_func``.
    advantage : callable (Rollout) -> tensor (n,) or (n, T)
        Replaces the advantages, per completion or per completion token (padded to the longest, T).
    loss : callable (trainer, model, inputs, default) -> scalar tensor
        Replaces or adds to the loss; ``default()`` is TRL's loss of this micro-batch.
    observe : callable (Rollout) -> dict of float
        Called after each generation batch; what it returns goes to ``metrics.csv`` and the trackers.

    Notes
    -----
    Source: ours; the seams are TRL 1.16's ``rollout_func``, ``_generate_and_score_completions`` and
    ``_compute_loss`` (the last two by override, see `hammerlib.training.trainer`).

    Examples
    --------
    >>> plugs = Plugs(observe=lambda rollout: {"longest": max(map(len, rollout.completion_ids))})
    >>> plugs.names()["loss"] is None
    True
    """

    rollout: Callable[..., dict] | None = None
    advantage: Callable[[Rollout], torch.Tensor] | None = None
    loss: Callable[..., torch.Tensor] | None = None
    observe: Callable[[Rollout], dict[str, float]] | None = None

    def names(self) -> dict[str, str | None]:
        """Return what stands in each seam, for the run's name and manifest.

        A callable is named by module, name and bytecode, so that changing its code changes the run.
        """
        return {one.name: name_of(getattr(self, one.name)) for one in fields(self)}


def name_of(plug: Callable | None) -> str | None:
    """Return module, name and a hash of the bytecode of a callable, None for None.

    Examples
    --------
    >>> name_of(len)
    'builtins.len'
    """
    if plug is None:
        return None
    code = getattr(plug, "__code__", None)
    named = f"{getattr(plug, '__module__', '')}.{getattr(plug, '__qualname__', type(plug).__name__)}"
    return named if code is None else f"{named}#{content_hash(code.co_code.hex(), str(code.co_consts))[:8]}"
