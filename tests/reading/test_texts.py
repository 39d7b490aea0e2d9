"""Reading choices, yes or no, phrases, letters and dates: what the hand-written files leave out."""

import json
import string
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.reading.choices import read_choice
from trimtab.reading.dates import read_date
from trimtab.reading.letters import read_letters
from trimtab.reading.markup import plain
from trimtab.reading.phrases import final_phrase, same_phrase
from trimtab.reading.yes_no import read_yes_no

CITIES = {"A": "york", "B": "new york", "C": "london", "D": "st. john's"}


@given(
    st.sampled_from("ABCD"), st.sampled_from(["{}", "({})", "**{}**", "\\boxed{{{}}}", "option {}"])
)
def test_a_stated_label_is_read_however_it_is_written(label: str, form: str) -> None:
    assert read_choice(f"It is not easy. The answer is {form.format(label)}.", CITIES) == label


@pytest.mark.parametrize("label", CITIES)
def test_an_option_is_read_by_its_text(label: str) -> None:
    assert read_choice(f"The answer is {CITIES[label].title()}", CITIES) == label
    assert read_choice(f"{label}. {CITIES[label]}", CITIES) == label


def test_a_text_that_two_options_share_is_no_answer() -> None:
    twins = {"A": "mortal", "B": "dead", "C": "mortal"}
    assert read_choice("The answer is mortal.", twins) is None
    assert read_choice("mortal", twins) is None
    assert read_choice("C. mortal", twins) == "C"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Boys", "B"),
        ("Girls", "C"),
        ("Not (A) boy; it is the girl.", "C"),
        ("Boy, because the boys and the girl left.", "A"),
        ("Boy, boys, girl.", None),
        ("It is a boy, also called the girl.", None),
        ("The one with the girl is the boy.", "A"),
        ("I think the answer is A. However, on reflection it's B.", "B"),
        ("The answer is A? No, C.", None),
        ("The answer is a or b.", None),
    ],
)
def test_read_choice(text: str, label: str | None) -> None:
    assert read_choice(text, {"A": "boy", "B": "boys", "C": "girl"}) == label


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Certainly! Let us look at it.", None),
        ("Certainly! He was there in 1900.", "yes"),
        ("Not at all.", "no"),
        ("Therefore, it cannot be determined.", None),
        ("So we do not know.", None),
        ("Thus, he did not meet her.", "no"),
        ("Thus, he did not meet her. They wrote letters.", None),
        ("It is not possible to say.", None),
        ("It is impossible to know.", None),
        ("It is not impossible.", "yes"),
        ("The answer is yes if he is alive.", None),
        ("I cannot answer yes.", None),
        ("It is possible for him to fly.", "yes"),
        ("Leave as soon as possible.", None),
        ("So no. Wait, she was there: that is plausible.", "yes"),
        ("I first thought the answer was true. It is implausible.", "no"),
    ],
)
def test_read_yes_no(text: str, answer: str | None) -> None:
    assert read_yes_no(text) == answer


@pytest.mark.parametrize(
    "form",
    [
        "The answer is {label}.",
        "{label}. {text}",
        "The correct answer is ({label}) {text}, because it fits.",
        "So the answer is {text}, not {other}.",
        "{text}",
    ],
)
def test_the_options_of_commonsense_qa_are_told_apart(published: Path, form: str) -> None:
    file = published / "zero_shot_cot/CommonsenseQA/dev_rand_split.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 1221
    for row in rows:
        choices = {one["label"]: one["text"] for one in row["question"]["choices"]}
        label = row["answerKey"]
        text = choices[label]
        other = next(one for one in choices.values() if one != text)
        answer = form.format(label=label, text=text, other=other)
        shared = list(choices.values()).count(text) > 1 and "{label}" not in form
        assert read_choice(answer, choices) == (None if shared else label), answer


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    assert read_choice(text, CITIES) in {*CITIES, None}
    assert read_yes_no(text) in {"yes", "no", None}
    letters, day = read_letters(text), read_date(text)
    assert letters is None or (letters.isalpha() and letters == letters.lower())
    assert day is None or len(day) == 10
    phrase = final_phrase(text)
    assert phrase is None or same_phrase(phrase, phrase)


