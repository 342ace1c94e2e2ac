"""Our decoding loop, and transformers' generate for models whose state it cannot select from.

Evaluation and training sample by it (`hammerlib.evaluation.engines`, `hammerlib.training.generation`), the
latter also with linear layers in 8 bits.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from transformers import (
    DynamicCache,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.cache_utils import DynamicLayer

from hammerlib.errors import InputError
from hammerlib.runs.storage import content_hash

SCANNED = 1 << 22  # probabilities handled at once when drawing
LIKELIEST = 1024  # tokens looked at first for a nucleus; a whole sort only where they do not fill it
PROBED = 8  # tokens that tell whether a model can be given a batch
Pick = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Watch = Callable[[list[int], torch.Tensor, torch.Tensor], None]


def sample_seed(seed: int, name: str, sample: int) -> int:
    """Return the seed of one sample (128 bits), the same wherever and beside whatever it is drawn."""
    return int(content_hash(seed, name, sample)[:32], 16)


def random_numbers(seed: int, names: Sequence[tuple[str, int]], steps: int) -> np.ndarray:
    """Return each sample's own random numbers in [0, 1), (samples, steps).

    The generator is counter-based (Philox): the same on every device.
    """
    # a stream for each sample: what else is drawn, and in which batch, changes none of it
    keys = [sample_seed(seed, *name) for name in names]
    streams = [np.random.Generator(np.random.Philox(key=key)) for key in keys]
    return np.stack([stream.random(steps) for stream in streams])


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer in buffers that are long enough from the start.

    transformers' own layer copies all it holds at every step and at every selection: a fifth of the time of a
    decoding step of SmolLM2-135M with 64 rows of 150 tokens. `layer` is that after the prompts, `source` the
    prompt that each row continues, `room` the tokens that may follow.
    """

    def __init__(self, layer: DynamicLayer, source: torch.Tensor, room: int) -> None:
        super().__init__()
        self.lazy_initialization(layer.keys, layer.values)
        self._buffers = []
        for held in (layer.keys, layer.values):
            _, heads, length, width = held.shape
            buffer = held.new_empty(len(source), heads, length + room, width)
            # each sample its own copy of its prompt's keys and values
            buffer[:, :, :length] = held[source]
            self._buffers.append(buffer)
        self._show(len(source), length)

    def _show(self, rows: int, length: int) -> None:
        self.keys, self.values = (buffer[:rows, :, :length] for buffer in self._buffers)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new keys and values (rows, heads, tokens, width) behind the others and return all."""
        rows = len(self.keys)
        length = self.get_seq_length()
        end = length + key_states.shape[-2]
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:rows, :, length:end] = new
        self._show(rows, end)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows in this order; only those that change their index are copied."""
        # survivors from behind fill the holes: all other rows stay where they are
        moved = (indices != torch.arange(len(indices), device=indices.device)).nonzero()[:, 0]
        length = self.get_seq_length()
        for buffer in self._buffers:
            buffer[moved, :, :length] = buffer[indices[moved], :, :length]
        self._show(len(indices), length)


@torch.inference_mode()
def decode(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    numbers: np.ndarray,
    pick: Pick,
    ended: Callable[[list[int]], bool],
    pad: int,
    watch: Watch | None = None,
) -> list[list[int]]:
    """Continue every prompt until it has ended or its random numbers are used up.

    `numbers` are (rows, steps) float64 in [0, 1), one a step; `pick` takes (rows, vocabulary) logits and
    (rows,) numbers to (rows,) tokens, as `draw` does; `ended` says whether a row's new tokens are complete;
    `watch` sees the numbers of the rows still in the batch, their logits and the tokens drawn, step by step.
    Equal prompts are read once; rows that are complete leave the batch.
    """
    device = model.device
    steps = numbers.shape[1]
    # a prompt is read once, however many samples it has
    distinct = {ids: index for index, ids in enumerate(dict.fromkeys(map(tuple, prompts)))}
    source = torch.tensor([distinct[tuple(ids)] for ids in prompts], device=device)
    width = max(map(len, distinct))
    tokens = torch.tensor([[pad] * (width - len(ids)) + list(ids) for ids in distinct], device=device)
    mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in distinct], device=device)
    cache = DynamicCache(config=model.config)
    logits = _forward(model, tokens, mask, cache)[source]  # the prompts once, dealt out to their samples
    mask = mask[source]
    # Every row gets its own copy of its prompt's cache. Layers of other kinds (sliding windows) keep
    # transformers' own class.
    for index, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.is_initialized:
            cache.layers[index] = RoomyLayer(layer, source, steps)
        else:
            layer.batch_select_indices(source)
    new_tokens: list[list[int]] = [[] for _ in prompts]
    rows = list(range(len(prompts)))
    for step in range(steps):
        # the number of the step, whichever rows are still here
        drawn = pick(logits, torch.from_numpy(numbers[rows, step]))
        if watch is not None:
            watch(rows, logits, drawn)
        for row, token in zip(rows, drawn.tolist(), strict=True):
            new_tokens[row].append(token)
        keep = _closed_up([not ended(new_tokens[row]) for row in rows])
        if not keep or step + 1 == steps:
            break
        if len(keep) < len(rows):  # finished rows leave the batch
            kept = torch.tensor(keep, device=device)
            cache.batch_select_indices(kept)
            rows = [rows[index] for index in keep]
            mask = mask[kept]
            drawn = drawn[kept]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        logits = _forward(model, drawn[:, None], mask, cache)
    return new_tokens


