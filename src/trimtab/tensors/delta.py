"""The difference of one tensor, and how it is read: a block at a time, as numbers or as a tensor.

Those that are numbers, or lie between two tensors, are here; those of low rank in `low_rank`, those
in a file in `disk.vector_folder`. What is read as numbers is read without torch.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trimtab.tensors.number_format import Array, of_torch

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
        return Dense(self.dense().float() * strength)

    def to(self, device: torch.device) -> Delta:
        """Return the difference in a device's memory."""
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


Deltas = Mapping[str, Delta]
"""Differences by the tensors' names."""


@dataclass(frozen=True)
class Dense(Delta):
    """A difference in memory."""

    tensor: torch.Tensor
    correction: Correction | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor."""
        return tuple(self.tensor.shape)

    def block(self, first: int, last: int) -> torch.Tensor:
        """Return the elements `first` to `last`, flat."""
        return self.tensor.reshape(-1)[first:last]

    def values(self, first: int, last: int) -> Array:
        """Return the elements `first` to `last`, flat, as numbers in fp32."""
        return _values(self.tensor, first, last)


@dataclass(frozen=True, eq=False)
class Between(Delta):
    """The difference of two tensors in memory, taken in fp32 where it is wanted."""

    base: torch.Tensor
    aligned: torch.Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensors."""
        return tuple(self.base.shape)

    def block(self, first: int, last: int) -> torch.Tensor:
        """Return the elements `first` to `last`, flat, in fp32."""
        base, aligned = self._ends(first, last)
        return aligned - base

    def values(self, first: int, last: int) -> Array:
        """Return the elements `first` to `last`, flat, as numbers in fp32."""
        with np.errstate(over="ignore", invalid="ignore"):  # as torch has it
            return _values(self.aligned, first, last) - _values(self.base, first, last)

    def corrected(self, first: int, last: int) -> Correction | None:
        """Return the correction of the elements `first` to `last`, counted from the first."""
        import torch

        base, aligned = self._ends(first, last)
        short = (base + (aligned - base)).view(torch.int32) != aligned.view(torch.int32)
        places = short.nonzero()[:, 0]
        if not len(places):
            return None
        return Correction(places.cpu().numpy(), aligned[places].cpu().numpy())

    def to(self, device: torch.device) -> Delta:
        """Return itself: differences are taken where the base is."""
        return self

    def kept(self, live: torch.Tensor, copy: torch.Tensor) -> Between:
        """Return the difference with a copy in place of a tensor that is going to change."""
        ends = (self.base, self.aligned)
        return Between(*(copy if end.data_ptr() == live.data_ptr() else end for end in ends))

    def _ends(self, first: int, last: int) -> tuple[torch.Tensor, torch.Tensor]:
        base = self.base.detach().reshape(-1)[first:last]
        aligned = self.aligned.detach().reshape(-1)[first:last].to(base.device)
        return base.float(), aligned.float()


def _values(tensor: torch.Tensor, first: int, last: int) -> Array:
    stored, kind = of_torch(tensor.reshape(-1)[first:last])
    return kind.widened(stored)
