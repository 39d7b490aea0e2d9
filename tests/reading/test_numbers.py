"""Reading and comparing numbers."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.reading.number_words import worded_numbers
from trimtab.reading.numbers import gold_number, read_number, same_number
from trimtab.reading.published import published_correct, published_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("It was 1,234 and then 5,678.50 dollars", "5678.5"),
        ("so 7-2", None),
        ("the result is -2", "-2"),
        ("(-3)", "-3"),
        ("3.0", "3"),
        ("", None),
        ("no digits here", None),
        ("The answer is 10 or 12.", None),
        ("The answer is 1/3.", "1/3"),
        ("The answer is 1/0.", None),
        ("The answer is 1.5E-3", "0.0015"),
        ("#### Step 2: add 4\nSo 9\n#### Step 3", "9"),
        ("The answer is twenty-five.", "25"),
        ("The answer is 50 %", "50%"),
        ("Dean has 30 - 16 = 14 marbles left.", "14"),
        ("The answer is 7 or 8.\nThe answer is 7", "7"),
        ("The answer is 12 or 23\nThe answer is 23\nThe answer is 23\nThe answer is 2", "23"),
        ("She buys 3 500-ml bottles, so 1500 ml. She drinks 500 ml.", "500"),
        ("The answer is 2 500-ml bottles.", "2"),
        ("```python\nprint(9 * 2)  # 18\n```", "18"),
        ("So 18.\n```python\nprint(9 * 3)\n```", "18"),
        ("```\n18\n```", "18"),
        ("There are 24. (Each gets 6.)", "24"),
        ("(24)", "24"),
        ("The answer is minus three.", "-3"),
        ("The answer is 5·10^6.", "5000000"),
        ("It takes 1 hour and 30 minutes (90 minutes).", "90"),
        ("The answer is 5 mod 7.", None),
        (r"The answer is \frac{\pi}{2}.", None),
        (r"The answer is \frac{x}{2}.", None),
        ("<think>The answer is 5.</think >7", "7"),
        ('<think effort="low">The answer is 5.</think>7', "7"),
        ("&lt;think&gt;The answer is 5.&lt;/think&gt;7", "7"),
        ("7</think>", None),
        ("The answer is 5? Let us see: 7.", "7"),
        ("Step 1: Understand.\nQuestion: how many?\nStep 2: 4 * 6 = 24.", "24"),
        ("The answer is five dozen.", "5 dozen"),
    ],
)
def test_read_number(text: str, number: str | None) -> None:
    assert read_number(text) == number


@given(st.integers(), st.sampled_from(["{}", "{:,}", "${:,}", "**{}**", "\\boxed{{{}}}", "{}.00"]))
def test_an_integer_is_read_however_it_is_written(number: int, form: str) -> None:
    assert read_number(f"The answer is {form.format(number)}.") == str(number)


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9
    )
)
def test_a_decimal_is_read_exactly(number: object) -> None:
    read = read_number(f"First 8, then 9. The answer is {number}. Check 1.")
    assert read is not None
    assert Fraction(read) == Fraction(str(number))


@given(st.integers(-999, 999), st.integers(1, 999))
def test_a_fraction_is_read_exactly(top: int, bottom: int) -> None:
    read = read_number(f"The answer is {top}/{bottom}.")
    assert read is not None
    assert Fraction(read) == Fraction(top, bottom)
    assert same_number(read, f"{top}/{bottom}")


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    read = read_number(text)
    assert read is None or same_number(read, read)


def test_thousands_of_digits_are_a_number_too() -> None:
    long = "1" * 5000
    assert read_number(long) == long
    assert same_number(long, long)
    assert not same_number(long, "1" * 4999)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("3.0", "3", True),
        ("3", "30", False),
        (None, "3", False),
        (None, None, False),
        ("-3", "3", False),
        ("-0", "0", True),
        ("0.50", "0.5", True),
        ("1/3", "2/6", True),
        ("1/3", "0.333", False),
        ("1,234", "1234", True),
        ("50%", "50", True),
        ("50%", "0.5", True),
        ("50%", "5", False),
        ("50%", "0.5%", False),
        ("5 dozen", "60", True),
        ("5 dozen", "5", True),
        ("5 dozen", "12", False),
        ("50", "0.5", False),
        ("two", "two", False),
    ],
)
def test_numbers_are_compared_by_value(one: str | None, other: str | None, same: bool) -> None:
    assert same_number(one, other) is same
    assert same_number(other, one) is same


@pytest.mark.parametrize(
    ("target", "number"),
    [
        ("18", "18"),
        ("so 4 + 14 = 18\n#### 18", "18"),
        ("$1,200", "1200"),
        ("-2.5", "-2.5"),
        ("51.0", "51"),
        ("3/4", "0.75"),
        ("July 4, 1776", None),
        ("2020-01-02", None),
        ("B2", None),
        ("yes", None),
        ("", None),
    ],
)
def test_a_target_counts_as_a_number_only_as_a_whole(target: str, number: str | None) -> None:
    assert gold_number(target) == number


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("twenty-one and ninety nine", ["21", "99"]),
        ("one hundred and twenty", ["120"]),
        ("no one knows one of them", []),
        ("seventeen", ["17"]),
        ("often weighty tents", []),
    ],
)
def test_numbers_as_words(text: str, words: list[str]) -> None:
    assert worded_numbers(text) == words


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("-4", "4"),
        ("1,234.", "1234"),
        ("3.0", "3.0"),
        ("12,34", "34"),
        ("1/2", "2"),
        ("1.2.3", "3"),
        ("none", None),
    ],
)
def test_published_number(text: str, number: str | None) -> None:
    assert published_number(text) == number


def test_the_published_rule_compares_text() -> None:
    assert published_correct("-18 dollars.", "so #### 18")
    assert not published_correct("18.0", "18")
    assert not published_correct("eighteen", "18")
    assert not published_correct("no number", "none either")


def published_golds(folder: Path) -> list[tuple[str, int, list[str]]]:
    """Return data sets: name, number of rows, gold texts."""
    problems = (folder / "gsm8k/test.jsonl").read_text(encoding="utf-8").splitlines()
    svamp = json.loads((folder / "svamp/SVAMP.json").read_text(encoding="utf-8"))
    arith = json.loads(
        (folder / "zero_shot_cot/MultiArith/MultiArith.json").read_text(encoding="utf-8")
    )
    return [
        ("GSM8K", 1319, [json.loads(line)["answer"] for line in problems]),
        ("SVAMP", 1000, [str(row["Answer"]) for row in svamp]),
        ("MultiArith", 600, [str(row["lSolutions"][0]) for row in arith]),
    ]


def test_published_golds_are_right_against_themselves(published: Path) -> None:
    for name, rows, golds in published_golds(published):
        assert len(golds) == rows, name
        for gold in golds:
            number = gold_number(gold)
            assert number is not None
            # An oracle of its own: what stands behind the mark, as a plain float.
            assert float(number) == float(gold.rpartition("####")[2].replace(",", ""))
            for text in (gold, f"The answer is {number}.", f"The answer is {float(number):,}."):
                assert same_number(read_number(text), number), (name, text)
            assert published_correct(gold, gold)


def test_solutions_in_prose_are_read_without_their_mark(published: Path) -> None:
    """GSM8K's solutions end in sentences of people; some do not end in their number."""
    solutions = published_golds(published)[0][2]
    right = sum(
        same_number(read_number(text.rpartition("####")[0]), gold_number(text))
        for text in solutions
    )
    assert right >= 0.98 * len(solutions)
