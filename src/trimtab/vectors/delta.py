"""The difference of one tensor: stored on disk, held in memory, or as a product of two factors.

Legend: M rows of a matrix (its first axis), N columns (all other axes), K rank.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch

from trimtab.vectors.tensor_file import BLOCK, StoredTensor


class Correction(NamedTuple):
    """Elements at which base and difference do not sum up to the aligned weights, bit for bit.

    A difference that was rounded to fp32 cannot give weights back that are much smaller than it.

    Attributes:
        places: where they lie in the flat tensor, rising.
        values: the aligned weights there, in fp32.
    """

    places: torch.Tensor
    values: torch.Tensor

    @classmethod
    def of(
        cls, base: torch.Tensor, delta: torch.Tensor, aligned: torch.Tensor
    ) -> Correction | None:
        """Return where fp32 sums fall short, of flat fp32 tensors; None where nowhere."""
        short = (base + delta).view(torch.int32) != aligned.view(torch.int32)
        places = short.nonzero()[:, 0]
        return cls(places, aligned[places]) if len(places) else None

    def within(self, first: int, last: int) -> Correction:
        """Return the part that lies between two places, counted from the first."""
        ends = torch.tensor([first, last], device=self.places.device)
        begin, end = torch.searchsorted(self.places, ends).tolist()
        return Correction(self.places[begin:end] - first, self.values[begin:end])

    def to(self, device: torch.device) -> Correction:
        """Return the correction in a device's memory."""
        return Correction(self.places.to(device), self.values.to(device))


class Delta(ABC):
    """What is added to a tensor at strength 1.

    Attributes:
        correction: what makes strength 1 exact, where it is needed and known.
    """

    correction: Correction | None = None

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor."""

    @abstractmethod
    def block(self, first: int, last: int) -> torch.Tensor:
        """Return the elements `first` to `last`, flat; both at row ends."""

    @abstractmethod
    def times(self, strength: float) -> Delta:
        """Return the difference multiplied by a number."""

    def corrected(self, first: int, last: int) -> Correction | None:
        """Return the correction of the elements `first` to `last`, counted from the first."""
        return None if self.correction is None else self.correction.within(first, last)

    def dense(self) -> torch.Tensor:
        """Return the whole difference."""
        return self.block(0, math.prod(self.shape)).view(self.shape)

    def to(self, device: torch.device) -> Delta:
        """Return the difference in a device's memory; itself if it is there."""
        correction = None if self.correction is None else self.correction.to(device)
        return Dense(self.dense().to(device), correction)


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

    def times(self, strength: float) -> Delta:
        """Return the difference multiplied by a number, in fp32."""
        return Dense(self.tensor.float() * strength)


@dataclass(frozen=True)
class OnDisk(Delta):
    """A difference in a file, read when it is wanted."""

    stored: StoredTensor
    correction: Correction | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor."""
        return self.stored.shape

    def block(self, first: int, last: int) -> torch.Tensor:
        """Return the elements `first` to `last`, flat."""
        return self.stored.read(first, last)

    def times(self, strength: float) -> Delta:
        """Return the difference multiplied by a number, in fp32 and in memory."""
        return Dense(self.dense().float() * strength)


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

    def corrected(self, first: int, last: int) -> Correction | None:
        """Return the correction of the elements `first` to `last`, counted from the first."""
        base, aligned = self._ends(first, last)
        return Correction.of(base, aligned - base, aligned)

    def times(self, strength: float) -> Delta:
        """Return the difference multiplied by a number, in fp32."""
        return Dense(self.dense() * strength)

    def to(self, device: torch.device) -> Delta:
        """Return itself: differences are taken where the base is."""
        return self

    def _ends(self, first: int, last: int) -> tuple[torch.Tensor, torch.Tensor]:
        base = self.base.reshape(-1)[first:last]
        return base.float(), self.aligned.reshape(-1)[first:last].to(base.device).float()


@dataclass(frozen=True, eq=False)
class LowRank(Delta):
    """A matrix of low rank.

    Attributes:
        left_MK: the left factor.
        right_KN: the right factor.
        scale: multiplies their product.
    """

    left_MK: torch.Tensor
    right_KN: torch.Tensor
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the product."""
        return (self.left_MK.shape[0], self.right_KN.shape[1])

    def block(self, first: int, last: int) -> torch.Tensor:
        """Return the elements `first` to `last`, flat, in fp32."""
        left_MK, right_KN = self._factors
        columns = right_KN.shape[1]
        return (left_MK[first // columns : last // columns] @ right_KN).reshape(-1)

    def times(self, strength: float) -> Delta:
        """Return the difference multiplied by a number, still as factors."""
        return LowRank(self.left_MK, self.right_KN, self.scale * strength)

    def to(self, device: torch.device) -> Delta:
        """Return the factors in a device's memory."""
        return LowRank(self.left_MK.to(device), self.right_KN.to(device), self.scale)

    @cached_property
    def _factors(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.left_MK.float() * self.scale, self.right_KN.float()


def added(one: Delta, other: Delta) -> Delta:
    """Return the sum of two differences of one tensor; factors stay factors, others are fp32."""
    if isinstance(one, LowRank) and isinstance(other, LowRank):
        left = torch.cat([one._factors[0], other._factors[0]], dim=1)
        return LowRank(left, torch.cat([one._factors[1], other._factors[1]], dim=0))
    return Dense(one.dense().float() + other.dense().float())


def blocks(shape: tuple[int, ...], size: int = BLOCK) -> Iterator[tuple[int, int]]:
    """Yield places that part a tensor at row ends into blocks of about `size` elements."""
    total = math.prod(shape)
    columns = math.prod(shape[1:]) if len(shape) > 1 else 1
    step = max(1, size // max(1, columns)) * columns
    for first in range(0, total, step):
        yield first, min(first + step, total)
