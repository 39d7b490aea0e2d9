"""Preferences against hand-worked cases, scipy, and their coverage under simulation."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from trimtab.preferences import preference_rate, preferred, win_rate

LEVELS = ("avoidance", "generic", "expert")


# ---------------------------------------------------------------------------- stored responses


def of(*numbers: float) -> dict[str, float]:
    return dict(zip(LEVELS, numbers, strict=True))


def test_the_most_likely_response_per_token_is_preferred() -> None:
    """A long response may win with the lowest total: -40 / 100 is above -3 / 5 and -9 / 10."""
    assert preferred({"q": of(-3, -9, -40)}, {"q": of(5, 10, 100)}) == {"q": "expert"}
    assert preferred({"q": of(-3, -9, -40)}, {"q": of(5, 10, 10)}) == {"q": "avoidance"}


def test_rates_are_shares_of_samples_with_wilson_intervals() -> None:
    chosen = ["expert"] * 7 + ["generic"] * 2 + ["avoidance"]
    log_probabilities = {
        str(i): {level: -1.0 if level == best else -2.0 for level in LEVELS}
        for i, best in enumerate(chosen)
    }
    tokens = {key: of(1, 1, 1) for key in log_probabilities}
    rates = preference_rate(log_probabilities, tokens)
    assert list(rates) == list(LEVELS)
    for level, count in zip(LEVELS, (1, 2, 7), strict=True):
        expected = scipy.stats.binomtest(count, 10).proportion_ci(method="wilson")
        assert (rates[level].value, rates[level].n) == (count / 10, 10)
        assert rates[level].ci95 == pytest.approx((expected.low, expected.high))


def test_a_tie_counts_for_no_level() -> None:
    log_probabilities = {"a": of(-2, -4, -9), "b": of(-1, -2, -3)}
    tokens = {"a": of(1, 2, 3), "b": of(1, 1, 1)}
    assert preferred(log_probabilities, tokens) == {"a": None, "b": "avoidance"}
    rates = preference_rate(log_probabilities, tokens)
    assert [rates[level].value for level in LEVELS] == [0.5, 0.0, 0.0]


@given(
    st.lists(
        st.tuples(*[st.tuples(st.floats(-500, -0.01), st.integers(1, 300))] * 3),
        min_size=1,
        max_size=20,
    ),
    st.permutations(LEVELS),
)
def test_preferences_are_those_of_an_array(rows, order) -> None:
    """Whatever the order in which a sample lists its levels."""
    log_probabilities, tokens = {}, {}
    for i, row in enumerate(rows):
        levels = LEVELS if i % 2 == 0 else order
        by_level = dict(zip(LEVELS, row, strict=True))
        log_probabilities[str(i)] = {level: by_level[level][0] for level in levels}
        tokens[str(i)] = {level: by_level[level][1] for level in reversed(levels)}
    array = np.array(rows)
    means = array[:, :, 0] / array[:, :, 1]
    best = means == means.max(axis=1, keepdims=True)
    got = preferred(log_probabilities, tokens)
    for i in range(len(rows)):
        winners = [LEVELS[k] for k in np.flatnonzero(best[i])]
        assert got[str(i)] == (winners[0] if len(winners) == 1 else None)


@pytest.mark.parametrize(
    ("log_probabilities", "tokens", "message"),
    [
        ({}, {}, "No samples"),
        ({"a": {"expert": -1.0}}, {"a": {"expert": 2}}, "two responses or more"),
        ({"a": of(-1, -2, -3)}, {}, "Samples: 'a'"),
        ({"a": of(-1, -2, -3)}, {"a": of(1, 1, 1), "b": of(1, 1, 1)}, "Samples: 'b'"),
        ({"a": of(-1, -2, -3)}, {"a": {"avoidance": 1, "generic": 1}}, "sample 'a': 'expert'"),
        (
            {"a": of(-1, -2, -3), "b": {"avoidance": -1.0, "generic": -1.0}},
            {"a": of(1, 1, 1), "b": of(1, 1, 1)},
            "sample 'b': 'expert'",
        ),
        ({"a": of(-1, 0.5, -3)}, {"a": of(1, 1, 1)}, "'a', 'generic': 0.5"),
        ({"a": of(-1, math.nan, -3)}, {"a": of(1, 1, 1)}, "'a', 'generic': nan"),
        ({"a": of(-1, -math.inf, -3)}, {"a": of(1, 1, 1)}, "'a', 'generic': -inf"),
        ({"a": of(-1, -2, -3)}, {"a": of(1, 1, 0)}, "tokens of sample 'a', 'expert': 0"),
        ({"a": of(-1, -2, -3)}, {"a": of(1, 1, 1.5)}, "'expert': 1.5"),
        ({"a": of(-1, -2, -3)}, {"a": of(1, 1, math.nan)}, "'expert': nan"),
    ],
)
def test_input_without_meaning_is_refused(log_probabilities, tokens, message) -> None:
    for call in (preferred, preference_rate):
        with pytest.raises(ValueError, match=message):
            call(log_probabilities, tokens)


# ---------------------------------------------------------------------------- two runs


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
