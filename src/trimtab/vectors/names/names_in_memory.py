"""Vectors by the names of a loaded model's own tensors, which may not be those of its files."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from trimtab.models.tensor_names import TensorNames, tied_names
from trimtab.tensors.delta import Deltas
from trimtab.tensors.number_format import kind_of
from trimtab.vectors.matching import require_fits, require_weights
from trimtab.vectors.vector import Vector


def own_tensors(weights: nn.Module) -> dict[str, torch.Tensor]:
    """Return a model's parameters and stored buffers by name; tied ones once, by their first."""
    named = weights.state_dict(keep_vars=True)
    return {names[0]: named[names[0]] for names in tied_names(weights)}


def by_names_in_memory(vectors: Mapping[str, Vector], weights: nn.Module) -> Mapping[str, Deltas]:
    """Return the differences of each vector by the names of a model's tensors, which they fit.

    Args:
        vectors: the vectors by what they are called.
        weights: the model.

    Raises:
        ValueError: for a vector that cannot be converted as the model's weights are, or that does
            not fit the model, listing the tensors.
    """
    names, own = TensorNames(weights), own_tensors(weights)
    found = {which: names.in_memory(vector.deltas, of=which) for which, vector in vectors.items()}
    model = model_name(weights)
    for which, deltas in found.items():
        require_fits(own, deltas, model=model, vector_name=which)
        require_weights({name: kind_of(own[name]) for name in deltas}, deltas, model=model)
    return found


def model_name(weights: nn.Module) -> str:
    """Return what a model is called, in errors."""
    return getattr(weights, "name_or_path", "") or type(weights).__name__
