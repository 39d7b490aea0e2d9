"""How often one run beats another on the same samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from trimtab.statistics import estimates


@dataclass(frozen=True, kw_only=True)
class WinRate:
    """How often the first of two runs beats the second on the same samples.

    Attributes:
        value: `(wins + ties / 2) / n`; 0.5 where neither is better.
        n: number of samples.
        wins: samples in which the first has the higher value.
        ties: samples in which both have the same.
        losses: the others.
        ci95: 95 % interval of `value`.
        p_value: of the exact sign test of "neither is better", in which ties do not count.
    """

    value: float
    n: int
    wins: int
    ties: int
    losses: int
    ci95: tuple[float, float]
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON data."""
        return asdict(self) | {"ci95": list(self.ci95)}


def win_rate(first: Mapping[str, float], second: Mapping[str, float]) -> WinRate:
    """Compare two runs sample by sample, by any metric of which higher is better.

    A win rate is `1/2 + (share of wins - share of losses) / 2`, and the two shares are those of a
    paired comparison of "wins" with "loses". So its interval is that of Bonett and Price (2012) for
    the difference of paired proportions, moved and halved: unlike that of the mean of 1, 1/2 and 0
    it does not shrink to a point where one run wins always. The test is exact McNemar's, which here
    is the sign test. Values tie where they are equal to the last bit.

    Args:
        first: values of the one run, by sample id.
        second: values of the other, for the same samples.

    Raises:
        ValueError: for samples that are in one run alone, for none, and for a value that is not
            finite.
    """
    for values in (first, second):
        for sample_id, value in values.items():
            if not math.isfinite(value):
                raise ValueError(
                    f"Sample {sample_id!r} has the value {value}: accepted are finite numbers."
                )
    wins, losses = _above(first, second), _above(second, first)
    shares = estimates.paired(wins, losses)
    won, lost = int(sum(wins.values())), int(sum(losses.values()))
    assert shares.ci95 is not None and shares.p_value is not None
    low, high = shares.ci95
    return WinRate(
        value=(1 + shares.difference) / 2,
        n=shares.n,
        wins=won,
        ties=shares.n - won - lost,
        losses=lost,
        ci95=((1 + low) / 2, (1 + high) / 2),
        p_value=shares.p_value,
    )


def _above(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """Return 1 for each sample of the first run in which it beats the second."""
    return {
        sample_id: float(sample_id in second and value > second[sample_id])
        for sample_id, value in first.items()
    }