def draw(logits: torch.Tensor, numbers: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """Draw one token a row by inverting the distribution function at the row's own random number.

    A row's token depends on no other row. `top_p` keeps the fewest likeliest tokens that hold that much
    probability; 1 is all of them.
    """
    if torch.isnan(logits).any():
        remedy = "load weights from before they diverged, or use float32"
        raise InputError("model", "logits", "are NaN", remedy)
    # the limit of softmax(z / T) for T towards 0
    if temperature == 0:
        return logits.argmax(-1)
    size = max(1, SCANNED // logits.shape[-1])
    # a running sum over 10^5 tokens in single precision would lose the last of them
    wide = torch.float32 if logits.device.type == "mps" else torch.float64
    blocks = zip(logits.split(size), numbers.to(logits.device, wide).split(size), strict=True)
    return torch.cat([_draw(rows.float() / temperature, own, top_p) for rows, own in blocks])


def _draw(scaled: torch.Tensor, numbers: torch.Tensor, top_p: float) -> torch.Tensor:
    probabilities = torch.softmax(scaled, -1)
    if top_p == 1:
        return _inverse(probabilities, numbers)
    values, order = probabilities.topk(min(LIKELIEST, probabilities.shape[-1]))
    if (values.sum(-1) < top_p).any():  # so many do not fill some row's nucleus
        values, order = probabilities.sort(descending=True)
    # A token is inside while those likelier than it hold less than top_p; the likeliest always is.
    before = values.cumsum(-1) - values
    inside = (before < top_p).index_fill(-1, torch.zeros(1, dtype=torch.long, device=values.device), True)
    return order.gather(-1, _inverse(values * inside, numbers)[:, None])[:, 0]


def _inverse(weights: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """First index where the running sum exceeds number times total: never one of weight 0."""
    # F^-1(u): u times the total, so that weights need not sum to one
    sums = weights.to(numbers.dtype).cumsum(-1)
    index = torch.searchsorted(sums, (numbers * sums[:, -1])[:, None], right=True)
    return index[:, 0].clamp_(max=weights.shape[-1] - 1)


def _forward(
    model: PreTrainedModel, tokens: torch.Tensor, mask: torch.Tensor, cache: DynamicCache
) -> torch.Tensor:
    """Logits of the last position, (rows, vocabulary); the cache grows."""
    # Padding stands on the left: a token's position is the number of real ones before it.
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
    offered = {"position_ids": positions, "logits_to_keep": 1}
    # some models count positions themselves, or always return all logits
    known = inspect.signature(model.forward).parameters
    options = {name: value for name, value in offered.items() if name in known}
    out = model(input_ids=tokens, attention_mask=mask, past_key_values=cache, use_cache=True, **options)
    return out.logits[:, -1]


def _closed_up(alive: Sequence[bool]) -> list[int]:
    """Places to keep, closed up: the last living rows fill the holes, the others stay where they are."""
    count = sum(alive)
    survivors = iter([index for index in range(count, len(alive)) if alive[index]])
    return [index if alive[index] else next(survivors) for index in range(count)]


def keeps_attention_only(model: PreTrainedModel) -> bool:
    """Return whether all that the model keeps between tokens is keys and values, row by row.

    Linear attention, state spaces, convolutions and caches of a model's own (Mamba, Jamba, Qwen3-Next, RWKV)
    cannot be dealt out to the samples of a prompt, and RWKV would ignore our cache without a word.
    """
    if model._is_stateful or not model._supports_default_dynamic_cache():
        return False
    layers = DynamicCache(config=model.config).layers
    return all(hasattr(layer, "batch_select_indices") for layer in layers)


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    numbers: np.ndarray,
    pick: Pick,
    ended: Callable[[list[int]], bool],
    pad: int,
) -> list[list[int]]:
    """Continue every prompt as `decode` does, by the same law and the same random numbers.

    Prompts of one length go together, so that no state ever sees padding; one by one where the model is wrong
    about batches (in transformers 5.23 RWKV gives other tokens for two rows than for one).
    """
    groups: dict[int, list[int]] = {}
    batched = len(prompts) > 1 and _batches(model, prompts[0], pad)
    for row, prompt in enumerate(prompts):
        groups.setdefault(len(prompt) if batched else row, []).append(row)
    new_tokens: list[list[int]] = [[] for _ in prompts]
    for rows in groups.values():
        length = len(prompts[rows[0]])
        stop = _Ended(length, ended, len(rows))
        how: dict[str, object] = {"stopping_criteria": StoppingCriteriaList([stop])}
        how["logits_processor"] = LogitsProcessorList([_Law(length, numbers[rows], pick)])
        out = _generate(model, [prompts[row] for row in rows], numbers.shape[1], pad, **how)
        for row, tokens, count in zip(rows, out, stop.lengths, strict=True):
            new_tokens[row] = tokens[: count or len(tokens)]
    return new_tokens


def _generate(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], steps: int, pad: int, **options: object
) -> list[list[int]]:
    """New tokens of prompts of one length, greedily but for what `options` change."""
    ids = torch.tensor([list(prompt) for prompt in prompts], device=model.device)
    config = GenerationConfig(do_sample=False, max_new_tokens=steps, pad_token_id=pad)
    own = model.generation_config
    # ``generate`` fills what is not asked for from the checkpoint (a repetition penalty, say): not here.
    model.generation_config = GenerationConfig()
    try:
        out = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config, **options
        )
    finally:
        model.generation_config = own
    return out[:, ids.shape[1] :].tolist()


