"""A file of questions and answers that the user brings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

from trimtab.config.wording import not_a_choice
from trimtab.models import Conversation
from trimtab.reading.choices import read_choice
from trimtab.reading.dates import read_date, whole_date
from trimtab.reading.numbers import gold_number, read_number, same_number
from trimtab.reading.phrases import final_phrase, same_phrase
from trimtab.reading.yes_no import MEANINGS, read_yes_no
from trimtab.tasks.embedded import REASONING_PREFIX, REASONING_SYSTEM
from trimtab.tasks.examples import Examples, as_asked, read_examples, require_unanswered
from trimtab.tasks.own_file import OwnFile
from trimtab.tasks.row import Row
from trimtab.tasks.task import Sample, Score

# Of options that stand in the question, whose texts are not known apart.
_LABELS = dict.fromkeys("ABCDEFGHIJ", "")


@dataclass(frozen=True, kw_only=True)
class QuestionAnswer(OwnFile):
    """Rows of a local file, right if the answer agrees with the target.

    What the target is says how an answer is read: a number, alone or after `####` as GSM8K's are; a
    date; yes or no, true or false; the letter of an option; else a phrase: what the answer states
    ("the answer is"), or all of it. Of phrases, letter case, markup and quotation marks do not
    count. Of several targets, a list, any is right.

    Args:
        path: a .json, .jsonl, .csv or .parquet file, or a folder saved by `datasets`.
        question: column of the questions, text, or chat messages of which the last is asked;
            `question.stem` is the `stem` within `question`.
        answer: column of the answers, each text, a number, true or false, or a list of these; the
            same column as the question's for chats whose last message is the answer.
        system: system line of the prompt, where a chat does not bring its own.
        context: text before the question.
        question_prefix: text right before the question.
        answer_start: text that the answer is made to begin with.
        split: what the rows are for, such as `validation` or `test`; `trimtab choose` asks.
        examples: questions with their answers that are shown before each question ("few-shot"): a
            list of pairs, or a file with the same columns. They are written as it is, with
            `question_prefix` and `answer_start`.
    """

    path: str
    question: str = "question"
    answer: str = "answer"
    system: str = REASONING_SYSTEM
    context: str = ""
    question_prefix: str = REASONING_PREFIX
    answer_start: str = ""
    split: str | None = None
    examples: Examples = None
    since: ClassVar[Mapping[str, Any]] = MappingProxyType({"examples": None})
    metric = "accuracy"
    proportions = frozenset({"accuracy"})

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._shown

    def load(self) -> list[dict[str, Any]]:
        """Read the file, in the format that its name says."""
        rows = super().load()
        columns = {column: None for row in rows for column in row}
        for column in (self.question, self.answer):
            if rows and not {column, column.partition(".")[0]} & columns.keys():
                raise ValueError(not_a_choice(f"Column of {self.path}:", column, columns))
        return rows

    def sample(self, row: Mapping[str, Any], index: int) -> Sample:
        """Return the row's question; its id is the row's `id`, or its number."""
        content = self.row(row, index)
        for column in (self.question, self.answer):
            value = content.value(column)
            if value in (None, []) or (isinstance(value, str) and not value.strip()):
                raise ValueError(f"{content.where} has no {column!r}.")
        conversation, answer = self._asked(content)
        require_unanswered(conversation, self._shown, content.where)
        target, *others = (
            str(one).lower() if isinstance(one, bool) else content.written(one, self.answer)
            for one in (answer if isinstance(answer, list) else [answer])
        )
        return Sample(
            id=self.id_of(row, index),
            conversation=conversation,
            target=target,
            also_right=tuple(others),
        )

    def _asked(self, content: Row) -> tuple[Conversation, Any]:
        """Return what a row asks, and its answers as they stand there."""
        pieces: dict[str, Any] = {
            "system": self.system,
            "context": self.context,
            "question_prefix": self.question_prefix,
            "answer_start": self.answer_start,
            "examples": as_asked(
                self._shown, prefix=self.question_prefix, answer_start=self.answer_start
            ),
        }
        asked, answer = content.value(self.question), content.value(self.answer)
        is_chat = isinstance(asked, list) and all(isinstance(part, Mapping) for part in asked)
        if not is_chat:
            return Conversation(question=content.text(self.question), **pieces), answer
        try:
            if self.answer == self.question:
                *asked, last = asked
                if last.get("role") != "assistant":
                    raise ValueError("The last message is no assistant's, whose answer is right.")
                answer = last.get("content")
            return Conversation.of(asked, **pieces), answer
        except ValueError as error:
            raise content.unusable(f"has no chat in {self.question!r}. {error}") from error

    @cached_property
    def _shown(self) -> dict[str, str]:
        return read_examples(self.examples, question=self.question, answer=self.answer)

    def score(self, text: str, sample: Sample) -> Score:
        """Read an answer of the target's kind, and compare the two."""
        assert sample.target is not None
        read = [_compared(text, target.strip()) for target in (sample.target, *sample.also_right)]
        prediction, right = next((one for one in read if one[1]), read[0])
        return Score(prediction=prediction, values={"accuracy": float(right)})


def _compared(text: str, target: str) -> tuple[str | None, bool]:
    """Return what a text answers, read as its target is, and whether that is the target."""
    prediction: str | None
    number, day, meaning = gold_number(target), whole_date(target), MEANINGS.get(target.lower())
    if number is not None:
        prediction = read_number(text)
        return prediction, same_number(prediction, number)
    if day is not None:
        prediction = read_date(text)
        return prediction, prediction == day
    if meaning is not None:
        prediction = read_yes_no(text)
        return prediction, prediction == meaning
    if target.upper() in _LABELS:
        prediction = read_choice(text, _LABELS)
        return prediction, prediction == target.upper()
    prediction = final_phrase(text)
    return prediction, same_phrase(prediction, target)
