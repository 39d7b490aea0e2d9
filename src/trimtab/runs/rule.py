"""A task's rule at work: what it gives is checked, its version is known, its faults are named."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from functools import cached_property
from numbers import Real

from trimtab.config import user_files
from trimtab.config.user_code import described, is_own, named
from trimtab.reading import READERS
from trimtab.runs import measures, verdicts
from trimtab.runs.record_types import SampleRecord
from trimtab.tasks import Sample, Score, Task

_RIGHT = "accuracy"  # of the tasks that have a right answer
UNREAD = "unread"
"""The measure, 0 or 1, of whether no answer could be read; of the tasks that have a right one."""
_SHOWN = 60  # characters of an answer
PROPORTIONS = measures.PROPORTIONS | {UNREAD}
_OF_RULE = PROPORTIONS | measures.BOUNDS.keys()


class Rule:
    """How a task scores answers: its `score()`, and the measures that depend on it."""

    def __init__(self, task: Task) -> None:
        self._task = task

    @cached_property
    def identity(self) -> str | None:
        """The version of this package's readers, and a hash of the user's files of the rule.

        These are the files of all that the task is made of, and those that its settings name. None
        of a task that reads no answers: one that compares likelihoods, or knows none as right.
        """
        task = self._task
        if task.likelihood:
            return None
        own = user_files.digest(user_files.behind(task))
        reads = own or _RIGHT in {task.metric, *task.proportions}
        return "+".join([READERS, *([own] if own else [])]) if reads else None

    def score(self, text: str, sample: Sample) -> Score:
        """Score an answer.

        Raises:
            ValueError: where a user's own `score()` fails, or gives what is no score, naming the
                sample.
        """
        task = self._task
        try:
            score = task.score(text, sample)
        except Exception as error:
            if not is_own(type(task)):
                raise
            raise self._failed(
                sample, text, f"failed: {described(error, type(task).__module__)}"
            ) from error
        if not isinstance(score, Score):
            problem = f"returned {score!r}, of type {type(score).__name__}. Accepted is a Score."
            raise self._failed(sample, text, problem)
        if not isinstance(score.values, Mapping):
            problem = f"gave the values {score.values!r}. Accepted is a dict of numbers by metric."
            raise self._failed(sample, text, problem)
        values = {name: self._value(name, v, sample, text) for name, v in score.values.items()}
        for what in (score.prediction, *score.readings.values()):
            if not isinstance(what, str | None):
                problem = f"gave the prediction {what!r}. Accepted is text, or None."
                raise self._failed(sample, text, problem)
        return Score(
            prediction=score.prediction,
            values=values,
            readings=score.readings,
            likelihoods=score.likelihoods,
        )

    def measures(self, text: str, sample: Sample, score: Score) -> dict[str, float]:
        """Return how an answer behaves, see `measures.measures`, and whether it was read."""
        if self._task.likelihood:
            return {}
        if sample.target is None or _RIGHT not in score.values:
            return measures.measures(text)
        found = measures.measures(
            text, lambda part: self.score(part, sample).values.get(_RIGHT) == 1
        )
        return found | {UNREAD: float(score.prediction is None)}

    def again(self, line: SampleRecord, sample: Sample) -> SampleRecord:
        """Return the record of an answer, scored anew; the verdicts of scorers stay.

        Raises:
            ValueError: as `score`; and for a metric that a scorer has given before.
        """
        score = self.score(line["completion"], sample)
        given = verdicts.scores(line)
        if taken := given.keys() & score.values.keys():
            raise ValueError(
                f"{named(type(self._task))}.score() gives {min(taken)!r}, as a scorer of this run "
                "has done before. Give it another name."
            )
        kept = {k: v for k, v in line["measures"].items() if k not in _OF_RULE}
        scored = copy(line)
        scored["prediction"] = score.prediction
        scored["scores"] = {**score.values, **given}
        scored["readings"] = dict(score.readings)
        scored["measures"] = kept | self.measures(line["completion"], sample, score)
        scored.pop("score_error", None)
        return scored

    def _value(self, name: object, value: object, sample: Sample, text: str) -> float:
        accepted = "a finite number"
        if isinstance(name, str) and isinstance(value, Real) and math.isfinite(value):
            low, high = self._task.bounds.get(name, (-math.inf, math.inf))
            if name in self._task.proportions:
                accepted, fits = "0 or 1, as it is among the task's proportions", value in (0, 1)
            else:
                accepted = f"{low:g} to {high:g}, the task's bounds of it"
                fits = low <= float(value) <= high
            if fits:
                return float(value)
        problem = f"gave {name!r} the value {value!r}. Accepted is {accepted}."
        raise self._failed(sample, text, problem)

    def _failed(self, sample: Sample, text: str, problem: str) -> ValueError:
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        return ValueError(
            f"{named(type(self._task))}.score(), for sample {sample.id!r} and the answer "
            f"{shown!r}, {problem}"
        )
