"""The reasoning tasks of the micro-world, whose answers are computed."""

from dataclasses import dataclass

from trimtab.reading.numbers import read_number, same_number
from trimtab.reading.phrases import final_phrase, same_phrase
from trimtab.tasks.embedded import REASONING_PREFIX, REASONING_SYSTEM, Embedded
from trimtab.tasks.task import Sample, Score


@dataclass(frozen=True, kw_only=True)
class WordProblems(Embedded):
    """Running arithmetic in short English problems; right if the final number is the answer.

    Args:
        split: `test` or `validation`.
    """

    split: str = "test"
    metric = "accuracy"
    proportions = frozenset({"accuracy"})
    rows = "word-problems"
    system = REASONING_SYSTEM
    prefix = REASONING_PREFIX

    def score(self, text: str, sample: Sample) -> Score:
        """Compare the final number with the target."""
        assert sample.target is not None
        prediction = read_number(text)
        right = same_number(prediction, sample.target)
        return Score(prediction=prediction, values={"accuracy": float(right)})


@dataclass(frozen=True, kw_only=True)
class LastLetters(Embedded):
    """Concatenate the last letters of some words; right if the stated answer is that string.

    Args:
        split: `test` or `validation`.
    """

    split: str = "test"
    metric = "accuracy"
    proportions = frozenset({"accuracy"})
    rows = "last-letters"
    system = REASONING_SYSTEM
    prefix = REASONING_PREFIX

    def score(self, text: str, sample: Sample) -> Score:
        """Compare the stated answer with the target, letter case aside."""
        assert sample.target is not None
        prediction = final_phrase(text)
        right = same_phrase(prediction, sample.target)
        return Score(prediction=prediction, values={"accuracy": float(right)})
