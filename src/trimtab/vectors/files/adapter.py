"""A LoRA adapter in the making: the differences of matrices, as factors of low rank."""

from __future__ import annotations

from pathlib import Path

import torch

from trimtab.vectors.delta import blocks
from trimtab.vectors.disk.number_format import Array
from trimtab.vectors.files.low_rank import factors
from trimtab.vectors.files.peft_layout import Layout
from trimtab.vectors.files.sources import ModelFolder
from trimtab.vectors.in_memory import LowRank
from trimtab.vectors.norms import square


class Adapter:
    """The factors of those matrices of a model that PEFT can adapt.

    Args:
        model: the base model.
        rank: of the factors.
        dtype: of the factors, such as `float32`.
    """

    def __init__(self, model: ModelFolder, rank: int, dtype: str) -> None:
        self._layout = Layout.of(model)
        self._rank, self._dtype = rank, getattr(torch, dtype)
        self._factors: dict[str, LowRank] = {}

    def takes(self, name: str, shape: tuple[int, ...]) -> bool:
        """Tell whether a weight can be stored as factors."""
        return self._layout.takes(name, shape)

    def add(self, name: str, delta_MN: Array) -> float:
        """Take a matrix, and return the squared length of what is lost of it."""
        found = self._factors[name] = factors(torch.from_numpy(delta_MN), self._rank, self._dtype)
        flat = delta_MN.reshape(-1)
        return sum(
            square(flat[first:last] - found.values(first, last))
            for first, last in blocks(found.shape)
        )

    def write(self, folder: Path, *, base: str) -> None:
        """Write the adapter, unless there is nothing in it.

        Args:
            folder: where to.
            base: the model that it is an adapter of.
        """
        if self._factors:
            self._layout.write(self._factors, self._rank, folder, base=base)
