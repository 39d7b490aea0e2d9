"""The difference of one tensor, and how it is read: a block at a time, as numbers or as a tensor.

Differences on disk are read without torch; those in memory are in `in_memory`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trimtab.vectors.disk.number_format import Array
from trimtab.vectors.disk.tensor_file import BLOCK, StoredTensor

if TYPE_CHECKING:
    import torch


class Correction(NamedTuple):
    """Elements at which base and difference do not sum up to the aligned weights, bit for bit.

    A difference that was rounded to fp32 cannot give weights back that are much smaller than it.

    Attributes:
        places: where they lie in the flat tensor, rising.
        values: the aligned weights there, in fp32.
    """

    places: Array
    values: Array

    @classmethod
    def of(cls, base: Array, delta: Array, aligned: Array) -> Correction | None:
        """Return where fp32 sums fall short, of flat fp32 arrays; None where nowhere."""
        short = (base + delta).view(np.int32) != aligned.view(np.int32)
        return cls(places := short.nonzero()[0], aligned[places]) if short.any() else None

    def within(self, first: int, last: int) -> Correction | None:
        """Return the part that lies between two places, counted from the first; None if empty."""
        begin, end = self.places.searchsorted([first, last])
        if begin == end:
            return None
        return Correction(self.places[begin:end] - first, self.values[begin:end])

    def after(self, first: int) -> Correction:
        """Return the same of a tensor that so many elements lie before."""
        return Correction(self.places + first, self.values)

    @classmethod
    def joined(cls, parts: Sequence[Correction]) -> Correction:
        """Return several, one after the other, as one."""
        places, values = (np.concatenate(each) for each in zip(*parts, strict=True))
        return cls(places, values)


class Delta(ABC):
    """What is added to a tensor at strength 1.

    Attributes:
        correction: what makes strength 1 exact, where it is needed and known.
    """

    correction: Correction | None = None

    @property
    def rank(self) -> int | None:
        """Rank of the factors; None where there are none."""
        return None

    @property
    def label(self) -> str | None:
        """What its numbers are stored as, such as `bfloat16`; None where that says nothing."""
        return None

    @property
    def is_open(self) -> bool:
        """Whether it is for the model to say which way round it is."""
        return False

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor."""

    @abstractmethod
    def block(self, first: int, last: int) -> torch.Tensor:
        """Return the elements `first` to `last`, flat; both at row ends."""

    def times(self, strength: float) -> Delta:
        """Return the difference multiplied by a number, in fp32 and in memory."""
        from trimtab.vectors.in_memory import Dense

        return Dense(self.dense().float() * strength)

    def to(self, device: torch.device) -> Delta:
        """Return the difference in a device's memory."""
        from trimtab.vectors.in_memory import Dense

        return Dense(self.dense().to(device), self.correction)

    def values(self, first: int, last: int) -> Array:
        """Return the elements `first` to `last`, flat, as numbers in fp32."""
        values: Array = self.block(first, last).detach().float().cpu().numpy()
        return values

    def corrected(self, first: int, last: int) -> Correction | None:
        """Return the correction of the elements `first` to `last`, counted from the first."""
        return None if self.correction is None else self.correction.within(first, last)

    def dense(self) -> torch.Tensor:
        """Return the whole difference."""
        return self.block(0, math.prod(self.shape)).view(self.shape)


@dataclass(frozen=True)
class OnDisk(Delta):
    """A difference in a file, read when it is wanted."""

    stored: StoredTensor
    correction: Correction | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor."""
        return self.stored.shape

    @property
    def label(self) -> str:
        """What its numbers are stored as."""
        return self.stored.format.label

    def block(self, first: int, last: int) -> torch.Tensor:
        """Return the elements `first` to `last`, flat."""
        return self.stored.block(first, last)

    def values(self, first: int, last: int) -> Array:
        """Return the elements `first` to `last`, flat, as numbers in fp32."""
        return self.stored.values(first, last)


def blocks(shape: tuple[int, ...], size: int = BLOCK) -> Iterator[tuple[int, int]]:
    """Yield places that part a tensor at row ends into blocks of about `size` elements."""
    total = math.prod(shape)
    columns = math.prod(shape[1:]) if len(shape) > 1 else 1
    step = max(1, size // max(1, columns)) * columns
    for first in range(0, total, step or 1):
        yield first, min(first + step, total)
