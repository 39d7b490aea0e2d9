"""The seam of a model whose part in a mixture depends on what another has just said.

Legend: N positions that are read, V vocabulary, H width of hidden states.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import torch


class Place(NamedTuple):
    """Where some of the N positions are, of which the first is read first.

    Attributes:
        slot: of the answer; what is kept of one answer can be kept under it.
        tokens: the follower's whole sequence: its prompt, and the answer so far.
        last: how many positions at its end.
        position: in the answer, of the token that follows the last of them.
        siblings: slots of all answers to the same prompt.
    """

    slot: int
    tokens: list[int]
    last: int
    position: int
    siblings: Sequence[int] = ()


class Follower(Protocol):
    """Tells of the tokens that may follow, once the first model of the mixture has.

    Attributes:
        reads_states: whether it is given that model's last hidden states.
    """

    reads_states: bool

    @property
    def forward_passes(self) -> int:
        """How many a model of its own has run so far."""
        ...

    def follow(
        self, places: Sequence[Place], logits_NV: torch.Tensor, states_NH: torch.Tensor | None
    ) -> torch.Tensor:
        """Return `[N, V]`, logits of the follower's own; -inf for tokens it says nothing of.

        What it returns for a place depends on that alone.

        Args:
            places: what is asked; their positions are the rows, one place after another.
            logits_NV: what the first model says there; not to be changed.
            states_NH: its last hidden states there, where they are read.
        """
        ...
