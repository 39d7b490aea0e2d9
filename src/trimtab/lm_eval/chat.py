"""Chats on their way through the harness, which carries one string for all of a method's models.

Each model renders a chat in its own way, but the harness renders each chat once. So what it is
given is the chat itself, as JSON that names itself, which the models render when they are asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date

from trimtab.models import LanguageModel

Message = Mapping[str, str]
"""A turn: its `role` (`system`, `user` or `assistant`) and its `content`."""

TODAY = date.today()
"""The day on which all requests of this process are asked, for templates that write it."""

_KEY = "trimtab_chat"
_START = f'{{"{_KEY}": '


def pack(messages: Sequence[Message]) -> str:
    """Return a chat as one string."""
    return json.dumps({_KEY: [dict(message) for message in messages]}, ensure_ascii=False)


def unpack(context: str) -> list[Message] | None:
    """Return the chat that a string holds, or None for plain text."""
    if not context.startswith(_START):
        return None
    messages: list[Message] = json.loads(context)[_KEY]
    return messages


def render(model: LanguageModel, messages: Sequence[Message]) -> str:
    """Return a chat as the text that a model continues.

    A chat model renders it by its own template. A base model reads the turns line by line, which
    for a system message and a question is what it reads in `trimtab run`. Where the last turn is
    the assistant's, the answer begins with it.

    Raises:
        ValueError: for a template that cannot render the chat.
    """
    begun = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
    asked = messages[:-1] if messages[-1]["role"] == "assistant" else messages
    if model.prompt == "plain":
        return "".join(f"{message['content']}\n" for message in asked) + begun
    turns = [dict(message) for message in asked]
    return model.chat.render(turns, day=TODAY) + begun
