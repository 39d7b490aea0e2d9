"""A file of questions and answers that the user brings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.choices import not_a_choice
from trimtab.models import Conversation
from trimtab.scoring.numbers import gold_number, read_number, same_number
from trimtab.scoring.phrases import final_phrase
from trimtab.tasks.embedded import REASONING_PREFIX, REASONING_SYSTEM
from trimtab.tasks.rows import FORMATS, read_rows
from trimtab.tasks.task import Sample, Score, Task


@dataclass(frozen=True, kw_only=True)
class QuestionAnswer(Task):
    """Rows of a local file, right if the answer agrees with the target.

    Where the target is a number, or ends in one after `####` as GSM8K's do, it is compared with
    the answer's final number; otherwise with what follows "answer is", or with the whole answer,
    letter case and a final full stop aside.

    Args:
        path: a .json, .jsonl, .csv or .parquet file, or a folder saved by `datasets`.
        question: column of the questions.
        answer: column of the answers.
        system: system line of the prompt.
        context: text before the question.
        question_prefix: text right before the question.
        answer_start: text that the answer is made to begin with.
        split: what the rows are for, such as `validation` or `test`; `trimtab choose` asks.
    """

    path: str
    question: str = "question"
    answer: str = "answer"
    system: str = REASONING_SYSTEM
    context: str = ""
    question_prefix: str = REASONING_PREFIX
    answer_start: str = ""
    split: str | None = None
    metric = "accuracy"
    proportions = frozenset({"accuracy"})

    def __post_init__(self) -> None:
        file = Path(self.path).expanduser()
        if not file.exists():
            raise ValueError(
                f"Data file {self.path!r} does not exist. Give a local file "
                f"({', '.join(FORMATS)}) or a folder saved by datasets."
            )
        if file.is_file() and file.suffix not in FORMATS:
            raise ValueError(not_a_choice("Kind of data file:", file.suffix, FORMATS))

    @property
    def source(self) -> str:
        """The file."""
        return self.path

    def load(self) -> list[dict[str, Any]]:
        """Read the file, in the format that its name says."""
        rows = read_rows(Path(self.path).expanduser())
        columns = {column: None for row in rows for column in row}
        for column in (self.question, self.answer):
            if rows and column not in columns:
                raise ValueError(not_a_choice(f"Column of {self.path}:", column, columns))
        return rows

    def sample(self, row: Mapping[str, Any], index: int) -> Sample:
        """Return the row's question; its id is the row's `id`, or its number."""
        question, answer = row.get(self.question), row.get(self.answer)
        for column, value in ((self.question, question), (self.answer, answer)):
            if value is None or not str(value).strip():
                raise ValueError(f"Row {index + 1} of {self.path!r} has no {column!r}.")
        conversation = Conversation(
            system=self.system,
            context=self.context,
            question_prefix=self.question_prefix,
            question=str(question).strip(),
            answer_start=self.answer_start,
        )
        return Sample(id=str(row.get("id", index)), conversation=conversation, target=str(answer))

    def score(self, text: str, sample: Sample) -> Score:
        """Compare numbers if the target has one, else the stated answer."""
        assert sample.target is not None
        number = gold_number(sample.target)
        if number is not None:
            prediction = read_number(text)
            right = same_number(prediction, number)
        else:
            prediction = final_phrase(text) or text.strip()
            right = _plain(prediction) == _plain(sample.target)
        return Score(prediction=prediction, values={"accuracy": float(right)})


def _plain(text: str) -> str:
    return text.strip().rstrip(".").lower()
