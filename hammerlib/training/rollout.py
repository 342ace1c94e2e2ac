"""What the hooks of an algorithm are handed and hand back: a generation, and the rollout that was graded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from hammerlib.advantages import EXCLUDED, rows_by_size
from hammerlib.errors import InputError

if TYPE_CHECKING:
    import torch

    from hammerlib.grading import Verdict
    from hammerlib.training.trainer import PolicyTrainer


# Metrics of a run's tokens, all processes, since its start; of a `Generation` in `Generation.tokens`.
ACCOUNT = ("sampled_tokens", "forced_tokens", "prompt_tokens")


@dataclass
class Generation:
    """What a rollout hands to the trainer: m completions, each with its problem row and its group.

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
        -1 (`EXCLUDED`): recorded, not trained. None: G rows in a row are a group, as TRL has them.
    rewards : (m,) float array, optional
        Rewards that the rollout knows by itself, because they depend on other completions; NaN or None where
        the reward functions decide. One takes the place of the weighted sum of the reward functions, before
        DRA, advantages, telemetry and files.
    forced : list of m ints, optional
        Tokens at the start of each completion that were forced, not sampled; default none.
    tasks : list of m short texts, optional
        What each completion was asked to do, where a rollout sets several tasks; default "", the problem
        itself.

    Raises
    ------
    InputError
        Lists of different lengths, an empty prompt or completion, rows with different columns, an infinite
        reward, more forced tokens than a completion has.

    Notes
    -----
    Source: ours, over TRL 1.16's ``rollout_func``, which cannot change rows or group sizes.

    Examples
    --------
    >>> import numpy as np
    >>> from hammerlib.training.rollout import EXCLUDED
    >>> rows = [{"id": "a", "prompt": "2+2"}] * 3
    >>> one = Generation(rows, [[5]] * 3, [[7], [8], [9]], groups=np.array([0, EXCLUDED, 0]))
    >>> kept, excluded = one.split(2)
    >>> kept.completion_ids, excluded.completion_ids
    ([[7], [9]], [[8]])
    """

    rows: list[dict[str, Any]]
    prompt_ids: list[list[int]]
    completion_ids: list[list[int]]
    logprobs: list[list[float | None]] | None = None
    mask: list[list[int]] | None = None
    groups: np.ndarray | None = None
    rewards: np.ndarray | None = None
    forced: list[int] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.groups is not None:
            self.groups = np.asarray(self.groups)
        if self.rewards is not None:
            self.rewards = np.asarray(self.rewards, dtype=float)  # None becomes NaN
        self.forced = list(self.forced) or [0] * len(self.rows)
        self.tasks = list(self.tasks) or [""] * len(self.rows)
        lengths = {name: len(value) for name, value in self._columns().items()}
        if len(set(lengths.values())) > 1:
            raise _refusal(lengths, "must be of one length", "return one entry per completion")
        if not (all(map(len, self.prompt_ids)) and all(map(len, self.completion_ids))):
            raise _refusal([], "is an empty prompt or completion", "return at least one token for each")
        for name in ("logprobs", "mask"):
            lists = getattr(self, name)
            if lists is not None and [*map(len, lists)] != [*map(len, self.completion_ids)]:
                raise _refusal(name, "does not fit completion_ids", "return one value per completion token")
        if self.rewards is not None and np.isinf(self.rewards).any():
            raise _refusal("rewards", "are infinite", "give finite numbers, NaN for the reward functions'")
        pairs = zip(self.forced, self.completion_ids, strict=True)
        if any(not 0 <= forced <= len(ids) for forced, ids in pairs):
            remedy = "give the number of tokens that a completion begins with and that were not sampled"
            raise _refusal("forced", "are more or fewer tokens than a completion has", remedy)
        if any(row.keys() != self.rows[0].keys() for row in self.rows):
            raise _refusal(
                "rows", "have different columns", "give every row the columns of the problem table"
            )

    def _columns(self) -> dict[str, Sequence]:
        columns = {column.name: getattr(self, column.name) for column in fields(self)}
        return {name: values for name, values in columns.items() if values is not None}

    def take(self, places: Sequence[int]) -> Generation:
        """Return the completions at `places`, in that order."""
        columns = self._columns()
        return Generation(**{name: [column[int(k)] for k in places] for name, column in columns.items()})

    @classmethod
    def join(cls, generations: Sequence[Generation]) -> Generation:
        """Return all parts as one.

        Without a mask all tokens are trained, without rewards the reward functions decide; groups keep their
        names.
        """
        joined: dict[str, list | None] = {}
        masked = any(generation.mask for generation in generations)
        rewarded = any(generation.rewards is not None for generation in generations)
        for name in (column.name for column in fields(cls)):
            columns = [getattr(generation, name) for generation in generations]
            if name == "mask" and masked:
                columns = [generation.mask or generation._all_ones() for generation in generations]
            if name == "rewards" and rewarded:
                columns = [generation.own_rewards() for generation in generations]
            complete = all(column is not None for column in columns)
            joined[name] = [row for column in columns for row in column] if complete else None
        return cls(**joined)

    def _all_ones(self) -> list[list[int]]:
        return [[1] * len(ids) for ids in self.completion_ids]

    def own_rewards(self) -> np.ndarray:
        """Return the rewards that the rollout gave, (m,), NaN where the reward functions decide."""
        return np.full(len(self.rows), np.nan) if self.rewards is None else self.rewards

    def tokens(self) -> dict[str, int]:
        """Return how many tokens were sampled, how many forced, and how many prompts held."""
        forced = sum(self.forced)
        sampled = sum(map(len, self.completion_ids)) - forced
        prompts = sum(map(len, self.prompt_ids))
        return {"sampled_tokens": sampled, "forced_tokens": forced, "prompt_tokens": prompts}

    def trained(self) -> int:
        """Return how many completions are to be trained."""
        return len(self.rows) if self.groups is None else int((self.groups != EXCLUDED).sum())

    def split(self, total: int) -> tuple[Generation, Generation | None]:
        """Return the `total` completions that enter the batch, and those left over (None if there are none).

        The trained ones come first, in their order. Missing ones are filled up with untrained ones, or with
        copies of the shortest completion; all their tokens are masked.
        """
        if not self.rows:
            raise _refusal([], "holds no completion", "return at least one for each process")
        trained = np.arange(len(self.rows))
        if self.groups is not None:
            trained = np.flatnonzero(self.groups != EXCLUDED)
        elif len(trained) == total:
            return self, None
        if self.groups is None or len(trained) > total:
            remedy = f"give {total} rows groups from 0 and all others the group {EXCLUDED}, or let most_rows "
            remedy += "of the algorithm state more for a prompt"
            raise _refusal(len(self.rows), f"completions to train do not fit a batch of {total}", remedy)
        others = np.flatnonzero(self.groups == EXCLUDED)
        # the copies cost a pass over their tokens and nothing else: the shortest is the cheapest
        shortest = int(np.argmin([*map(len, self.completion_ids)]))
        missing = total - len(trained)
        # TRL splits a batch by position: what is trained comes first
        batch = self.take([*trained, *others[:missing], *[shortest] * (missing - len(others))])
        if missing:
            # TRL wants whole batches. A row whose tokens are all masked trains nothing. In the mean over rows
            # of the losses grpo and dr_grpo it counts among those that were planned.
            batch.groups[len(trained) :] = EXCLUDED
            mask = batch.mask or batch._all_ones()
            blank = [[0] * len(ids) for ids in batch.completion_ids[len(trained) :]]
            batch.mask = mask[: len(trained)] + blank
        if len(others) <= missing:
            return batch, None
        return batch, self.take(others[missing:])

    def for_trl(self) -> dict[str, list | None]:
        """Return what TRL's public ``rollout_func`` must return."""
        output = {"prompt_ids": self.prompt_ids, "completion_ids": self.completion_ids}
        output["logprobs"] = self.logprobs
        if self.mask:
            output["env_mask"] = self.mask  # TRL's name: tokens that an environment, not the policy, wrote
        return output


