"""Wording of "that is not one of these": used wherever a name is looked up."""

import difflib
from collections.abc import Iterable


def not_a_choice(what: str, value: object, choices: Iterable[str]) -> str:
    """Return a message that names the value, the nearest valid name if any, and all of them."""
    names = sorted(choices)
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{what} {value!r} is not known.{hint} Accepted: {', '.join(names)}."
