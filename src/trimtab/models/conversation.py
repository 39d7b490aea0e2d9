"""What is asked, before any model renders it in its own way."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, Self

_TEXTS = ("question", "system", "context", "question_prefix", "answer_start")


class Exchange(NamedTuple):
    """What a user said, and what was answered."""

    user: str
    assistant: str


@dataclass(frozen=True, kw_only=True)
class Conversation:
    r"""The pieces of a prompt.

    A base model reads `{system}\n{context}{question_prefix}{question}\n{answer_start}` as plain
    text; turns before the question are lines behind the system's. A chat model gets `system` as its
    system message, the turns before as the user's and its own, and
    `{context}{question_prefix}{question}` as the user's message, all through its own chat template,
    and then `answer_start`.

    Args:
        question: what is asked last.
        system: how to behave.
        context: text before the question.
        question_prefix: text right before the question.
        answer_start: text that the answer is made to begin with.
        examples: questions with their answers, shown before all else ("few-shot"); a pair of texts
            each, whole, as no prefix is put to them.
        earlier: what was said before the question, in pairs likewise.
        day: what a chat template that writes the date writes; None for today.

    Raises:
        ValueError: for pieces that are not text, or hold half of a surrogate pair, and for turns
            that are not pairs of texts.
    """

    question: str
    system: str = ""
    context: str = ""
    question_prefix: str = ""
    answer_start: str = ""
    examples: tuple[Exchange, ...] = ()
    earlier: tuple[Exchange, ...] = ()
    day: date | None = None

    def __post_init__(self) -> None:
        for name in _TEXTS:
            value = getattr(self, name)
            if not isinstance(value, str):
                raise ValueError(
                    f"{name}={value!r} of a Conversation is of type {type(value).__name__}. "
                    "Accepted is text."
                )
            _require_unicode(name, value)
        for name in ("examples", "earlier"):
            turns = exchanges(getattr(self, name), name)
            for text in (text for turn in turns for text in turn):
                _require_unicode(name, text)
            object.__setattr__(self, name, turns)

    def __repr__(self) -> str:
        """Name the pieces; turns only where there are any, as runs without them are known by it."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        said = [f"{k}={v!r}" for k, v in values.items() if k in _TEXTS or v]
        return f"Conversation({', '.join(said)})"

    @classmethod
    def of(cls, messages: Sequence[Mapping[str, Any]], **pieces: Any) -> Self:
        """Return the conversation that chat messages hold, as chat APIs and data sets write them.

        Args:
            messages: of `role` and `content` (text, or a list of parts that are text): a system's,
                if any, then a user's and an assistant's in turn. The last is a user's.
            pieces: other arguments of `Conversation`, but for the question and `earlier`.

        Raises:
            ValueError: for messages in another order, of other roles, or with other contents.
        """
        turns = [_turn(message, number) for number, message in enumerate(messages, start=1)]
        if turns and turns[0][0] == "system":
            pieces["system"] = turns.pop(0)[1]
        roles = [role for role, _ in turns]
        if not turns or roles != [("user", "assistant")[i % 2] for i in range(len(turns) | 1)]:
            raise ValueError(
                f"Messages of the roles {', '.join(roles) or 'none'}: accepted are a system's, if "
                "any, then a user's and an assistant's in turn, with a user's as the last."
            )
        texts = [text for _, text in turns]
        earlier = tuple(map(Exchange, texts[:-1:2], texts[1::2]))
        return cls(question=texts[-1], earlier=earlier, **pieces)

    @property
    def user(self) -> str:
        """The user's last message: context, prefix and question."""
        return f"{self.context}{self.question_prefix}{self.question}"

    @property
    def before(self) -> tuple[Exchange, ...]:
        """The turns before the user's last message, examples first."""
        return self.examples + self.earlier

    def followed_by(self, text: str) -> str:
        """Return an answer as it follows the prompt, which ends in white space or a sign."""
        start = self.answer_start
        return f" {text}" if start and not start[-1].isspace() else text

    @property
    def asked(self) -> str:
        """What an answer is judged against: the question, with what was said before it."""
        if not self.earlier:
            return self.question
        said = [f"User: {user}\nAssistant: {answer}\n" for user, answer in self.earlier]
        return f"{''.join(said)}User: {self.question}"


def exchanges(given: Any, name: str) -> tuple[Exchange, ...]:
    """Return turns as pairs of texts; `name` is theirs, for the error.

    Raises:
        ValueError: for what is none.
    """
    pairs = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    for pair in pairs:
        is_pair = isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 2
        if not is_pair or not all(isinstance(text, str) for text in pair):
            raise ValueError(
                f"{name} has {pair!r}. Accepted are pairs of texts: what the user said, and what "
                f"was answered, as in {name}=[[Who?,Nobody]]."
            )
    return tuple(Exchange(*pair) for pair in pairs)


def _require_unicode(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} holds {text[error.start]!r} at character {error.start}, half of a surrogate "
            "pair, which no tokenizer reads. Accepted is text that can be written as UTF-8."
        ) from None


def _turn(message: Any, number: int) -> tuple[str, str]:
    """Return a message's role and text."""
    if not isinstance(message, Mapping):
        raise ValueError(f"Message {number} is {message!r}. Accepted is a role with its content.")
    content = message.get("content")
    if isinstance(content, Sequence) and not isinstance(content, str):
        parts = [part if isinstance(part, Mapping) else {} for part in content]
        texts = [part.get("text") for part in parts if part.get("type", "text") == "text"]
        whole = len(texts) == len(content) and all(isinstance(text, str) for text in texts)
        content = "".join(map(str, texts)) if whole else None
    if not isinstance(content, str) or message.get("tool_calls"):
        raise ValueError(
            f"Message {number}, of the role {message.get('role')!r}, holds something else than "
            f"text: {str(dict(message))[:80]}. Accepted is a content of text."
        )
    return str(message.get("role")), content
