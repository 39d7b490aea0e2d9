"""Behaviour of answers: cases by hand, and an independent count of repeated grams."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.runs.measures import BOUNDS, PROPORTIONS, buried, measures, repetition, words

# ---------------------------------------------------------------------------- length and loops


def test_words_are_what_white_space_separates() -> None:
    assert words("") == words(" \n") == 0
    assert words("The answer\nis  35.") == 4


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0),
        ("one two three", 0),
        ("a a a a", 0),  # one 4-gram
        ("a a a a a", 1 / 2),  # two, which are the same
        ("a b c d e f", 0),
        ("a b c d a b c d", 1 / 5),  # abcd bcda cdab dabc abcd
        ("no no no no no no no no", 4 / 5),
        ("the cat sat on the mat and the cat sat on the hat", 2 / 10),
    ],
)
def test_repetition_by_hand(text: str, share: float) -> None:
    assert repetition(text) == pytest.approx(share)


@given(st.lists(st.sampled_from(["a", "b", "c,"]), max_size=30))
def test_repetition_counts_grams_that_occurred_before(said: list[str]) -> None:
    """Word by word, as a reader would: have I read these four before?"""
    seen: list[list[str]] = []
    again = 0
    for end in range(4, len(said) + 1):
        gram = said[end - 4 : end]
        again += gram in seen
        seen.append(gram)
    expected = again / len(seen) if seen else 0.0
    assert repetition("\n ".join(said)) == pytest.approx(expected)


# ---------------------------------------------------------------------------- buried answers


def last_number_is(gold: str):
    """The published rule: the last number decides, whatever is said around it."""

    def is_right(text: str) -> bool:
        numbers = re.findall(r"\d+(?:\.\d+)?", text)
        return bool(numbers) and numbers[-1] == gold

    return is_right


def ends_in(gold: str):
    """Right if the whole text ends in the gold answer, a full stop aside."""
    return lambda text: text.rstrip(" .\n").lower().endswith(gold)


BURIED = [
    "The answer is 35. Ana has 12 pens. How many pens are 12 and 13? The answer is 25.",
    "12 + 23 = 35.\nThe answer is 35.\n\nQuestion: Bob has 3 pens.",
    "So the answer is 35! Check: 35 - 23 = 12.",
    "#### 35\n\nQuestion: 2 + 2?\n#### 4",
    "Answer: 35\nWait, that leaves out the last 2.",
    "**Answer:**\n\n35\n\nIt could be 36, too.",
    "Therefore \\boxed{35}.\nHence x = 7.",
    "(The final answer is 35.) I was asked on day 2.",
    "The answer was 35. Sorry, the answer is 36.",
    "She has 12.5 pens. The answer is $35. No, it is 30",
    "THE ANSWER IS 35\nTHE ANSWER IS 36\n",
    "**The answer** is 35.\n1. Next problem",
    "answer = 35\nprint(7)",
]

NOT_BURIED = [
    "",
    "Ana has 35 pens. Then she has 40.",  # passed by, never stated
    "The answer is 35.",  # right in the end
    "The answer is 40. No: the answer is 35.",
    "The answer is 35. So 35.",
    "The answer is 40. The answer is 41.",  # never right
    "The answer is not 35. The answer is 36.",
    "The answer is **not** 35. It is 36.",
    "If the answer is 35, there are 2 too many. The answer is 33.",
    "Is the answer 35? The answer is 33.",
    "What if we check whether the answer is 35. It is 33.",
    "Could it be that the answer is 35? No, 33.",
    "She has 35 pens. The answer is approx. 33 pens.",  # what is stated has no number yet
    "There are 35.\nThe answer is:\n33.",
    "My answer: let me see.\nFirst 12 + 23 = 35.\nThen 35 - 2 = 33.",
    "35\n36",
    "The answer is 35, or rather 36.",  # one sentence, which states 36
]


@pytest.mark.parametrize("text", BURIED)
def test_a_right_statement_that_later_text_overrides_is_buried(text: str) -> None:
    assert buried(text, last_number_is("35"))


@pytest.mark.parametrize("text", NOT_BURIED)
def test_what_was_never_stated_or_never_lost_is_not_buried(text: str) -> None:
    assert not buried(text, last_number_is("35"))


def test_what_is_right_is_the_rules_to_say() -> None:
    text = "The answer is xyz.\n\nQuestion: last letters of two words? The answer is oo."
    assert buried(text, ends_in("xyz"))
    assert not buried(text, ends_in("oo"))
    assert not buried(text, ends_in("abc"))


def test_a_rule_that_cannot_read_markup_does_not_make_answers_buried() -> None:
    """Nothing is said after the answer; LaTeX's way of writing it is what the rule misses."""
    text = "The answer is 1{,}000."
    assert not ends_in("1,000")(text)
    assert not buried(text, ends_in("1,000"))


@given(st.lists(st.sampled_from([*"answer is: 35.?#\n*{}", "answer", "\\boxed{", "####", " is "])))
def test_any_text_has_measures(parts: list[str]) -> None:
    text = "".join(parts)
    found = measures(text, last_number_is("35"))
    assert found["buried"] in (0.0, 1.0)
    assert not (found["buried"] and last_number_is("35")(text))


def test_the_rule_is_asked_for_statements_alone() -> None:
    """A scorer may be slow, and a rule that likes any text must not make all answers buried."""
    asked: list[str] = []

    def is_right(text: str) -> bool:
        asked.append(text)
        return False

    first, second = "One. Two! Three?\nFour.", " The answer is 5."
    assert not buried(first + second + " Six.", is_right)
    assert set(asked) <= {first + second + " Six.", second, first + second}


@given(
    st.lists(
        st.sampled_from(["The answer is 35.", "The answer is 7.", "So 35.", "Hm.", "#### 35", "7?"])
    ),
    st.sampled_from([" ", "\n", "\n\n"]),
)
def test_buried_answers_are_wrong_and_state_what_is_right(said: list[str], joint: str) -> None:
    text = joint.join(said)
    got = buried(text, last_number_is("35"))
    right = last_number_is("35")(text)
    if joint != " ":  # each is a line of its own
        stated = any(each in ("The answer is 35.", "#### 35") for each in said)
        assert got == (stated and not right)
    assert not (got and right)


# ---------------------------------------------------------------------------- together


def test_measures_of_an_answer() -> None:
    text = "The answer is 35. The answer is 36."
    found = measures(text, last_number_is("35"))
    # Grams: "The answer is 35." ... "35. The answer is", "The answer is 36."; none twice.
    assert found == {"words": 8.0, "repetition": 0.0, "buried": 1.0}
    assert measures(text, last_number_is("36"))["buried"] == 0.0
    assert measures("no " * 8) == {"words": 8.0, "repetition": pytest.approx(0.8)}
    assert found.keys() == PROPORTIONS | BOUNDS.keys()
    assert all(type(value) is float for value in found.values())
