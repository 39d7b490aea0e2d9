"""The shape of a type hint: what fits is accepted, and what does not is named where it is."""

import math
from typing import Annotated, Any, NotRequired, TypedDict

import pytest

from trimtab.machine import shapes


class Leaf(TypedDict):
    name: str
    share: float
    seen: NotRequired[Annotated[int, shapes.count]]


class Node(TypedDict):
    leaves: list[Leaf]
    ends: Annotated[list[float], shapes.pair] | None
    below: NotRequired["dict[str, Node]"]


GOOD: dict[str, Any] = {"leaves": [{"name": "a", "share": 0.5}], "ends": None}


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (str, ["", "x"], [1, None, ["x"], math.nan]),
        (float, [0, -1.5, True, 2**62], [math.nan, math.inf, -math.inf, 2**63, 10**400, "1", None]),
        (int, [0, -3], [1.0, True, "1", 10**400]),
        (bool, [True, False], [0, 1, None]),
        (Annotated[int, shapes.count], [0, 7], [-1, True, 1.0, 2**63]),
        (Annotated[str, shapes.name], ["7", 7], [True, 7.0, None]),
        (Annotated[list[float], shapes.pair], [[0, 1.5]], [[], [1], [1, 2, 3], [1, "2"], None]),
        (str | None, ["x", None], [1]),
        (list[int], [[], [1, 2]], [{}, [1, "2"], None]),
        (dict[str, float], [{}, {"a": 1}], [[], {"a": "1"}, {1: 1.0}]),
        (Any, [None, 1, object()], []),
        (Node, [GOOD, GOOD | {"ends": [0, 1], "below": {"x": GOOD}, "more": 1}], [None, [], {}]),
    ],
)
def test_a_hint_is_a_shape(hint: Any, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        shapes.of(hint)(value)
    for value in bad:
        with pytest.raises(shapes.Misfit):
            shapes.of(hint)(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "is a list where an object is expected"),
        ({"ends": None}, "has no leaves"),
        (GOOD | {"leaves": [{"name": "a", "share": 1}, {"name": "b"}]}, "has no leaves[1].share"),
        (
            GOOD | {"below": {"x": GOOD | {"ends": [0, "1"]}}},
            "has below.x.ends[1] '1' where a finite number is expected",
        ),
        (
            GOOD | {"leaves": [{"name": "a", "share": 1, "seen": -1}]},
            "has leaves[0].seen -1 where a count is expected",
        ),
        (GOOD | {"below": {"x": {1: 2}}}, "has no below.x.leaves"),
        (GOOD | {"below": None}, "has below null where an object is expected"),
    ],
)
def test_a_misfit_says_where_and_what(value: Any, said: str) -> None:
    with pytest.raises(ValueError) as raised:
        shapes.of(Node)(value)
    assert str(raised.value) == said


def test_a_hint_without_a_shape_is_a_mistake_of_the_program() -> None:
    with pytest.raises(TypeError, match="set"):
        shapes.of(set[str])
