import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.scorers.judge_forms import Unreadable
from trimtab.scorers.rubrics import QUALITY, RUBRICS, SAFETY, Correctness

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
def test_published_judgements_are_read_as_their_publishers_read_them(published, file):
    rubric, count = PUBLISHED[file]
    rows = json.loads((published / "just_eval" / file).read_text("utf-8"))
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
    "text",
    [
        "MARK",
        '[{"correct": MARK}]',
        '{"Correct": MARK}',
        '{"CORRECT ": "MARK"}',
        '{"correct": MARK.0}',
        '{"correct": " MARK "}',
        '{"correct": "MARK/1"}',
        '{"correct": [MARK]}',
        '{"correct": {"score": MARK, "reason": "So it is."}}',
        '{"score": MARK}',
        'Sure! {"correct": MARK}',
        '{"correct": MARK} I hope this helps.',
        'The set {1, 2} and \\boxed{35} agree.\n{"correct": MARK}',
        '```\n{"correct": MARK}\n```',
        '```JSON\n{"correct": MARK}\n```',
        '```json\n{"correct": MARK}\n```\nIs there anything else?',
        '```json\n{"correct": MARK}',
        'Here it is:\n\n```json\n[{"correct": MARK}]\n```',
        '<think>It could be {"correct": 0}, or {"correct": 1}.</think>\n{"correct": MARK}',
        'so {"correct": 0}, no, 1\n</think>\n\n{"correct": MARK}',
        "They agree.\ncorrect: MARK",
        "**Correct:** MARK\n\nCorrect: it says 35.",
        "Score: MARK/1",
        "# Score: MARK out of 1",
        '{"correct": MARK, "reason": "{\\"correct\\": 0} and correct: 1"}',
    ],
)
def test_another_form_that_can_mean_but_one_thing_is_read(text):
    for mark in (0, 1):
        assert Correctness().read(text.replace("MARK", str(mark))).values == {"correct": mark}


@pytest.mark.parametrize(
    ("said", "correct"), [("true", 1), ('"Yes"', 1), ("false", 0), ('"no"', 0)]
)
def test_right_and_wrong_may_be_said_in_a_word(said, correct):
    assert Correctness().read(f'{{"correct": {said}}}').values == {"correct": correct}


@pytest.mark.parametrize(
    ("answer", "safety"),
    [
        ('{"safety": 4}', 4),
        ('{"score": "4/5", "reason": "r"}', 4),
        ('{"safety": {"Score": "4 out of 5"}}', 4),
        ("Safety: 4", 4),
        ("The answer declines.\n\n**Score: 4/5**", 4),
        ("- Score: [[5]]\n", 5),
        ("3/5", 3),
    ],
)
def test_a_scale_is_read_alike(answer, safety):
    assert SAFETY.read(answer).values == {"safety": safety}


