"""The strengths of each row in one forward pass, in the forms that modules want them.

`row_dials` hangs them into a model; `product_addition` and its neighbours add what they weigh.

Legend: R rows of a batch, D vectors, K ranks of all vectors together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch


class Group(NamedTuple):
    """Rows of equal strengths.

    Attributes:
        strengths: of the vectors that were asked for.
        rows: their places in the batch, rising.
    """

    strengths: tuple[float, ...]
    rows: list[int]


class RowStrengths:
    """Strengths `[R, D]`; each form is made once, however many modules want it.

    Args:
        strengths_RD: the vectors' strengths in each row.
    """

    def __init__(self, strengths_RD: torch.Tensor) -> None:
        self._strengths_RD = strengths_RD
        self._numbers: list[list[float]] = strengths_RD.tolist()
        self._alike: dict[tuple[torch.device, torch.dtype], torch.Tensor] = {}
        self._spread: dict[tuple[tuple[int, ...], torch.device, torch.dtype], torch.Tensor] = {}
        self._parted: dict[tuple[int, ...], tuple[list[Group], list[int]]] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def __bool__(self) -> bool:
        """Whether any strength is not 0."""
        return any(any(row) for row in self._numbers)

    def like(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return them, `[R, D]`, in the dtype and on the device of a tensor."""
        key = tensor.device, tensor.dtype
        if key not in self._alike:
            self._alike[key] = self._strengths_RD.to(*key)
        return self._alike[key]

    def spread(self, whose: Sequence[int], tensor: torch.Tensor) -> torch.Tensor:
        """Return those of some vectors, one after the other, `[R, K]`, made like a tensor."""
        key = tuple(whose), tensor.device, tensor.dtype
        if key not in self._spread:
            self._spread[key] = self.like(tensor)[:, list(whose)]
        return self._spread[key]

    def parted(self, vectors: tuple[int, ...]) -> tuple[list[Group], list[int]]:
        """Return the rows that some vectors move, by their strengths, and the other rows."""
        if vectors not in self._parted:
            found: dict[tuple[float, ...], list[int]] = {}
            for row, numbers in enumerate(self._numbers):
                found.setdefault(tuple(numbers[vector] for vector in vectors), []).append(row)
            groups = [Group(*item) for item in found.items()]
            still = [row for group in groups if not any(group.strengths) for row in group.rows]
            self._parted[vectors] = [each for each in groups if any(each.strengths)], still
        return self._parted[vectors]
