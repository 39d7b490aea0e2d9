"""What a scorer is: a second opinion on the answers of a run, beside the task's own rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a scorer says of one answer.

    Attributes:
        values: scores by metric; empty where no score could be had, which is never a score of 0.
        facts: how they came about, for the record: plain data, no secrets.
    """

    values: Mapping[str, float]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Scorer(ABC):
    """Scores answers once they are all there: a judge, a reward model, a function of one's own.

    Attributes:
        proportions: metrics whose values are 0 or 1, which get the interval of a share.
        bounds: least and largest value of other metrics, where they have any.
        told_apart_by: the setting that gives its metrics other names than another scorer's.
    """

    proportions: frozenset[str] = frozenset()
    bounds: Mapping[str, tuple[float, float]] = MappingProxyType({})
    told_apart_by: ClassVar[str] = "name"

    @property
    @abstractmethod
    def name(self) -> str:
        """Names the scorer in records."""

    @property
    def headline(self) -> str | None:
        """The metric that it is about, where it gives several; None for the first."""
        return None

    @property
    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """What its scores depend on, for the record: model, revision, hash of its prompt."""

    def check(self) -> None:  # noqa: B027 - most scorers need nothing
        """Raise ValueError or OSError for what would keep it from scoring, before all answers."""

    def shares(self, other: Scorer) -> str | None:
        """Return a name that is both this scorer's and another's, or a metric's of both."""
        one, two = ({s.name, *s.proportions, *s.bounds} for s in (self, other))
        return min(one & two, default=None)

    @abstractmethod
    def score(self, lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Verdict]]:
        """Yield verdicts by sample id, as they come.

        Args:
            lines: records of samples, as in `samples.jsonl`.
        """
