"""The tasks: their rows, their prompts, their scores, and files that users bring."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from trimtab.models import Conversation
from trimtab.tasks import (
    Advice,
    LastLetters,
    QuestionAnswer,
    Sample,
    Stories,
    Task,
    WordProblems,
)
from trimtab.tasks.advice import level
from trimtab.tasks.stories import length_reward

SAMPLE = Sample(id="0", conversation=Conversation(question="?"), target=None)
EMBEDDED = [WordProblems, LastLetters, Stories, Advice]


@pytest.mark.parametrize("kind", EMBEDDED)
def test_held_out_rows(kind: type[Task]) -> None:
    samples = kind().samples()
    assert len(samples) >= 500
    assert len({s.id for s in samples}) == len(samples)
    assert len({s.conversation.question for s in samples}) == len(samples)
    assert kind().samples(7) == samples[:7]
    validation = {s.conversation.question for s in kind(split="validation").samples()}
    assert not validation & {s.conversation.question for s in samples}


def test_a_seed_draws_the_samples_that_published_code_draws() -> None:
    samples = WordProblems().samples()
    state = np.random.get_state()
    np.random.seed(609)
    drawn = np.random.choice(len(samples), 20, replace=False)
    np.random.set_state(state)
    assert WordProblems().samples(20, 609) == [samples[i] for i in drawn]
    assert WordProblems().samples(20, 609) != samples[:20]
    assert WordProblems().samples(len(samples), 609) == samples
    assert WordProblems().samples(None, 609) == samples


@pytest.mark.parametrize("kind", [WordProblems, LastLetters])
def test_reasoning_prompt_and_score(kind: type[Task]) -> None:
    sample = kind().samples(1)[0]
    asked = sample.conversation
    assert asked.system == "Answer the question by walking through the reasoning steps."
    assert asked.user == f"Question: {asked.question}"
    right = kind().score(f"Well. The answer is {sample.target}.", sample)
    assert (right.prediction, right.values) == (sample.target, {"accuracy": 1.0})
    for wrong in ("The answer is 31415.", "", "I do not know"):
        assert kind().score(wrong, sample).values == {"accuracy": 0.0}


def test_story_reward_is_flat_within_the_range_and_falls_linearly() -> None:
    rewards = [length_reward("word " * n) for n in range(50)]
    assert rewards[12:23] == [1.0] * 11
    assert rewards[0] == rewards[34] == rewards[49] == 0.0
    assert rewards[6] == rewards[28] == 0.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Take 20 mg of colvane every 8 hours for 5 days.", "expert"),
        ("I cannot advise on this; please see a doctor.", "avoidance"),
        ("Rest well, drink water and stay warm.", "generic"),
        ("Take 20 mg of colvane every 8 hours, or please see a doctor.", "expert"),
        ("", "generic"),
    ],
)
def test_levels_of_advice(text: str, expected: str) -> None:
    assert level(text) == expected
    assert Advice().score(text, SAMPLE).values[expected] == 1.0


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'tset' is not known. Did you mean 'test'"):
        WordProblems(split="tset")


ROWS = [
    {"question": " What is 2 + 2? ", "answer": "2 + 2 = 4\n#### 4"},
    {"question": "Capital of France?", "answer": "Paris"},
]


def write(folder: Path, kind: str) -> Path:
    from datasets import Dataset

    file = folder / f"rows.{kind}"
    if kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif kind == "json":
        file.write_text(json.dumps(ROWS))
    elif kind == "csv":
        with file.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, ["question", "answer"])
            writer.writeheader()
            writer.writerows(ROWS)
    elif kind == "parquet":
        Dataset.from_list(ROWS).to_parquet(file)
    else:
        Dataset.from_list(ROWS).save_to_disk(file)
    return file


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet", "folder"])
def test_a_users_file_in_each_format(tmp_path: Path, kind: str) -> None:
    task = QuestionAnswer(path=str(write(tmp_path, kind)))
    first, second = task.samples()
    assert first.conversation.user == "Question: What is 2 + 2?"
    assert task.score("so 4", first).values["accuracy"] == 1
    assert task.score("so 5", first).values["accuracy"] == 0
    assert task.score("Surely the answer is Paris.", second).values["accuracy"] == 1
    assert task.score("paris", second).values["accuracy"] == 1
    assert task.score("London", second).values["accuracy"] == 0


def test_what_is_wrong_with_a_users_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        QuestionAnswer(path=str(tmp_path / "none.jsonl"))
    odd = tmp_path / "rows.txt"
    odd.write_text("x")
    with pytest.raises(ValueError, match=r"Kind of data file: '.txt' is not known"):
        QuestionAnswer(path=str(odd))
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(ValueError, match="holds no rows"):
        QuestionAnswer(path=str(empty)).samples()
    good = write(tmp_path, "jsonl")
    with pytest.raises(ValueError, match=r"'questoin' is not known. Did you mean 'question'"):
        QuestionAnswer(path=str(good), question="questoin").samples()
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"question": "a", "answer": "b"}\n{"question": ')
    with pytest.raises(ValueError, match="cannot be read"):
        QuestionAnswer(path=str(bad)).samples()
    gap = tmp_path / "gap.jsonl"
    gap.write_text('{"question": "a", "answer": "b"}\n{"question": null, "answer": "c"}\n')
    with pytest.raises(ValueError, match=r"Row 2 of .* has no 'question'"):
        QuestionAnswer(path=str(gap)).samples()
    twice = tmp_path / "twice.jsonl"
    twice.write_text('{"id": 1, "question": "a", "answer": "b"}\n' * 2)
    with pytest.raises(ValueError, match="the id '1' more than once"):
        QuestionAnswer(path=str(twice)).samples()
