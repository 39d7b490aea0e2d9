"""A reward that knows no answers: whether one is worked out."""

import re

_EQUATION = re.compile(r"\d+ [-+*/] \d+ = \d+")


def worked_out(completion: str, question: str, target: str | None) -> float:
    """Return 1 for an answer that holds an equation."""
    return float(_EQUATION.search(completion) is not None)
