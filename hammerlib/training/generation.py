"""Sampling from the policy inside a rollout: plainly, or on from forced prefixes; and scoring tokens."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from accelerate.utils import gather_object
from torch.nn.utils.rnn import pad_sequence

from hammerlib.errors import InputError
from hammerlib.models.decoding import decode, draw, int8_layers, keeps_attention_only, random_numbers
from hammerlib.models.decoding import generate as generate_stateful
from hammerlib.rewards import verdicts
from hammerlib.rewards.graded import SCORABLE
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
    """Sample one completion for each row with the trainer's own engine (TRL's, our loop's or vLLM).

    Repeat a row for several completions. A completion begins with the tokens of its prefix ([] for none),
    which count towards ``max_completion_length`` and are never decoded in between; they are trained only with
    `train_prefix`. What is sampled in training enters the run's token account, whether it is handed over or
    not. With a stock trainer: ``rollout_func=lambda prompts, trainer: generate(...).for_trl()``.
    """
    longest = trainer.max_completion_length
    starts = [[] for _ in rows] if prefixes is None else [list(start) for start in prefixes]
    if len(starts) != len(rows):
        raise InputError("prefixes", len(starts), f"are not {len(rows)}", "give one per row, [] for none")
    longest_prefix = max(map(len, starts), default=0)
    if longest_prefix > longest:
        problem, remedy = f"is longer than max_completion_length {longest}", "cut it before"
        raise InputError("prefixes", longest_prefix, problem, remedy)
    prompts: list[list[int]] = []
    images: Any = None
    fields: dict[str, Any] = {}
    if rows:
        prompts, images, fields = trainer._tokenize_prompts([row["prompt"] for row in rows])
    # Prompts and prefixes are ids throughout: decoded and encoded again, a prefix may become other tokens.
    todo = []  # rows whose prefix is not the whole completion already
    for k, prefix in enumerate(starts):
        if not prefix or (len(prefix) < longest and prefix[-1] not in trainer.eos_token_ids):
            todo.append(k)
    contexts = [prompts[k] + starts[k] for k in todo]
    # The engine takes one limit for all rows: that of the shortest prefix; longer ones are cut below.
    room = longest - min((len(starts[k]) for k in todo), default=longest)
    new, new_logprobs = _continued(trainer, contexts, room, images, fields)
    continuations = dict(zip(todo, new, strict=True))
    known_logprobs = {}
    if new_logprobs is not None:
        known_logprobs = dict(zip(todo, new_logprobs, strict=True))
    whole = []
    mask = []
    logprobs = []
    for k, start in enumerate(starts):
        ids = continuations.get(k, [])[: longest - len(start)]  # prefix and continuation share the limit
        whole.append(start + ids)
        mask.append([int(train_prefix)] * len(start) + [1] * len(ids))
        logprobs.append([None] * len(start) + list(known_logprobs.get(k, []))[: len(ids)])
    columns: dict[str, list] = {"forced": [len(start) for start in starts]}
    if new_logprobs is not None:
        columns["logprobs"] = logprobs
    if prefixes is not None:
        columns["mask"] = mask
    generation = Generation(list(rows), prompts, whole, **columns)
    if hasattr(trainer, "count_tokens"):  # not a stock trainer
        trainer.count_tokens(generation)
    return generation


def _continued(
    trainer: GRPOTrainer, contexts: list[list[int]], room: int, images: Any, fields: dict[str, Any]
) -> tuple[list[list[int]], list[list[float]] | None]:
    """Continue contexts by the trainer's engine, each by at most `room` tokens."""
    own = len(contexts)
    call = Call(own, room, max(map(len, contexts), default=0), getattr(trainer, "server_reads", None) or 0)
    if in_lockstep(trainer):
        call = largest_call(gather_object([call]))
        room = call.room
        contexts = filled_up(contexts, call.count, trainer.eos_token_ids[0])
    if not contexts:
        return [], [] if trainer.use_vllm else None
    check_reads(call)
    with _at_most(trainer, room):
        new, logprobs = trainer._generate_single_turn(contexts, images, fields, 1)
    return new[:own], None if logprobs is None else logprobs[:own]


def shards_of(accelerator: Any) -> str | None:
    """Return what keeps the parameters in shards, which all processes must gather together."""
    state = getattr(accelerator, "state", None)
    deepspeed = getattr(state, "deepspeed_plugin", None)
    if deepspeed is not None and deepspeed.zero_stage == 3:
        return "ZeRO-3"
    return "FSDP" if getattr(state, "fsdp_plugin", None) is not None else None


