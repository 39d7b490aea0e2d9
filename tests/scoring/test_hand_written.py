"""Readers against completions that a person wrote and labelled.

Readers were mended by what they got wrong in the `tuning` files, never by the `heldout` ones.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trimtab.scoring.choices import read_choice
from trimtab.scoring.numbers import read_number, same_number
from trimtab.scoring.published import published_correct
from trimtab.scoring.yes_no import read_yes_no

DATA = Path(__file__).parent / "data"
HALVES = ["tuning", "heldout"]
LEAST_RIGHT = 0.98


def completions(kind: str, half: str) -> list[dict[str, Any]]:
    lines = (DATA / f"{kind}_{half}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def number_right(row: dict[str, Any]) -> bool:
    return same_number(read_number(row["text"]), row["gold"])


def choice_right(row: dict[str, Any]) -> bool:
    return read_choice(row["text"], row["choices"]) == row["gold"]


def yes_no_right(row: dict[str, Any]) -> bool:
    return read_yes_no(row["text"]) == row["gold"]


SCORERS = {"numbers": number_right, "choices": choice_right, "yes_no": yes_no_right}


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize(("kind", "scorer"), SCORERS.items())
def test_scored_as_a_person_does(
    kind: str, scorer: Callable[[dict[str, Any]], bool], half: str
) -> None:
    rows = completions(kind, half)
    wrong = [row for row in rows if scorer(row) != row["correct"]]
    assert len(wrong) <= (1 - LEAST_RIGHT) * len(rows), wrong


@pytest.mark.parametrize("kind", SCORERS)
def test_the_files_hold_right_and_wrong_answers_and_nothing_twice(kind: str) -> None:
    rows = [row for half in HALVES for row in completions(kind, half)]
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


@pytest.mark.parametrize("half", HALVES)
def test_the_published_rule_is_followed_to_the_letter(half: str) -> None:
    for row in completions("numbers", half):
        given = published_correct(row["text"], row["gold"])
        assert given == row["published"], row
        assert given == by_the_published_rule(row["text"], row["gold"]), row
