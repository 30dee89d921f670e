"""A key-value cache with room to grow, so that a decoding step writes one column instead of copying all of them."""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 32  # columns to allocate at a time
PLAIN_ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}


class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not typed
    """`keys` and `values` are views of larger buffers; selecting or repeating rows gives the buffers up."""

    buffers: tuple[Any, Any] | None = None

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Append columns; returns all keys and all values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if self.buffers is None or self.buffers[0].shape[-2] < end:
            self._grow(start, end + ROOM, key_states, value_states)
        assert self.buffers is not None
        keys, values = self.buffers
        keys[:, :, start:end], values[:, :, start:end] = key_states, value_states
        self.keys, self.values = keys[:, :, :end], values[:, :, :end]
        return self.keys, self.values

    def _grow(self, start: int, columns: int, key_states: Any, value_states: Any) -> None:
        old = (self.keys, self.values)
        self.buffers = tuple(
            new.new_empty((*new.shape[:-2], columns, new.shape[-1])) for new in (key_states, value_states)
        )
        if start:
            for buffer, content in zip(self.buffers or (), old, strict=True):
                buffer[:, :, :start] = content

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row."""
        self.buffers = None
        super().batch_repeat_interleave(repeats)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep (or repeat) these rows."""
        self.buffers = None
        super().batch_select_indices(indices)


def new_cache(config: Any) -> Cache | None:
    """An empty cache, or None where the model's layers need caches of their own kind."""
    config = config.get_text_config()
    if set(getattr(config, "layer_types", None) or ()) - PLAIN_ATTENTION:
        return None
    return Cache(layer_class_to_replicate=RoomyLayer)


def bytes_per_token(config: Any, itemsize: int) -> int:
    """What one token of one row takes in the cache."""
    config = config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * int(config.num_hidden_layers) * int(heads) * int(size) * itemsize
