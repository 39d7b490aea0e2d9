import itertools
import math
import random

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from trimtab.statistics.estimates import (
    bootstrapped,
    holm,
    mean,
    paired,
    proportion,
    seen_bounds,
    summarize,
)
from trimtab.statistics.repeated import repeated


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_proportion_is_the_wilson_interval_and_the_exact_one_of_few(counts):
    successes, n = counts
    estimate = proportion(successes, n)
    expected = scipy.stats.binomtest(successes, n).proportion_ci(
        method="wilson" if min(successes, n - successes) > 12 else "exact"
    )
    assert estimate.ci95 == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert estimate.ci95[0] <= estimate.value <= estimate.ci95[1]
    assert estimate.stderr == pytest.approx(math.sqrt(estimate.value * (1 - estimate.value) / n))


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=50).filter(
        lambda values: np.ptp(values) > 1e-6
    )
)
def test_mean_is_the_student_interval(values):
    estimate = mean(values)
    stderr = scipy.stats.sem(values)
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * stderr
    center = sum(values) / len(values)
    assert estimate.value == pytest.approx(center, abs=1e-9)
    assert estimate.stderr == pytest.approx(stderr, abs=1e-9)
    assert estimate.ci95 == pytest.approx((center - half, center + half), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_bootstrapped_is_the_bca_interval(seed):
    values = np.random.default_rng(seed).exponential(size=80)
    estimate = bootstrapped(values, resamples=20_000, seed=seed)
    expected = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(99)
    ).confidence_interval
    width = expected.high - expected.low
    # Two draws of the resamples: ends differ by their own noise alone.
    assert estimate.ci95 == pytest.approx((expected.low, expected.high), abs=0.03 * width)
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.stderr == pytest.approx(scipy.stats.sem(values))
    assert bootstrapped(values, seed=seed) == bootstrapped(values, seed=seed)


@pytest.mark.slow
def test_bootstrapped_holds_its_level_where_values_are_skewed():
    rng = np.random.default_rng(0)
    covered, by_student, leaning = 0, 0, 0
    for _ in range(400):
        values = rng.exponential(size=60) ** 2  # mean 2, a long tail
        low, high = bootstrapped(values, resamples=500).ci95
        covered += low <= 2 <= high
        by_student += mean(values).ci95[0] <= 2 <= mean(values).ci95[1]
        leaning += high - values.mean() > values.mean() - low
    assert 0.86 < covered / 400 < 0.97
    assert covered >= by_student
    assert leaning > 390


def test_bootstrapped_of_equal_values_has_no_interval():
    assert bootstrapped([2.5] * 7).to_dict() == {"value": 2.5, "n": 7, "stderr": None, "ci95": None}
    assert bootstrapped([2.5]).ci95 is None
    low, high = bootstrapped([0.0] * 50 + [1.0]).ci95
    assert 0 <= low <= 1 / 51 <= high <= 1


def test_mean_of_one_value_claims_no_spread():
    assert mean([0.5]).to_dict() == {"value": 0.5, "n": 1, "stderr": None, "ci95": None}


def test_estimates_are_plain_json_data():
    assert proportion(5, 10).to_dict() == {
        "value": 0.5,
        "n": 10,
        "stderr": pytest.approx(0.158, abs=1e-3),
        "ci95": [pytest.approx(0.1871, abs=1e-4), pytest.approx(0.8129, abs=1e-4)],
    }


def test_summarize_takes_the_interval_that_fits_the_scores():
    assert summarize([0, 1, 1, True], binary=True) == proportion(3, 4)
    assert summarize([0, 1, 0.5], binary=False) == mean([0, 1, 0.5])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean([]), "at least one"),
        (lambda: summarize([], binary=True), "at least one"),
        (lambda: mean([1.0, math.nan]), "Value 1 is nan"),
        (lambda: summarize([math.inf], binary=True), "finite"),
        (lambda: summarize([0, 0.5], binary=True), "0.5"),
        (lambda: proportion(0, 0), "n >= 1"),
        (lambda: proportion(3, 2), "successes=3"),
        (lambda: holm([0.1, 1.2]), r"p_values=\[0.1, 1.2\].*from 0 to 1"),
        (lambda: holm([math.nan]), "from 0 to 1"),
        (lambda: paired({}, {}), "at least one"),
        (lambda: paired({"a": 1, "b": 0}, {"a": 1, "c": 0}), "share 1 samples.*'b'"),
    ],
)
def test_input_without_meaning_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_binary_scores_get_the_exact_mcnemar_test(pairs):
    first = {str(i): float(a) for i, (a, _) in enumerate(pairs)}
    second = {str(i): float(b) for i, (_, b) in enumerate(pairs)}
    result = paired(first, second)
    wins = sum(a > b for a, b in pairs)
    losses = sum(a < b for a, b in pairs)
    expected = scipy.stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert result.p_value == pytest.approx(expected)
    assert result.difference == pytest.approx((wins - losses) / len(pairs))
    assert result.ci95[0] <= result.difference <= result.ci95[1]
    assert result.test == "exact McNemar"


def test_the_interval_of_paired_proportions_holds_its_level():
    rng = random.Random(0)
    n, trials, covered = 40, 2000, 0
    for _ in range(trials):
        # First right alone with probability 0.25, second alone with 0.1: a difference of 0.15.
        draws = [rng.random() for _ in range(n)]
        first = {str(i): float(u < 0.25 or u > 0.6) for i, u in enumerate(draws)}
        second = {str(i): float(0.25 <= u < 0.35 or u > 0.6) for i, u in enumerate(draws)}
        low, high = paired(first, second).ci95
        covered += low <= 0.15 <= high
    assert 0.93 <= covered / trials <= 0.98


