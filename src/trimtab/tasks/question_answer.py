"""A file of questions and answers that the user brings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.choices import not_a_choice
from trimtab.models import Conversation
from trimtab.tasks.answers import final_phrase, gold_number, last_number, same_number
from trimtab.tasks.embedded import REASONING_PREFIX, REASONING_SYSTEM
from trimtab.tasks.task import Sample, Score, Task

if TYPE_CHECKING:
    from datasets import Dataset

_READERS = {".json": "json", ".jsonl": "json", ".csv": "csv", ".parquet": "parquet"}


@dataclass(frozen=True, kw_only=True)
class QuestionAnswer(Task):
    """Rows of a local file, right if the answer agrees with the target.

    Where the target is a number, or ends in one after `####` as GSM8K's do, it is compared with
    the answer's last number; otherwise with what follows "answer is", or with the whole answer,
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
                f"({', '.join(_READERS)}) or a folder saved by datasets."
            )
        if file.is_file() and file.suffix not in _READERS:
            raise ValueError(not_a_choice("Kind of data file:", file.suffix, _READERS))

    @property
    def source(self) -> str:
        """The file."""
        return self.path

    def load(self) -> Dataset:
        """Read the file, in the format that its name says."""
        from datasets import Dataset, DatasetDict, load_dataset, load_from_disk
        from datasets.exceptions import DatasetGenerationError

        file = Path(self.path).expanduser()
        try:
            if file.is_dir():
                rows = load_from_disk(str(file))
            elif file.stat().st_size == 0:
                rows = Dataset.from_list([])
            else:
                rows = load_dataset(_READERS[file.suffix], data_files=str(file), split="train")
        except (DatasetGenerationError, OSError, ValueError) as error:
            cause = error.__cause__ or error
            raise ValueError(
                f"Data file {self.path!r} cannot be read as {file.suffix or 'a saved data set'}: "
                f"{cause} In .jsonl each line is one JSON object."
            ) from error
        if isinstance(rows, DatasetDict):
            raise ValueError(
                f"{self.path!r} holds several splits; give the folder of one of: {', '.join(rows)}."
            )
        assert isinstance(rows, Dataset)
        for column in (self.question, self.answer):
            if len(rows) and column not in rows.column_names:
                raise ValueError(not_a_choice(f"Column of {self.path}:", column, rows.column_names))
        return rows

    def sample(self, row: Mapping[str, Any], index: int) -> Sample:
        """Return the row's question; its id is the row's `id`, or its number."""
        question, answer = row[self.question], row[self.answer]
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
            prediction = last_number(text)
            right = same_number(prediction, number)
        else:
            prediction = final_phrase(text) or text.strip()
            right = _plain(prediction) == _plain(sample.target)
        return Score(prediction=prediction, values={"accuracy": float(right)})


def _plain(text: str) -> str:
    return text.strip().rstrip(".").lower()
