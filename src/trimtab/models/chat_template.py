"""Chats as the text that a model reads, by its tokenizer's own template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Turns = Sequence[dict[str, str]]
"""Turns of a chat: `role` (`system`, `user` or `assistant`) and `content`."""


def render_chat(tokenizer: PreTrainedTokenizerBase, turns: Turns, *, name: str) -> str:
    """Return a chat up to where the assistant's next turn begins.

    Some templates refuse a system message (Gemma's) or leave it out (OLMo's): it then opens the
    user's turn.

    Args:
        tokenizer: has a chat template.
        turns: the chat.
        name: of the model, for the error.

    Raises:
        ValueError: for a template that cannot render the chat.
    """
    from jinja2 import TemplateError

    folds = [turn["role"] for turn in turns[:2]] == ["system", "user"]
    try:
        text = tokenizer.apply_chat_template(
            list(turns), tokenize=False, add_generation_prompt=True
        )
        assert isinstance(text, str)
    except TemplateError as error:
        if not folds:
            raise ValueError(f"The chat template of {name!r} fails: {error}") from error
        text = ""
    if folds and turns[0]["content"].strip() not in text:
        system, user, *rest = turns
        opening = {"role": "user", "content": f"{system['content']}\n{user['content']}"}
        return render_chat(tokenizer, [opening, *rest], name=name)
    return text
