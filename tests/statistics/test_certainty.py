"""No certainty is claimed from samples that are all, or nearly all, alike."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.statistics import heaped, several, sign_flips
from trimtab.statistics.estimates import bootstrapped, mean, of_scores, paired, proportion, share
from trimtab.statistics.repeated import repeated


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_scores_that_are_all_alike_have_an_interval_within_known_bounds_alone(value):
    values = [value] * 30
    low, high = of_scores(values, (0, 1)).ci95
    assert low <= value <= high
    # A mean further from what was seen than this leaves less than one chance in forty to see it.
    reach = 1 - 0.025 ** (1 / 30)
    assert value - low == pytest.approx(value * reach, abs=0.004)
    assert high - value == pytest.approx((1 - value) * reach, abs=0.004)
    for unknown in (None, (0, np.inf)):
        assert of_scores(values, unknown).ci95 is None
    for estimate in (mean(values), bootstrapped(values), of_scores(values, None)):
        assert (estimate.value, estimate.stderr, estimate.ci95) == (
            pytest.approx(value),
            None,
            None,
        )


def test_rounding_is_no_spread():
    sums = [0.1 * 3, 0.3] * 25
    assert mean(sums).ci95 is None
    first = {str(i): score for i, score in enumerate(sums)}
    result = paired(first, dict.fromkeys(first, 0.3))
    assert (result.difference, result.p_value) == (0, 1)
    assert result.ci95 is None or result.ci95[0] <= 0 <= result.ci95[1]
    same = {"a": 0.5, "b": 0.25}
    low, high = paired(same, same).ci95
    assert low == -high and high == pytest.approx(0.25 * (1 - 0.025**0.5), abs=0.005)


def test_a_constant_difference_of_two_samples_says_little():
    result = paired({"a": 0.5, "b": 0.5}, {"a": 0.625, "b": 0.625})
    assert result.difference == pytest.approx(-0.125)
    assert result.p_value == 0.5
    assert result.ci95[0] <= -0.125 < 0 < result.ci95[1]
    many = paired({str(i): 0.5 for i in range(50)}, {str(i): 0.625 for i in range(50)})
    assert many.p_value == pytest.approx(2 / 2**50)
    assert many.ci95[0] <= -0.125 < many.ci95[1] < 0


@settings(deadline=None)
@given(st.integers(0, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.integers(1, n + 1))))
def test_between_0_and_1_the_interval_of_heaped_scores_is_clopper_and_pearsons(counts):
    wins, n = min(counts), max(counts)
    values = np.array([1.0] * wins + [0.0] * (n - wins))
    expected = scipy.stats.binomtest(wins, n).proportion_ci(method="exact")
    # Quantiles of 10,000 draws.
    assert heaped.ends(values, 0, 1, 0.025) == pytest.approx(expected, abs=0.02)


def test_heaps_of_other_scores_and_bounds():
    values = [5.0] * 47 + [4.0, 3.0, 4.5]
    low, high = of_scores(values, (1, 5)).ci95
    moved = of_scores([(v - 1) / 4 for v in values], (0, 1)).ci95
    assert (low, high) == pytest.approx(tuple(1 + 4 * end for end in moved))
    student = mean(values, (1, 5)).ci95
    assert low < student[0] < high <= 5
    spread = [i / 60 for i in range(60)]
    assert of_scores(spread, (0, 1)) == mean(spread, (0, 1))
    assert of_scores([1.0] * 40 + spread, (0, 1)) == mean([1.0] * 40 + spread, (0, 1))
    assert of_scores([0.0] * 200 + [3.0] * 4, (0, np.inf)).ci95 is None
    assert of_scores(spread, (0, np.inf)) == bootstrapped(spread)


_DIFFERENCES = st.lists(st.sampled_from([-0.9, -0.5, -0.1, 0.0, 0.1, 0.3]), min_size=1, max_size=11)


@settings(deadline=None)
@given(_DIFFERENCES)
def test_sign_flips_are_counted(differences):
    flips = itertools.product((1, -1), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in flips]
    seen = abs(sum(differences))
    expected = sum(total >= seen - 1e-9 for total in sums) / len(sums)
    assert sign_flips.p_value(np.array(differences)) == pytest.approx(expected)


def test_many_sign_flips_are_drawn_the_same_each_time():
    rng = np.random.default_rng(4)
    differences = rng.normal(0.25, 1, 60)
    drawn = sign_flips.p_value(differences)
    assert drawn == sign_flips.p_value(differences)
    assert drawn == pytest.approx(scipy.stats.ttest_1samp(differences, 0).pvalue, abs=0.02)


def test_few_changed_pairs_get_the_sign_flip_test():
    first = {str(i): (i % 7) / 7 for i in range(250)}
    second = first | {str(i): first[str(i)] + 0.1 for i in range(5)}
    result = paired(second, first)
    assert result.test == "sign-flip"
    assert result.p_value == 2 / 2**5
    assert result.ci95[0] < 0 < result.difference < result.ci95[1]


def test_seeds_that_agree_throughout_claim_no_certainty():
    assert repeated([[0.5] * 9] * 3).ci95 is None
    assert repeated([[0.5] * 19 + [0.2]] * 3).ci95 is None


def test_shares_of_draws_near_their_end_are_heaped():
    low, _ = share([1.0] * 47 + [0.8, 0.6, 0.6]).ci95
    assert low < mean([1.0] * 47 + [0.8, 0.6, 0.6]).ci95[0]
    assert low > proportion(47, 50).ci95[0]


# ---------------------------------------------------------------------------- the best of several


def test_each_half_is_scored_by_what_the_other_picks():
    rng = np.random.default_rng(0)
    scores = (rng.random((4, 46)) < [[0.5], [0.6], [0.62], [0.3]]).astype(float)
    runs = [{f"q{i}": float(score) for i, score in enumerate(own)} for own in scores]
    picked = list(several.picks(runs).values())
    # Two halves of one size, each at what is the best on the other, of equals the first.
    (at, other) = sorted(set(picked)) if len(set(picked)) > 1 else picked[:1] * 2
    for place in {at, other}:
        half = [i for i in range(46) if picked[i] != place] if at != other else range(46)
        assert at == other or (len(half) == 23 and scores[:, half].sum(axis=1).argmax() == place)
    # As worth as the halvings mostly are, by draws of one's own.
    worth = []
    for _ in range(400):
        first = np.isin(np.arange(46), rng.permutation(46)[:23])
        best = [scores[:, half].sum(axis=1).argmax() for half in (first, ~first)]
        worth.append(np.where(first, scores[best[1]], scores[best[0]]).mean())
    found = several.held_out(runs)
    assert found == proportion(round(46 * found.value), 46)
    assert abs(found.value - np.median(worth)) < 0.35 * np.std(worth)
    assert several.picks([{"a": 1.0}, {"a": 0.0}]) == {}
    assert several.held_out([{"a": 1.0}, {"a": 0.0}]) is None


def test_the_best_of_equals_is_worth_no_more_than_each():
    """The mean of 11 values that are all 0.5 in truth: the highest is too high, that is not."""
    rng = np.random.default_rng(1)
    highest, worth = [], []
    for _ in range(300):
        scores = (rng.random((11, 60)) < 0.5).astype(float)
        runs = [{str(i): float(score) for i, score in enumerate(own)} for own in scores]
        highest.append(scores.mean(axis=1).max())
        worth.append(several.held_out(runs).value)
    assert np.mean(highest) > 0.57
    assert np.mean(worth) == pytest.approx(0.5, abs=3 * np.std(worth) / 300**0.5)


def test_runs_are_compared_as_pairs_and_all_pairs_are_corrected_for():
    rng = np.random.default_rng(2)
    scores = (rng.random((4, 80)) < [[0.9], [0.5], [0.8], [0.4]]).astype(float)
    runs = [{str(i): float(score) for i, score in enumerate(own)} for own in scores]
    found = several.compared(runs, 0)
    raw = {
        pair: paired(runs[pair[0]], runs[pair[1]]).p_value
        for pair in itertools.combinations(range(4), 2)
    }
    ranked = sorted(raw, key=raw.get)
    stepped = [(6 - place) * raw[pair] for place, pair in enumerate(ranked)]
    for other in (1, 2, 3):
        assert found[other][0] == paired(runs[other], runs[0])
        rank = ranked.index((0, other))
        assert found[other][1] == pytest.approx(min(1, max(stepped[: rank + 1])))
    assert found[0][1] == 1
