"""Which weights of a model in memory an adapter's factors belong to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import nn

from trimtab.models.adapters.stored_base import Misfits, misfit
from trimtab.models.tensor_names import TensorNames, tied_names
from trimtab.tensors.delta import Delta
from trimtab.tensors.low_rank import LowRank


class Use(NamedTuple):
    """One place where a weight is used.

    Attributes:
        module: the name of the module that uses it.
        like: that module as it is where nothing is quantized; without weights.
    """

    module: str
    like: nn.Module


class Placed(NamedTuple):
    """What an adapter adds to one weight.

    Attributes:
        name: the weight's.
        delta: what is added, the way round that the weight has.
        uses: where it is used; several places if it is tied.
    """

    name: str
    delta: Delta
    uses: tuple[Use, ...]


def misfits(read: Mapping[str, LowRank], built: nn.Module, *, of: str) -> Misfits:
    """Return what an adapter adds to and a model does not have in that shape.

    Args:
        read: the adapter's factors, by the names of the weights.
        built: the model, without weights.
        of: what the adapter is called.
    """
    there = {name: tuple(tensor.shape) for name, tensor in built.state_dict().items()}
    deltas = TensorNames(built).in_memory(read, of=of)
    own = {name: delta.shape for name, delta in deltas.items()}
    return {
        name: misfit(shape, there.get(name))
        for name, shape in own.items()
        if there.get(name) != shape
    }


def placed(
    read: Mapping[str, LowRank], built: nn.Module, weights: nn.Module | None, *, of: str
) -> list[Placed]:
    """Return where an adapter's factors belong, which fit.

    Args:
        read: the adapter's factors, by the names of the weights.
        built: the model, without weights and as it is where nothing is quantized.
        weights: the model as it is loaded, if it is: it may tie less than it could.
        of: what the adapter is called.
    """
    loaded = built if weights is None else weights
    groups = [group for names in tied_names(built) for group in _tied(names, loaded)]
    apart = {name for group in groups if len(group) == 1 for name in group}
    uses = {group[0]: group for group in groups}
    deltas = TensorNames(built, apart=apart).in_memory(read, of=of)
    return [
        Placed(name, delta, tuple(_uses(uses[name], built)))
        for name, delta in sorted(deltas.items())
    ]


def owned(weights: nn.Module, name: str) -> torch.Tensor | None:
    """Return a model's tensor of a name; None where the module holds its numbers otherwise."""
    module, _, leaf = name.rpartition(".")
    tensor = getattr(weights.get_submodule(module), leaf, None)
    return tensor if isinstance(tensor, torch.Tensor) else None


def _tied(names: tuple[str, ...], weights: nn.Module) -> list[tuple[str, ...]]:
    """Part names that can be of one tensor by what they are in a loaded model."""
    if len(names) == 1:
        return [names]
    found: dict[int, tuple[str, ...]] = {}
    for name in names:
        tensor = owned(weights, name)
        found[id(tensor)] = (*found.get(id(tensor), ()), name)
    return list(found.values())


def _uses(names: tuple[str, ...], built: nn.Module) -> Iterator[Use]:
    for name in names:
        module = name.rpartition(".")[0]
        yield Use(module, built.get_submodule(module))
