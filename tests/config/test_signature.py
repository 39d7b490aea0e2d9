"""What a signature says of settings: Python itself is asked which calls there can be."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pytest

from trimtab import LanguageModel, zoo
from trimtab.config.signature import Signature, fits, in_words, require_types
from trimtab.scorers import Judge, RewardModel


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


@dataclass(frozen=True, kw_only=True)
class Checked:
    run_code: bool = False
    size: int | None = None
    rate: float = 1.0
    name: str = None
    more: object = ()

    def __post_init__(self) -> None:
        require_types(self)


def test_objects_made_in_python_refuse_what_their_annotations_do_not_say() -> None:
    Checked()
    Checked(run_code=True, size=3, rate=2, name="a", more=3.5)
    Checked(size=None, rate=-0.5, name=None)  # a class's own default is its affair
    with pytest.raises(ValueError) as error:
        Checked(run_code="false", size=2.5, rate=True, name=4, more=[])
    assert str(error.value).splitlines() == [
        "run_code='false': accepted is true or false.",
        "size=2.5: accepted is a whole number or null.",
        "rate=True: accepted is a number.",
        "name=4: accepted is text.",
    ]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            partial(LanguageModel, path="zoo:a-small-chat", prompt="chat", trust_remote_code="no"),
            "trust_remote_code='no': accepted is true or false.",
        ),
        (
            partial(RewardModel, path=str(zoo.path("a-small-chat")), truncate="no"),
            "truncate='no': accepted is true or false.",
        ),
        (partial(Judge, model="m", json_mode=0), "json_mode=0: accepted is true or false."),
        (partial(Judge, model="m", attempts=1.5), "attempts=1.5: accepted is a whole number."),
    ],
)
def test_models_and_scorers_are_such_objects(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        make()
