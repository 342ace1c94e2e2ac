"""Linear layers in 8 bits for as long as completions are sampled.

Weights have one digit of 255 steps, scaled by row of the matrix; inputs have two, scaled by token: with one,
their outliers make an error four times that of the weights. Products and sums are whole numbers and exact, so
that what a row of a batch gets depends on no other row. `torch._int_mm` is what torchao multiplies with;
`torch.ao.quantization` and the kernels of ``torch.ops.quantized``, which scale whole batches, are deprecated.

Source: ours, after LLM.int8 (Dettmers et al., arXiv 2208.07339), which keeps the outliers in float instead.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import torch

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
