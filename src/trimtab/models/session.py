"""A batch of growing token sequences of one model, over a KV cache addressed by slot and position.

Legend: R rows of a call, T new tokens of a row, L cached positions, K positions kept of each row, V
vocabulary, N positions that are read; of hidden states, D layers and H width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from trimtab.models.attention import AttentionMask, require_attention
from trimtab.models.hidden_states import HiddenStates
from trimtab.models.kv_cache import PositionCache
from trimtab.models.language_model import LanguageModel
from trimtab.models.last_states import LastStates
from trimtab.models.passes import FEW, Passes
from trimtab.models.prefix import common_prefix, kept_length
from trimtab.models.steering import Gated, Steering

# Fewer tokens than this are computed again rather than shared between strangers.
_WORTH_SHARING = 8


class Session:
    """Sequences of one model, one per slot, each kept as the tokens whose keys are cached.

    With four slots or more on a CPU, a row's logits do not depend on the other rows of its batch,
    to the last bit (see `trimtab.models.passes`).

    Args:
        model: the model.
        slots: how many sequences.
        drafts: whether a step may read several tokens.
        steering: what moves the model, for each sequence by strengths of its own.
        hidden: the hidden states that can be looked at; None for those that `steering` decides by.
        reads_states: whether a reading keeps the last hidden states as well.

    Attributes:
        seen: hidden states `[D, H]` of the slots that were looked at, by slot.
        states_NH: the last hidden states at the N positions of the latest reading, where kept.
    """

    def __init__(
        self,
        model: LanguageModel,
        slots: int,
        *,
        drafts: bool = False,
        steering: Steering | None = None,
        hidden: HiddenStates | None = None,
        reads_states: bool = False,
    ) -> None:
        self.model = model
        self.steering = steering
        self.seen: dict[int, torch.Tensor] = {}
        self._hidden = steering.hidden if isinstance(steering, Gated) else hidden
        self.states_NH: torch.Tensor | None = None
        self._looks = LastStates(model) if reads_states else None
        self._strengths: list[tuple[float, ...]] = [()] * slots
        self.forward_passes = 0
        self._cached: list[list[int]] = [[] for _ in range(slots)]
        require_attention(model)
        layers = model.weights.config.get_text_config().num_hidden_layers
        self._cache = PositionCache(layers=layers, slots=slots + FEW - 1, capacity=256)
        self._mask = AttentionMask(model.weights)
        self._device = model.device_in_use
        self._passes = Passes(on_cpu=self._device.type == "cpu", slots=slots, drafts=drafts)

    @torch.inference_mode()
    def fork(self, source: int, target: int, length: int) -> None:
        """Make the target slot hold the source's first `length` tokens, without computing them."""
        start = common_prefix(self._cached[source][:length], self._cached[target])
        self._cache.copy(source, target, slice(start, length))
        self._cached[target] = self._cached[source][:length]

    @torch.inference_mode()
    def read(
        self,
        slots: Sequence[int],
        sequences: Sequence[list[int]],
        last: Sequence[int],
        *,
        opening: Collection[int] = (),
        siblings: Sequence[Sequence[int]] = (),
        strengths: Sequence[tuple[float, ...]] = (),
        looked_at: Collection[int] = (),
    ) -> torch.Tensor:
        """Return logits after each of the last tokens of some sequences, in one forward pass.

        Each slot is rewound to the longest prefix that its cached tokens share with the wanted
        sequence and extended by the rest: the sequence is the truth, the cache only saves work.
        Sequences that begin take what others have read of the same prompt.

        Args:
            slots: the R slots to read, each once.
            sequences: the R whole token sequences that the slots shall hold.
            last: how many positions to read at the end of each sequence, at least 1.
            opening: those of the slots in which another sequence begins.
            siblings: for each of the slots, those that continued the same prompt, from which it
                takes over what its sequence has in common with theirs.
            strengths: of the directions of `steering`, for each of the slots.
            looked_at: those of the slots whose hidden states are kept in `seen`, after the first of
                their positions that are read.

        Returns:
            `logits_NV` in fp32, row after row, cut to the tokenizer's vocabulary.

        Raises:
            ValueError: for other strengths than one for each direction.
        """
        self._turn(slots, strengths)
        for slot, tokens, others in zip(slots, sequences, siblings, strict=False):
            if len(others) > 1 and slot not in opening:
                self._inherit(slot, tokens, others)
        if opening:  # after the others have taken what it overwrites
            wanted_by = dict(zip(slots, sequences, strict=True))
            for group in _alike(opening, self._strengths):
                self._share(wanted_by, group)
        news = [
            tokens[kept_length(self._cached[slot], tokens, n) :]
            for slot, tokens, n in zip(slots, sequences, last, strict=True)
        ]
        if not self.model.has_all_rows:
            for new in news:
                self.model.require_rows(new)
        read: list[torch.Tensor] = []
        wanted: dict[int, tuple[int, slice]] = {}
        for group, step in self._passes.groups(
            widths=[len(new) for new in news],
            lengths=[len(tokens) for tokens in sequences],
            opening=[slot in opening for slot in slots],
        ):
            keep = max(last[i] for i in group)
            watched = [row for row, i in enumerate(group) if slots[i] in looked_at]
            states: dict[int, torch.Tensor] = {}
            with self._hidden.looking(keep, states) if self._hidden and watched else nullcontext():
                logits_RKV = self._forward(
                    [slots[i] for i in group],
                    [sequences[i] for i in group],
                    [news[i] for i in group],
                    keep=keep,
                    step=step,
                )
            for row in watched:
                self.seen[slots[group[row]]] = _stacked(states, row, -last[group[row]])
            for i, end in zip(group, range(keep, keep * len(group) + 1, keep), strict=True):
                wanted[i] = len(read), slice(end - last[i], end)
            read.append(logits_RKV.flatten(0, 1))
        for slot, tokens in zip(slots, sequences, strict=True):
            self._cached[slot] = tokens
        if len(read) == 1 and len(read[0]) == sum(last):
            (logits_NV,) = read
        else:
            own = [wanted[i] for i in range(len(slots))]
            logits_NV = torch.cat([read[number][places] for number, places in own])
        if self._looks is not None:
            logits_NV, self.states_NH = self._looks.parted(logits_NV)
        return logits_NV[:, : self.model.vocabulary_size].float()

    def _turn(self, slots: Sequence[int], strengths: Sequence[tuple[float, ...]]) -> None:
        """Give slots their strengths, whether or not it was seen that a sequence began in them.

        Keys and values that were computed at one strength serve no other.
        """
        if self.steering is None:
            return
        names = self.steering.names
        for slot, own in zip(slots, strengths or [()] * len(slots), strict=True):
            if len(own) != len(names):
                raise ValueError(
                    f"strengths={own!r} for {self.model.path!r}, which is moved in "
                    f"{len(names)} directions ({', '.join(map(str, names))}). Accepted is a number "
                    "for each: strengths_for() returns them."
                )
            if own != self._strengths[slot]:
                self._strengths[slot], self._cached[slot] = own, []

    def _shared(self, slot: int, tokens: list[int], others: Iterable[int]) -> dict[int, int]:
        """Return how much of `tokens` other slots of the same strengths have cached, by slot."""
        return {
            other: common_prefix(self._cached[other], tokens)
            for other in others
            if self._strengths[other] == self._strengths[slot]
        }

    def _share(self, sequences: dict[int, list[int]], opening: Collection[int]) -> None:
        """Fork, for slots where a sequence begins, the longest beginning that is cached anywhere.

        Where several begin, what they have in common is read once before.
        """
        first, *others = sorted(opening)
        common = sequences[first]
        for slot in others:
            common = common[: common_prefix(common, sequences[slot])]
        known = self._shared(first, common, range(len(self._cached)))
        new = common[max(known.values()) :]
        if len(new) * len(others) >= _WORTH_SHARING**2:
            self._fork_longest(first, common)
            rest = common[kept_length(self._cached[first], common, 1) :]
            self._forward([first], [common], [rest], keep=1, step=False)
            self._cached[first] = common
        for slot in opening:
            self._fork_longest(slot, sequences[slot])

    def _fork_longest(self, slot: int, tokens: list[int]) -> None:
        shared = self._shared(slot, tokens, range(len(self._cached)))
        source = max(shared, key=shared.__getitem__)
        if shared[source] >= shared[slot] + _WORTH_SHARING:
            self.fork(source, slot, shared[source])

    def _inherit(self, slot: int, tokens: list[int], siblings: Sequence[int]) -> None:
        """Fork what a sibling has cached of `tokens`, where that is more."""
        own = common_prefix(self._cached[slot], tokens)
        if own >= len(tokens) - 1:
            return
        shared = self._shared(slot, tokens, siblings)
        source = max(shared, key=shared.__getitem__)
        if shared[source] > own:
            self.fork(source, slot, shared[source])

    def _forward(
        self,
        slots: Sequence[int],
        sequences: Sequence[list[int]],
        news: Sequence[list[int]],
        *,
        keep: int,
        step: bool,
    ) -> torch.Tensor:
        """Run the model on the new tokens, aligned to the right; return `logits_RKV`, K = keep."""
        lengths = [len(sequence) for sequence in sequences]
        planned = self._passes.of(slots, lengths, news, keep=keep, step=step)
        cache, device = self._cache, self._device
        cache.reserve(planned.shown)
        cache.past, cache.length = planned.shown - planned.width, planned.shown
        cache.rows, cache.places = planned.rows_as_slice, planned.places_as_slice
        if cache.rows is None or cache.places is None:
            cache.rows_R1 = torch.tensor(planned.slots, device=device)[:, None]
            cache.places_RT = torch.tensor(planned.places(scratch=cache.capacity), device=device)
        positions_RT = torch.tensor(planned.positions, device=device)
        looking = self._looks.looking() if self._looks is not None else nullcontext()
        with self._turned(planned.slots), looking:
            logits_RKV: torch.Tensor = self.model.weights(
                input_ids=torch.tensor(planned.tokens, device=device),
                position_ids=positions_RT,
                attention_mask=self._mask(positions_RT, planned.shown, all_seen=planned.sees_all),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=planned.kept,
            ).logits
        self.forward_passes += 1
        logits_RKV = logits_RKV[: len(slots), -keep:]
        return logits_RKV if self._looks is None else self._looks.joined(logits_RKV)

    def _turned(self, slots: Sequence[int]) -> AbstractContextManager[None]:
        """Turn the dials for the rows of a pass; rows behind the slots are idle."""
        if self.steering is None:
            return nullcontext()
        idle = (0.0,) * len(self.steering.names)
        own = [self._strengths[slot] if slot < len(self._strengths) else idle for slot in slots]
        rows = [strengths or idle for strengths in own]
        return self.steering.at(torch.tensor(rows, device=self._device))


def _stacked(states: dict[int, torch.Tensor], row: int, position: int) -> torch.Tensor:
    """Return one row's states at one position, `[D, H]`; layers may lie on several devices."""
    return torch.stack([states[place][row, position].float().cpu() for place in sorted(states)])


def _alike(slots: Collection[int], strengths: Sequence[tuple[float, ...]]) -> Collection[list[int]]:
    """Return slots in which sequences begin, those of the same strengths together."""
    groups: dict[tuple[float, ...], list[int]] = {}
    for slot in slots:
        groups.setdefault(strengths[slot], []).append(slot)
    return groups.values()
