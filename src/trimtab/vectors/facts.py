"""What a vector's file says of it: a line for each key, of which reading's checks are made.

What is not known of a vector is missing, or null. A key that is not named here is kept as it is,
and read by nobody.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, NotRequired, TypedDict, cast

from trimtab.machine import shapes
from trimtab.machine.printable import printable

SUM = "sum"
"""How vectors are made that add, subtract and scale others."""
_LONGEST = 1e150  # whose square is a number still


def _length(value: Any) -> None:
    shapes.number(value)
    if not 0 <= value < _LONGEST:
        raise shapes.misfit(value, "a length or a count")


def _parts(value: Any) -> None:
    shapes.of(MadeOf)(value)
    if value["how"] == SUM:
        shapes.fields({"vectors": shapes.items(shapes.fields({"strength": shapes.number}))})(value)


_ForEach = Annotated[float | dict[str, float], shapes.anything]
"""One number for all vectors, or one for each, by name."""


class ModelFacts(TypedDict):
    """Exactly which model one is."""

    name: NotRequired[str | None]  # where it lies: `zoo:<name>`, a folder, a hub id
    revision: NotRequired[str | None]  # on the hub
    content_sha256: NotRequired[str | None]  # of its files
    tokenizer_sha256: NotRequired[str | None]  # of its tokens with their ids


class TensorFacts(TypedDict):
    """What was measured of a tensor when it was extracted: Euclidean norms, and counts."""

    norm: Annotated[float, _length]  # of the difference
    base_norm: Annotated[float, _length]  # of the base's weights
    error: Annotated[float, _length]  # of what storing the difference lost
    changed: Annotated[int, _length]  # elements that differ
    parameters: Annotated[int, _length]  # elements


class PartFacts(TypedDict):
    """Where a vector comes from that others are made of, and its part in that."""

    name: NotRequired[str | None]  # what it was called
    strength: NotRequired[float]  # how much of it was added, of a sum
    dtype: NotRequired[str | None]  # what its numbers were stored as
    rank: NotRequired[Annotated[int, shapes.count] | None]  # of its factors; None: it has none
    base: NotRequired[ModelFacts | None]  # the model that it starts from, if not that of all parts
    aligned: NotRequired[ModelFacts | None]  # the model that it leads to
    made_of: NotRequired[Annotated[MadeOf, _parts] | None]  # what it was itself made of


class MadeOf(TypedDict):
    """What a vector was made of, how, and with which settings of what made it."""

    how: str  # `sum`, or the function: `soup`, `ties`, ...
    vectors: list[PartFacts]  # the parts
    density: NotRequired[_ForEach]  # trim, drop, ties, dare: the share of elements that stay
    weights: NotRequired[_ForEach]  # soup, ties, dare: of the vectors
    normalize: NotRequired[bool]  # ties, dare_ties: whether weights are divided by
    over: NotRequired[str]  # trim, ties: `tensor` or `vector`
    seed: NotRequired[Annotated[int, shapes.anything]]  # drop, dare: of what is dropped
    rescale: NotRequired[str]  # drop, dare: `density`, `l1` or `none`
    scale: NotRequired[str]  # emr: `elements` or `tensors`
    task: NotRequired[str]  # mask: the task whose vector it is


class VectorFacts(TypedDict):
    """Where a vector comes from, and what was measured of it."""

    base: NotRequired[ModelFacts | None]  # the model that it starts from
    aligned: NotRequired[ModelFacts | None]  # the model that it leads to, if it was extracted
    dtype: NotRequired[str | None]  # what its numbers are stored as
    rank: NotRequired[Annotated[int, shapes.count] | None]  # of its factors; None: it has none
    vocabulary: NotRequired[str | None]  # `same`, or `shared`: other tokens were left alone
    exact: NotRequired[bool | None]  # whether strength 1 gives the aligned weights bit for bit
    tensors: NotRequired[dict[str, TensorFacts] | None]  # what was measured of each
    made_of: NotRequired[Annotated[MadeOf, _parts] | None]  # what it was made of, if of others


def read(said: str) -> VectorFacts:
    """Return the facts that a vector's file carries.

    Raises:
        ValueError: for what is no JSON, or has other shapes than what is written here.
    """
    try:
        facts = json.loads(said)
        shapes.of(VectorFacts)(facts)
    except RecursionError:
        raise ValueError("what it says of itself is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"what it says of itself is no JSON ({error})") from None
    except ValueError as error:
        raise ValueError(f"what it says of itself {printable(str(error))}") from None
    known = {key: value for key, value in facts.items() if value is not None or key == "rank"}
    return cast(VectorFacts, known)
