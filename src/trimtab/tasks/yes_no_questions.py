"""Questions that are answered with yes or no: StrategyQA, sports understanding and coin flips."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.reading.yes_no import MEANINGS, read_yes_no
from trimtab.tasks.benchmark import Graded, Item
from trimtab.tasks.big_bench import answer_of, question_of
from trimtab.tasks.row import Row
from trimtab.tasks.task import Sample


@dataclass(frozen=True, kw_only=True)
class YesNo(Graded):
    """Questions whose target is `yes` or `no`."""

    def read(self, row: Row) -> Item:
        """Return the question; true, plausible and their opposites count as yes and no."""
        label = answer_of(row)
        if label.lower() not in MEANINGS:
            accepted = ", ".join(MEANINGS)
            raise row.unusable(f"has the answer {label!r}, which is none of {accepted}")
        return Item(question=self.question(row), target=MEANINGS[label.lower()])

    def question(self, row: Row) -> str:
        """Return the row's question."""
        return question_of(row)

    def answer(self, text: str, sample: Sample) -> str | None:
        """Return `yes` or `no`, as the text finally says."""
        return read_yes_no(text)


@dataclass(frozen=True, kw_only=True)
class StrategyQA(YesNo):
    """Questions whose steps have to be found (Geva et al., arXiv 2101.02235).

    Args:
        split: `test` (687 rows on the hub) or `train`; BIG-bench's task.json is all 2290
            rows, split `all`.
        data_dir: a local file or folder, in place of the hub.
        revision: of the hub's data set.
        scoring: `strict` or `published`; see `Graded`.
    """

    hub_id = "ChilleD/StrategyQA"
    files = ("task.json",)


@dataclass(frozen=True, kw_only=True)
class Sports(YesNo):
    """Whether a sentence about sports is plausible: sports understanding of BIG-bench.

    Args:
        split: `default` (all rows), `train` or `validation`.
        data_dir: a local file or folder, in place of the hub; BIG-Bench Hard has 250 rows.
        revision: of the hub's data set.
        scoring: `strict` or `published`; see `Graded`.
    """

    split: str = "default"
    hub_id = "hails/bigbench"
    config = "sports_understanding_zero_shot"
    files = ("sports_understanding.json", "task.json")

    def question(self, row: Row) -> str:
        """Return what stands before "Plausible/implausible?"."""
        question = question_of(row).partition("Plausible/implausible?")[0].strip()
        if not question:
            raise row.unusable("has no text before 'Plausible/implausible?'")
        return question


@dataclass(frozen=True, kw_only=True)
class CoinFlip(YesNo):
    """Whether a coin is still heads up (Wei et al., arXiv 2201.11903).

    The hub's rows end in "A:", which is removed here; the published code leaves it in the prompt.

    Args:
        split: `test`, `validation` or `train`; coin_flip.json of Kojima et al. (arXiv 2205.11916)
            is all 500 rows, split `all`.
        data_dir: a local file or folder, in place of the hub.
        revision: of the hub's data set.
        scoring: `strict` or `published`; see `Graded`.
    """

    hub_id = "skrishna/coin_flip"
    files = ("coin_flip.json",)
