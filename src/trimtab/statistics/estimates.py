"""Estimates with their uncertainty, and the comparison of two runs over the same samples."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import bdtr, betaincinv, ndtr, ndtri, stdtr, stdtrit

from trimtab.statistics import heaped, sign_flips

_LEVEL = 0.95
TAIL = 1 - (1 - _LEVEL) / 2
"""0.975: both tails together hold what an interval leaves out."""
_ENOUGH_SEEN = 6
_FEW = 12
_Z = float(ndtri(TAIL))


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over samples with its standard error and 95 % interval.

    One sample alone says nothing about the spread, nor do several that are all alike: `stderr` and
    `ci95` of their mean are None, unless it is known what else a score could be.
    """

    value: float
    n: int
    stderr: float | None
    ci95: tuple[float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON data."""
        fields = asdict(self)
        fields["ci95"] = None if self.ci95 is None else list(self.ci95)
        return fields


@dataclass(frozen=True, kw_only=True)
class Paired:
    """How two runs differ over the same samples: mean of first minus second, interval, test."""

    difference: float
    n: int
    ci95: tuple[float, float] | None
    p_value: float | None
    test: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON data."""
        fields = asdict(self)
        fields["ci95"] = None if self.ci95 is None else list(self.ci95)
        return fields


def proportion(successes: int, n: int) -> Estimate:
    """Return the share of successes with its 95 % interval.

    It is Wilson's (1927), and Clopper and Pearson's (1934) where no more than twelve are successes,
    or failures: there Wilson's covers the truth in as little as 84 %. Together they cover it in at
    least 93 %, whatever it is (computed exactly for n from 5 to 3,000).
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"successes={successes}, n={n}: accepted are 0 <= successes <= n, n >= 1.")
    share = successes / n
    stderr = math.sqrt(share * (1 - share) / n)
    return Estimate(value=share, n=n, stderr=stderr, ci95=of_share(share, n, _Z))


def mean(values: Sequence[float], bounds: tuple[float, float] = (-math.inf, math.inf)) -> Estimate:
    """Return the mean with its Student t interval, cut to the `bounds` that values can have.

    Values that are all alike have no interval: see `of_scores`.
    """
    sample = checked(values)
    n = sample.size
    center = float(sample.mean())
    if np.ptp(heaped.snapped(sample, float(np.abs(sample).max()))) == 0:
        return Estimate(value=center, n=n, stderr=None, ci95=None)
    stderr = float(sample.std(ddof=1)) / math.sqrt(n)
    half = float(stdtrit(n - 1, TAIL)) * stderr
    interval = (max(bounds[0], center - half), min(bounds[1], center + half))
    return Estimate(value=center, n=n, stderr=stderr, ci95=interval)


def of_scores(values: Sequence[float], bounds: tuple[float, float] | None) -> Estimate:
    """Return the mean of scores with the 95 % interval that what is known of them allows.

    That is Student's where scores have an upper and a lower bound, or none that are known, and the
    BCa bootstrap's for those that may grow without end, such as lengths. Neither holds where the
    scores are heaped: more than half alike, and fewer than 30 others. Then it is Gaffke's between
    known bounds (see `heaped.ends`), and there is none without.

    Args:
        values: one of each sample.
        bounds: the least and the most that a value can be; None where they are not known.
    """
    sample = checked(values)
    if bounds == (0, math.inf):
        estimate = bootstrapped(values)
    else:
        estimate = mean(values, seen_bounds(values) if bounds is None else bounds)
    if sample.size == 1 or not heaped.is_heaped(sample):
        return estimate
    if bounds is None or not np.isfinite(bounds).all():
        return dataclasses.replace(estimate, ci95=None)
    return dataclasses.replace(estimate, ci95=_between(sample, bounds))


def share(values: Sequence[float]) -> Estimate:
    """Return the mean of shares, one of each sample, as `of_scores` does within 0 and 1.

    Samples that are all alike say nothing about the spread: then the interval is that of
    `proportion`, as if each had been asked once.
    """
    estimate = of_scores(values, (0.0, 1.0))
    if estimate.n == 1 or np.ptp(values) > 0:
        return estimate
    return dataclasses.replace(estimate, ci95=of_share(estimate.value, estimate.n, _Z))


def seen_bounds(values: Sequence[float]) -> tuple[float, float]:
    """Return bounds for values of which none are known: those that they seem to have.

    These are the least and the largest value seen, if there are six or more: the middle of what
    they are drawn from lies outside of these in 2 of 2^n draws, so that an interval of 95 % loses
    little. Fewer than six say less; where they all lie within 0 and 1, they are taken for shares.
    """
    least, largest = min(values), max(values)
    if len(values) >= _ENOUGH_SEEN:
        return least, largest
    return (0.0, 1.0) if least >= 0 and largest <= 1 else (-math.inf, math.inf)


def bootstrapped(values: Sequence[float], *, resamples: int = 2000, seed: int = 0) -> Estimate:
    """Return the mean with its BCa bootstrap interval, for values that are skewed to one side.

    Efron, "Better bootstrap confidence intervals", Journal of the American Statistical Association
    82 (1987). Unlike Student's it leans to where the long tail is, and holds no value that no
    sample could have. It covers the mean in 92 to 95 % of samples of 50 where the tail is that of
    an exponential distribution, and in as few as 87 % where it is much longer.
    """
    estimate = mean(values)
    if estimate.ci95 is None:
        return estimate
    sample = checked(values)
    n = sample.size
    rng = np.random.default_rng(seed)
    means = np.array([sample[rng.integers(0, n, n)].mean() for _ in range(resamples)])
    below, ties = (means < estimate.value).mean(), (means == estimate.value).mean()
    bias = ndtri(below + ties / 2)
    apart = sample - estimate.value  # proportional to the influence of leaving each out
    acceleration = (apart**3).sum() / (6 * (apart**2).sum() ** 1.5)
    ends = bias + np.array([-_Z, _Z])
    levels = ndtr(bias + ends / (1 - acceleration * ends))
    low, high = np.quantile(means, np.clip(levels, 0, 1)).tolist()
    return dataclasses.replace(estimate, ci95=(low, high))


def summarize(values: Sequence[float], *, binary: bool) -> Estimate:
    """Return the proportion of 0/1 scores if `binary`, otherwise the mean."""
    sample = checked(values)
    if not binary:
        return mean(values)
    if not np.isin(sample, (0, 1)).all():
        other = next(v for v in values if v not in (0, 1))
        raise ValueError(f"A binary score is 0 or 1, got {other!r}.")
    return proportion(int(sample.sum()), sample.size)


def paired(first: Mapping[str, float], second: Mapping[str, float]) -> Paired:
    """Compare two runs by their scores of the same samples, keyed by sample id.

    Scores that are all 0 or 1 get the exact McNemar test (a sign test on the samples that only
    one of the two got right) and the interval of Bonett and Price (2012); others the paired t
    test and its interval. Where most differences are alike, so that fewer than 30 say how far they
    spread, they get the sign-flip test and Gaffke's interval (see `heaped`), for differences as
    large as the scores that were seen allow. Differences below the rounding of the scores are 0.
    The sign-flip test is of runs that are alike: where their means are, and they are not (many
    small gains, seldom a large loss), it rejects in up to 20 %, and the interval tells more.

    Where interval and test disagree about a difference of 0, the test decides: its level is exact,
    or nearly so, while Bonett and Price's interval leaves out 0 a little more often (of 50 samples
    in up to 5 % without a difference, where McNemar's test rejects in 1 to 3 %).
    """
    if first.keys() != second.keys():
        apart = sorted(map(str, first.keys() ^ second.keys()))
        raise ValueError(
            f"The runs share {len(first.keys() & second.keys())} samples, but {len(apart)} are in "
            f"one alone, such as {apart[0]!r}. Compare runs over the same samples."
        )
    a = checked(list(first.values()))
    b = checked([second[key] for key in first])
    if np.isin(np.concatenate([a, b]), (0, 1)).all():
        return _mcnemar(wins=int((a > b).sum()), losses=int((a < b).sum()), n=a.size)
    scale = float(np.abs([a, b]).max())
    differences = heaped.snapped(a - b, scale)
    difference = mean(differences.tolist())
    if differences.size == 1 or not heaped.is_heaped(differences):
        p_value, test, interval = _t_test(difference), "paired t", difference.ci95
    else:
        reach = max(a.max(), b.max()) - min(a.min(), b.min())
        p_value, test = sign_flips.p_value(differences), "sign-flip"
        interval = _between(differences, (-reach, reach)) if reach else None
    return Paired(
        difference=difference.value, n=differences.size, ci95=interval, p_value=p_value, test=test
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for being looked at together, in the order given.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6 (1979). With `p_(1) <= ... <= p_(m)`, the i-th smallest becomes
    `max over j <= i of min(1, (m - j + 1) p_(j))`: the least level at which the procedure rejects
    it. Rejecting what is below a level wrongly rejects anything at all with at most that
    probability, however the tests depend on each other.
    """
    p = np.asarray(p_values, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p_values={list(p_values)}: accepted are numbers from 0 to 1.")
    order = np.argsort(p, kind="stable")
    remaining = np.arange(p.size, 0, -1)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(remaining * p[order]))
    return corrected.tolist()


def of_share(share: float, n: float, z: float) -> tuple[float, float]:
    """Return the interval of a share of n, `z` standard errors wide; see `proportion`."""
    if min(share, 1 - share) * n > _FEW:
        shrink = 1 / (1 + z**2 / n)
        center = (share + z**2 / (2 * n)) * shrink
        half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) * shrink
        return center - half, center + half
    successes, failures, tail = share * n, (1 - share) * n, float(ndtr(-z))
    low = float(betaincinv(successes, failures + 1, tail)) if share > 0 else 0.0
    high = 1 - float(betaincinv(failures, successes + 1, tail)) if share < 1 else 1.0
    return low, high


