"""A batch of growing token sequences of one model over a position-addressed KV cache.

Keys and values are stored per row at their absolute position, so what a query may attend to
follows from positions alone: rows may have different lengths, and rewinding a row is forgetting
its last tokens. Legend: R rows of this call, S slots, T new tokens, L cached positions, H heads,
D head size, V vocabulary, N positions that are read.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin

from trimtab.models.language_model import LanguageModel

# Rows of up to this many new tokens always share a forward pass.
_NARROW = 24


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
        stored[cache.rows_R1, :, cache.places_RT] = new.transpose(1, 2).to(stored.dtype)
        seen = stored[:, :, : cache.length]
        return seen if cache.all_slots else seen[cache.rows_R1[:, 0]]

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
        return self._cache.length

    def get_max_length(self) -> int:
        return -1


class PositionCache(Cache):
    """A transformers cache addressed by (slot, position); `Session` says where each call writes."""

    def __init__(self, *, layers: int, slots: int, capacity: int) -> None:
        self.slots, self.capacity = slots, capacity
        self.rows_R1 = torch.empty(0, 1, dtype=torch.long)
        self.places_RT = torch.empty(0, 0, dtype=torch.long)
        self.length = 0
        self.all_slots = False
        super().__init__(layers=[_Layer(self) for _ in range(layers)])

    def reserve(self, length: int) -> None:
        """Make room for `length` positions; room doubles, so growing is cheap on average."""
        if length <= self.capacity:
            return
        self.capacity = max(length, 2 * self.capacity)
        for layer in self.layers:
            assert isinstance(layer, _Layer)
            layer.grow(self.capacity)


class Session:
    """Sequences of one model, one per slot, each kept as the tokens whose keys are cached."""

    def __init__(self, model: LanguageModel, slots: int) -> None:
        self.model = model
        self.forward_passes = 0
        self._cached: list[list[int]] = [[] for _ in range(slots)]
        _require_attention(model)
        layers = model.weights.config.get_text_config().num_hidden_layers
        self._cache = PositionCache(layers=layers, slots=slots, capacity=256)

    def forget(self, slot: int) -> None:
        """Empty a slot for the next sequence."""
        self._cached[slot] = []

    @torch.inference_mode()
    def read(
        self, slots: Sequence[int], sequences: Sequence[list[int]], last: Sequence[int]
    ) -> tuple[torch.Tensor, list[int]]:
        """Return logits after each of the last tokens of some sequences, in one forward pass.

        Each slot is rewound to the longest prefix that its cached tokens share with the wanted
        sequence and extended by the rest: the sequence is the truth, the cache only saves work.

        Args:
            slots: the R slots to read, each once.
            sequences: the R whole token sequences that the slots shall hold.
            last: how many positions to read at the end of each sequence, at least 1.

        Returns:
            `logits_NV` in fp32, row after row, cut to the tokenizer's vocabulary; and how many
            tokens each row had to process.
        """
        news = [
            tokens[self._kept(slot, tokens, n) :]
            for slot, tokens, n in zip(slots, sequences, last, strict=True)
        ]
        rows: dict[int, torch.Tensor] = {}
        for group in _alike([len(new) for new in news]):
            keep = max(last[i] for i in group)
            logits_RKV = self._forward(
                [slots[i] for i in group],
                [sequences[i] for i in group],
                [news[i] for i in group],
                keep=keep,
            )
            for i, logits_KV in zip(group, logits_RKV, strict=True):
                rows[i] = logits_KV[keep - last[i] :]
        for slot, tokens in zip(slots, sequences, strict=True):
            self._cached[slot] = tokens
        logits_NV = torch.cat([rows[i] for i in range(len(slots))])
        return logits_NV[:, : self.model.vocabulary_size].float(), [len(new) for new in news]

    def _kept(self, slot: int, tokens: list[int], last: int) -> int:
        """Length of the cached prefix to keep; the positions to be read are always recomputed."""
        cached = self._cached[slot]
        limit = min(len(cached), len(tokens) - last)
        if cached[:limit] == tokens[:limit]:
            return limit
        return next(i for i in range(limit) if cached[i] != tokens[i])

    def _forward(
        self,
        slots: Sequence[int],
        sequences: Sequence[list[int]],
        news: Sequence[list[int]],
        *,
        keep: int,
    ) -> torch.Tensor:
        """Run the model on the new tokens, aligned to the right; return `logits_RKV`, K = keep."""
        width = max(map(len, news))
        length = max(map(len, sequences))
        cache, device = self._cache, self.model.device_in_use
        cache.reserve(length)
        scratch = cache.capacity
        tokens, positions, places = [], [], []
        for sequence, new in zip(sequences, news, strict=True):
            padding = width - len(new)
            own = range(len(sequence) - len(new), len(sequence))
            tokens.append([0] * padding + new)
            positions.append([0] * padding + list(own))
            places.append([scratch] * padding + list(own))
        positions_RT = torch.tensor(positions, device=device)
        cache.rows_R1 = torch.tensor(slots, device=device)[:, None]
        cache.places_RT = torch.tensor(places, device=device)
        cache.length = length
        cache.all_slots = list(slots) == list(range(cache.slots))
        logits_RKV: torch.Tensor = self.model.weights(
            input_ids=torch.tensor(tokens, device=device),
            position_ids=positions_RT,
            attention_mask=_masks(self.model.weights, positions_RT, length),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=keep,
        ).logits
        self.forward_passes += 1
        return logits_RKV


def _alike(widths: list[int]) -> list[list[int]]:
    """Part rows into groups of like width, where padding to the widest would waste too much.

    A row that begins brings its whole prompt, the others a token or a draft: together they would
    all be padded to the prompt.
    """
    order = sorted(range(len(widths)), key=widths.__getitem__)
    groups: list[list[int]] = []
    for i in order:
        if groups and widths[i] <= max(_NARROW, 2 * widths[groups[-1][0]]):
            groups[-1].append(i)
        else:
            groups.append([i])
    return [sorted(group) for group in groups]


def _masks(
    weights: PreTrainedModel, positions_RT: torch.Tensor, length: int
) -> torch.Tensor | dict[str, torch.Tensor]:
    """Return who may attend to what: keys at or before a query, within the window if there is one.

    Models that mix full and sliding layers take one mask for each kind.
    """
    config = weights.config.get_text_config()
    keys_L = torch.arange(length, device=positions_RT.device)
    distance_R1TL = positions_RT[:, None, :, None] - keys_L
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or [])
    eager = config._attn_implementation == "eager"

    def mask(window: int | None) -> torch.Tensor:
        allowed = distance_R1TL >= 0
        if window is not None:
            allowed = allowed & (distance_R1TL < window)
        if not eager:
            return allowed
        lowest = torch.finfo(weights.dtype).min
        return torch.zeros_like(allowed, dtype=weights.dtype).masked_fill(~allowed, lowest)

    if not kinds:
        return mask(window)
    if len(kinds) == 1:
        return mask(window if kinds == {"sliding_attention"} else None)
    return {"full_attention": mask(None), "sliding_attention": mask(window)}


def _require_attention(model: LanguageModel) -> None:
    """Refuse architectures whose answers do not follow from keys and values at positions alone."""
    config = model.weights.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or [])
    rope = str((getattr(config, "rope_parameters", None) or {}).get("rope_type", ""))
    reason = None
    if other := kinds - {"full_attention", "sliding_attention"}:
        reason = f"has layers of kind {', '.join(sorted(other))}, whose state cannot be rewound"
    elif getattr(model.weights, "_is_stateful", False):
        reason = "has a recurrent state, which cannot be rewound"
    elif "local" in getattr(config, "attention_layers", []):
        reason = "counts its local attention from the longest row of a batch"
    elif getattr(config, "alibi", False) or config.model_type == "bloom":
        reason = "has position biases (ALiBi) that take no mask of our own"
    elif rope in {"longrope", "dynamic"}:
        reason = f"has rotary frequencies ({rope}) that follow the longest row of a batch"
    if reason:
        raise ValueError(
            f"{model.path!r} ({config.model_type}) {reason}. Accepted: models with full or "
            "sliding-window attention in every layer, at positions of their own."
        )
