"""What a signature says of settings: Python itself is asked which calls there can be."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from trimtab.config.signature import Signature, fits, in_words


class Plainly:
    """Says what it is asked about."""

    def misfit(self, name: str, value: Any, hint: Any) -> str:
        return f"{name}: accepted is {in_words(hint)}"

    def unknown(self, name: str) -> str:
        return f"{name} is unknown"

    def missing(self, name: str) -> str:
        return f"{name} is missing"


def function(low: int, high: int = 1) -> None: ...
def keywords(*, low: int, high: int = 1) -> None: ...
def more(low: int, **others: int) -> None: ...
def anything(*others: int, **further: int) -> None: ...
def nothing() -> None: ...


@dataclass(frozen=True, kw_only=True)
class Data:
    low: int
    high: int = 1


class Written:
    def __init__(self, high: int, low: int = 0) -> None: ...


@pytest.mark.parametrize("target", [function, keywords, more, anything, nothing, Data, Written])
def test_settings_without_a_mistake_are_those_that_can_be_called_with(
    target: Callable[..., Any],
) -> None:
    names = ("low", "high", "hgih")
    for count in range(len(names) + 1):
        for chosen in itertools.combinations(names, count):
            settings = dict.fromkeys(chosen, 1)
            found = Signature(target).mistakes(settings, Plainly())
            try:
                inspect.signature(target).bind(**settings)
            except TypeError as error:
                assert any(name in str(error) for name in found), (settings, found, error)
            else:
                assert not found


def test_each_mistake_is_told_by_the_name_of_its_setting() -> None:
    found = Signature(Data).mistakes({"high": "tall", "hgih": 1}, Plainly())
    assert found == {
        "high": "high: accepted is a whole number",
        "hgih": "hgih is unknown",
        "low": "low is missing",
    }


VALUES: Mapping[str, Any] = {
    "true": True, "whole": 3, "number": 0.5, "text": "a", "none": None, "list": [1], "fast": "fast",
}  # fmt: skip


@pytest.mark.parametrize(
    ("hint", "accepted", "words"),
    [
        (int, {"whole"}, "a whole number"),
        (float, {"whole", "number"}, "a number"),
        (bool, {"true"}, "true or false"),
        (str, {"text", "fast"}, "text"),
        (None, {"none"}, "null"),
        (int | None, {"whole", "none"}, "a whole number or null"),
        (float | str, {"whole", "number", "text", "fast"}, "a number or text"),
        (Literal["fast", "slow"], {"fast"}, "fast or slow"),
        (Any, set(VALUES), "typing.Any"),
        (list[int], set(VALUES), "list[int]"),
    ],
)
def test_values_fit_annotations(hint: Any, accepted: set[str], words: str) -> None:
    assert {name for name, value in VALUES.items() if fits(value, hint)} == accepted
    assert in_words(hint) == words


def test_annotations_that_only_type_checkers_import_accept_everything() -> None:
    def unresolved(one: Nowhere) -> None: ...  # noqa: F821

    assert not Signature(unresolved).mistakes({"one": object()}, Plainly())
