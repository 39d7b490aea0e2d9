"""Reading final answers out of texts."""

import pytest

from trimtab.tasks.answers import final_phrase, gold_number, last_number, same_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 12.", "12"),
        ("It was 1,234 and then 5,678.50 dollars", "5678.50"),
        ("so 7-2", "2"),
        ("the result is -2", "-2"),
        ("(-3)", "-3"),
        ("3.0", "3.0"),
        ("#### 18", "18"),
        ("12 km", "12"),
        ("", None),
        ("no digits here", None),
    ],
)
def test_last_number(text: str, number: str | None) -> None:
    assert last_number(text) == number


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("3.0", "3", True),
        ("3", "30", False),
        (None, "3", False),
        ("-3", "3", False),
        ("0.50", "0.5", True),
    ],
)
def test_numbers_are_compared_by_value(one: str | None, other: str, same: bool) -> None:
    assert same_number(one, other) is same


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("Ana ends with a. The answer is abc.", "abc"),
        ("The answer is x. No: the answer is 'yz'", "yz"),
        ("THE ANSWER IS: Q\nmore", "Q"),
        ("The answer is St. John.", "St. John"),
        ("nothing", None),
    ],
)
def test_final_phrase(text: str, phrase: str | None) -> None:
    assert final_phrase(text) == phrase


@pytest.mark.parametrize(
    ("target", "number"),
    [
        ("18", "18"),
        ("so 4 + 14 = 18\n#### 18", "18"),
        ("$1,200", "1200"),
        ("-2.5", "-2.5"),
        ("July 4, 1776", None),
        ("2020-01-02", None),
        ("B2", None),
        ("yes", None),
    ],
)
def test_a_target_counts_as_a_number_only_as_a_whole(target: str, number: str | None) -> None:
    assert gold_number(target) == number
