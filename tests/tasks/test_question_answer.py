"""Rows of one's own that are chats, and examples that are shown before the questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trimtab.models import Conversation, Exchange
from trimtab.tasks import GSM8K, QuestionAnswer

PLAIN = {"system": "", "question_prefix": ""}


def write(file: Path, *rows: dict[str, Any]) -> str:
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(file)


def said(*texts: str, system: str = "") -> list[dict[str, str]]:
    roles = ("user", "assistant")
    turns = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    return ([{"role": "system", "content": system}] if system else []) + turns


def test_a_row_may_be_a_chat(tmp_path: Path) -> None:
    file = write(
        tmp_path / "chats.jsonl",
        {"messages": said("Hi", "Hello.", "2 + 2?"), "answer": 4},
        {"messages": said("3 + 3?", system="Be brief."), "answer": "6"},
    )
    first, second = QuestionAnswer(path=file, question="messages", system="Think.").samples()
    assert first.conversation == Conversation(
        system="Think.",
        question="2 + 2?",
        question_prefix="Question: ",
        earlier=(Exchange("Hi", "Hello."),),
    )
    assert (first.target, second.target) == ("4", "6")
    assert second.conversation.system == "Be brief."


def test_the_last_message_of_a_chat_may_be_the_answer(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "messages": said("Hi", "Hello.", "2 + 2?", "It is 4.")},
        {"id": "b", "messages": said("Hi")},
    ]
    task = QuestionAnswer(
        path=write(tmp_path / "a.jsonl", rows[0]), question="messages", answer="messages", **PLAIN
    )
    (sample,) = task.samples()
    assert sample.conversation == Conversation(
        question="2 + 2?", earlier=(Exchange("Hi", "Hello."),)
    )
    assert sample.target == "It is 4."
    odd = write(tmp_path / "b.jsonl", *rows)
    with pytest.raises(ValueError, match=r"Row 2 of .*b\.jsonl' has no chat.*no assistant's"):
        QuestionAnswer(path=odd, question="messages", answer="messages").samples()


def test_examples_are_shown_as_questions_are(tmp_path: Path, zoo) -> None:
    rows = write(tmp_path / "rows.jsonl", {"question": "2 + 2?", "answer": 4})
    shots = write(
        tmp_path / "shots.jsonl",
        {"question": "1 + 1?", "answer": "2"},
        {"question": "1 + 3?", "answer": 4},
    )
    by_file, by_pairs = (
        QuestionAnswer(
            path=rows, system="", question_prefix="Q: ", answer_start="A:", examples=examples
        )
        for examples in (shots, [["1 + 1?", 2], ["1 + 3?", "4"]])
    )
    (sample,) = by_file.samples()
    assert [sample] == by_pairs.samples()
    expected = "Q: 1 + 1?\nA: 2\nQ: 1 + 3?\nA: 4\nQ: 2 + 2?\nA:"
    assert zoo("a-large-base").render(sample.conversation) == expected


@pytest.mark.slow
def test_a_benchmark_shows_examples_under_its_own_prefix(tmp_path: Path, zoo) -> None:
    """As a chat, each is a turn of the user's and of the assistant's."""
    rows = write(tmp_path / "test.jsonl", {"question": "2 + 2?", "answer": "2 + 2 = 4\n#### 4"})
    (sample,) = GSM8K(data_dir=rows, examples=[["1 + 1?", "It is 2."]]).samples()
    model = zoo("a-small-chat")
    turns = [
        {"role": "system", "content": sample.conversation.system},
        {"role": "user", "content": "Question: 1 + 1?"},
        {"role": "assistant", "content": "It is 2."},
        {"role": "user", "content": "Question: 2 + 2?"},
    ]
    expected = model.tokenizer.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True
    )
    assert model.render(sample.conversation) == expected
    with pytest.raises(ValueError, match=r"Row 1 of .*test\.jsonl asks what one of the examples"):
        GSM8K(data_dir=rows, examples=[["2 + 2?", "4"]]).samples()


def test_a_row_among_its_own_examples_is_refused(tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", {"question": "2 + 2?", "answer": 4})
    with pytest.raises(ValueError, match=r"Row 1 of .* asks what one of the examples answers"):
        QuestionAnswer(path=rows, examples=rows).samples()


@pytest.mark.parametrize("examples", ["none.jsonl", [["alone"]], ["text"], [[None, "a"]]])
def test_examples_that_are_none_are_refused_at_once(tmp_path: Path, examples: Any) -> None:
    rows = write(tmp_path / "rows.jsonl", {"question": "2 + 2?", "answer": 4})
    with pytest.raises(ValueError, match=r"none\.jsonl|examples has"):
        QuestionAnswer(path=rows, examples=examples)
