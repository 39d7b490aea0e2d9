"""Which values settings accept, for every kind of check, and what is said of the others."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import pytest

from trimtab.config.accepted import (
    require_choice,
    require_finite,
    require_number,
    require_whole,
)

VALUES = [
    True, False, None, "1", "", [1], math.nan, math.inf, -math.inf, Decimal(1), Fraction(1, 2), 1j,
    -(2**70), -2, -1, -0.5, -0.0, 0, 0.0, 0.5, 1, 1.0, 1.5, 2, 2**70,
]  # fmt: skip
"""The numbers among them begin at `-(2**70)`."""
NUMBERS = VALUES[VALUES.index(-(2**70)) :]

share = partial(require_number, these="shares from 0 to 1", least=0, most=1)
positive = partial(require_number, these="numbers above 0", above=0)


@pytest.mark.parametrize(
    ("require", "accepted", "said"),
    [
        (require_whole, {n for n in NUMBERS if type(n) is int}, "accepted are whole numbers."),
        (partial(require_whole, least=1), {1, 2, 2**70}, "accepted are whole numbers from 1 up."),
        (
            partial(require_whole, least=0, further=", such as 64"),
            {0, 1, 2, 2**70},
            "accepted are whole numbers from 0 up, such as 64.",
        ),
        (require_finite, set(NUMBERS), "accepted is any finite number, such as 0, 0.5 or 1."),
        (share, {0, 0.5, 1}, "accepted are shares from 0 to 1."),
        (positive, {0.5, 1, 1.5, 2, 2**70}, "accepted are numbers above 0."),
    ],
)
def test_what_is_refused_is_named_with_what_is_accepted(
    require: Callable[[str, Any], None], accepted: set[float], said: str
) -> None:
    of_whole = "whole" in said
    for value in VALUES:
        fine = any(value is n for n in NUMBERS) and value in accepted
        if fine and not (of_whole and type(value) is float):
            require("dial", value)
            continue
        with pytest.raises(ValueError) as error:
            require("dial", value)
        assert str(error.value) == f"dial={value!r}: {said}"


def test_a_choice_is_refused_with_the_nearest_and_all() -> None:
    for fine in ("fast", "slow"):
        require_choice("how:", fine, ("fast", "slow"))
    with pytest.raises(ValueError) as error:
        require_choice("how:", "fsat", {"slow": 1, "fast": 2})
    assert str(error.value) == (
        "how: 'fsat' is not known. Did you mean 'fast'? Accepted: fast, slow."
    )
