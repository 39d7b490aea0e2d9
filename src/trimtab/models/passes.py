"""Which rows share a forward pass, and what shape it takes; no tensors.

The last bits of a logit follow from the order of a sum, which on a CPU follows from the shape of
the pass. With four slots or more, passes on a CPU take shapes in which the order is always the
same, so that a row's logits do not depend on the other rows of its batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

# Tokens of padding that cost about as much as one more forward pass.
_PADDING_ON_CPU, _PADDING_ELSEWHERE = 32, 1024
# On a CPU these are computed together, in an order of their own: rows of a matrix, keys of a query.
FEW, _KEYS = 4, 16
# Attention takes keys in blocks of the last of these, and adds up a block by its size: in one order
# up to the first, in another at each of the others.
_BLOCKS = (192, 256, 384, 512)


class Pass(NamedTuple):
    """One forward pass: the new tokens of some rows, aligned to the right.

    Attributes:
        slots: of the rows; idle rows, which write where nobody reads, are the last.
        lengths: of the rows' sequences, 0 for idle ones.
        news: the rows' new tokens.
        width: how many tokens each row has, with padding.
        shown: how many cached positions the pass is given.
        kept: positions of each row of which the model computes logits.
        positions: of the tokens in their sequences; 0 for padding.
        places_as_slice: where the tokens' keys are written, where that is the same for all rows.
    """

    slots: Sequence[int]
    lengths: Sequence[int]
    news: Sequence[list[int]]
    width: int
    shown: int
    kept: int
    positions: list[list[int]]
    places_as_slice: slice | None

    @property
    def tokens(self) -> list[list[int]]:
        """The rows' tokens, padded on the left."""
        return [[0] * (self.width - len(new)) + new for new in self.news]

    def places(self, scratch: int) -> list[list[int]]:
        """Return where the tokens' keys are written: at their positions, padding at `scratch`."""
        return [
            [scratch] * (self.width - len(new)) + own[self.width - len(new) :]
            for own, new in zip(self.positions, self.news, strict=True)
        ]

    @property
    def rows_as_slice(self) -> slice | None:
        """The slots, where they are contiguous."""
        first, end = self.slots[0], self.slots[0] + len(self.slots)
        return slice(first, end) if [*self.slots] == [*range(first, end)] else None

    @property
    def sees_all(self) -> bool:
        """Whether each row is one token, behind all positions that are shown."""
        same = self.places_as_slice
        return same is not None and self.width == 1 and self.shown == same.stop


class Passes:
    """Plans the passes of one session.

    Args:
        on_cpu: whether the model is on a CPU.
        slots: how many sequences the session has.
        drafts: whether a step may read several tokens.
    """

    def __init__(self, *, on_cpu: bool, slots: int, drafts: bool) -> None:
        self._padding = _PADDING_ON_CPU if on_cpu else _PADDING_ELSEWHERE
        self._steady = on_cpu and slots >= FEW
        self._drafts = drafts

    def groups(
        self, *, widths: Sequence[int], lengths: Sequence[int], opening: Sequence[bool]
    ) -> Iterator[tuple[list[int], bool]]:
        """Part rows into those that share a pass, and say whether it is a step of one token.

        Args:
            widths: how many new tokens each row has.
            lengths: of the rows' whole sequences.
            opening: whether the row's sequence begins.
        """
        rows = list(range(len(widths)))
        if not self._steady:
            yield from ((group, False) for group in _alike(rows, widths, self._padding))
            return
        # One token alone is summed up in another order than one among several.
        steps = [i for i in rows if widths[i] == 1 and not opening[i] and not self._drafts]
        if steps:
            yield steps, True
        by_room: dict[int, list[int]] = {}
        for i in sorted(set(rows) - set(steps)):
            by_room.setdefault(_room(lengths[i]), []).append(i)
        for rows in by_room.values():
            yield from ((group, False) for group in _alike(rows, widths, self._padding))

    def of(
        self,
        slots: Sequence[int],
        lengths: Sequence[int],
        news: Sequence[list[int]],
        *,
        keep: int,
        step: bool,
    ) -> Pass:
        """Return the pass of some rows, of which the last `keep` positions are read."""
        width, length, rows = max(map(len, news)), max(lengths), len(slots)
        shown, kept = length, keep
        if self._steady:
            shown = _up_to_multiple(length, _KEYS)
            if step:
                idle = range(slots[-1] + 1, slots[-1] + 1 + -rows % FEW)
                slots, lengths = [*slots, *idle], [*lengths, *(0 for _ in idle)]
                news = [*news, *([] for _ in idle)]
            else:
                if _room(length) % _BLOCKS[-1] != _BLOCKS[0]:
                    shown = _room(length)
                width, kept = _up_to_multiple(width, FEW), max(keep, -(-FEW // rows))
        positions = [
            [0] * (width - len(new)) + list(range(own - len(new), own))
            for own, new in zip(lengths, news, strict=True)
        ]
        aligned = min(lengths) == length and min(map(len, news)) == width
        same = slice(length - width, length) if aligned else None
        return Pass(slots, lengths, news, width, shown, kept, positions, same)


def _room(length: int) -> int:
    """Return for how many keys at most sums have the order that they have for `length` keys."""
    whole, rest = divmod(length - 1, _BLOCKS[-1])
    return whole * _BLOCKS[-1] + next(size for size in _BLOCKS if rest < size)


def _up_to_multiple(number: int, of: int) -> int:
    return -(-number // of) * of


def _alike(rows: Sequence[int], widths: Sequence[int], padding: int) -> list[list[int]]:
    """Part rows into groups that share a pass, each with at most so much padding.

    A row that begins brings its whole prompt, the others a token or a draft: together they would
    all be padded to the prompt.
    """
    groups: list[list[int]] = []
    left = 0
    for i in sorted(rows, key=widths.__getitem__):
        if groups:
            left -= (widths[i] - widths[groups[-1][-1]]) * len(groups[-1])
        if groups and left >= 0:
            groups[-1].append(i)
        else:
            groups.append([i])
            left = padding
    return [sorted(group) for group in groups]
