"""Differences of low rank: products of two factors, as LoRA adapters have them.

Legend: M rows of a matrix, N columns, K rank.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from trimtab.tensors.delta import Delta, Dense

if TYPE_CHECKING:
    import torch


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

    @property
    def rank(self) -> int:
        """Of the factors."""
        return self.left_MK.shape[1]

    @property
    def label(self) -> str:
        """What the factors are stored as."""
        return str(self.left_MK.dtype).removeprefix("torch.")

    def block(self, first: int, last: int) -> torch.Tensor:
        """Return the elements `first` to `last`, flat, in fp32."""
        left_MK, right_KN = self.factors
        columns = right_KN.shape[1]
        return (left_MK[first // columns : last // columns] @ right_KN).reshape(-1)

    def times(self, strength: float) -> Delta:
        """Return the difference multiplied by a number, still as factors."""
        return replace(self, scale=self.scale * strength)

    def to(self, device: torch.device) -> Delta:
        """Return the factors in a device's memory."""
        return replace(self, left_MK=self.left_MK.to(device), right_KN=self.right_KN.to(device))

    @cached_property
    def factors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The two whose product it is, in fp32."""
        return self.left_MK.float() * self.scale, self.right_KN.float()


@dataclass(frozen=True, eq=False)
class OfAdapter(LowRank):
    """The factors of an adapter, which does not say which way round the weight is.

    PEFT has one flag for all modules, and asks each module whether it holds for that.

    Attributes:
        transposed: whether the factors stand as of a module whose weight is transposed.
    """

    transposed: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it is for the model to say which way round it is."""
        return True

    def of_module(self, *, transposed: bool) -> LowRank:
        """Return the factors for a module whose weight is, or is not, transposed."""
        if transposed == self.transposed:
            return LowRank(self.left_MK, self.right_KN, self.scale)
        left_MK, right_KN = self.right_KN.mT.contiguous(), self.left_MK.mT.contiguous()
        return LowRank(left_MK, right_KN, self.scale)


def added(one: Delta, other: Delta) -> Delta:
    """Return the sum of two differences of one tensor; factors stay factors, others are fp32."""
    if isinstance(one, OfAdapter) and isinstance(other, OfAdapter):
        both = _side_by_side(one, other.of_module(transposed=one.transposed))
        return OfAdapter(both.left_MK, both.right_KN, transposed=one.transposed)
    if isinstance(one, LowRank) and isinstance(other, LowRank):
        return _side_by_side(one, other)
    return Dense(one.dense().float() + other.dense().float())


def _side_by_side(one: LowRank, other: LowRank) -> LowRank:
    import torch

    left = torch.cat([one.factors[0], other.factors[0]], dim=1)
    return LowRank(left, torch.cat([one.factors[1], other.factors[1]], dim=0))
