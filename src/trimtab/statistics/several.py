"""Several runs over the same samples, of which the best is picked by these same samples."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from trimtab.statistics import estimates

Scores = Mapping[str, float]
"""A run's score of each sample, by the sample's id."""

_HALVINGS = 41


def compared(runs: Sequence[Scores], with_one: int) -> list[tuple[estimates.Paired, float]]:
    """Compare each run with one of them that the samples have picked; itself included.

    Any other could have been picked, so that a comparison with it is the largest of very many. The
    p-values are corrected for the comparisons of all pairs (Holm): where runs are alike, the chance
    that any is called worse than another is below the level, whichever is picked and however they
    depend on each other.

    Returns:
        The comparison, that run minus this one, and its corrected p-value, in the order of `runs`.
    """
    pairs = list(itertools.combinations(range(len(runs)), 2))
    found = {pair: estimates.paired(*_in_common(runs[pair[0]], runs[pair[1]])) for pair in pairs}
    # One sample of a score that is not 0 or 1 has no p-value: it tells nothing apart.
    p_values = [1.0 if (p := found[pair].p_value) is None else p for pair in pairs]
    corrected = dict(zip(pairs, estimates.holm(p_values), strict=True))
    one = runs[with_one]
    return [
        (
            estimates.paired(*_in_common(run, one)),
            corrected.get((min(place, with_one), max(place, with_one)), 1.0),
        )
        for place, run in enumerate(runs)
    ]


def picks(runs: Sequence[Scores]) -> dict[str, int]:
    """Return for each sample which run is the best by others: cross-fitting in two halves.

    The samples that all runs scored are halved by a seeded draw; each half gets the run with the
    highest mean over the other half, of equals the first. One halving is a matter of luck, so it is
    the middle one of 41, by what the samples then score.

    Returns:
        The run's place by the sample's id; nothing for fewer than two samples.
    """
    ids = [i for i in runs[0] if all(i in run for run in runs)]
    if len(ids) < 2:
        return {}
    scores = np.array([[run[i] for i in ids] for run in runs])
    rng = np.random.default_rng(0)
    halvings = [_halved(scores, rng.permutation(len(ids)) % 2 == 0) for _ in range(_HALVINGS)]
    worth = [float(scores[picked, np.arange(len(ids))].mean()) for picked in halvings]
    middle = int(np.argsort(worth, kind="stable")[_HALVINGS // 2])
    return dict(zip(ids, halvings[middle].tolist(), strict=True))


def held_out(runs: Sequence[Scores]) -> estimates.Estimate | None:
    """Return what a run that is picked as the best is worth on samples that did not pick it.

    The mean score of the samples, each from the run that others give it (`picks`). The highest of
    several means is too high by what luck gave it; this one is not, but is that of runs picked by
    half of the samples. Its interval is that of so many scores, which is rather too wide: of equal
    runs it holds their mean in 94 to 99 %. Scores are taken to lie within those seen in any run.

    Args:
        runs: their scores; of equal ones the first is picked.
    """
    picked = picks(runs)
    if not picked:
        return None
    scores = [runs[place][i] for i, place in picked.items()]
    every = {score for run in runs for score in run.values()}
    if every <= {0, 1}:
        return estimates.summarize(scores, binary=True)
    return estimates.of_scores(scores, (min(every), max(every)) if len(every) > 1 else None)


def _halved(scores: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return for each sample the best run by the half that it is not in."""
    by_first, by_second = scores[:, first].mean(axis=1), scores[:, ~first].mean(axis=1)
    slack = 1e-9 * float(np.abs(scores).max())  # means that are alike but for rounding are alike
    best = [int(np.argmax(means >= means.max() - slack)) for means in (by_first, by_second)]
    return np.where(first, best[1], best[0])


def _in_common(first: Scores, second: Scores) -> tuple[Scores, Scores]:
    both = first.keys() & second.keys()
    return (
        {i: score for i, score in first.items() if i in both},
        {i: score for i, score in second.items() if i in both},
    )
