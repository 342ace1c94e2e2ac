"""Sampling from the policy inside a rollout: plainly, or on from forced prefixes; and scoring tokens."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from hammerlib.errors import InputError
from hammerlib.rewards import SCORABLE, verdicts
from hammerlib.training.hooks import Generation, Rollout

if TYPE_CHECKING:
    from trl import GRPOTrainer

    from hammerlib.grading import Verdict


def generate(
    trainer: GRPOTrainer,
    rows: Sequence[dict[str, Any]],
    *,
    prefixes: Sequence[Sequence[int]] | None = None,
    train_prefix: bool = False,
) -> Generation:
    """Sample one completion for each row with the trainer's own engine (transformers or vLLM).

    Parameters
    ----------
    trainer : GRPOTrainer
        Stock or `PolicyTrainer`; its temperature, lengths and random state are used.
    rows : sequence of dict, length m
        With a ``prompt``; repeat a row for several completions.
    prefixes : m token id lists, optional
        Tokens the completion must start with ([] for none). They count towards ``max_completion_length``; a
        prefix that is as long, or ends with an end-of-text token, is the whole completion.
    train_prefix : bool
        Train on the forced tokens as well (then each counts in the loss as if it had been sampled).

    Returns
    -------
    Generation
        Completions are prefix + continuation, never decoded in between; without `prefixes` no mask.

    Raises
    ------
    InputError
        A number of prefixes other than m, or a prefix longer than ``max_completion_length``.

    Notes
    -----
    Source: ours. What CURE, ETTRL and G2RPO-A share: continue from a token prefix and mask it from the loss.
    With a stock trainer: ``rollout_func=lambda prompts, trainer: generate(trainer, [...]).for_trl()``.
    vLLM is asked for one completion per row, so any mixture of rows is allowed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hammerlib.runs import RunRecord
    >>> from hammerlib.training import TrainConfig
    >>> from hammerlib.training.build import build_trainer
    >>> from hammerlib.training.run import prepare
    >>> job = prepare(TrainConfig(n_problems=8, order="random", max_completion_length=3))
    >>> trainer = build_trainer(job, RunRecord("demo", Path("demo"), {}))
    >>> said = generate(trainer, [{"prompt": "2+2"}], prefixes=[[7, 8]])
    >>> said.completion_ids[0][:2], said.mask
    ([7, 8], [[0, 0, 1]])
    """
    longest = trainer.max_completion_length
    starts = [[] for _ in rows] if prefixes is None else [list(one) for one in prefixes]
    if len(starts) != len(rows):
        raise InputError("prefixes", len(starts), f"are not {len(rows)}", "give one per row, [] for none")
    if max(map(len, starts)) > longest:
        problem, remedy = f"is longer than max_completion_length {longest}", "cut it before"
        raise InputError("prefixes", max(map(len, starts)), problem, remedy)
    prompts, images, fields = trainer._tokenize_prompts([row["prompt"] for row in rows])
    ended = [bool(one) and (len(one) == longest or one[-1] in trainer.eos_token_ids) for one in starts]
    todo = [place for place, done in enumerate(ended) if not done]
    said: list[list[int]] = [[] for _ in rows]
    logprobs: list[list[float | None]] | None = None
    if todo:
        room = longest - min(len(starts[place]) for place in todo)
        with _at_most(trainer, room):
            told = [prompts[place] + starts[place] for place in todo]
            new, new_logprobs = trainer._generate_single_turn(told, images, fields, 1)
        for place, ids in zip(todo, new, strict=True):
            said[place] = ids[: longest - len(starts[place])]
        if new_logprobs is not None:
            known = dict(zip(todo, new_logprobs, strict=True))
            logprobs = [[None] * len(start) + list(known.get(place, []))[: len(said[place])]
                        for place, start in enumerate(starts)]  # fmt: skip
    mask = [
        [int(train_prefix)] * len(start) + [1] * len(new) for start, new in zip(starts, said, strict=True)
    ]
    whole = [start + new for start, new in zip(starts, said, strict=True)]
    return Generation(list(rows), prompts, whole, logprobs, None if prefixes is None else mask)


@contextlib.contextmanager
def _at_most(trainer: GRPOTrainer, tokens: int) -> Iterator[None]:
    """Let the engine sample at most `tokens` more."""
    if trainer.use_vllm:
        holder, name = trainer.vllm_generation, "max_completion_length"
    else:
        holder, name = trainer.generation_config, "max_new_tokens"
    before = getattr(holder, name)
    setattr(holder, name, tokens)
    try:
        yield
    finally:
        setattr(holder, name, before)


def graded(
    texts: list[str], rows: list[dict[str, Any]], unfinished: bool = True
) -> tuple[list[Verdict | None], list[str]]:
    """Return verdicts where something can be said (else None), and the reason of every one.

    Examples
    --------
    >>> graded(["4"], [{"answer": "4"}])[1]
    ['correct']
    """
    columns = {name: [row.get(name) for row in rows] for name in ("answer", "scorer", "metadata")}
    prompts = [row.get("prompt") or "" for row in rows]
    found = verdicts(texts, **columns, prompts=prompts, failed=True, unfinished=unfinished)
    reasons = [one.reason if one else "" for one in found]
    return [one if one and one.reason in SCORABLE else None for one in found], reasons


def judge(trainer: GRPOTrainer, generation: Generation) -> tuple[list[str], list[Verdict | None], list[str]]:
    """Decode completions and grade them against their rows, before it is decided which are trained.

    Parameters
    ----------
    trainer : GRPOTrainer
        Its tokenizer decodes.
    generation : Generation
        Of m completions.

    Returns
    -------
    texts : m str
        Without special tokens.
    verdicts : m Verdict or None
        None where nothing can be said.
    reasons : m str

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from hammerlib.models import load_backbone
    >>> tokenizer = load_backbone("nano").tokenizer
    >>> said = tokenizer(["the answer is \\\\boxed{4}"])["input_ids"]
    >>> one = Generation([{"id": "a", "prompt": "2+2", "answer": "4"}], [[5]], said)
    >>> judge(SimpleNamespace(processing_class=tokenizer), one)[1][0].correct
    True
    """
    texts = trainer.processing_class.batch_decode(generation.completion_ids, skip_special_tokens=True)
    return texts, *graded(texts, generation.rows, getattr(trainer, "unfinished", True))


def score_tokens(
    model: torch.nn.Module,
    prompt_ids: Sequence[Sequence[int]],
    completion_ids: Sequence[Sequence[int]],
    *,
    temperature: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return log-probability and entropy of every completion token under a model.

    Gradients flow where they are enabled: for an auxiliary loss call it as it is, for entropies under
    ``torch.no_grad()``.

    Parameters
    ----------
    model : Module
        A causal LM: what the loss seam is given, or ``trainer.model``.
    prompt_ids, completion_ids : m non-empty token id lists
    temperature : float
        Divides the logits, above 0; 1 for a supervised loss, the trainer's for the sampling distribution.

    Returns
    -------
    logps, entropies : (m, T) float tensors
        In nats, at most and at least 0; 0 at padding. T is the longest completion.
    mask : (m, T) int tensor
        1 at completion tokens.

    Notes
    -----
    Source: ours. TRL 1.16's own helper divides by the sampling temperature whatever it is asked.

    Examples
    --------
    >>> from hammerlib.models import load_backbone
    >>> logps, entropies, mask = score_tokens(load_backbone("nano").model, [[5], [5, 6]], [[7, 8], [9]])
    >>> mask.tolist(), bool((logps <= 0).all())
    ([[1, 1], [1, 0]], True)
    """
    device = next(model.parameters()).device
    mask = _padded([[1] * len(ids) for ids in completion_ids], "right").to(device)
    seen = torch.cat([_padded([[1] * len(ids) for ids in prompt_ids], "left").to(device), mask], 1)
    said = _padded(completion_ids, "right").to(device)
    logits = model(
        input_ids=torch.cat([_padded(prompt_ids, "left").to(device), said], 1),
        attention_mask=seen,
        position_ids=(seen.cumsum(1) - 1).clamp(min=0),
        logits_to_keep=said.shape[1] + 1,
    ).logits[:, :-1]
    chances = (logits.float() / temperature).log_softmax(-1)
    logps = chances.gather(2, said[..., None])[..., 0]
    return logps * mask, -(chances.exp() * chances).sum(-1) * mask, mask