def in_lockstep(trainer: Any) -> bool:
    """Return whether all processes must ask the engine equally often and for equally many completions.

    TRL 1.16 hands out what a vLLM server, or one engine over several processes, generated by the process's
    index times its *own* number of prompts: with unequal numbers a process gets another's completions, and
    with none it leaves the others waiting. Sharded parameters are gathered by all processes together.
    """
    if trainer.accelerator.num_processes == 1:
        return False
    if trainer.use_vllm and (trainer.vllm_mode == "server" or trainer.vllm_tensor_parallel_size > 1):
        return True
    return shards_of(trainer.accelerator) is not None


class Call(NamedTuple):
    """What a process asks the engine for."""

    count: int
    room: int  # tokens to sample at most
    longest: int  # tokens of a context
    reads: int = 0  # tokens that a server takes together; 0: it is not asked here


def largest_call(calls: Sequence[Call]) -> Call:
    """Return the most of everything that any process asks for."""
    return Call(*map(max, zip(*calls, strict=True)))


def check_reads(call: Call) -> None:
    """Refuse what a vLLM server would refuse, before it is asked.

    A request has one limit for all its rows, that of the shortest prefix, so that a long prefix asks for more
    than its completion may have.
    """
    if 0 < call.reads < call.longest + call.room:
        problem = (
            f"of the server is {call.reads} tokens; a prompt and prefix of {call.longest} with room for "
            f"{call.room} more need {call.longest + call.room}"
        )
        remedy = "start it with so many: the longest prompt and two completions are always enough"
        raise InputError("max-model-len", call.reads, problem, remedy)


def filled_up(contexts: list[list[int]], count: int, token: int) -> list[list[int]]:
    """Return contexts with as many more of one token as it takes; what is sampled for them is dropped."""
    return contexts + [[token]] * (count - len(contexts))


def sample(
    model: torch.nn.Module,
    prompts: Sequence[Sequence[int]],
    names: Sequence[tuple[str, int]],
    *,
    seed: int,
    steps: int,
    temperature: float,
    ends: Sequence[int],
    pad: int,
    int8: bool = False,
) -> tuple[list[list[int]], list[list[float]] | None]:
    """Sample one completion for each prompt by evaluation's decoding loop, with each token's log-probability.

    `names` and the seed are all the randomness of a sample, whoever is beside it. Models that keep more than
    keys and values go through transformers' generate and tell no log-probabilities. With `int8` the linear
    layers multiply in 8 bits, and the log-probabilities are those of that policy.
    """
    numbers = random_numbers(seed, names, steps)
    logps: list[list[float]] = [[] for _ in prompts]

    def watch(rows: list[int], logits: torch.Tensor, tokens: torch.Tensor) -> None:
        # log p = log softmax(logits / T), as TRL scores tokens.
        chances = (logits.float() / temperature).log_softmax(-1).gather(1, tokens[:, None])[:, 0]
        for row, chance in zip(rows, chances.tolist(), strict=True):
            logps[row].append(chance)

    stops = set(ends)
    pick = functools.partial(draw, temperature=temperature, top_p=1.0)
    with _for_sampling(model) as policy, int8_layers(policy) if int8 else contextlib.nullcontext():
        options = (policy, prompts, numbers, pick, lambda tokens: tokens[-1] in stops, pad)
        if keeps_attention_only(policy):
            return decode(*options, watch=watch), logps
        return generate_stateful(*options), None


