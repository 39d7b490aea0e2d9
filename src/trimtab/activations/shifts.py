"""Hidden states of a model that runs, moved along directions, in each row by strengths of its own.

Legend: R rows of a pass, T tokens, L layers, H width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from trimtab.activations.directions import Directions, separations
from trimtab.models.decoder_layers import decoder_layers, states_of, with_states
from trimtab.models.hidden_states import HiddenStates
from trimtab.models.language_model import LanguageModel


class Shifts:
    """Adds a strength times a direction to what some layers give, at every position.

    It is a `trimtab.models.steering.Steering`, whose directions are the layers'. A row whose
    strengths are 0 keeps the model's own numbers.

    Args:
        model: the model.
        directions: the directions.
        layers: the layers that are moved.

    Raises:
        ValueError: for a model in which it is not clear which its decoder layers are.
    """

    def __init__(self, model: LanguageModel, directions: Directions, layers: Sequence[int]) -> None:
        self.names = tuple(f"layer {layer}" for layer in layers)
        every = decoder_layers(model.weights)
        self._layers = [every[layer] for layer in layers]
        chosen = [directions.places[layer] for layer in layers]
        self._directions_LH = torch.from_numpy(directions.directions_LH[chosen])
        self._latest: list[list[float]] = []
        self._shifts: dict[int, torch.Tensor] = {}  # those of the latest strengths, by layer

    @contextmanager
    def at(self, strengths_RL: torch.Tensor) -> Iterator[None]:
        """Move the rows of the passes inside the context.

        Args:
            strengths_RL: of each layer's direction for each row.
        """
        strengths = strengths_RL.tolist()
        if strengths != self._latest:  # mostly, a pass has the rows of the one before
            self._latest, self._shifts = strengths, {}
        handles = [
            # First of all, so that other hooks see the states as they go on.
            self._layers[place].register_forward_hook(self._move(place, strengths), prepend=True)
            for place, of_rows in enumerate(zip(*strengths, strict=True))
            if any(of_rows)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _move(self, place: int, strengths: Sequence[Sequence[float]]) -> Callable[..., Any]:
        def after(layer: nn.Module, given: Any, out: Any) -> Any:
            states_RTH = states_of(out, layer)
            if place not in self._shifts:
                own_R1 = torch.tensor(strengths)[:, place, None]
                shift_RH = own_R1 * self._directions_LH[place]
                self._shifts[place] = shift_RH.to(states_RTH)[:, None]
            return with_states(out, states_RTH + self._shifts[place])

        return after


class GatedShifts(Shifts):
    """Moves hidden states only behind the layers in which a prompt lies on one side of a boundary.

    It is a `trimtab.models.steering.Gated`: a layer is open where the model's own hidden state at
    the prompt's last token, measured along directions of its own, lies beyond the boundary.

    Args:
        model: the model.
        directions: what is added.
        layers: the layers that are moved.
        own: directions of the model itself, of these layers at least.
        bias: what is added to the measure, which is 1 at the mean that the model's own directions
            point to and -1 at the other; the boundary is at 0.
    """

    def __init__(
        self,
        model: LanguageModel,
        directions: Directions,
        layers: Sequence[int],
        *,
        own: Directions,
        bias: float,
    ) -> None:
        super().__init__(model, directions, layers)
        chosen = [own.places[layer] for layer in layers]
        self._own_LH, self._middle_LH = own.directions_LH[chosen], own.middle_LH[chosen]
        self._bias = bias
        self.hidden = HiddenStates(model.weights, layers)

    def opened(self, states_LH: torch.Tensor) -> tuple[float, ...]:
        """Return 1 for each layer that is open, and 0 for the others."""
        states_1LH = states_LH.numpy()[None]
        (measured_L,) = separations(states_1LH, self._own_LH, self._middle_LH)
        return tuple(np.where(measured_L + self._bias > 0, 1.0, 0.0).tolist())
