"""What data from a file must look like: types, keys and bounds, checked with errors that say where.

A shape is called with a value and its place, as in `metrics.accuracy.n`, and raises a `ValueError`
that says what is there and what is expected.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

Shape = Callable[[Any, str], None]

_SHOWN = 40  # characters of a value in a message


def text(value: Any, at: str) -> None:
    """Accept a string."""
    _require(isinstance(value, str), value, at, "a text")


def name(value: Any, at: str) -> None:
    """Accept a string or an integer."""
    known = isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))
    _require(known, value, at, "a text or an integer")


def number(value: Any, at: str) -> None:
    """Accept a finite number; true and false are 1 and 0."""
    finite = isinstance(value, (int, float)) and abs(value) < math.inf
    if finite and isinstance(value, int):
        finite = abs(value) < 2**63
    _require(finite, value, at, "a finite number")


def count(value: Any, at: str) -> None:
    """Accept an integer that is not below 0."""
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    _require(whole, value, at, "a count")


def flag(value: Any, at: str) -> None:
    """Accept true and false."""
    _require(isinstance(value, bool), value, at, "true or false")


def anything(value: Any, at: str) -> None:
    """Accept whatever there is."""


def maybe(shape: Shape) -> Shape:
    """Accept null too."""

    def check(value: Any, at: str) -> None:
        if value is not None:
            shape(value, at)

    return check


def pair(shape: Shape) -> Shape:
    """Accept a list of two."""

    def check(value: Any, at: str) -> None:
        _require(isinstance(value, list) and len(value) == 2, value, at, "a list of two")
        items(shape)(value, at)

    return check


def items(shape: Shape) -> Shape:
    """Accept a list of one shape."""

    def check(value: Any, at: str) -> None:
        _require(isinstance(value, list), value, at, "a list")
        for place, item in enumerate(value):
            shape(item, f"{at}[{place}]")

    return check


def each(shape: Shape) -> Shape:
    """Accept an object whose values have one shape, under any names."""

    def check(value: Any, at: str) -> None:
        _require(_is_object(value), value, at, "an object")
        for key, item in value.items():
            shape(item, _within(at, key))

    return check


def fields(required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None) -> Shape:
    """Accept an object with some keys; further ones are not looked at."""

    def check(value: Any, at: str) -> None:
        _require(_is_object(value), value, at, "an object")
        for key, shape in required.items():
            if key not in value:
                raise ValueError(f"has no {_within(at, key)}")
            shape(value[key], _within(at, key))
        for key, shape in (optional or {}).items():
            if key in value:
                shape(value[key], _within(at, key))

    return check


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def _within(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _require(fits: bool, value: Any, at: str, expected: str) -> None:
    if not fits:
        kind = {dict: "an object", list: "a list", type(None): "null"}
        what = kind.get(type(value)) or repr(value)[:_SHOWN]
        raise ValueError(f"{f'has {at}' if at else 'is'} {what} where {expected} is expected")
