"""Which of several stored responses a model finds most likely: its preference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.config.accepted import require_choice
from trimtab.config.wording import not_a_choice
from trimtab.models import Conversation
from trimtab.tasks.embedded import HELPFUL_PREFIX, HELPFUL_SYSTEM
from trimtab.tasks.own_file import OwnFile
from trimtab.tasks.task import COMPARISONS, Sample, Score


@dataclass(frozen=True, kw_only=True)
class StoredResponses(OwnFile):
    """Questions with a response of each of several levels; a metric per level, its preference rate.

    The rate of a level is the share of questions whose response of that level the method finds most
    likely: the "preference accuracy" of alignment vectors (Shahriar et al., arXiv 2410.19206).

    Args:
        path: a .json, .jsonl, .csv or .parquet file, or a folder saved by `datasets`, with a column
            for the question and one for each level.
        levels: the columns of the responses, such as `[avoidance, generic, expert]`.
        prefer: the level that the task is about, its metric; None for the last.
        question: column of the questions.
        system: system line of the prompt.
        question_prefix: text right before the question.
        likelihood: by what responses are compared: log-probability per token (`tokens`), per
            character (`length`), in all (`sum`), or less that without a question
            (`unconditional`).
        split: what the rows are for, such as `validation` or `test`.
    """

    path: str
    levels: Sequence[str]
    prefer: str | None = None
    question: str = "question"
    system: str = HELPFUL_SYSTEM
    question_prefix: str = HELPFUL_PREFIX
    likelihood: str = "tokens"
    split: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.levels)) < 2 or len(set(self.levels)) < len(self.levels):
            raise ValueError(f"levels={list(self.levels)}: accepted are two or more names.")
        if self.prefer is not None and self.prefer not in self.levels:
            raise ValueError(not_a_choice("prefer:", self.prefer, self.levels))
        require_choice("likelihood:", self.likelihood, COMPARISONS)
        object.__setattr__(self, "metric", self.prefer or self.levels[-1])
        object.__setattr__(self, "proportions", frozenset(self.levels))

    def sample(self, row: Mapping[str, Any], index: int) -> Sample:
        """Return the question; its choices are the responses, by level."""
        content = self.row(row, index)
        conversation = Conversation(
            system=self.system,
            question_prefix=self.question_prefix,
            question=content.text(self.question),
        )
        choices = {level: content.text(level) for level in self.levels}
        return Sample(
            id=self.id_of(row, index), conversation=conversation, target=None, choices=choices
        )

    def score(self, text: str, sample: Sample) -> Score:
        """Say which response a text is."""
        values = {level: float(text == response) for level, response in sample.choices.items()}
        return Score(prediction=next((v for v in values if values[v]), None), values=values)
