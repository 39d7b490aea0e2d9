"""How the length of a vector is spread over the layers of a model and the kinds of its modules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from trimtab.tensors.blocks import blocks, squared_norm
from trimtab.tensors.delta import Delta
from trimtab.vectors.facts import TensorFacts
from trimtab.vectors.vector import Vector

_PARAMETERS = ("weight", "bias")


class SumsRecord(TypedDict):
    """What a vector does to some tensors, as programs read it."""

    parameters: int | None  # how many; None: only those that change are known
    changed: int | None  # how many of them change; None: not counted
    norm: float  # Euclidean, of the difference
    relative_norm: float | None  # over that of the base's weights; None: not known
    relative_error: float | None  # the norm of what storing lost, over that of the difference


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What a vector does to some tensors; squares add up, so parts of a model do too.

    Attributes:
        parameters: how many there are; None where only those that change are known.
        changed: how many of them change; None where that was not counted.
        squared_norm: of the difference.
        squared_base_norm: of the base weights; None where they are not known.
        squared_error: of what storing the difference lost; None where that is not known.
    """

    parameters: int | None
    changed: int | None
    squared_norm: float
    squared_base_norm: float | None
    squared_error: float | None

    @property
    def norm(self) -> float:
        """Euclidean length of the difference."""
        return math.sqrt(self.squared_norm)

    @property
    def relative(self) -> float | None:
        """Length of the difference over that of the base weights; None where one is not known."""
        return _ratio(self.squared_norm, self.squared_base_norm)

    @property
    def error(self) -> float | None:
        """Length of what was lost over that of the difference; None where it is not known."""
        if self.squared_error is None:
            return None
        return _ratio(self.squared_error, self.squared_norm) if self.squared_error else 0.0

    @property
    def share(self) -> float | None:
        """Share of the parameters that change; None where it is not known."""
        if self.changed is None or not self.parameters:
            return None
        return self.changed / self.parameters

    def to_dict(self) -> SumsRecord:
        """Return the numbers for programs."""
        return {
            "parameters": self.parameters,
            "changed": self.changed,
            "norm": self.norm,
            "relative_norm": self.relative,
            "relative_error": self.error,
        }


@dataclass(frozen=True)
class Profile:
    """What a vector does to each tensor, and where that lies.

    Attributes:
        tensors: by name.
    """

    tensors: Mapping[str, Sums]

    @classmethod
    def of(cls, vector: Vector) -> Profile:
        """Return what was recorded when the vector was extracted; if nothing was, measure it."""
        if recorded := vector.facts.get("tensors"):
            return cls({name: _recorded(measures) for name, measures in recorded.items()})
        return cls({name: _measured(delta) for name, delta in vector.deltas.items()})

    @property
    def total(self) -> Sums:
        """Everything together."""
        return _total(self.tensors.values())

    def by_kind(self) -> dict[str, Sums]:
        """Return the sums by kind of module, in the order of the files."""
        names = kinds(self.tensors)
        return {
            kind: _total(sums for name, sums in self.tensors.items() if names[name] == kind)
            for kind in dict.fromkeys(names.values())
        }

    def by_place(self) -> dict[tuple[str, str], Sums]:
        """Return the sums by layer and kind; what lies in no layer has the layer ''."""
        names, layers = kinds(self.tensors), _layers(self.tensors)
        found: dict[tuple[str, str], list[Sums]] = {}
        for name, sums in self.tensors.items():
            found.setdefault((layers[name], names[name]), []).append(sums)
        return {place: _total(each) for place, each in found.items()}


def axes(places: Mapping[tuple[str, str], Sums]) -> tuple[list[str], list[str]]:
    """Return the layers that there are, in the model's order, and the kinds of their modules."""
    inside = [place for place in places if place[0]]
    layers = sorted({layer for layer, _ in inside}, key=_stack_and_number)
    return layers, list(dict.fromkeys(kind for _, kind in inside))


def _stack_and_number(layer: str) -> tuple[str, int]:
    stack, _, number = layer.rpartition(".")
    return stack, int(number)


def bases_are_known(sums: Iterable[Sums]) -> bool:
    """Tell whether the base's length is known of all."""
    return all(each.squared_base_norm is not None for each in sums)


def shown_norm(sums: Sums) -> float:
    """Return the relative norm in percent, or the norm where the base's is not known."""
    if sums.squared_base_norm is None:
        return sums.norm
    return math.nan if sums.relative is None else 100 * sums.relative


def kinds(names: Iterable[str]) -> dict[str, str]:
    """Return the kind of each tensor: the last name of its module, such as `q_proj`.

    Modules that share it, such as GPT-2's two `c_proj` in a layer, are told apart by the name
    before.
    """
    paths = {name: _path(name) for name in names}
    bearers: dict[str, set[tuple[str, ...]]] = {}
    for path in paths.values():
        bearers.setdefault(path[-1], set()).add(path)
    return {
        name: path[-1] if len(bearers[path[-1]]) == 1 else ".".join(path[-2:])
        for name, path in paths.items()
    }


def _path(name: str) -> tuple[str, ...]:
    """Return the modules below the layer that lead to a tensor, without numbers of experts."""
    parts = _without_parameter(name)
    numbered = [i for i, part in enumerate(parts) if part.isdecimal()]
    inner = [part for part in parts[numbered[0] + 1 :] if not part.isdecimal()] if numbered else []
    return tuple(inner or parts[-1:])


def _without_parameter(name: str) -> list[str]:
    parts = name.split(".")
    return parts[:-1] if len(parts) > 1 and parts[-1] in _PARAMETERS else parts


def _layers(names: Iterable[str]) -> dict[str, str]:
    """Return the layer of each tensor, by its number where a model has but one stack of them."""
    found: dict[str, tuple[str, str]] = {}
    for name in names:
        parts = _without_parameter(name)
        number = next((i for i, part in enumerate(parts) if part.isdecimal()), None)
        found[name] = ("", "") if number is None else (".".join(parts[:number]), parts[number])
    stacks = {stack for stack, number in found.values() if number}
    return {
        name: number if len(stacks) == 1 or not number else f"{stack}.{number}"
        for name, (stack, number) in found.items()
    }


def _recorded(measures: TensorFacts) -> Sums:
    return Sums(
        parameters=measures["parameters"],
        changed=measures["changed"],
        squared_norm=measures["norm"] ** 2,
        squared_base_norm=measures["base_norm"] ** 2,
        squared_error=measures["error"] ** 2,
    )


def _measured(delta: Delta) -> Sums:
    squared = math.fsum(squared_norm(delta.values(*ends)) for ends in blocks(delta.shape))
    return Sums(
        parameters=None,
        changed=None,
        squared_norm=squared,
        squared_base_norm=None,
        squared_error=None,
    )


def _total(each: Iterable[Sums]) -> Sums:
    parts = list(each)

    def added(values: Iterable[Any]) -> Any:
        known = list(values)
        return None if None in known else sum(known)

    return Sums(
        parameters=added(part.parameters for part in parts),
        changed=added(part.changed for part in parts),
        squared_norm=added(part.squared_norm for part in parts),
        squared_base_norm=added(part.squared_base_norm for part in parts),
        squared_error=added(part.squared_error for part in parts),
    )


def _ratio(one: float, other: float | None) -> float | None:
    return math.sqrt(one / other) if other else None