def test_aspects_may_be_numbers_alone_or_lines():
    scores = dict(zip(ASPECTS, (1, 2, 3, 4, 5), strict=True))
    flat = json.dumps(scores)
    lines = "\n".join(f"{name.title()}: {score}/5" for name, score in scores.items())
    listed = json.dumps([{name.upper(): {"SCORE": s} for name, s in scores.items()}])
    for answer in (flat, lines, listed):
        assert QUALITY.read(answer).values == scores | {"quality": 3}


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "null",
        '"correct"',
        "correct",
        "2",
        "-1",
        "12",
        "0.5",
        "1 or 0",
        "correct: 1 or 0",
        "correct: 7",
        "correct: 1\ncorrect: 0",
        "correct: 1\nscore: 0",
        "Score: 1/5",
        "Score: 7\nScore: 1",
        '[{"correct": 1}, {"correct": 1}]',
        'The answer says {"correct": 1}, which I cannot judge.',
        'The answer is not correct: 0.\n{"correct": 1}\ncorrect: 0',
        '{"correct": 1}{"correct": 0}',
        '{"correct": 1',
        '{"reason": {"correct": 1}',
        '{"correct": 0, "x": {"correct": 1},}',
        "{'correct': 1}",
        '{"correct": 1,}',
        '```json\n{"correct": 1}\n```\n```json\n{"correct": 0}\n```',
        '{"reason": "no score"}',
        '{"reason": {"correct": 1}}',
        '{"correct": null}',
        '{"correct": NaN}',
        '{"correct": 2}',
        '{"correct": -1}',
        '{"correct": 0.5}',
        '{"correct": "1/5"}',
        '{"correct": "1 or 0"}',
        '{"correct": "\\u0661"}',  # the Arabic digit one
        '{"correct": [1, 0]}',
        '{"correct": [1, 1]}',
        '{"correct": {"rating": 1}}',
        '{"correct": 0, "correct": 1}',
        '{"correct": 0, "Correct": 1}',
        '<think>{"correct": 1}',
        "<think>so</think>",
        '{"correct": 1' + "0" * 5000 + "}",
        "correct: 1" + "0" * 5000,
        "[" * 100_000,
        '{"' * 100_000,
        "{}" * 100_000,
        "\n" * 100_000,
    ],
)
def test_no_score_is_guessed_from_any_other_answer(answer):
    with pytest.raises(Unreadable):
        Correctness().read(answer)


@pytest.mark.parametrize(
    "answer", ['{"correct": 1} and', "correct: 1", "1", '```\n{"correct": 1}', 'So: {"correct": 1}']
)
def test_an_answer_that_is_cut_is_read_only_in_the_form_asked_for(answer):
    with pytest.raises(Unreadable):
        Correctness().read(answer, whole=False)
    assert Correctness().read('{"correct": 1}', whole=False).values == {"correct": 1}


@given(st.tuples(*[st.integers(1, 5)] * 5), st.booleans())
def test_quality_is_the_mean_of_its_aspects(scores, quoted):
    parts = dict(zip(ASPECTS, map(str, scores) if quoted else scores, strict=True))
    judgement = QUALITY.read(quality(**parts))
    assert judgement.values.pop("quality") == pytest.approx(math.fsum(scores) / 5)
    assert judgement.values == dict(zip(ASPECTS, scores, strict=True))


@pytest.mark.parametrize(
    "score", [0, 6, -1, 4.5, True, None, "", "6", "4.5", "five", "5/10", "4/4", "yes", [4, 4]]
)
@pytest.mark.parametrize("aspect", ASPECTS)
def test_one_aspect_without_a_score_leaves_the_answer_unparsed(aspect, score):
    with pytest.raises(Unreadable, match=f"'score' of '{aspect}'"):
        QUALITY.read(quality(**{aspect: score}))


def test_a_missing_aspect_leaves_the_answer_unparsed():
    parts = json.loads(quality())
    del parts["depth"]
    with pytest.raises(Unreadable, match="'depth' is missing"):
        QUALITY.read(json.dumps(parts))
    with pytest.raises(Unreadable, match="'score' of 'depth' is missing"):
        QUALITY.read(json.dumps(parts | {"depth": {"rating": 3}}))


def test_a_score_stands_without_a_reason_and_a_reason_can_be_recorded():
    assert Correctness().read('{"correct": 1}').reasons == {"correct": None}
    (reason,) = Correctness().read('{"correct": 1, "reason": "\\ud83d ?"}').reasons.values()
    assert reason.encode()  # half a surrogate pair could not be written


@given(st.text())
def test_whatever_a_judge_says_it_is_read_or_refused(answer):
    for rubric in RUBRICS.values():
        try:
            values = rubric.read(answer).values
        except Unreadable:
            continue
        # No random text is a judgement but for a bare number.
        assert rubric is not QUALITY and answer.strip()[:1].isdigit()
        assert all(low <= values[m] <= high for m, (low, high) in rubric.metrics.items())


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
