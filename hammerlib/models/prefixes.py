"""Every distinct prefix once: completions as a tree, and an attention that runs along its paths.

Completions of one prompt have its tokens in common, and often their own first tokens as well. What a causal
model computes at a token depends on the tokens before it alone, so that equal prefixes have equal hidden
states: embeddings, linear layers and the language-model head run once for each node of the tree of all
prefixes, without padding. Only attention sees whole rows again, one for each leaf, gathered from the nodes.

Source: ours; sharing of prefixes by trees is SGLang's RadixAttention (arXiv 2312.07104) for inference.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from hammerlib.models.decoding import keeps_attention_only

NAME = "shared_prefixes"


@dataclass(frozen=True)
class PrefixTree:
    """The N inner nodes of the tree of prompts with their completions, and who asks for what.

    A node is a token after the tokens on its path from a root. The last token of a completion is never an
    input: it is only predicted.

    Parameters
    ----------
    tokens, positions : (N,) int tensors
    paths : (L, W) int tensor
        For each leaf among the inner nodes the nodes from its root to it, filled up on the right with 0.
    home : (N,) int tensor
        Where each node stands in the flattened `paths`, once.
    parents, targets : (M,) int tensors
        For each distinct completion token the node that predicts it, and the token.
    asked : (rows, T) int tensor
        Which of the M stands at each completion token; M where there is none.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    paths: torch.Tensor
    home: torch.Tensor
    parents: torch.Tensor
    targets: torch.Tensor
    asked: torch.Tensor


def prefix_tree(
    prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], width: int, device: torch.device
) -> PrefixTree:
    """Return the tree of prompts and their completions, whose longest has at most `width` tokens."""
    ids: dict[tuple[int, int], int] = {}  # (parent, token) -> node
    predicted: dict[int, int] = {}  # node -> which of the M
    asked = []
    for prompt, completion in zip(prompts, completions, strict=True):
        node = -1
        row: list[int] = []
        asked.append(row)
        if not completion:  # masked: nothing is asked of it
            continue
        for place, token in enumerate([*prompt, *completion]):
            # a node is its parent and its token: equal beginnings meet
            node = ids.setdefault((node, token), len(ids))
            if place >= len(prompt):
                row.append(predicted.setdefault(node, len(predicted)))
    parent_of = [parent for parent, _ in ids]
    token_of = [token for _, token in ids]
    # a completion's last token is predicted only, never read
    inner = {node: k for k, node in enumerate(sorted({parent for parent in parent_of if parent >= 0}))}
    leaves = set(inner) - {parent_of[node] for node in inner}
    paths = []
    # a node lies on the paths of all leaves below it; its state is read from the last of them (all are equal)
    home: dict[int, int] = {}
    positions: dict[int, int] = {}
    for leaf in sorted(leaves):
        # from the leaf up to its root, turned round below
        path = [leaf]
        while parent_of[path[-1]] >= 0:
            path.append(parent_of[path[-1]])
        paths.append([inner[node] for node in reversed(path)])
    longest = max(map(len, paths))
    for row, path in enumerate(paths):
        for place, node in enumerate(path):
            positions[node] = place
            home[node] = row * longest + place
    tensor = functools.partial(torch.tensor, device=device)
    return PrefixTree(
        tokens=tensor([token_of[node] for node in inner]),
        positions=tensor([positions[k] for k in range(len(inner))]),
        paths=tensor([path + [0] * (longest - len(path)) for path in paths]),
        home=tensor([home[k] for k in range(len(inner))]),
        parents=tensor([inner[parent_of[node]] for node in predicted]),
        targets=tensor([token_of[node] for node in predicted]),
        asked=tensor([row + [len(predicted)] * (width - len(row)) for row in asked]),
    )


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    prefix_tree: PrefixTree | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' SDPA attention, along the paths of a tree where one is given."""
    if prefix_tree is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    leaves, width = prefix_tree.paths.shape
    rows = []
    for states in (query, key, value):  # (1, heads, N, d) -> (L, heads, W, d)
        _, heads, nodes, size = states.shape
        # rows of an embedding table: its backward adds up what the paths of one node send back
        by_node = states[0].transpose(0, 1).reshape(nodes, heads * size)
        along = torch.nn.functional.embedding(prefix_tree.paths, by_node)
        rows.append(along.view(leaves, width, heads, size).transpose(1, 2))
    # Paths are filled up on the right, where a causal mask lets nobody look.
    options["is_causal"] = True
    query, key, value = rows
    out, _ = sdpa_attention_forward(module, query, key, value, None, **options)  # (L, W, heads, d)
    flat = out.reshape(leaves * width, -1)
    return flat.index_select(0, prefix_tree.home).view(1, len(prefix_tree.home), *out.shape[2:]), None


def share_prefixes(model: torch.nn.Module) -> str | None:
    """Let the model's attention follow trees; or return why it cannot."""
    config = model.config.get_text_config()
    if not keeps_attention_only(model):
        return "it keeps more than keys and values between tokens"
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or getattr(config, "sliding_window", None):
        return "it has layers that do not look at all tokens before them"
    if config._attn_implementation != "sdpa":
        return f"its attention is {config._attn_implementation}, not sdpa"
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    config._attn_implementation = NAME
    return None


def unshare_prefixes(model: torch.nn.Module) -> None:
    """Give the model its own attention back."""
    model.config.get_text_config()._attn_implementation = "sdpa"


def score_tree(
    model: torch.nn.Module, base: torch.nn.Module, tree: PrefixTree
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log-probability and entropy of every completion token, (rows, T), by TRL's fused head.

    `model` is what is called (wrapped for several processes or adapters), `base` the causal model inside.
    """

    # the head runs at nodes that predict something, not at all of them
    def choose(module: object, arguments: object, output: Any) -> Any:
        # position k predicts token k + 1: the parent of a node predicts it
        output.last_hidden_state = output.last_hidden_state[:, tree.parents]
        return output

    handle = base.base_model.register_forward_hook(choose)
    try:
        output = model(
            input_ids=tree.tokens[None],
            position_ids=tree.positions[None],
            attention_mask=tree.tokens.new_ones(1, 1, 1, 1),  # four dimensions: taken as it is, and not used
            prefix_tree=tree,
            shift_labels=tree.targets[None],
            fused_lm_head=True,
        )
    finally:
        handle.remove()
    # one entry more, zero, for places without a token (`asked` is M there)
    padded = (torch.nn.functional.pad(values[0], (0, 1)) for values in (output.log_probs, output.entropy))
    logps, entropies = (values[tree.asked] for values in padded)
    return logps, entropies
