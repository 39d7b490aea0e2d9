"""What a curve says about its dial: the best value, and those as good by the samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TypedDict, cast

from trimtab.results import seeds
from trimtab.results.frames import Run
from trimtab.runs.record_types import EstimateRecord
from trimtab.statistics import estimates

LEVEL = 0.05
"""Of a corrected p-value; from here on, values are indistinguishable."""

MARGIN = 0.02
"""Of a score; a value that is shown to be no further below the best may be named the cheapest."""


class PairedRecord(TypedDict):
    """A value compared with the best one, over the same samples."""

    difference: float  # mean of this value minus the best
    n: int  # samples
    ci95: list[float] | None  # 95 % interval of the difference
    p_value: float | None  # of this comparison alone
    test: str  # that gave it


class PositionRecord(TypedDict):
    """What `choose --json` says of a value of the dial."""

    value: float  # where the dial stands
    score: EstimateRecord  # its metric
    against_best: PairedRecord | None  # None: it is the best
    p_value: float  # of that comparison, corrected for all pairs of the curve
    indistinguishable: bool  # whether the samples do not tell it from the best
    guide_ratio: float | None  # the guide's share of the words; None: not measured
    kl_weight: float | None  # beta / strength, that DeRa approximates; None: none leads there
    folder: str  # of its first run
    folders: list[str]  # of its runs, by seed


class ChoiceRecord(TypedDict):
    """What `choose --json` says of a curve."""

    name: str  # method, models, and what tells it from others
    task: str  # on the command line
    source: str  # where the task's rows come from
    split: str | None  # of these rows
    method: str  # on the command line
    models: str  # that have a say
    dial: str | None  # its name
    metric: str  # that values are compared by
    seeds: list[int]  # that every value was run with
    best: float  # the value with the highest mean
    held_out: EstimateRecord | None  # its metric on samples that did not pick it; None: of so few
    indistinguishable: list[float]  # that and all as good, by the samples
    margin: float  # below the best, within which a value may be the cheapest
    within_margin: list[float]  # those that are shown to be within it, the best included
    cheapest: float | None  # of both the one where the guide says least; None: not measured
    betas: list[float]  # KL weights that the runs record
    positions: list[PositionRecord]  # the values, in the dial's order
    left_out: list[str]  # runs that were not compared, and why


@dataclass(frozen=True, kw_only=True)
class Position:
    """A value of the dial, compared with the best one.

    Attributes:
        runs: the runs at this value, by their seeds.
        score: its metric: `value`, `n`, `stderr`, `ci95`.
        against_best: the paired comparison, this value minus the best; None for the best itself.
        p_value: of that comparison, corrected for all pairs of the curve; 1 for the best itself.
    """

    runs: Sequence[Run]
    score: EstimateRecord
    against_best: estimates.Paired | None
    p_value: float

    @property
    def run(self) -> Run:
        """The run at this value; of several seeds, the first."""
        return self.runs[0]

    @property
    def value(self) -> float:
        """Where the dial stands."""
        assert self.run.value is not None
        return self.run.value

    @property
    def indistinguishable(self) -> bool:
        """Whether the samples do not tell it from the best; so for the best itself."""
        return self.p_value >= LEVEL

    @property
    def lowest(self) -> float:
        """The lower end of the interval of the difference from the best; 0 for the best itself."""
        if self.against_best is None:
            return 0.0
        return self.against_best.ci95[0] if self.against_best.ci95 else -math.inf

    @property
    def guide_ratio(self) -> float | None:
        """The guide's mean share of the words; None for a method that does not measure it."""
        found = [run.summary["metrics"].get("guide_ratio") for run in self.runs]
        ratios = [ratio["value"] for ratio in found if ratio]
        return fmean(ratios) if len(ratios) == len(found) else None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a curve says about its dial.

    Attributes:
        name: of the curve: method, models, and what tells it from others of that name.
        metric: the score that the values are compared by.
        positions: the compared values, in the dial's order.
        held_out: what the best value is worth on samples that did not pick it; None for one sample.
        margin: how far below the best the cheapest may be.
        left_out: runs of the curve that were not compared, and why.
    """

    name: str
    metric: str
    positions: Sequence[Position]
    held_out: estimates.Estimate | None = None
    margin: float = MARGIN
    left_out: Sequence[str] = ()

    @property
    def best(self) -> Position:
        """The value with the highest mean."""
        return next(p for p in self.positions if p.against_best is None)

    @property
    def indistinguishable(self) -> list[Position]:
        """The best and all that the samples do not tell from it, in the dial's order."""
        return [p for p in self.positions if p.indistinguishable]

    @property
    def cheapest(self) -> Position | None:
        """Of those within the margin the one where the guide says least; None without a guide.

        By the mean `guide_ratio`, the paper's own account of cost; of equals, the nearest to 0.
        """
        measured = [p for p in self.within_margin if p.guide_ratio is not None]
        return min(measured, key=lambda p: (p.guide_ratio, turn(p.value)), default=None)

    @property
    def within_margin(self) -> list[Position]:
        """The best, and the indistinguishable that are shown to be at most the margin below it."""
        return [p for p in self.indistinguishable if p.lowest > -self.margin or p is self.best]

    @property
    def betas(self) -> list[float]:
        """The KL weights that the runs record; the aligned model was trained with one."""
        recorded = (run.config["method"].get("beta") for p in self.positions for run in p.runs)
        return sorted({beta for beta in recorded if isinstance(beta, int | float)})

    @property
    def seeds(self) -> list[int]:
        """The seeds that every value was run with."""
        return [seeds.seed(run) for run in self.best.runs]

    def kl_weight(self, position: Position) -> float | None:
        """Return the KL weight that DeRa approximates there: beta / strength.

        Liu et al., "Decoding-time Realignment of Language Models", ICML 2024, arXiv 2402.02992.
        It is where to begin when training anew, and no promise of the same score; see `DeRa`.
        None where the runs do not record one beta, and at strength 0 (the reference itself, which
        an infinite weight would keep) or below, where no KL weight leads.
        """
        if len(self.betas) != 1 or position.value <= 0:
            return None
        return self.betas[0] / position.value

    def to_dict(self) -> ChoiceRecord:
        """Return all of it as plain JSON data."""
        run = self.best.run
        return {
            "name": self.name,
            "task": run.task,
            "source": run.source,
            "split": run.split,
            "method": run.method,
            "models": run.models,
            "dial": run.dial,
            "metric": self.metric,
            "seeds": self.seeds,
            "best": self.best.value,
            "held_out": cast(EstimateRecord, self.held_out.to_dict()) if self.held_out else None,
            "indistinguishable": [p.value for p in self.indistinguishable],
            "margin": self.margin,
            "within_margin": [p.value for p in self.within_margin],
            "cheapest": self.cheapest.value if self.cheapest else None,
            "betas": self.betas,
            "positions": [
                {
                    "value": p.value,
                    "score": p.score,
                    "against_best": cast(PairedRecord, p.against_best.to_dict())
                    if p.against_best
                    else None,
                    "p_value": p.p_value,
                    "indistinguishable": p.indistinguishable,
                    "guide_ratio": p.guide_ratio,
                    "kl_weight": self.kl_weight(p),
                    "folder": str(p.run.folder),
                    "folders": [str(run.folder) for run in p.runs],
                }
                for p in self.positions
            ],
            "left_out": list(self.left_out),
        }


def turn(value: float | None) -> tuple[float, bool]:
    """How far the dial is turned from 0; of equals, the positive one is less."""
    assert value is not None
    return abs(value), value < 0