def _between(sample: np.ndarray, bounds: tuple[float, float]) -> tuple[float, float]:
    """Return the interval of a mean within bounds; a value beyond them widens them."""
    low, high = min(bounds[0], float(sample.min())), max(bounds[1], float(sample.max()))
    return heaped.ends(sample, low, high, 1 - TAIL)


def _mcnemar(*, wins: int, losses: int, n: int) -> Paired:
    # Under the hypothesis of no difference, each discordant sample is a fair coin.
    discordant = wins + losses
    p_value = min(1.0, 2 * float(bdtr(min(wins, losses), discordant, 0.5))) if discordant else 1.0
    # One sample is added to each discordant cell, which keeps the level for small counts.
    win, loss = (wins + 1) / (n + 2), (losses + 1) / (n + 2)
    half = _Z * math.sqrt((win + loss - (win - loss) ** 2) / (n + 2))
    interval = (max(-1.0, win - loss - half), min(1.0, win - loss + half))
    return Paired(
        difference=(wins - losses) / n, n=n, ci95=interval, p_value=p_value, test="exact McNemar"
    )


def _t_test(difference: Estimate) -> float | None:
    if difference.stderr is None:
        return None
    t = abs(difference.value) / difference.stderr
    return max(2 * float(stdtr(difference.n - 1, -t)), np.finfo(float).tiny)


def checked(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return values as an array.

    Raises:
        ValueError: for none, and for one that is not finite.
    """
    sample = np.asarray(values, dtype=float)
    if sample.size == 0:
        raise ValueError("No values: an estimate needs at least one sample.")
    if not np.isfinite(sample).all():
        where = int(np.flatnonzero(~np.isfinite(sample))[0])
        raise ValueError(f"Value {where} is {sample[where]}: every score must be a finite number.")
    return sample
