"""Arithmetic in words: GSM8K, SVAMP and MultiArith."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.reading.numbers import gold_number, read_number, same_number
from trimtab.reading.published import published_correct, published_number
from trimtab.tasks.benchmark import Graded, Item
from trimtab.tasks.row import Row
from trimtab.tasks.task import Sample, Score


@dataclass(frozen=True, kw_only=True)
class Arithmetic(Graded):
    """Problems whose answer is a number; every answer is scored by both rules.

    `accuracy` compares values. `published` is the rule of the nudging paper (arXiv 2410.09300):
    the last number of the answer and of the gold text, compared as strings without a sign. That
    reads the same number from `target` as from the gold texts that its authors take (for SVAMP
    "Equation = Answer"), which end in it.
    """

    proportions = frozenset({"accuracy", "published"})
    published_metric = "published"

    def answer(self, text: str, sample: Sample) -> str | None:
        """Return the final number."""
        return read_number(text)

    def same(self, prediction: str, target: str) -> bool:
        """Whether two numbers have the same value."""
        number = gold_number(target)
        assert number is not None  # as `read` sees to
        return same_number(prediction, number)

    def score(self, text: str, sample: Sample) -> Score:
        """Score by the strict rule and by the published one."""
        assert sample.target is not None
        strict = super().score(text, sample)
        published = float(published_correct(text, sample.target))
        return Score(
            prediction=strict.prediction,
            values={**strict.values, "published": published},
            readings={"published": published_number(text)},
        )


@dataclass(frozen=True, kw_only=True)
class GSM8K(Arithmetic):
    """Grade-school maths in words (Cobbe et al., arXiv 2110.14168).

    The target is the whole solution, which ends in `####` and the answer.

    Args:
        split: `test` (1319 rows) or `train`.
        data_dir: a local file or folder, in place of the hub.
        revision: of the hub's data set.
        scoring: `strict` or `published`; see `Graded`.
    """

    hub_id = "openai/gsm8k"
    config = "main"

    def read(self, row: Row) -> Item:
        """Return question and solution."""
        solution = row.answer("answer")
        if gold_number(solution) is None:
            raise row.unusable(f"has an 'answer' that ends in no number: {solution[-40:]!r}")
        return Item(question=row.text("question"), target=solution)


@dataclass(frozen=True, kw_only=True)
class SVAMP(Arithmetic):
    """Short problems with varied wording (Patel et al., arXiv 2103.07191).

    Args:
        split: `test` (300 rows on the hub) or `train`; the publishers' SVAMP.json is all
            1000 rows, split `all`.
        data_dir: a local file or folder, in place of the hub.
        revision: of the hub's data set.
        scoring: `strict` or `published`; see `Graded`.
    """

    hub_id = "ChilleD/SVAMP"
    files = ("SVAMP.json",)

    def read(self, row: Row) -> Item:
        """Return body and question as one text."""
        if row.value("question_concat") is not None:
            question = row.text("question_concat")
        else:
            question = f"{row.text('Body')} {row.text('Question')}"
        return Item(question=question, target=row.number("Answer"))


@dataclass(frozen=True, kw_only=True)
class MultiArith(Arithmetic):
    """Problems of several steps (Roy and Roth, arXiv 1608.01413).

    Args:
        split: `test` (180 rows on the hub) or `train`; the publishers' MultiArith.json is
            all 600 rows, split `all`.
        data_dir: a local file or folder, in place of the hub.
        revision: of the hub's data set.
        scoring: `strict` or `published`; see `Graded`.
    """

    hub_id = "ChilleD/MultiArith"
    files = ("MultiArith.json",)

    def read(self, row: Row) -> Item:
        """Return the question."""
        question = row.text("question", "sQuestion")
        return Item(question=question, target=row.number("final_ans", "lSolutions"))
