"""Whether the tensors of two models match, which arithmetic on them asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.tensors.delta import Deltas
from trimtab.tensors.number_format import NumberFormat

_SHOWN = 10


def require_same_tensors(
    base: Mapping[str, Any], aligned: Mapping[str, Any], paths: tuple[str, str]
) -> None:
    """Refuse weights that do not match by name and shape, listing what differs.

    Args:
        base: whatever has a `shape`, by the tensors' names.
        aligned: the same of the other model.
        paths: what the two are called.
    """
    problems = [f"{n}: only in {paths[0]}" for n in sorted(base.keys() - aligned.keys())]
    problems += [f"{n}: only in {paths[1]}" for n in sorted(aligned.keys() - base.keys())]
    problems += [
        f"{n}: {tuple(base[n].shape)} in {paths[0]}, {tuple(aligned[n].shape)} in {paths[1]}"
        for n in sorted(base.keys() & aligned.keys())
        if base[n].shape != aligned[n].shape
    ]
    if problems:
        raise ValueError(
            f"The weights of {paths[0]!r} and {paths[1]!r} do not match in {len(problems)} "
            f"tensors:\n{listed(problems)}\nAn alignment vector needs two models of one "
            "architecture, one fine-tuned from the other, and saved by one version of transformers."
        )


def listed(problems: list[str]) -> str:
    """Return problems a line each, and how many more there are than are shown."""
    more = len(problems) - _SHOWN
    lines = [*problems[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]
    return "\n".join(f"  {line}" for line in lines)


def require_fits(
    tensors: Mapping[str, Any], deltas: Deltas, *, model: str, vector_name: str
) -> None:
    """Refuse a vector with tensors that a model does not have in that shape, listing them.

    Args:
        tensors: whatever has a `shape`, by the names of the model's tensors.
        deltas: what is to be added, by the same names.
        model: what the model is called.
        vector_name: what the vector is called.
    """
    problems = []
    for name, delta in sorted(deltas.items()):
        if name in tensors and str(getattr(tensors[name], "device", "")) == "meta":
            raise ValueError(
                f"{name} of {model!r} is not in memory: it is offloaded or not loaded. Load the "
                "whole model, on as many devices as it takes, or use `trimtab vector apply`."
            )
        if name not in tensors:
            problems.append(f"{name}: not in {model}")
        elif tuple(tensors[name].shape) != delta.shape:
            shape = tuple(tensors[name].shape)
            problems.append(f"{name}: {delta.shape} in {vector_name}, {shape} in {model}")
    if problems:
        raise ValueError(
            f"Vector {vector_name!r} does not fit {model!r} in {len(problems)} tensors:\n"
            f"{listed(problems)}\nA vector goes with models of its own architecture: the one it "
            "was extracted from, and other stages of its tuning."
        )


def require_weights(kinds: Mapping[str, NumberFormat], deltas: Deltas, *, model: str) -> None:
    """Refuse to add a vector to tensors that hold no weights but numbers that stand for some.

    Args:
        kinds: how the model's tensors are stored, by their names.
        deltas: what is to be added, by the same names.
        model: what the model is called.
    """
    for name in deltas:
        if not kinds[name].is_of_weights:
            raise ValueError(
                f"{name} of {model!r} is of type {kinds[name].label}: nothing can be added to "
                "quantized weights. Give the model before it was quantized."
            )


def quantized(name: str, one: object, other: object) -> ValueError:
    """Return what is said of two tensors that hold no weights, and differ."""
    return ValueError(
        f"{name} is of type {one} and {other}: there is no difference of quantized weights. Give "
        "the models before they were quantized."
    )


def require_one_architecture(
    vectors: Mapping[str, Deltas], *, fix: str = "Only vectors of one base model go together."
) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that some vectors change, by sorted names.

    Args:
        vectors: the vectors' differences, by what the vectors are called.
        fix: what to do about vectors of two architectures.

    Raises:
        ValueError: for vectors of different architectures, listing the tensors.
    """
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    problems = []
    for which, deltas in vectors.items():
        for name, delta in deltas.items():
            first, shape = found.setdefault(name, (which, delta.shape))
            if delta.shape != shape:
                problems.append(f"{name}: {shape} in {first}, {delta.shape} in {which}")
    if problems:
        raise ValueError(
            f"The vectors are of two architectures: {len(problems)} tensors differ in shape:\n"
            f"{listed(problems)}\n{fix}"
        )
    return {name: shape for name, (_, shape) in sorted(found.items())}
