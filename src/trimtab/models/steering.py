"""The seam of what moves a model while it runs, for each row of a batch by strengths of its own.

Legend: R rows of a pass, D directions, L layers, H width.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch

    from trimtab.models.hidden_states import HiddenStates


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


@runtime_checkable
class Gated(Steering, Protocol):
    """A steering of which the model's own states after a prompt decide how far it goes.

    What it decides holds for all of the answer to that prompt, at every strength.
    """

    @property
    def hidden(self) -> HiddenStates:
        """The states that it decides by."""
        ...

    def opened(self, states_LH: torch.Tensor) -> tuple[float, ...]:
        """Return how far each direction is let through, from 0 to 1.

        Args:
            states_LH: `hidden` at the prompt's last token, of the model as it is.
        """
        ...


@dataclass(eq=False)
class Gate:
    """How far a prompt lets a steering through: one for all answers to the same prompt.

    Attributes:
        prompt: its tokens.
        shares: of each direction, from 0 to 1; None until the prompt is read, and for good where
            the steering asks nothing of prompts.
    """

    prompt: Sequence[int]
    shares: tuple[float, ...] | None = None
