"""A key-value cache with room ahead, from which finished rows leave in place."""

from __future__ import annotations

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer in buffers that are long enough from the start.

    transformers' own layer copies all it holds at every step and at every selection: a fifth of the time of a
    decoding step of SmolLM2-135M with 64 rows of 150 tokens.

    Parameters
    ----------
    layer : DynamicLayer
        The layer after the prompts, one row a prompt.
    source : (rows,) long tensor
        Which prompt each row continues.
    room : int
        Tokens that may follow.

    Examples
    --------
    >>> prompts = DynamicLayer()
    >>> _ = prompts.update(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4))
    >>> layer = RoomyLayer(prompts, torch.tensor([0, 0]), room=5)
    >>> layer.update(torch.ones(2, 2, 1, 4), torch.ones(2, 2, 1, 4))[0].shape
    torch.Size([2, 2, 4, 4])
    """

    def __init__(self, layer: DynamicLayer, source: torch.Tensor, room: int) -> None:
        super().__init__()
        self.lazy_initialization(layer.keys, layer.values)
        self._buffers = [self._filled(held, source, room) for held in (layer.keys, layer.values)]
        self._show(len(source), layer.get_seq_length())

    @staticmethod
    def _filled(held: torch.Tensor, source: torch.Tensor, room: int) -> torch.Tensor:
        _, heads, length, width = held.shape
        buffer = held.new_empty(len(source), heads, length + room, width)
        buffer[:, :, :length] = held[source]
        return buffer

    def _show(self, rows: int, length: int) -> None:
        self.keys, self.values = (buffer[:rows, :, :length] for buffer in self._buffers)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new keys and values (rows, heads, tokens, width) behind the others and return all."""
        rows, length = len(self.keys), self.get_seq_length()
        end = length + key_states.shape[-2]
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:rows, :, length:end] = new
        self._show(rows, end)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows in this order; only those that change their place are copied."""
        moved = (indices != torch.arange(len(indices), device=indices.device)).nonzero()[:, 0]
        length = self.get_seq_length()
        for buffer in self._buffers:
            buffer[moved, :, :length] = buffer[indices[moved], :, :length]
        self._show(len(indices), length)


def spread(cache: DynamicCache, source: torch.Tensor, room: int) -> None:
    """Give every row of a batch its own copy of its prompt's cache, in place.

    Parameters
    ----------
    cache : DynamicCache
        After the prompts, one row a prompt. Layers of other kinds (sliding windows, linear attention) keep
        transformers' own class.
    source : (rows,) long tensor
        Which prompt each row continues.
    room : int
        Tokens that may follow.

    Examples
    --------
    >>> cache = DynamicCache()
    >>> _ = cache.update(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4), 0)
    >>> spread(cache, torch.tensor([0, 0]), room=5)
    >>> cache.layers[0].keys.shape
    torch.Size([2, 2, 3, 4])
    """
    for place, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.is_initialized:
            cache.layers[place] = RoomyLayer(layer, source, room)
        else:
            layer.batch_select_indices(source)