def _batches(model: PreTrainedModel, prompt: Sequence[int], pad: int) -> bool:
    """Whether two equal rows are continued as one alone is."""
    try:
        alone, both = (_generate(model, [prompt] * rows, PROBED, pad) for rows in (1, 2))
    except (ValueError, RuntimeError):
        return False
    return alone[0] == both[0]


class _Law(LogitsProcessor):
    """Leaves one token a row: the one that `pick` takes at the row's own random number."""

    def __init__(self, length: int, numbers: np.ndarray, pick: Pick) -> None:
        self.length = length
        self.numbers = torch.from_numpy(numbers)
        self.pick = pick

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        # all rows of a group have one length of prompt
        step = input_ids.shape[1] - self.length
        tokens = self.pick(scores, self.numbers[:, step])
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)


class _Ended(StoppingCriteria):
    """Notes how many tokens each row had when it was complete; generation goes on until all are."""

    def __init__(self, length: int, ended: Callable[[list[int]], bool], rows: int) -> None:
        self.length = length
        self.ended = ended
        self.lengths = [0] * rows

    def __call__(self, input_ids: torch.Tensor, scores: object, **kwargs: object) -> torch.Tensor:
        new = input_ids[:, self.length :].tolist()
        for row, tokens in enumerate(new):
            if not self.lengths[row] and self.ended(tokens):
                self.lengths[row] = len(tokens)
        return torch.tensor([bool(count) for count in self.lengths], device=input_ids.device)


# Linear layers in 8 bits for as long as completions are sampled

# Weights have one digit of 255 steps, scaled by row of the matrix; inputs have two, scaled by token: with
# one, their outliers make an error four times that of the weights. Products and sums are whole numbers and
# exact, so that what a row of a batch gets depends on no other row. `torch._int_mm` is what torchao
# multiplies with; `torch.ao.quantization` and the kernels of ``torch.ops.quantized``, which scale whole
# batches, are deprecated. Ours, after LLM.int8 (Dettmers et al., arXiv 2208.07339), which keeps the outliers
# in float.


STEPS = 127  # on either side of zero


def _steps(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows (n, d) in units of 1/127 of their largest entry, and these units, (n, 1)."""
    size = rows.abs().amax(1, keepdim=True).clamp_(min=1e-30).div_(STEPS)
    return rows / size, size


def int8_linear(
    x: torch.Tensor, weight: torch.Tensor, sizes: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """Multiply (..., d) inputs with an int8 weight (d, m) whose columns have steps of `sizes` (1, m)."""
    rows = x.reshape(-1, x.shape[-1]).float()
    # x = s_x (a + b / 254), a and b whole; W = s_w c: x W = s_x s_w (a c + b c / 254)
    steps, row_sizes = _steps(rows)
    first = steps.round()
    second = (steps - first).mul_(2 * STEPS).round_()  # of what the first digit leaves, at most half a step
    digits = torch.cat([first, second]).to(torch.int8)  # together: the weight is read once
    high, low = torch._int_mm(digits, weight).float().chunk(2)
    out = high.add_(low, alpha=1 / (2 * STEPS)).mul_(row_sizes).mul_(sizes)
    if bias is not None:
        out += bias
    return out.view(*x.shape[:-1], -1).to(x.dtype)


@contextlib.contextmanager
def int8_layers(model: torch.nn.Module) -> Iterator[None]:
    """Let every linear layer, the head among them, multiply in 8 bits; afterwards nothing has changed."""
    # A layer whose forward someone else has patched is left alone.
    layers = [m for m in model.modules() if type(m) is torch.nn.Linear and "forward" not in vars(m)]
    for layer in layers:
        steps, sizes = _steps(layer.weight.detach().float())
        weight = steps.round_().to(torch.int8)
        layer.forward = functools.partial(int8_linear, weight=weight.T, sizes=sizes.T, bias=layer.bias)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward
