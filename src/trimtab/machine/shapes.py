"""What data from a file must look like, read off the type hints of a typed record.

A shape is called with a value and raises a `Misfit`, which says what is there and what is expected,
and where, as in `metrics.accuracy.n`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

Shape = Callable[[Any], None]

_SHOWN = 40  # characters of a value in a message


class Misfit(ValueError):
    """Data of another shape.

    Args:
        problem: what is there instead of what.
        verb: what a thing has to do with the problem that lies in it.
    """

    def __init__(self, problem: str, verb: str = "has") -> None:
        super().__init__(problem)
        self._problem, self._verb, self._place = problem, verb, ""

    def within(self, place: str) -> Misfit:
        """Return it as it is seen from one step further out: that of a key, or of `[3]`."""
        dot = "." if self._place and not self._place.startswith("[") else ""
        self._place = f"{place}{dot}{self._place}"
        return self

    def __str__(self) -> str:
        """Say what is wrong, and where."""
        words = [self._verb, self._place] if self._place else ["is"]
        return " ".join([*words, *([self._problem] if self._problem else [])])


def misfit(value: Any, expected: str) -> Misfit:
    """Return the error of a value that is not what is expected."""
    kind = {dict: "an object", list: "a list", NoneType: "null"}
    what = kind.get(type(value)) or repr(value)[:_SHOWN]
    return Misfit(f"{what} where {expected} is expected")


def text(value: Any) -> None:
    """Accept a string."""
    if not isinstance(value, str):
        raise misfit(value, "a text")


def name(value: Any) -> None:
    """Accept a string or an integer."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise misfit(value, "a text or an integer")


def number(value: Any) -> None:
    """Accept a finite number; true and false are 1 and 0."""
    largest = 2**63 if isinstance(value, int) else math.inf
    if not isinstance(value, int | float) or not abs(value) < largest:
        raise misfit(value, "a finite number")


def whole(value: Any) -> None:
    """Accept an integer."""
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**63:
        raise misfit(value, "an integer")


def count(value: Any) -> None:
    """Accept an integer that is not below 0."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise misfit(value, "a count")


def flag(value: Any) -> None:
    """Accept true and false."""
    if not isinstance(value, bool):
        raise misfit(value, "true or false")


def anything(value: Any) -> None:
    """Accept whatever there is."""


def pair(value: Any) -> None:
    """Accept a list of two finite numbers."""
    if not isinstance(value, list) or len(value) != 2:
        raise misfit(value, "a list of two")
    _numbers(value)


def maybe(shape: Shape) -> Shape:
    """Accept null too."""

    def check(value: Any) -> None:
        if value is not None:
            shape(value)

    return check


def items(shape: Shape) -> Shape:
    """Accept a list of one shape."""

    def check(value: Any) -> None:
        if not isinstance(value, list):
            raise misfit(value, "a list")
        place = 0
        try:
            for place, item in enumerate(value):  # noqa: B007 - says where, if anything is wrong
                shape(item)
        except Misfit as error:
            raise error.within(f"[{place}]") from None

    return check


_numbers = items(number)


def each(shape: Shape) -> Shape:
    """Accept an object whose values have one shape, under any names."""

    def check(value: Any) -> None:
        if not isinstance(value, dict):
            raise misfit(value, "an object")
        key = ""
        try:
            for key, item in value.items():
                if not isinstance(key, str):
                    raise misfit(key, "a text for a name")
                shape(item)
        except Misfit as error:
            raise error.within(str(key)) from None

    return check


def fields(required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None) -> Shape:
    """Accept an object with some keys; further ones are not looked at."""
    known = [(key, shape, True) for key, shape in required.items()]
    known += [(key, shape, False) for key, shape in (optional or {}).items()]

    def check(value: Any) -> None:
        if not isinstance(value, dict):
            raise misfit(value, "an object")
        key = ""
        try:
            for key, shape, is_required in known:
                if key in value:
                    shape(value[key])
                elif is_required:
                    raise Misfit("", "has no")
        except Misfit as error:
            raise error.within(key) from None

    return check


@cache
def of(hint: Any) -> Shape:
    """Return the shape that a type hint describes.

    Args:
        hint: str, float (finite), int, bool, Any, what these are lists, dicts or optional ones of,
            and classes of `TypedDict`, whose further keys are not looked at. `Annotated` with a
            shape stands for that shape.
    """
    if hint in _PLAIN:
        return _PLAIN[hint]
    if is_typeddict(hint):
        return _record(hint)
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return inner[1]
    if kind in (Union, UnionType) and len(inner) == 2 and inner[1] is NoneType:
        return maybe(of(inner[0]))
    if kind is list:
        return items(of(inner[0]))
    if kind in (dict, Mapping):
        return each(of(inner[1]))
    raise TypeError(f"{hint!r} describes no shape")


_PLAIN: Mapping[Any, Shape] = {
    str: text,
    float: number,
    int: whole,
    bool: flag,
    Any: anything,
}


def _record(record: type) -> Shape:
    """Return the shape of a typed record, which may hold others of its own kind."""

    @cache
    def shape() -> Shape:
        hints = get_type_hints(record, include_extras=True)
        optional = {key: get_args(h)[0] for key, h in hints.items() if get_origin(h) is NotRequired}
        return fields(
            {key: of(hint) for key, hint in hints.items() if key not in optional},
            {key: of(hint) for key, hint in optional.items()},
        )

    return lambda value: shape()(value)
