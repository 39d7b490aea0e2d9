"""Win rates against hand-worked cases, scipy, and their coverage under simulation."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from trimtab.statistics.win_rate import win_rate


def runs(wins: int, ties: int, losses: int) -> tuple[dict[str, float], dict[str, float]]:
    """Two runs, their samples in different orders."""
    pairs = [(2.5, -1.0)] * wins + [(0.3, 0.3)] * ties + [(-4.0, 7.0)] * losses
    first = {str(i): a for i, (a, _) in enumerate(pairs)}
    second = {str(i): b for i, (_, b) in reversed(list(enumerate(pairs)))}
    return first, second


def test_a_win_rate_by_hand() -> None:
    """7 wins, 2 ties, 1 loss. The interval is worked from Bonett and Price's formula (2012).

    With one added to each discordant count and two to n: (8 - 2) / 12 = 0.5, standard error
    sqrt((8/12 + 2/12 - 0.5^2) / 12) = 0.220479..., times 1.959964 = 0.432132...
    """
    result = win_rate(*runs(7, 2, 1))
    assert (result.value, result.n) == (0.8, 10)
    assert (result.wins, result.ties, result.losses) == (7, 2, 1)
    low, high = result.ci95
    assert low == pytest.approx((1 + 0.5 - 0.432132) / 2, abs=1e-5)
    assert high == pytest.approx((1 + 0.5 + 0.432132) / 2, abs=1e-5)
    # Of 8 samples with a winner, at least 7 for one side: 2 * (8 + 1) / 2^8.
    assert result.p_value == pytest.approx(18 / 256)
    assert result.to_dict()["ci95"] == [low, high]


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_a_win_rate_in_general(wins: int, ties: int, losses: int) -> None:
    n = wins + ties + losses
    if n == 0:
        return
    first, second = runs(wins, ties, losses)
    result, turned = win_rate(first, second), win_rate(second, first)
    scores = [1.0] * wins + [0.5] * ties + [0.0] * losses
    assert result.value == pytest.approx(np.mean(scores))
    contested = wins + losses
    expected = scipy.stats.binomtest(wins, contested).pvalue if contested else 1.0
    assert result.p_value == pytest.approx(expected)
    low, high = result.ci95
    assert 0 <= low <= result.value <= high <= 1
    assert low < high
    # Who is called the first makes no difference.
    assert turned.value == pytest.approx(1 - result.value)
    assert turned.ci95 == pytest.approx((1 - high, 1 - low))
    assert turned.p_value == pytest.approx(result.p_value)


# Shares of wins and ties; a run that nearly always wins, one that nearly always ties.
CELLS = list(itertools.product((30, 200), ((0.4, 0.2), (0.7, 0.1), (0.93, 0.04), (0.05, 0.9))))


@pytest.mark.parametrize(("n", "shares"), CELLS)
def test_intervals_cover_the_truth_as_often_as_they_say(n: int, shares: tuple) -> None:
    win, tie = shares
    truth = win + tie / 2
    rng = np.random.default_rng(n)
    repeats = 1500
    covered = 0
    for wins, ties, losses in rng.multinomial(n, [win, tie, 1 - win - tie], size=repeats):
        low, high = win_rate(*runs(wins, ties, losses)).ci95
        covered += low <= truth <= high
    # Never far below what is claimed, and never so wide as to say nothing.
    assert 0.93 <= covered / repeats <= 0.995


def test_the_test_keeps_its_level_where_neither_is_better() -> None:
    rng = np.random.default_rng(5)
    counts = rng.multinomial(60, [0.4, 0.2, 0.4], size=1500)
    rejected = np.mean([win_rate(*runs(*each)).p_value <= 0.05 for each in counts])
    assert 0.01 <= rejected <= 0.06


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({}, {}, "at least one"),
        ({"a": 1.0, "b": 2.0}, {"a": 1.0, "c": 2.0}, "share 1 samples.*'b'"),
        ({"a": 1.0}, {"a": 1.0, "c": 2.0}, "'c'"),
        ({"a": math.nan}, {"a": 1.0}, "'a' has the value nan"),
        ({"a": 1.0}, {"a": math.inf}, "'a' has the value inf"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(first, second, message) -> None:
    with pytest.raises(ValueError, match=message):
        win_rate(first, second)
