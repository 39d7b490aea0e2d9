"""Conversations of several turns: what each kind of model reads, and what is none."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab import Conversation, Generation, LanguageModel, Nudging

SHOTS = (("Question: 1 + 1?", "The answer is 2."), ("Question: 2 + 2?", "The answer is 4."))
ASKED = Conversation(
    system="Be brief.",
    question_prefix="Question: ",
    question="3 + 4?",
    answer_start="So",
    examples=SHOTS,
    earlier=[["Hi", "Hello."]],
)
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": [{"type": "text", "text": "3 + 4?"}]},
]


def test_a_base_model_reads_turns_as_lines(zoo) -> None:
    assert zoo("a-large-base").render(ASKED) == (
        "Be brief.\nQuestion: 1 + 1?\nThe answer is 2.\nQuestion: 2 + 2?\nThe answer is 4.\n"
        "Hi\nHello.\nQuestion: 3 + 4?\nSo"
    )


@pytest.mark.parametrize("name", ["a-small-chat", "b-small-chat"])
def test_a_chat_model_reads_turns_by_its_template(zoo, name: str) -> None:
    model = zoo(name)
    messages = [{"role": "system", "content": "Be brief."}]
    for user, assistant in (*SHOTS, ("Hi", "Hello.")):
        messages += [
            {"role": "user", "content": user},
            {"role": "assistant", "content": assistant},
        ]
    messages.append({"role": "user", "content": "Question: 3 + 4?"})
    expected = model.tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    assert model.render(ASKED) == expected + "So"


def test_a_template_that_drops_earlier_turns_is_an_error() -> None:
    last = "{{ messages[-1].content }}"
    model = LanguageModel(path="zoo:a-small-chat", prompt="chat", chat_template=last)
    assert model.render(Conversation(question="Hi")) == "Hi"
    with pytest.raises(ValueError, match="leaves the assistant's text out of the prompt"):
        model.render(Conversation(question="Hi", examples=SHOTS))


def test_chat_messages_are_a_conversation(zoo) -> None:
    conversation = Conversation.of(MESSAGES, answer_start="So")
    assert conversation == Conversation(
        system="Be brief.", question="3 + 4?", earlier=[("Hi", "Hello.")], answer_start="So"
    )
    nudging = Nudging(base=zoo("a-large-base"), guide=zoo("a-small-chat"))
    (answer,) = nudging.complete([conversation], Generation(max_new_tokens=4))
    assert answer.prompts["base"] == "Be brief.\nHi\nHello.\n3 + 4?\nSo"


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "roles none"),
        (MESSAGES[:1], "roles none"),
        (MESSAGES[:3], "roles user, assistant: accepted"),
        ([MESSAGES[1], MESSAGES[1]], "roles user, user"),
        ([MESSAGES[1], MESSAGES[0], MESSAGES[1]], "roles user, system, user"),
        ([{"role": "tool", "content": "5"}], "roles tool"),
        ([{"role": "user", "content": None}], r"Message 1, of the role 'user', holds something"),
        ([{"role": "user", "content": [{"type": "image"}]}], "holds something else than text"),
        (["Hi"], "Message 1 is 'Hi'"),
    ],
)
def test_messages_that_are_no_conversation(messages: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Conversation.of(messages)


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ({"question": None}, "question=None of a Conversation is of type NoneType"),
        ({"question": "Hi", "system": 3}, "system=3"),
        ({"question": "Hi", "examples": [["one"]]}, r"examples has \['one'\]"),
        ({"question": "Hi", "earlier": "text"}, "earlier has 'text'"),
        ({"question": "Hi", "examples": [["a", None]]}, r"examples has \['a', None\]"),
    ],
)
def test_pieces_that_are_no_text(pieces: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Conversation(**pieces)


def test_what_an_answer_is_judged_against_has_what_was_said_before() -> None:
    """Examples are no part of it: they show how to answer."""
    assert ASKED.asked == "User: Hi\nAssistant: Hello.\nUser: 3 + 4?"
    assert Conversation(question="Hi", examples=SHOTS).asked == "Hi"


def test_conversations_of_one_turn_are_known_by_what_they_were_known_by() -> None:
    """Runs that began before there were turns go on: they compare this text."""
    known = "Conversation(question='a', system='b', context='c', question_prefix='', answer_start='"
    assert str(Conversation(question="a", system="b", context="c")) == known + "')"
    assert "Exchange(user='Hi', assistant='Hello.')" in str(ASKED)


@pytest.mark.parametrize(
    "pieces",
    [{"question": "a\ud800"}, {"question": "a", "system": "\udc80"}]
    + [{"question": "a", name: [("b", "c\udfff")]} for name in ("earlier", "examples")],
)
def test_text_that_no_tokenizer_reads_is_refused(pieces: dict) -> None:
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        Conversation(**pieces)
