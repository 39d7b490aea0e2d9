"""What a model prefers: among stored responses by their likelihood, and between two runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from trimtab import statistics
from trimtab.statistics import Estimate

Responses = Mapping[str, Mapping[str, float]]
"""A number for each stored response: by sample id, then by level, such as `expert`."""


def preferred(log_probabilities: Responses, tokens: Responses) -> dict[str, str | None]:
    """Return the level that a model finds most likely, by sample id; None for a tie.

    Likely is by the mean log-probability per token, so that a response is not preferred for being
    short: the likelihood preference of alignment vectors (Shahriar et al., arXiv 2410.19206).

    Args:
        log_probabilities: of each whole response given its prompt, in nats.
        tokens: how many tokens each response has.

    Raises:
        ValueError: for samples or levels that the two do not share, a log-probability above 0 or
            not finite, and a response without tokens.
    """
    if not log_probabilities:
        raise ValueError("No samples: a preference needs at least one, with two responses or more.")
    levels = list(next(iter(log_probabilities.values())))
    if len(levels) < 2:
        raise ValueError(f"Levels {levels}: a preference is among two responses or more.")
    _require_same("Samples", tokens, log_probabilities)
    found = {}
    for sample_id, of_levels in log_probabilities.items():
        for given in (of_levels, tokens[sample_id]):
            _require_same(f"Levels of sample {sample_id!r}", given, levels)
        likely = {
            level: _per_token(of_levels[level], tokens[sample_id][level], sample_id, level)
            for level in levels
        }
        best = max(likely.values())
        first, *others = (level for level in levels if likely[level] == best)
        found[sample_id] = None if others else first
    return found


def preference_rate(log_probabilities: Responses, tokens: Responses) -> dict[str, Estimate]:
    """Return the share of samples in which a model finds a level's response the most likely.

    By level, with Wilson intervals; see `preferred`. A tie counts for no level, so where there are
    ties the shares add up to less than 1.
    """
    found = list(preferred(log_probabilities, tokens).values())
    levels = next(iter(log_probabilities.values()))
    return {level: statistics.proportion(found.count(level), len(found)) for level in levels}


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
    shares = statistics.paired(wins, losses)
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


def _per_token(log_probability: float, tokens: float, sample_id: str, level: str) -> float:
    if not -math.inf < log_probability <= 0:
        raise ValueError(
            f"log_probabilities of sample {sample_id!r}, {level!r}: {log_probability!r}. Accepted "
            "are finite numbers up to 0."
        )
    if not (tokens >= 1 and float(tokens).is_integer()):
        raise ValueError(
            f"tokens of sample {sample_id!r}, {level!r}: {tokens!r}. Accepted are whole numbers "
            "from 1 up."
        )
    return log_probability / tokens


def _require_same(what: str, given: Any, expected: Any) -> None:
    if apart := sorted(set(given) ^ set(expected)):
        raise ValueError(
            f"{what}: {apart[0]!r} is not on both sides. log_probabilities and tokens need the "
            "same samples, each with the same levels."
        )
