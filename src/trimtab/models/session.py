"""A batch of growing token sequences of one model, over a KV cache addressed by slot and position.

Legend: R rows of a call, T new tokens of a row, L cached positions, K positions kept of each row, V
vocabulary, N positions that are read.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trimtab.models.attention import AttentionMask, require_attention
from trimtab.models.cache import PositionCache
from trimtab.models.language_model import LanguageModel

# Tokens of padding that cost about as much as one more forward pass.
_PADDING_ON_CPU, _PADDING_ELSEWHERE = 32, 1024
# Fewer tokens than this are computed again rather than shared.
_WORTH_SHARING = 8


class Session:
    """Sequences of one model, one per slot, each kept as the tokens whose keys are cached."""

    def __init__(self, model: LanguageModel, slots: int) -> None:
        self.model = model
        self.forward_passes = 0
        self._cached: list[list[int]] = [[] for _ in range(slots)]
        self._beginning = set(range(slots))
        require_attention(model)
        layers = model.weights.config.get_text_config().num_hidden_layers
        self._cache = PositionCache(layers=layers, slots=slots, capacity=256)
        self._mask = AttentionMask(model.weights)
        self._device = model.device_in_use
        self._padding = _PADDING_ON_CPU if self._device.type == "cpu" else _PADDING_ELSEWHERE

    def forget(self, slot: int) -> None:
        """Let another sequence begin in a slot; what is cached may still serve it."""
        self._beginning.add(slot)

    @torch.inference_mode()
    def fork(self, source: int, target: int, length: int) -> None:
        """Make the target slot hold the source's first `length` tokens, without computing them."""
        start = common_prefix(self._cached[source][:length], self._cached[target])
        self._cache.copy(source, target, slice(start, length))
        self._cached[target] = self._cached[source][:length]

    @torch.inference_mode()
    def read(
        self, slots: Sequence[int], sequences: Sequence[list[int]], last: Sequence[int]
    ) -> tuple[torch.Tensor, list[int]]:
        """Return logits after each of the last tokens of some sequences, in one forward pass.

        Each slot is rewound to the longest prefix that its cached tokens share with the wanted
        sequence and extended by the rest: the sequence is the truth, the cache only saves work.
        Sequences that begin take what others have read of the same prompt.

        Args:
            slots: the R slots to read, each once.
            sequences: the R whole token sequences that the slots shall hold.
            last: how many positions to read at the end of each sequence, at least 1.

        Returns:
            `logits_NV` in fp32, row after row, cut to the tokenizer's vocabulary; and how many
            tokens each row would have to process if it were alone.
        """
        beginning = self._beginning.intersection(slots)
        if beginning:
            self._share(dict(zip(slots, sequences, strict=True)), beginning)
        news = [
            tokens[self._kept(slot, tokens, n) :]
            for slot, tokens, n in zip(slots, sequences, last, strict=True)
        ]
        alone = [
            len(tokens if slot in beginning else new)
            for slot, tokens, new in zip(slots, sequences, news, strict=True)
        ]
        self._beginning -= beginning
        read, wanted = [], dict[int, range]()
        offset = 0
        for group in _alike([len(new) for new in news], self._padding):
            keep = max(last[i] for i in group)
            logits_RKV = self._forward(
                [slots[i] for i in group],
                [sequences[i] for i in group],
                [news[i] for i in group],
                keep=keep,
            )
            read.append(logits_RKV.flatten(0, 1))
            for i in group:
                offset += keep
                wanted[i] = range(offset - last[i], offset)
        for slot, tokens in zip(slots, sequences, strict=True):
            self._cached[slot] = tokens
        logits_NV = torch.cat(read) if len(read) > 1 else read[0]
        order = [place for i in range(len(slots)) for place in wanted[i]]
        if order != list(range(offset)):
            logits_NV = logits_NV[torch.tensor(order, device=logits_NV.device)]
        return logits_NV[:, : self.model.vocabulary_size].float(), alone

    def _share(self, sequences: dict[int, list[int]], beginning: set[int]) -> None:
        """Fork, for slots where a sequence begins, the longest beginning that is cached anywhere.

        Where several begin, what they have in common is read once before.
        """
        first, *others = sorted(beginning)
        common = sequences[first]
        for slot in others:
            common = common[: common_prefix(common, sequences[slot])]
        new = common[max(common_prefix(cached, common) for cached in self._cached) :]
        if len(new) * len(others) >= _WORTH_SHARING**2:
            self._fork_longest(first, common)
            self._forward([first], [common], [common[self._kept(first, common, 1) :]], keep=1)
            self._cached[first] = common
        for slot in beginning:
            self._fork_longest(slot, sequences[slot])

    def _fork_longest(self, slot: int, tokens: list[int]) -> None:
        shared = [common_prefix(cached, tokens) for cached in self._cached]
        source = max(range(len(shared)), key=shared.__getitem__)
        if shared[source] >= shared[slot] + _WORTH_SHARING:
            self.fork(source, slot, shared[source])

    def _kept(self, slot: int, tokens: list[int], last: int) -> int:
        """Length of the cached prefix to keep; the positions to be read are always recomputed."""
        return min(common_prefix(self._cached[slot], tokens), len(tokens) - last)

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
        lengths = [len(sequence) for sequence in sequences]
        length = max(lengths)
        cache, device = self._cache, self._device
        cache.reserve(length)
        positions = [
            [0] * (width - len(new)) + list(range(n - len(new), n))
            for n, new in zip(lengths, news, strict=True)
        ]
        positions_RT = torch.tensor(positions, device=device)
        cache.length = length
        together = slice(slots[0], slots[0] + len(slots))
        contiguous = list(slots) == list(range(together.start, together.stop))
        cache.rows = together if contiguous else None
        aligned = min(lengths) == length and min(map(len, news)) == width
        cache.places = slice(length - width, length) if aligned else None
        if not (contiguous and aligned):
            cache.rows_R1 = torch.tensor(slots, device=device)[:, None]
            scratch = cache.capacity
            cache.places_RT = torch.tensor(
                [
                    [scratch] * (width - len(new)) + own[width - len(new) :]
                    for own, new in zip(positions, news, strict=True)
                ],
                device=device,
            )
        logits_RKV: torch.Tensor = self.model.weights(
            input_ids=torch.tensor([[0] * (width - len(new)) + new for new in news], device=device),
            position_ids=positions_RT,
            attention_mask=self._mask(positions_RT, length, aligned=aligned),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=keep,
        ).logits
        self.forward_passes += 1
        return logits_RKV


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the length of the longest common prefix."""
    length = min(len(one), len(other))
    if one[:length] == other[:length]:
        return length
    return next(i for i in range(length) if one[i] != other[i])


def _alike(widths: list[int], padding: int) -> list[list[int]]:
    """Part rows into groups that share a pass, each with at most so much padding.

    A row that begins brings its whole prompt, the others a token or a draft: together they would
    all be padded to the prompt.
    """
    groups: list[list[int]] = []
    left = 0
    for i in sorted(range(len(widths)), key=widths.__getitem__):
        if groups:
            left -= (widths[i] - widths[groups[-1][-1]]) * len(groups[-1])
        if groups and left >= 0:
            groups[-1].append(i)
        else:
            groups.append([i])
            left = padding
    return [sorted(group) for group in groups]
