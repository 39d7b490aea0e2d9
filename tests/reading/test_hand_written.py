"""Readers against completions written and labelled for the purpose.

Readers were mended by what they got wrong in the `tuning` files, never by the `heldout` ones. The
`blind` files were written without sight of the readers and scored once, which is what to expect of
the readers on new text: 66 of 77 numbers, 65 of 72 choices, 62 of 70 yes or no came out as
labelled; two in five are traps. Since then the readers were mended by these files too.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trimtab.reading.choices import read_choice
from trimtab.reading.numbers import read_number, same_number
from trimtab.reading.published import published_correct
from trimtab.reading.yes_no import read_yes_no

DATA = Path(__file__).parent / "data"
PARTS = ("tuning", "heldout", "blind")
LEAST_RIGHT = 0.98


def completions(kind: str, part: str) -> list[dict[str, Any]]:
    lines = (DATA / f"{kind}_{part}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def number_right(row: dict[str, Any]) -> bool:
    return same_number(read_number(row["text"]), row["gold"])


def choice_right(row: dict[str, Any]) -> bool:
    return read_choice(row["text"], row["choices"]) == row["gold"]


def yes_no_right(row: dict[str, Any]) -> bool:
    return read_yes_no(row["text"]) == row["gold"]


SCORERS = {"numbers": number_right, "choices": choice_right, "yes_no": yes_no_right}


@pytest.mark.parametrize(("kind", "scorer"), SCORERS.items())
def test_scored_as_labelled(kind: str, scorer: Callable[[dict[str, Any]], bool]) -> None:
    rows = [row for part in PARTS for row in completions(kind, part)]
    wrong = [row for row in rows if scorer(row) != row["correct"]]
    assert len(wrong) <= (1 - LEAST_RIGHT) * len(rows), wrong


@pytest.mark.parametrize("kind", SCORERS)
def test_the_files_hold_right_and_wrong_answers_and_nothing_twice(kind: str) -> None:
    rows = [row for part in PARTS for row in completions(kind, part)]
    assert len(rows) >= 150
    assert 0.1 < sum(not row["correct"] for row in rows) / len(rows) < 0.5
    assert len({(row["text"], row["gold"], str(row.get("choices"))) for row in rows}) == len(rows)


def by_the_published_rule(completion: str, gold: str) -> bool:
    """The rule again, one character after the other."""

    def last_number(text: str) -> str | None:
        found, position = None, 0
        while position < len(text):
            if not re.match(r"\d", text[position]):
                position += 1
                continue
            end = position
            while end < len(text) and re.match(r"\d", text[end]):
                end += 1
            while text[end : end + 1] == "," and re.fullmatch(r"\d\d\d", text[end + 1 : end + 4]):
                end += 4
            if text[end : end + 1] == ".":
                end += 1
                while end < len(text) and re.match(r"\d", text[end]):
                    end += 1
            found, position = text[position:end], end
        return found

    one, other = last_number(completion), last_number(gold)
    if one is None or other is None:
        return False
    return one.replace(",", "").rstrip(".") == other.replace(",", "").rstrip(".")


@pytest.mark.parametrize("part", PARTS)
def test_the_published_rule_is_followed_to_the_letter(part: str) -> None:
    for row in completions("numbers", part):
        given = published_correct(row["text"], row["gold"])
        assert given == row["published"], row
        assert given == by_the_published_rule(row["text"], row["gold"]), row
