"""What a task is: rows of a data set, the pieces of their prompts, and a rule that scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from trimtab.config.user_code import named
from trimtab.models import Conversation

COMPARISONS = ("sum", "length", "tokens", "unconditional")
"""How the likelihoods of choices may be compared; see `runs.most_likely.answer`."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One item.

    Attributes:
        id: names it, whatever else is asked with it.
        conversation: what is asked.
        target: the right answer, if there is one; of a choice, its label.
        choices: the texts to choose from by their labels, such as `{"A": "a dog"}`; empty where the
            answer is free.
        also_right: further answers, each as right as the target.
    """

    id: str
    conversation: Conversation
    target: str | None
    choices: Mapping[str, str] = field(default_factory=dict)
    also_right: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Score:
    """What was read from an answer, and its scores.

    Attributes:
        prediction: what the task's own rule read; None where it read nothing.
        values: scores by metric.
        readings: what other rules read, by the metric that they decide.
        likelihoods: of each choice by its label, where these were compared: the value of each
            comparison, such as `sum`, in nats.
    """

    prediction: str | None
    values: dict[str, float]
    readings: dict[str, str | None] = field(default_factory=dict)
    likelihoods: dict[str, dict[str, float]] = field(default_factory=dict)


class Task(ABC):
    """Samples and how they are scored.

    Attributes:
        metric: the metric that the task is about; higher is better.
        proportions: metrics whose values are 0 or 1, which get the interval of a share.
        bounds: least and largest value of other metrics, `(-math.inf, math.inf)` where they have
            none; the interval of a metric that is not among these is kept to the values seen.
        likelihood: how the likelihoods of a sample's choices are compared (one of
            `COMPARISONS`), where that is the answer; None where answers are generated.
        judged: the judge's rubric that fits the task, such as `correctness`; None where none does.
        split: which part of a data set the rows are, such as `validation`; None where unknown.
    """

    metric: str
    proportions: frozenset[str] = frozenset()
    bounds: Mapping[str, tuple[float, float]] = MappingProxyType({})
    likelihood: str | None = None
    judged: str | None = None
    split: str | None = None

    without_effect: ClassVar[frozenset[str]] = frozenset()
    since: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    @abstractmethod
    def load(self) -> Sequence[Mapping[str, Any]]:
        """Return the rows: a list, or a Hugging Face data set."""

    @abstractmethod
    def sample(self, row: Mapping[str, Any], index: int) -> Sample:
        """Return the sample of one row."""

    @abstractmethod
    def score(self, text: str, sample: Sample) -> Score:
        """Score one answer to a sample."""

    @property
    @abstractmethod
    def source(self) -> str:
        """Where the rows come from, for the record."""

    @property
    def revision_in_use(self) -> str | None:
        """The revision of a hub's data set that the rows are from; None for other rows."""
        return None

    @cached_property
    def dataset(self) -> Sequence[Mapping[str, Any]]:
        """The rows, loaded once."""
        dataset = self.load()
        # A data set of the hub has no common ancestor with lists; one of several splits is a dict.
        sized = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
        if not sized or isinstance(dataset, (str, bytes, Mapping)):
            raise ValueError(
                f"{named(type(self))}.load() returned a {type(dataset).__name__}. Accepted is a "
                "list of rows, or a Hugging Face data set; of a generator: list(...)."
            )
        if len(dataset) == 0:
            raise ValueError(f"{self.source} holds no rows. Give a data set with at least one.")
        return dataset

    def samples(self, limit: int | None = None, limit_seed: int | None = None) -> list[Sample]:
        """Return some samples, or all; ids are unique.

        Args:
            limit: how many; None for all.
            limit_seed: draws them, without replacement, by numpy's legacy generator with this seed,
                as published evaluations do; None for the first.

        Raises:
            ValueError: for rows, samples and ids that are none.
        """
        total = len(self.dataset)
        count = total if limit is None else min(limit, total)
        drawn: Sequence[int] = range(count)
        if limit_seed is not None and count < total:
            drawn = np.random.RandomState(limit_seed).choice(total, count, replace=False).tolist()
        samples = [self._sample(i) for i in drawn]
        ids = [sample.id for sample in samples]
        if len(set(ids)) < len(ids):
            twice = next(i for i in ids if ids.count(i) > 1)
            raise ValueError(
                f"{self.source} has the id {twice!r} more than once; ids name samples. "
                "Give each its own."
            )
        return samples

    def _sample(self, index: int) -> Sample:
        """Return the sample of a row, or say what the task's class gives instead."""
        sample = self.sample(self.dataset[index], index)
        where = f"{named(type(self))}.sample(), of row {index + 1},"
        if not isinstance(sample, Sample):
            raise ValueError(
                f"{where} returned {sample!r}, of type {type(sample).__name__}. Accepted is a "
                "Sample."
            )
        for name, kind, accepted in (
            ("id", str, "text"),
            ("conversation", Conversation, "a Conversation"),
            ("target", str | None, "text, or None"),
        ):
            value = getattr(sample, name)
            if not isinstance(value, kind):
                raise ValueError(
                    f"{where} gave the {name} {value!r}, of type {type(value).__name__}. Accepted "
                    f"is {accepted}."
                )
        return sample
