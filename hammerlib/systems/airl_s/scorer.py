"""The network f: a copy of the policy's trunk with a scalar head, read at the last token of every step."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch.nn.utils.rnn import pad_sequence

from hammerlib.errors import InputError
from hammerlib.runs.storage import atomic_path
from hammerlib.systems.airl_s import step_ends

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from hammerlib.models import Backbone

FILE = "step_scorer.safetensors"  # in the folder of a run


class StepScorer(torch.nn.Module):
    """f(s, a) of every step of a completion, from a copy of a causal model's weights (adapters merged).

    The head begins at 0, so that no random number is drawn and the reward begins as -log pi (ours; the head
    of arXiv 2508.14313 is unknown).
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        whole = copy.deepcopy(model)
        if hasattr(whole, "merge_and_unload"):  # PEFT's
            whole = whole.merge_and_unload()
        self.trunk = whole.base_model
        width = self.trunk.config.get_text_config().hidden_size
        weight = next(self.trunk.parameters())
        like = {"device": weight.device, "dtype": weight.dtype}
        self.head = torch.nn.utils.skip_init(torch.nn.Linear, width, 1, **like)  # draws no random number
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.zero_()
        self.requires_grad_(True).eval()  # no dropout: f is a function

    def forward(
        self,
        prompts: Sequence[Sequence[int]],
        completions: Sequence[Sequence[int]],
        ends: Sequence[Sequence[int]],
    ) -> torch.Tensor:
        """Return f at the ends of all steps, row by row, (S,)."""
        device = self.head.weight.device
        ids = [torch.tensor([*prompt, *new]) for prompt, new in zip(prompts, completions, strict=True)]
        # Padded on the right, where a causal model does not look: positions count from the first token.
        tokens = pad_sequence(ids, batch_first=True).to(device)
        mask = pad_sequence([torch.ones_like(row) for row in ids], batch_first=True).to(device)
        hidden = self.trunk(input_ids=tokens, attention_mask=mask).last_hidden_state
        rows = [row for row, places in enumerate(ends) for _ in places]
        columns = [len(prompts[row]) + place for row, places in enumerate(ends) for place in places]
        return self.head(hidden[rows, columns])[:, 0]


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """Return every token decoded by itself, special ones as ""."""
    return tokenizer.batch_decode([[token] for token in ids], skip_special_tokens=True)


def ends_of(
    tokenizer: PreTrainedTokenizerBase, completions: Sequence[Sequence[int]], separator: str
) -> list[list[int]]:
    """Return the step ends of token id lists."""
    known = sorted({token for row in completions for token in row})
    texts = dict(zip(known, token_texts(tokenizer, known), strict=True))
    return [step_ends([texts[token] for token in row], separator) for row in completions]


def score_steps(
    scorer: StepScorer,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    ends: Sequence[Sequence[int]],
    *,
    rows: int = 32,
) -> list[list[float]]:
    """Return f of every step of every completion, without gradient, so many `rows` a pass."""
    scores = []
    for first in range(0, len(completions), rows):
        batch = slice(first, first + rows)
        with torch.no_grad():
            values = scorer(prompts[batch], completions[batch], ends[batch])
        lengths = [len(places) for places in ends[batch]]
        scores += [part.tolist() for part in values.float().split(lengths)]
    return scores


def save_scorer(scorer: StepScorer, folder: Path) -> Path:
    """Write the weights of f into the folder of a run."""
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in scorer.state_dict().items()}
    with atomic_path(folder / FILE) as unfinished:
        save_file(weights, unfinished)
    return folder / FILE


def load_scorer(folder: Path, backbone: Backbone) -> StepScorer:
    """Return the f that a run with ``airl-s`` left in its folder, for a backbone of its architecture."""
    scorer = StepScorer(backbone.model)
    try:
        scorer.load_state_dict(load_file(Path(folder) / FILE))
    except (OSError, RuntimeError) as error:
        problem = f"holds no f of this architecture ({type(error).__name__})"
        raise InputError("folder", Path(folder).name, problem, "name a run with airl-s") from error
    return scorer
