"""A transformers cache that is addressed by slot and position.

What a query may attend to then follows from positions alone: rows may have different lengths, and
rewinding a row is forgetting its last tokens. Legend: R rows of a call, T new tokens of a row, H
heads, D head size.
"""

from __future__ import annotations

import torch
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin


class _Layer(CacheLayerMixin):
    """Keys and values of one layer: `[slots, H, capacity + 1, D]`, written by slot and position.

    The last position is a scratch place where padding is written; no query ever sees it.
    """

    is_compileable = False

    def __init__(self, cache: PositionCache) -> None:
        super().__init__()
        self._cache = cache

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        slots, length = self._cache.slots, self._cache.capacity + 1

        def empty(like: torch.Tensor) -> torch.Tensor:
            return like.new_zeros(slots, like.shape[1], length, like.shape[3])

        self.keys, self.values = empty(key_states), empty(value_states)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        return (self._write(self.keys, key_states), self._write(self.values, value_states))

    def _write(self, stored: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        cache = self._cache
        if cache.rows is not None and cache.places is not None:
            stored[cache.rows, :, cache.places] = new
            return stored[cache.rows, :, : cache.length]
        # Layers may be spread over several devices.
        rows_R1, places_RT = cache.rows_R1.to(stored.device), cache.places_RT.to(stored.device)
        stored[rows_R1, :, places_RT] = new.transpose(1, 2)
        seen = stored[:, :, : cache.length]
        return seen[cache.rows] if cache.rows is not None else seen[rows_R1[:, 0]]

    def copy(self, source: int, target: int, places: slice) -> None:
        if not self.is_initialized:
            return
        assert self.keys is not None and self.values is not None
        for stored in (self.keys, self.values):
            stored[target, :, places] = stored[source, :, places]

    def grow(self, capacity: int) -> None:
        if not self.is_initialized:
            return
        assert self.keys is not None and self.values is not None
        extra = capacity + 1 - self.keys.shape[2]
        pad = (0, 0, 0, extra)
        self.keys = torch.nn.functional.pad(self.keys, pad)
        self.values = torch.nn.functional.pad(self.values, pad)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._cache.length, 0

    def get_seq_length(self) -> int:
        return self._cache.past

    def get_max_length(self) -> int:
        return -1


class PositionCache(Cache):
    """A transformers cache addressed by (slot, position); `Session` says where each call writes."""

    def __init__(self, *, layers: int, slots: int, capacity: int) -> None:
        self.slots, self.capacity = slots, capacity
        self.rows_R1 = torch.empty(0, 1, dtype=torch.long)
        self.places_RT = torch.empty(0, 0, dtype=torch.long)
        # Where they are contiguous, and the same for all rows: slices copy less than indices.
        self.rows: slice | None = None
        self.places: slice | None = None
        # Positions that a pass finds; models place their queries behind them.
        self.past = self.length = 0
        super().__init__(layers=[_Layer(self) for _ in range(layers)])

    def copy(self, source: int, target: int, places: slice) -> None:
        """Give one slot what another holds at some places."""
        for layer in self.layers:
            assert isinstance(layer, _Layer)
            layer.copy(source, target, places)

    def reserve(self, length: int) -> None:
        """Make room for `length` positions; room doubles, so growing is cheap on average."""
        if length <= self.capacity:
            return
        self.capacity = max(length, 2 * self.capacity)
        for layer in self.layers:
            assert isinstance(layer, _Layer)
            layer.grow(self.capacity)
