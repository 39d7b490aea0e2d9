"""Wording that many messages share: what was meant, what is accepted, what went wrong."""

import difflib
from collections.abc import Iterable


def not_a_choice(what: str, value: object, choices: Iterable[str]) -> str:
    """Return a message that names the value, the nearest valid name if any, and all of them."""
    names = sorted(choices)
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{what} {value!r} is not known.{hint} Accepted: {', '.join(names)}."


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean ...?", or nothing where no known name resembles `name`.

    The last part of a dotted name is enough: `treshold` finds `method.threshold`.
    """
    known = list(known)
    by_leaf = {key.split(".")[-1]: key for key in reversed(known)}
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    near = near or [by_leaf[k] for k in difflib.get_close_matches(name, by_leaf, 1, 0.7)]
    return f" Did you mean {near[0]}?" if near else ""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type's name where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