@dataclass
class Rollout:
    """One generation batch on this process: n completions that were graded, with their groups.

    Where groups straddle processes, hooks and telemetry see the batch of all processes instead.

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
    forced : list of int, length n
        Tokens at the start of each completion that were not sampled.
    tasks : list of str, length n
        What each completion was asked to do; "" is the problem itself.
    prompt_ids : list of token id lists, length n
    excluded : Rollout or None
        Completions generated and graded but left out of the batch; without rewards (NaN) and vectors.
    trainer : PolicyTrainer
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
    excluded: Rollout | None = None
    trainer: PolicyTrainer | None = field(default=None, repr=False)
    forced: list[int] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.groups is None:
            self.groups = np.arange(len(self.rows)) // self.group_size
        self.forced = list(self.forced) or [0] * len(self.rows)
        self.tasks = list(self.tasks) or [""] * len(self.rows)

    def by_size(self) -> list[np.ndarray]:
        """Return the rows of the trained groups: one (B, G) int array for each group size G."""
        return rows_by_size(self.groups)

    def left_out(self) -> list[tuple[int | None, str, str]]:
        """Return epoch (None: the step's), id and reason of the problems that are not trained at all."""
        verdicts: dict[tuple[int | None, str], list[Verdict | None]] = {}
        trained = set()
        for batch in (self, self.excluded) if self.excluded else (self,):
            for row, verdict, group in zip(batch.rows, batch.verdicts, batch.groups, strict=True):
                problem = row.get("epoch"), row["id"]
                verdicts.setdefault(problem, []).append(verdict)
                if group != EXCLUDED:
                    trained.add(problem)
        left = {problem: judged for problem, judged in verdicts.items() if problem not in trained}
        return [(*problem, reason_to_skip(judged) or LEFT_OUT) for problem, judged in left.items()]


LEFT_OUT = "left out by the rollout"  # why a problem of right and wrong answers is not trained


def reason_to_skip(verdicts: Sequence[Verdict | None]) -> str | None:
    """Return why a group teaches nothing, or None if it holds right and wrong answers.

    Source: arXiv 2503.14476 (DAPO) eq. 11: 0 < |{o_i : is_equivalent(a, o_i)}| < G.
    """
    outcomes = {verdict.correct for verdict in verdicts if verdict is not None}
    if len(outcomes) == 2:
        return None
    if not outcomes:
        return "not scorable"
    return "all correct" if outcomes == {True} else "none correct"


def _refusal(value: object, problem: str, remedy: str) -> InputError:
    return InputError("rollout", value, problem, remedy)