def test_other_scores_get_the_paired_t_test():
    rng = random.Random(1)
    first = {str(i): rng.gauss(0.5, 1) for i in range(30)}
    second = {key: value + rng.gauss(0.2, 0.3) for key, value in first.items()}
    # The order of the samples does not matter: the ids pair them.
    result = paired(first, dict(reversed(second.items())))
    keys = list(first)
    expected = scipy.stats.ttest_rel([first[k] for k in keys], [second[k] for k in keys])
    interval = expected.confidence_interval()
    assert result.test == "paired t"
    assert result.p_value == pytest.approx(expected.pvalue)
    assert result.ci95 == pytest.approx((interval.low, interval.high))
    assert result.to_dict()["ci95"] == list(result.ci95)


def test_runs_that_differ_everywhere_by_the_same_amount():
    first = {"a": 0.5, "b": 1.5, "c": 2.5}
    shifted = {key: value - 0.25 for key, value in first.items()}
    assert paired(first, first).p_value == 1
    assert paired(first, shifted).p_value == 2 / 2**3  # three coins that fall alike
    assert paired({"a": 0.5}, {"a": 0.25}).p_value is None


def test_an_interval_stays_within_what_values_can_be():
    low, high = mean([0.0, 0.0, 1.0], bounds=(0, 1)).ci95
    assert (low, high) == (0, 1)
    assert mean([0.4, 0.5, 0.6], bounds=(0, 1)) == mean([0.4, 0.5, 0.6])


@pytest.mark.parametrize("n", [3, 6, 30])
def test_without_known_bounds_shares_stay_shares_and_scores_on_their_scale(n):
    shares = [1.0] * (n - 1) + [0.4]
    assert mean(shares).ci95[1] > 1
    assert mean(shares, seen_bounds(shares)).ci95[1] == 1
    marks = [10 * share for share in shares]
    assert (mean(marks, seen_bounds(marks)).ci95[1] == 10) == (n >= 6)


def test_bounds_that_were_only_seen_cost_the_interval_little():
    rng = np.random.default_rng(1)
    covered = 0
    for values in rng.normal(size=(4000, 6)):
        low, high = mean(values, seen_bounds(values)).ci95
        covered += low <= 0 <= high
    assert covered / 4000 > 0.925


def test_holms_correction_by_hand():
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04; none below another.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


_P_VALUES = st.lists(st.sampled_from([0.0, 1e-9, 0.004, 0.01, 0.02, 0.05, 0.2, 0.5, 1.0]))


@given(_P_VALUES.filter(lambda p: 0 < len(p) < 7))
def test_holms_correction_closes_bonferronis(p_values):
    # The closed test (Marcus, Peritz and Gabriel 1976): a hypothesis is rejected if Bonferroni's
    # test rejects every set of hypotheses that it is in.
    indices = range(len(p_values))
    sets = [s for n in indices for s in itertools.combinations(indices, n + 1)]
    bonferroni = {s: min(1, len(s) * min(p_values[i] for i in s)) for s in sets}
    closed = [max(p for s, p in bonferroni.items() if i in s) for i in indices]
    assert holm(p_values) == pytest.approx(closed)


@given(_P_VALUES, st.sampled_from([0.001, 0.013, 0.049, 0.11]))
def test_holms_correction_rejects_what_his_procedure_rejects(p_values, level):
    # Step down: reject the smallest while it is at most level / (number that is left).
    left = sorted(range(len(p_values)), key=lambda i: p_values[i])
    rejected = set()
    while left and p_values[left[0]] <= level / len(left):
        rejected.add(left.pop(0))
    assert {i for i, p in enumerate(holm(p_values)) if p <= level} == rejected


@pytest.mark.parametrize(
    ("n", "runs", "of_samples", "of_runs", "least"),
    [
        (20, 3, 1.5, 0.0, 0.93),
        (60, 2, 1.5, 0.0, 0.93),
        (100, 5, 1.5, 0.0, 0.93),
        (60, 3, 0.0, 0.0, 0.93),
        (100, 5, 1.5, 0.3, 0.92),
    ],
)
def test_repeated_runs_hold_their_level(n, runs, of_samples, of_runs, least):
    rng = np.random.default_rng(0)
    apart = rng.normal(0.4, math.hypot(of_samples, of_runs), 1_000_000)
    truth = (1 / (1 + np.exp(-apart))).mean()
    held, naive, repeats = 0, 0, 600
    for _ in range(repeats):
        ability = 0.4 + rng.normal(0, of_samples, n) + rng.normal(0, of_runs, (runs, 1))
        scores = (rng.random((runs, n)) < 1 / (1 + np.exp(-ability))).astype(float)
        low, high = repeated(scores.tolist()).ci95
        held += low <= truth <= high
        # As if each answer were to a question of its own, which they are not.
        low, high = proportion(int(scores.sum()), scores.size).ci95
        naive += low <= truth <= high
    assert least <= held / repeats <= 0.99
    if of_samples:
        assert naive < held


def test_repeated_runs_that_agree_are_one_run():
    scores = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0]
    once, thrice = mean(scores), repeated([scores] * 3)
    assert (thrice.value, thrice.n) == (once.value, once.n)
    assert thrice.stderr == pytest.approx(once.stderr)
    marks = [1.0, 5.0, 2.5, 4.0, 3.0, 3.5, 9.0]
    assert repeated([marks] * 2).ci95 == pytest.approx(mean(marks).ci95)
    low, high = repeated([[1.0] * 9] * 2).ci95
    assert low < proportion(9, 9).ci95[0] < high == 1
    assert repeated([[1.0], [0.0]]).ci95 is None
    for wrong in ([scores], [scores, scores[:5]], []):
        with pytest.raises(ValueError, match="two or more runs over the same samples"):
            repeated(wrong)
