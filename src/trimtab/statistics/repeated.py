"""Runs that were repeated over the same samples: their mean, with an interval over both."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from trimtab.statistics import estimates, heaped


def repeated(runs: Sequence[Sequence[float]]) -> estimates.Estimate:
    """Return the mean of repeated runs over the same samples, with its interval.

    Samples and repetitions both count as drawn, each from all there could be: the variance of the
    mean is that of a two-way layout with both effects random (Satterthwaite, "An approximate
    distribution of estimates of variance components", Biometrics Bulletin 2, 1946), never below
    what either says alone. Of scores that are 0 or 1 the interval is that of a proportion
    (`estimates.proportion`), for as many independent samples as have this variance. Others of which
    most are alike have none (`estimates.of_scores`).

    Args:
        runs: scores by repetition, each of the same samples in the same order.

    Raises:
        ValueError: for fewer than two repetitions, or repetitions of different samples.
    """
    if len(runs) < 2 or len({len(run) for run in runs}) > 1:
        raise ValueError("Accepted are two or more runs over the same samples.")
    scores = np.array([estimates.checked(run) for run in runs])
    times, n = scores.shape
    center = float(scores.mean())
    if n == 1:
        return estimates.Estimate(value=center, n=n, stderr=None, ci95=None)
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
    width = float(stdtrit(freedom, estimates.TAIL))
    if np.isin(scores, (0, 1)).all():
        alike = center * (1 - center) / stderr**2 if stderr else n
        interval = estimates.of_share(center, alike, width)
    elif heaped.is_heaped(by_sample):
        return estimates.Estimate(value=center, n=n, stderr=stderr or None, ci95=None)
    else:
        low, high = estimates.seen_bounds(scores.ravel().tolist())
        interval = (max(low, center - width * stderr), min(high, center + width * stderr))
    return estimates.Estimate(value=center, n=n, stderr=stderr, ci95=interval)
