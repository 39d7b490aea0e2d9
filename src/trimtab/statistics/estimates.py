"""Estimates with their uncertainty, and the comparison of two runs over the same samples."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import bdtr, ndtr, ndtri, stdtr, stdtrit

_LEVEL = 0.95
_TAIL = 1 - (1 - _LEVEL) / 2  # 0.975: both tails together hold what the interval leaves out
_ENOUGH_SEEN = 6
_Z = float(ndtri(_TAIL))


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over samples with its standard error and 95 % interval.

    One sample alone says nothing about the spread: `stderr` and `ci95` of its mean are None.
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
    """Return the share of successes with its Wilson score interval (Wilson 1927).

    Unlike the normal interval it stays within [0, 1] and holds its level for shares near 0 and 1.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"successes={successes}, n={n}: accepted are 0 <= successes <= n, n >= 1.")
    share = successes / n
    stderr = math.sqrt(share * (1 - share) / n)
    return Estimate(value=share, n=n, stderr=stderr, ci95=_wilson(share, n, _Z))


def mean(values: Sequence[float], bounds: tuple[float, float] = (-math.inf, math.inf)) -> Estimate:
    """Return the mean with its Student t interval, cut to the `bounds` that values can have."""
    sample = _checked(values)
    n = sample.size
    center = float(sample.mean())
    if n == 1:
        return Estimate(value=center, n=n, stderr=None, ci95=None)
    stderr = float(sample.std(ddof=1)) / math.sqrt(n)
    half = float(stdtrit(n - 1, _TAIL)) * stderr
    interval = (max(bounds[0], center - half), min(bounds[1], center + half))
    return Estimate(value=center, n=n, stderr=stderr, ci95=interval)


def share(values: Sequence[float]) -> Estimate:
    """Return the mean of shares, one of each sample, as `mean` does within 0 and 1.

    Samples that are all alike say nothing about the spread: then the interval is Wilson's, as if
    each had been asked once.
    """
    estimate = mean(values, (0.0, 1.0))
    if estimate.n == 1 or np.ptp(values) > 0:
        return estimate
    return dataclasses.replace(estimate, ci95=_wilson(estimate.value, estimate.n, _Z))


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
    sample could have.
    """
    estimate = mean(values)
    sample = _checked(values)
    n = sample.size
    if n == 1 or np.ptp(sample) == 0:
        return estimate
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


def repeated(runs: Sequence[Sequence[float]]) -> Estimate:
    """Return the mean of repeated runs over the same samples, with its interval.

    Samples and repetitions both count as drawn, each from all there could be: the variance of the
    mean is that of a two-way layout with both effects random (Satterthwaite, "An approximate
    distribution of estimates of variance components", Biometrics Bulletin 2, 1946), never below
    what either says alone. Of scores that are 0 or 1 the interval is Wilson's, for as many
    independent samples as have this variance.

    Args:
        runs: scores by repetition, each of the same samples in the same order.

    Raises:
        ValueError: for fewer than two repetitions, or repetitions of different samples.
    """
    if len(runs) < 2 or len({len(run) for run in runs}) > 1:
        raise ValueError("Accepted are two or more runs over the same samples.")
    scores = np.array([_checked(run) for run in runs])
    times, n = scores.shape
    center = float(scores.mean())
    if n == 1:
        return Estimate(value=center, n=n, stderr=None, ci95=None)
    by_run, by_sample = scores.mean(axis=1), scores.mean(axis=0)
    rest = scores - by_run[:, None] - by_sample + center
    of_runs, of_samples = n * by_run.var(ddof=1), times * by_sample.var(ddof=1)
    of_rest = (rest**2).sum() / ((n - 1) * (times - 1))
    spread = float(max(of_samples, of_runs, of_samples + of_runs - of_rest))
    # With as much noise as chance gives the runs, theirs is none of its own.
    parts = of_samples**2 / (n - 1)
    if of_runs > of_rest:
        parts += of_runs**2 / (times - 1) + of_rest**2 / ((n - 1) * (times - 1))
    freedom = max(1.0, spread**2 / parts) if parts else n - 1
    stderr = math.sqrt(spread / (n * times))
    width = float(stdtrit(freedom, _TAIL))
    if np.isin(scores, (0, 1)).all():
        alike = center * (1 - center) / stderr**2 if stderr else n
        interval = _wilson(center, alike, width)
    else:
        low, high = seen_bounds(scores.ravel().tolist())
        interval = (max(low, center - width * stderr), min(high, center + width * stderr))
    return Estimate(value=center, n=n, stderr=stderr, ci95=interval)


def summarize(values: Sequence[float], *, binary: bool) -> Estimate:
    """Return the proportion of 0/1 scores if `binary`, otherwise the mean."""
    sample = _checked(values)
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
    test and its interval.
    """
    if first.keys() != second.keys():
        apart = sorted(map(str, first.keys() ^ second.keys()))
        raise ValueError(
            f"The runs share {len(first.keys() & second.keys())} samples, but {len(apart)} are in "
            f"one alone, such as {apart[0]!r}. Compare runs over the same samples."
        )
    a = _checked(list(first.values()))
    b = _checked([second[key] for key in first])
    if np.isin(np.concatenate([a, b]), (0, 1)).all():
        return _mcnemar(wins=int((a > b).sum()), losses=int((a < b).sum()), n=a.size)
    difference = mean(a - b)
    return Paired(
        difference=difference.value,
        n=difference.n,
        ci95=difference.ci95,
        p_value=_t_test(difference),
        test="paired t",
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


def _wilson(share: float, n: float, z: float) -> tuple[float, float]:
    shrink = 1 / (1 + z**2 / n)
    center = (share + z**2 / (2 * n)) * shrink
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) * shrink
    # Rounding must not put the end of the interval on the wrong side of the share itself.
    return (0.0 if share == 0 else center - half), (1.0 if share == 1 else center + half)


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
    if difference.stderr == 0:
        return 1.0 if difference.value == 0 else 0.0
    t = abs(difference.value) / difference.stderr
    return 2 * float(stdtr(difference.n - 1, -t))


def _checked(values: Sequence[float] | np.ndarray) -> np.ndarray:
    sample = np.asarray(values, dtype=float)
    if sample.size == 0:
        raise ValueError("No values: an estimate needs at least one sample.")
    if not np.isfinite(sample).all():
        where = int(np.flatnonzero(~np.isfinite(sample))[0])
        raise ValueError(f"Value {where} is {sample[where]}: every score must be a finite number.")
    return sample
