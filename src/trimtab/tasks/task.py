"""What a task is: rows of a data set, the pieces of their prompts, and a rule that scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from trimtab.models import Conversation

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One item: its id, what is asked, and the right answer if there is one."""

    id: str
    conversation: Conversation
    target: str | None


@dataclass(frozen=True, kw_only=True)
class Score:
    """What was read from an answer, and its scores by metric."""

    prediction: str | None
    values: dict[str, float]


class Task(ABC):
    """Samples and how they are scored.

    Attributes:
        metric: the metric that the task is about; higher is better.
        proportions: metrics whose values are 0 or 1, which get a Wilson interval.
        bounds: least and largest value of other metrics, where they have any.
        split: which part of a data set the rows are, such as `validation`; None where unknown.
    """

    metric: str
    proportions: frozenset[str] = frozenset()
    bounds: Mapping[str, tuple[float, float]] = MappingProxyType({})
    split: str | None = None

    @abstractmethod
    def load(self) -> Dataset:
        """Return the rows, as a Hugging Face data set."""

    @abstractmethod
    def sample(self, row: Mapping[str, Any], index: int) -> Sample:
        """Return the sample of one row."""

    @abstractmethod
    def score(self, text: str, target: str | None) -> Score:
        """Score one answer."""

    @property
    @abstractmethod
    def source(self) -> str:
        """Where the rows come from, for the record."""

    @cached_property
    def dataset(self) -> Dataset:
        """The rows, loaded once."""
        dataset = self.load()
        if len(dataset) == 0:
            raise ValueError(f"{self.source} holds no rows. Give a data set with at least one.")
        return dataset

    def samples(self, limit: int | None = None) -> list[Sample]:
        """Return the first `limit` samples, or all; ids are unique."""
        count = len(self.dataset) if limit is None else min(limit, len(self.dataset))
        samples = [self.sample(self.dataset[i], i) for i in range(count)]
        ids = [sample.id for sample in samples]
        if len(set(ids)) < len(ids):
            twice = next(i for i in ids if ids.count(i) > 1)
            raise ValueError(
                f"{self.source} has the id {twice!r} more than once; ids name samples."
            )
        return samples
