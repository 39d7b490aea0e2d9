"""Chats as the text that a model reads, by its tokenizer's own template.

Templates come with models and are programs of others: what they do is checked once, by a chat of
known words, and how long they may take is bounded.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from trimtab.models.model_folder import no_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Turns = Sequence[dict[str, str]]
"""Turns of a chat: `role` (`system`, `user` or `assistant`) and `content`."""

_NOW = "strftime_now"  # the function by which templates ask for the date
_LONGEST = 1 << 20  # characters of a template; known ones have up to 20,000
_STEPS = 1_000_000  # lines that one rendering may run; known templates run about 50 a turn
_WORDS = ("herons", "lanterns", "willows", "marbles", "kettles")


def writes_day(template: str) -> bool:
    """Whether what a template writes depends on the day."""
    return _NOW in template


class _Form(NamedTuple):
    """How turns are given to a template so that it writes all of them.

    Attributes:
        parts: contents are lists of typed parts, as templates that also show images ask for.
        folds: the system's text opens the user's turn.
    """

    parts: bool
    folds: bool

    def of(self, turns: Turns) -> list[dict[str, Any]]:
        """Return the turns in this form."""
        if self.folds:
            system, user, *rest = turns
            opening = {"role": "user", "content": f"{system['content']}\n{user['content']}"}
            turns = [opening, *rest]
        if not self.parts:
            return list(turns)
        return [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns]


class ChatTemplate:
    """The template of one model.

    Some templates refuse a system message (Gemma's) or leave it out (OLMo's): it then opens the
    user's turn. Some write only contents that are lists of parts: they get these.

    Args:
        tokenizer: has the template.
        name: of the model, for errors.

    Raises:
        ValueError: if there is none, or an enormous one.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
        self._tokenizer = tokenizer
        self._name = name
        if not tokenizer.chat_template:
            raise ValueError(no_template(name))
        if len(self._template) > _LONGEST:
            raise ValueError(
                f"The chat template of {name!r} has more than {_LONGEST:,} characters. Give "
                "another by chat_template=<file.jinja>."
            )
        # By the template too, since a tokenizer's can be set anew.
        self._forms: dict[tuple[str, tuple[str, ...], bool], _Form] = {}
        self._bos: dict[str, bool] = {}

    def render(self, turns: Turns, *, ends: bool = False, day: date | None = None) -> str:
        """Return a chat as text.

        Args:
            turns: the chat.
            ends: whether it ends there, and not where the assistant's next turn begins.
            day: what a template takes for the current date, at midnight; None for now.

        Raises:
            ValueError: for a template that cannot render such a chat, or leaves out some of it.
        """
        roles = tuple(turn["role"] for turn in turns)
        key = self._template, roles, ends
        form = self._forms.get(key)
        if form is None:
            form = self._forms[key] = self._fitting(roles, ends)
        try:
            return self._apply(form.of(turns), ends, day)
        except Exception as error:  # whatever a template can raise
            raise ValueError(f"The chat template of {self._name!r} fails: {error}") from error

    def writes_bos(self) -> bool:
        """Whether the template itself writes the token that begins a sequence."""
        template, bos = self._template, self._tokenizer.bos_token
        if template not in self._bos:
            text = self.render([{"role": "user", "content": "Hello"}])
            self._bos[template] = isinstance(bos, str) and bos in text
        return self._bos[template]

    @property
    def _template(self) -> str:
        return str(self._tokenizer.chat_template)

    def _fitting(self, roles: tuple[str, ...], ends: bool) -> _Form:
        """Return the first form in which every turn's text is in the prompt."""
        if _has_powers(self._template):
            raise ValueError(
                f"The chat template of {self._name!r} raises numbers to powers (**), which no "
                "prompt needs and which can take for ever. Give another by "
                "chat_template=<file.jinja>."
            )
        probe = [
            {"role": role, "content": f"Turn {i} is about {_WORDS[i % len(_WORDS)]}."}
            for i, role in enumerate(roles)
        ]
        folds = (False, True) if roles[:2] == ("system", "user") else (False,)
        problems = []
        for form in (_Form(parts, fold) for fold in folds for parts in (False, True)):
            try:
                text = self._apply(form.of(probe), ends)
            except Exception as error:  # whatever a template can raise
                problems.append(f"fails: {error}")
                if isinstance(error, _Endless):
                    break
                continue
            lost = [turn["role"] for turn in probe if turn["content"] not in text]
            if not lost:
                return form
            problems.append(f"leaves the {lost[-1]}'s text out of the prompt")
        raise ValueError(
            f"The chat template of {self._name!r} {problems[0]} (tried with the turns "
            f"{', '.join(roles)}). Give another by chat_template=<file.jinja>, or use prompt=plain "
            "if it is a base model."
        )

    def _apply(self, turns: list[dict[str, Any]], ends: bool, day: date | None = None) -> str:
        with _bounded(), _calendar(self._template, day):
            text = self._tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=not ends
            )
        assert isinstance(text, str)
        return text


@contextmanager
def _calendar(template: str, day: date | None) -> Iterator[None]:
    """Let a template that asks for the date find a day, at midnight; None for now."""
    if day is None or _NOW not in template:
        yield
        return
    from transformers.utils import chat_template_utils

    # Beside its variables, which are plain data, a template sees what it was compiled with.
    seen = chat_template_utils._compile_jinja_template(template).globals
    before = seen[_NOW]
    midnight = datetime(day.year, day.month, day.day)
    seen[_NOW] = lambda form: midnight.strftime(form)
    try:
        yield
    finally:
        seen[_NOW] = before


def _has_powers(template: str) -> bool:
    """Whether a template has the operator that no count of steps can stop: 9**9**9 is one."""
    from jinja2 import Environment, TemplateSyntaxError

    try:
        signs = [(kind, text) for _, kind, text in Environment().lex(template)]
    except TemplateSyntaxError:  # said when it is rendered
        return False
    return ("operator", "**") in signs


class _Endless(Exception):
    """A template has run for longer than any known one does."""


@contextmanager
def _bounded() -> Iterator[None]:
    """End a template that runs on and on: jinja's sandbox bounds a loop, but not loops in loops."""
    from jinja2 import filters, utils

    running = {"<template>", filters.__file__, utils.__file__}
    left = _STEPS

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in running:
            return None
        left -= event == "line"
        if left < 0:
            raise _Endless(f"it ran for more than {_STEPS:,} steps")
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        yield
    finally:
        sys.settrace(before)
