"""What a model's layers give, for whoever wants to see it in some of its passes.

Legend: R rows of a pass, K last positions of each, H width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from trimtab.models.decoder_layers import decoder_layers, states_of


class HiddenStates:
    """The hidden states behind some layers of a model, at the last positions of its passes.

    Args:
        weights: the model.
        layers: numbers of the layers, from 0; the states are those that a layer gives.
    """

    def __init__(self, weights: PreTrainedModel, layers: Sequence[int]) -> None:
        every = decoder_layers(weights)
        self._layers = [every[number] for number in layers]

    @contextmanager
    def looking(self, keep: int, states: dict[int, torch.Tensor]) -> Iterator[None]:
        """Keep what a pass inside the context gives at the last positions of its rows.

        Args:
            keep: how many positions.
            states: filled with `[R, K, H]` of each layer, by its place among the layers.
        """

        def kept(place: int) -> Callable[[nn.Module, Any, Any], None]:
            def after(layer: nn.Module, given: Any, out: Any) -> None:
                states[place] = states_of(out, layer)[:, -keep:].clone()

            return after

        handles = [
            layer.register_forward_hook(kept(place)) for place, layer in enumerate(self._layers)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
