"""Factors of an adapter that are stored as a pickle, as PEFT wrote them before safetensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.machine.printable import printable
from trimtab.tensors.number_format import NumberFormat, kind_of

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class InPickle:
    """A tensor that was stored in a pickle, which is read whole."""

    tensor: torch.Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return tuple(self.tensor.shape)

    @property
    def format(self) -> NumberFormat:
        """Of its elements."""
        return kind_of(self.tensor)

    def load(self) -> torch.Tensor:
        """Return it."""
        return self.tensor


def unpickled(file: Path) -> dict[str, InPickle]:
    """Return the tensors of a pickle, which only whoever made it can know not to run code.

    Raises:
        ValueError: for what is no pickle of tensors by name.
    """
    import torch

    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a pickle can raise
        why = printable(str(error).strip().partition("\n")[0][:200])
        raise ValueError(f"{str(file)!r} cannot be read: {why}. Download it again.") from error
    if not isinstance(found, dict) or not all(isinstance(t, torch.Tensor) for t in found.values()):
        raise ValueError(f"{str(file)!r} holds something else than tensors by name.")
    return {str(name): InPickle(tensor) for name, tensor in found.items()}
