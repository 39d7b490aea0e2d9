"""Several runs over the same samples, of which the best is picked by these same samples."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from trimtab.statistics import estimates

Scores = Mapping[str, float]
"""A run's score of each sample, by the sample's id."""

_FOLDS = 10


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
    """Return for each sample which run is the best by the others: cross-fitting in ten folds.

    The samples that all runs scored are dealt to ten folds by a seeded draw; those of a fold get
    the run with the highest mean over the other nine, of equals the first.

    Returns:
        The run's place by the sample's id; nothing for fewer than two samples.
    """
    ids = [i for i in runs[0] if all(i in run for run in runs)]
    if len(ids) < 2:
        return {}
    scores = np.array([[run[i] for i in ids] for run in runs])
    dealt = np.random.default_rng(0).permutation(len(ids)) % _FOLDS
    total, found = scores.sum(axis=1), np.empty(len(ids), dtype=int)
    for fold in range(min(_FOLDS, len(ids))):
        rest = total - scores[:, dealt == fold].sum(axis=1)
        # Means that are alike but for rounding are alike.
        found[dealt == fold] = int(np.argmax(rest >= rest.max() - 1e-9 * np.abs(total).max()))
    return dict(zip(ids, found.tolist(), strict=True))


def held_out(runs: Sequence[Scores]) -> estimates.Estimate | None:
    """Return what a run that is picked as the best is worth on samples that did not pick it.

    The mean score of the samples, each from the run that the `picks` of the others give it. The
    highest of several means is too high by what luck gave it; this is not, but is that of runs
    picked by nine tenths of the samples. Scores are taken to lie within those seen in any run.

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


def _in_common(first: Scores, second: Scores) -> tuple[Scores, Scores]:
    both = first.keys() & second.keys()
    return (
        {i: score for i, score in first.items() if i in both},
        {i: score for i, score in second.items() if i in both},
    )
