"""The seam of what moves a model while it runs, for each row of a batch by strengths of its own.

Legend: R rows of a pass, D directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


class Steering(Protocol):
    """Directions in which a model can be moved, each with a strength for each row.

    What a row reads at one strength serves no other: its keys and values are those of that
    strength.
    """

    @property
    def names(self) -> Sequence[str]:
        """The directions, in the order of a row's strengths."""
        ...

    def at(self, strengths_RD: torch.Tensor) -> AbstractContextManager[None]:
        """Move the model, for the passes inside the context.

        Args:
            strengths_RD: of each direction for each row of the passes; at 0 a row is the model's
                own.
        """
        ...
