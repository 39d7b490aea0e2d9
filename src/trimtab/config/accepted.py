"""Values that settings accept: what is a number, and the words for one that is not accepted."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, TypeGuard

from trimtab.config.wording import not_a_choice


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def require_whole(name: str, value: Any, least: int | None = None, *, further: str = "") -> None:
    """Refuse what is no whole number, or less than `least`.

    Args:
        name: of the setting.
        value: what it is set to.
        least: the smallest that is accepted; None for any.
        further: ends the message, as in ", such as 64".
    """
    if not is_whole(value) or (least is not None and value < least):
        these = "" if least is None else f" from {least} up"
        raise ValueError(f"{name}={value!r}: accepted are whole numbers{these}{further}.")


def require_finite(name: str, value: Any, *, further: str = ", such as 0, 0.5 or 1") -> None:
    """Refuse what is no finite number; `further` ends the message."""
    if not is_number(value) or not math.isfinite(value):
        raise ValueError(f"{name}={value!r}: accepted is any finite number{further}.")


def require_number(
    name: str,
    value: Any,
    these: str,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
) -> None:
    """Refuse what is no finite number between some bounds.

    Args:
        name: of the setting.
        value: what it is set to.
        these: the numbers that are accepted, in words: "shares from 0 to 1".
        least: the smallest of them.
        above: what all of them are larger than.
        most: the largest of them.
    """
    finite = is_number(value) and math.isfinite(value)
    if not finite or not (least <= value <= most and value > above):
        raise ValueError(f"{name}={value!r}: accepted are {these}.")


def require_choice(what: str, value: str, choices: Collection[str]) -> None:
    """Refuse what is none of the choices, with the nearest of them and all; `what` begins that."""
    if value not in choices:
        raise ValueError(not_a_choice(what, value, choices))
