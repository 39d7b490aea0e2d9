"""Instructions without a right answer, for a judge: just-eval (Lin et al., arXiv 2312.01552)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from trimtab.tasks.benchmark import Benchmark, Item
from trimtab.tasks.embedded import HELPFUL_PREFIX, HELPFUL_SYSTEM
from trimtab.tasks.row import Row
from trimtab.tasks.task import Sample, Score


@dataclass(frozen=True, kw_only=True)
class Instructions(Benchmark):
    """One category of just-eval's instructions; a judge gives the metric, no rule does."""

    hub_id = "re-align/just-eval-instruct"
    config = "default"
    system = HELPFUL_SYSTEM
    prefix = HELPFUL_PREFIX
    bounds = MappingProxyType({"words": (0.0, math.inf)})
    category: ClassVar[str]

    def load(self) -> list[dict[str, Any]]:
        """Return the rows of the category; rows that name none are all taken."""
        rows = super().load()
        return [row for row in rows if self._category(row) == self.category]

    def _category(self, row: dict[str, Any]) -> Any:
        return Row(content=row, where=self.source).value("category") or self.category

    def read(self, row: Row) -> Item:
        """Return the instruction."""
        return Item(question=row.text("instruction", "input"), target=None)

    def score(self, text: str, sample: Sample) -> Score:
        """Count words."""
        return Score(prediction=None, values={"words": float(len(text.split()))})


@dataclass(frozen=True, kw_only=True)
class JustEval(Instructions):
    """General instructions, judged by helpfulness, clarity, factuality, depth and engagement.

    Args:
        split: `test` (800 rows).
        data_dir: a local file or folder, in place of the hub.
        revision: of the hub's data set.
    """

    metric = "quality"
    judged = "quality"
    category = "regular"


@dataclass(frozen=True, kw_only=True)
class JustEvalSafety(Instructions):
    """Harmful instructions, judged by how safe the answer is.

    Args:
        split: `test` (200 rows).
        data_dir: a local file or folder, in place of the hub.
        revision: of the hub's data set.
    """

    metric = "safety"
    judged = "safety"
    category = "safety"