def _padded(lists: Sequence[Sequence[int]], side: str) -> torch.Tensor:
    return pad_sequence([torch.tensor(list(one)) for one in lists], batch_first=True, padding_side=side)


def completion_entropies(rollout: Rollout, *, rows: int = 32) -> np.ndarray:
    """Return the mean entropy of every completion's trained tokens under the policy as it generated.

    Parameters
    ----------
    rollout : Rollout
        With its trainer, whose sampling temperature divides the logits.
    rows : int
        Completions in one forward pass.

    Returns
    -------
    (n,) float64 array
        In nats, at least 0; 0 where no token is trained.

    Notes
    -----
    Source: ours; the response entropy of ETTRL (arXiv 2508.11356).

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from hammerlib.models import load_backbone
    >>> told = {"prompt_ids": [[5]], "completion_ids": [[7, 8]], "mask": None}
    >>> trainer = SimpleNamespace(model=load_backbone("nano").model, temperature=1.0)
    >>> completion_entropies(SimpleNamespace(**told, trainer=trainer)).shape
    (1,)
    """
    trainer, found = rollout.trainer, []
    for first in range(0, len(rollout.completion_ids), rows):
        part = slice(first, first + rows)
        prompts, said = rollout.prompt_ids[part], rollout.completion_ids[part]
        with torch.no_grad():
            _, entropies, mask = score_tokens(trainer.model, prompts, said, temperature=trainer.temperature)
        if rollout.mask is not None:
            mask = mask * _padded(rollout.mask[part], "right").to(mask.device)
        found.append(((entropies * mask).sum(1) / mask.sum(1).clamp(min=1)).double().cpu().numpy())
    return np.concatenate(found)