@pytest.mark.parametrize(
    ("phrase", "target", "same"),
    [
        ("Paris, the capital of France", "Paris", True),
        ("Paris, Texas", "Paris", False),
        ("Paris or Rome", "Paris", False),
        ("Paris. It is the capital.", "Paris", True),
        ("Paris\nRome", "Paris", False),
        ("The capital is Paris", "Paris", True),
        ("The capital is not Paris", "Paris", False),
        ("I doubt that it is Paris", "Paris", False),
        ("(B) Paris", "Paris", True),
        ("C++", "C", False),
        ("C#", "C#", True),
        ("*0", "*0", True),
        ("F(x)", "f", False),
        (None, "Paris", False),
    ],
)
def test_what_is_added_to_a_phrase_is_told_from_another_phrase(
    phrase: str | None, target: str, same: bool
) -> None:
    assert same_phrase(phrase, target) is same


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("Ana ends with a. The answer is abc.", "abc"),
        ("The answer is x. No: the answer is 'yz'", "yz"),
        ("THE ANSWER IS: Q\nmore", "Q"),
        ("The answer is St. John.", "St. John"),
        ("nothing", "nothing"),
        ("The answer is", None),
        ("The answer is not Rome.", None),
        ("...", None),
    ],
)
def test_final_phrase(text: str, phrase: str | None) -> None:
    assert final_phrase(text) == phrase


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("yajo", "yajo"),
        ("Y A J O", "yajo"),
        ("The answer is y-a-j-o.", "yajo"),
        ('The answer is "y a j o".', "yajo"),
        ("The answer is y, a, j, o", "yajo"),
        ("The answer is **YAJO**", "yajo"),
        (r"\boxed{\text{yajo}}", "yajo"),
        ('Concatenating them gives "yajo".', "yajo"),
        ('So the answer is "y" + "a" + "j" + "o" = "yajo".', "yajo"),
        ('The last letter of "Whitney" is "y", of "Erika" "a". The answer is ya.', "ya"),
        ("The answer is abc. No, wait, the answer is abd.", "abd"),
        ("The answer is yajo, not ya.", "yajo"),
        ('The answer is the string "yajo" because', "yajo"),
        ("The answer is É-a-x-a.", "éaxa"),
        ('Concatenating them gives "méyl".', "méyl"),
        ("I cannot help", None),
        ("The answer is", None),
        ("", None),
    ],
)
def test_read_letters(text: str, letters: str | None) -> None:
    assert read_letters(text) == letters


@given(
    st.text(string.ascii_lowercase, min_size=2, max_size=8), st.sampled_from(["", "-", " ", ", "])
)
def test_letters_are_read_however_they_are_apart(letters: str, gap: str) -> None:
    assert read_letters(f'The answer is "{gap.join(letters)}".') == letters


@given(
    st.dates(date(1000, 1, 1)),
    st.sampled_from(["%m/%d/%Y", "%Y-%m-%d", "%B %d, %Y", "%d %b %Y", "%b. %d, %Y", "%m-%d-%Y"]),
)
def test_a_date_is_read_however_it_is_written(day: date, form: str) -> None:
    expected = f"{day.month:02}/{day.day:02}/{day.year}"
    assert read_date(f"Today is 01/02/1903. The answer is {day.strftime(form)}.") == expected


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("5/1/2021", "05/01/2021"),
        ("the 1st of May, 2021", "05/01/2021"),
        ("Today is 12/24/1937, so tomorrow is 12/25/1937.", "12/25/1937"),
        ("The answer is 12/25/1937, the day after 12/24/1937.", "12/25/1937"),
        ("The answer is 05/01/2021. Wait, it is 05/02/2021.", "05/02/2021"),
        ("It's 05/01/2021, not 04/30/2021.", "05/01/2021"),
        ("25/12/1937", None),
        ("02/30/2021", None),
        ("12 marbles 2021", None),
        ("soon", None),
    ],
)
def test_read_date(text: str, day: str | None) -> None:
    assert read_date(text) == day


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\frac{3}{4}", "3/4"),
        (r"3\frac{1}{2}", "3 1/2"),
        (r"\text{B} is **bold**", "B is bold"),
        (r"1{,}000 \times 2", "1,000 \u00d7 2"),
        ("2 * 3 = <<2*3=6>>6", "2 * 3 = 6"),
        (r"so \boxed{\frac{1}{\sqrt{2}}}.", "so \n#### \\frac{1}{√{2}}\n."),
    ],
)
def test_plain_text(text: str, expected: str) -> None:
    assert plain(text) == expected