@contextlib.contextmanager
def _for_sampling(model: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """The model without dropout and with LoRA's products added to the weights for as long as this lasts.

    Afterwards the weights are those of before to the last bit, which subtracting the products would not give.
    """
    training = model.training
    model.eval()
    base = model
    before = {}
    with contextlib.ExitStack() as adapters:
        if hasattr(model, "disable_adapter"):  # PEFT's
            base = model.get_base_model()
            for layer in base.modules():
                if hasattr(layer, "get_delta_weight"):
                    weight = layer.get_base_layer().weight
                    before[weight] = weight.data
                    with torch.no_grad():
                        # W' = W + sum of s B A over the active adapters
                        products = [layer.get_delta_weight(name) for name in layer.active_adapters]
                        weight.data = sum(products, start=weight.data)
            adapters.enter_context(model.disable_adapter())
        try:
            yield base
        finally:
            for weight, data in before.items():
                weight.data = data
            model.train(training)


@contextlib.contextmanager
def _at_most(trainer: GRPOTrainer, tokens: int) -> Iterator[None]:
    """Let the engine sample at most `tokens` more."""
    if trainer.use_vllm:
        holder = trainer.vllm_generation
        name = "max_completion_length"
    else:
        holder = trainer.generation_config
        name = "max_new_tokens"
    before = getattr(holder, name)
    setattr(holder, name, tokens)
    try:
        yield
    finally:
        setattr(holder, name, before)


def graded(
    texts: list[str], rows: list[dict[str, Any]], unfinished: bool = True
) -> tuple[list[Verdict | None], list[str]]:
    """Return verdicts where something can be said (else None), and the reason of every one."""
    columns = {name: [row.get(name) for row in rows] for name in ("answer", "scorer", "metadata")}
    prompts = [row.get("prompt") or "" for row in rows]
    judged = verdicts(texts, **columns, prompts=prompts, failed=True, unfinished=unfinished)
    reasons = [verdict.reason if verdict else "" for verdict in judged]
    return [verdict if verdict and verdict.reason in SCORABLE else None for verdict in judged], reasons


def judge(trainer: GRPOTrainer, generation: Generation) -> tuple[list[str], list[Verdict | None], list[str]]:
    """Decode completions and grade them against their rows, before it is decided which are trained."""
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

    Source: ours. TRL 1.16's own helper divides by the sampling temperature whatever it is asked.
    """
    device = next(model.parameters()).device
    prompts = _padded(prompt_ids, "left").to(device)
    completions = _padded(completion_ids, "right").to(device)
    mask = _padded([[1] * len(ids) for ids in completion_ids], "right").to(device)
    attention = torch.cat([_padded([[1] * len(ids) for ids in prompt_ids], "left").to(device), mask], 1)
    logits = model(
        input_ids=torch.cat([prompts, completions], 1),
        attention_mask=attention,
        position_ids=(attention.cumsum(1) - 1).clamp(min=0),  # prompts are padded on the left
        logits_to_keep=completions.shape[1] + 1,
    ).logits[:, :-1]
    # Position t predicts token t + 1, so the last logits are dropped; log p = log softmax(logits / T).
    chances = (logits.float() / temperature).log_softmax(-1)
    logps = chances.gather(2, completions[..., None])[..., 0]
    # H = -sum_v p_v log p_v, in nats
    return logps * mask, -(chances.exp() * chances).sum(-1) * mask, mask


def mean_entropy(
    model: torch.nn.Module,
    prompt_ids: Sequence[Sequence[int]],
    completion_ids: Sequence[Sequence[int]],
    *,
    temperature: float,
    rows: int,
) -> float:
    """Return the mean entropy over all completion tokens, in nats, computed so many rows at a time."""
    # sums over tokens, not means of means: completions of any length count by their tokens
    total = tokens = 0.0
    with torch.no_grad():
        for first in range(0, len(prompt_ids), rows):
            batch = slice(first, first + rows)
            pairs = prompt_ids[batch], completion_ids[batch]
            _, entropies, mask = score_tokens(model, *pairs, temperature=temperature)
            total += float(entropies.double().sum())
            tokens += float(mask.sum())
    return total / tokens


def scored_tokens(
    trainer: Any, prompt_ids: Sequence[list[int]], completion_ids: Sequence[list[int]], *, rows: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """`score_tokens` by the policy as it is, at the sampling temperature, so many rows at a time."""
    passes = -(-len(completion_ids) // rows)
    together = passes
    if shards_of(getattr(trainer, "accelerator", None)):  # every process must come by equally often
        together = max(gather_object([passes]))
    for number in range(together):
        batch = slice(number * rows, (number + 1) * rows)
        tokens = prompt_ids[batch], completion_ids[batch]
        if number >= passes:
            # nothing is left here while another process still scores: one token keeps step with it
            tokens = [[trainer.eos_token_ids[0]]], [[trainer.eos_token_ids[0]]]
        with torch.no_grad():
            scores = score_tokens(trainer.model, *tokens, temperature=trainer.temperature)
        if number < passes:
            yield scores


def _padded(lists: Sequence[Sequence[int]], side: str) -> torch.Tensor:
    return pad_sequence([torch.tensor(list(ids)) for ids in lists], batch_first=True, padding_side=side)


def completion_entropies(rollout: Rollout, *, rows: int = 32) -> np.ndarray:
    """Return the mean entropy of every completion's trained tokens under the policy as it generated.

    Source: ours; the response entropy of ETTRL (arXiv 2508.11356).
    """
    means = []
    first = 0
    for _, entropies, mask in scored_tokens(
        rollout.trainer, rollout.prompt_ids, rollout.completion_ids, rows=rows
    ):
        if rollout.mask is not None:
            mask = mask * _padded(rollout.mask[first : first + rows], "right").to(mask.device)
        means.append(((entropies * mask).sum(1) / mask.sum(1).clamp(min=1)).double().cpu().numpy())
        first += rows
    return np.concatenate(means)
