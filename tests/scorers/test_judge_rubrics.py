import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.scorers.rubrics import QUALITY, RUBRICS, SAFETY, Correctness, Unreadable

LINE = {"id": "7", "question": "Which one?", "completion": "I say B.", "target": "B"}
ASPECTS = ("helpfulness", "clarity", "factuality", "depth", "engagement")
PUBLISHED = {
    "gpt-4-turbo/gpt-3.5-turbo-0301/gpt-3.5-turbo-0301.general.0-100.json": (QUALITY, 100),
    "gpt-4/gpt-3.5-turbo-0301.score_safety.chatgpt.json": (SAFETY, 200),
}


def quality(**scores):
    parts = dict.fromkeys(ASPECTS, 3) | scores
    return json.dumps({name: {"reason": "r", "score": score} for name, score in parts.items()})


@pytest.mark.parametrize("file", PUBLISHED)
def test_published_judgements_are_read_as_their_publishers_read_them(file):
    if not (root := os.environ.get("TRIMTAB_DATA")):
        pytest.skip("TRIMTAB_DATA names no folder with just-eval's published judgements")
    rubric, count = PUBLISHED[file]
    rows = json.loads((Path(root) / "just_eval" / file).read_text("utf-8"))
    assert len(rows) == count
    for row in rows:
        judgement = rubric.read(row["result"])
        scores = {name: int(part["score"]) for name, part in row["parsed_result"].items()}
        for name, score in scores.items():
            assert judgement.values[name] == score
            assert judgement.reasons[name] == row["parsed_result"][name]["reason"]
        assert judgement.values[rubric.name] * len(scores) == pytest.approx(sum(scores.values()))


@pytest.mark.parametrize(
    ("answer", "correct"),
    [
        ('{"reason": "Same number.", "correct": 1}', 1),
        ('{"reason": "Another number.", "correct": 0}', 0),
        ('{"correct": "1"}', 1),
        (' \n{"reason": "said {\\"correct\\": 1}", "correct": "0"}\n', 0),
        ('```json\n{"reason": "", "correct": 1}\n```', 1),
        ('```json\n{\n "reason": "",\n "correct": 0\n}\n```\n', 0),
    ],
)
def test_an_answer_of_the_form_asked_for_is_read(answer, correct):
    assert Correctness().read(answer).values == {"correct": correct}


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "1",
        "null",
        '"correct"',
        '[{"correct": 1}]',
        "correct: 1",
        'Sure! {"correct": 1}',
        '{"correct": 1} I hope this helps.',
        '{"correct": 1}{"correct": 0}',
        '{"correct": 1',
        "{'correct': 1}",
        '{"correct": 1,}',
        '```\n{"correct": 1}\n```',
        '```json\n{"correct": 1}',
        '```json\n{"correct": 1}\n```\n```json\n{"correct": 0}\n```',
        '{"reason": "no score"}',
        '{"Correct": 1}',
        '{"correct": true}',
        '{"correct": null}',
        '{"correct": NaN}',
        '{"correct": 2}',
        '{"correct": -1}',
        '{"correct": 1.0}',
        '{"correct": "yes"}',
        '{"correct": " 1"}',
        '{"correct": "\\u0661"}',  # the Arabic digit one
        '{"correct": [1]}',
        '{"correct": {"score": 1}}',
        '{"correct": 0, "correct": 1}',
        '{"correct": 1' + "0" * 5000 + "}",
        "[" * 100_000,
    ],
)
def test_no_score_is_guessed_from_any_other_answer(answer):
    with pytest.raises(Unreadable):
        Correctness().read(answer)


@given(st.tuples(*[st.integers(1, 5)] * 5), st.booleans())
def test_quality_is_the_mean_of_its_aspects(scores, quoted):
    parts = dict(zip(ASPECTS, map(str, scores) if quoted else scores, strict=True))
    judgement = QUALITY.read(quality(**parts))
    assert judgement.values.pop("quality") == pytest.approx(math.fsum(scores) / 5)
    assert judgement.values == dict(zip(ASPECTS, scores, strict=True))


@pytest.mark.parametrize("score", [0, 6, -1, 4.5, 5.0, True, None, "", "6", "4.5", "five", "5/5"])
@pytest.mark.parametrize("aspect", ASPECTS)
def test_one_aspect_without_a_score_leaves_the_answer_unparsed(aspect, score):
    with pytest.raises(Unreadable, match=f"'score' of '{aspect}'"):
        QUALITY.read(quality(**{aspect: score}))


def test_a_missing_aspect_leaves_the_answer_unparsed():
    parts = json.loads(quality())
    del parts["depth"]
    with pytest.raises(Unreadable, match="'depth' is missing"):
        QUALITY.read(json.dumps(parts))
    with pytest.raises(Unreadable, match="'depth' is missing, or is not an object"):
        QUALITY.read(json.dumps(parts | {"depth": 3}))


def test_a_score_stands_without_a_reason_and_a_reason_can_be_recorded():
    assert Correctness().read('{"correct": 1}').reasons == {"correct": None}
    (reason,) = Correctness().read('{"correct": 1, "reason": "\\ud83d ?"}').reasons.values()
    assert reason.encode()  # half a surrogate pair could not be written


@given(st.text())
def test_whatever_a_judge_says_it_is_read_or_refused(answer):
    for rubric in RUBRICS.values():
        with pytest.raises(Unreadable):  # no random text is a judgement
            rubric.read(answer)


@pytest.mark.parametrize("name", RUBRICS)
def test_the_judge_sees_question_and_answer_and_the_form_of_its_own(name):
    prompt = RUBRICS[name].prompt(LINE)
    assert "\nWhich one?\n" in prompt and "\nI say B.\n" in prompt
    assert "JSON" in prompt  # without the word, OpenAI refuses response_format json_object
    assert RUBRICS[name].name == name


def test_the_form_that_a_rubric_shows_is_the_form_that_it_reads():
    for rubric, blank, mark in (
        (Correctness(), "<1 if correct, 0 if not>", "1"),
        (QUALITY, "<1, 2, 3, 4 or 5>", "4"),
        (SAFETY, "<1, 2, 3, 4 or 5>", "4"),
    ):
        prompt = rubric.prompt(LINE)
        form = prompt[prompt.index("\n{") :].replace(blank, mark)
        assert set(rubric.read(form).values.values()) == {float(mark)}


def test_the_right_answer_is_shown_to_a_judge_of_correctness_alone():
    line = LINE | {"target": "the gold"}
    assert "\nthe gold\n" in RUBRICS["correctness"].prompt(line)
    assert "the gold" not in RUBRICS["quality"].prompt(line) + RUBRICS["safety"].prompt(line)


def test_the_right_option_is_shown_with_its_text():
    line = LINE | {"choices": {"A": "a dog", "B": "a cat"}}
    assert "\nB. a cat\n" in Correctness().prompt(line)
    assert "a dog" not in Correctness().prompt(line)


def test_correctness_needs_the_right_answer():
    with pytest.raises(ValueError, match=r"Sample '7' has no target.*'quality'"):
        Correctness().prompt(LINE | {"target": None})
