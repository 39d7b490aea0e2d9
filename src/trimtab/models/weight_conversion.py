"""Differences put together or parted as the weights are that they belong to, corrections too.

A conversion moves elements and changes none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch

from trimtab.tensors.delta import Correction, Delta, Dense
from trimtab.tensors.low_rank import OfAdapter

Tensors = Mapping[str, torch.Tensor]
Conversion = Callable[[Tensors], dict[str, torch.Tensor]]


def converted(
    convert: Conversion, deltas: Mapping[str, Delta | None], shapes: Mapping[str, torch.Size]
) -> dict[str, Delta]:
    """Return what differences become; None stands for no difference.

    What makes strength 1 exact is moved as the differences are.
    """
    made = convert({n: _dense(delta, shapes[n]) for n, delta in deltas.items()})
    corrections = {
        name: correction
        for name, delta in deltas.items()
        if delta is not None and (correction := delta.corrected(0, math.prod(delta.shape)))
    }
    if not corrections:
        return {name: Dense(tensor.contiguous()) for name, tensor in made.items()}
    marks = convert({n: _marks(corrections.get(n), shape) for n, shape in shapes.items()})
    return {n: Dense(tensor.contiguous(), _of_marks(marks[n])) for n, tensor in made.items()}


def _dense(delta: Delta | None, shape: torch.Size) -> torch.Tensor:
    if delta is None:
        return torch.zeros((), device="cpu").expand(shape)
    if isinstance(delta, OfAdapter):  # experts are linear layers
        delta = delta.of_module(transposed=False)
    return delta.dense().float().cpu()


def _marks(correction: Correction | None, shape: torch.Size) -> torch.Tensor:
    """Return a correction as a tensor, NaN where there is none."""
    if correction is None:
        return torch.full((), math.nan, device="cpu").expand(shape)
    marks = torch.full((math.prod(shape),), math.nan, device="cpu")
    marks[torch.from_numpy(correction.places)] = torch.from_numpy(correction.values)
    return marks.view(shape)


def _of_marks(marks: torch.Tensor) -> Correction | None:
    flat = marks.reshape(-1)
    places = (~flat.isnan()).nonzero()[:, 0]
    return Correction(places.numpy(), flat[places].numpy()) if len(places) else None
