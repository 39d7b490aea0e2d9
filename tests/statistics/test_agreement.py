import itertools
import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from trimtab.statistics.agreement import agreement


def scores(table, first=0):
    """Scores by id whose contingency table this is: a row is a score of the first judge."""
    cells = [
        (first + i, first + j)
        for i, row in enumerate(table)
        for j, count in enumerate(row)
        for _ in range(count)
    ]
    return ({str(k): float(pair[side]) for k, pair in enumerate(cells)} for side in (0, 1))


def by_definition(pairs, weights):
    """Kappa as 1 - (observed) / (expected by chance) disagreement, from the weighted table."""
    total = math.fsum(weights)
    categories = sorted({score for pair in pairs for score in pair})
    joint = dict.fromkeys(itertools.product(categories, repeat=2), 0.0)
    for pair, weight in zip(pairs, weights, strict=True):
        joint[pair] += weight / total
    row = {c: math.fsum(joint[c, d] for d in categories) for c in categories}
    column = {d: math.fsum(joint[c, d] for c in categories) for d in categories}
    observed = math.fsum(p * (c - d) ** 2 for (c, d), p in joint.items())
    expected = math.fsum(row[c] * column[d] * (c - d) ** 2 for c, d in joint)
    return 1 - observed / expected if expected else None


# Estimate, standard error of statsmodels 0.15.0, `stats.inter_rater.cohens_kappa` of each table
# (quadratic weights: `numpy.subtract.outer(range(5), range(5)) ** 2`).
BINARY = [
    ([[22, 2], [4, 11]], 0.6666666666666666, 0.12383607455045041),
    ([[20, 5], [10, 15]], 0.4, 0.12699606293110033),
    ([[88, 10], [2, 0]], -0.03448275862068969, 0.020800066212289817),
]
ORDINAL = [
    (
        [[3, 1, 0, 0, 0], [1, 4, 2, 0, 0], [0, 2, 6, 3, 1], [0, 0, 2, 9, 4], [0, 1, 0, 3, 18]],
        0.837696335078534,
        0.056804568705402396,
    ),
    (
        [[0, 0, 0, 0, 0], [0, 1, 2, 0, 1], [0, 2, 6, 3, 0], [0, 0, 7, 5, 4], [0, 0, 0, 1, 10]],
        0.6397058823529411,
        0.11301463321426465,
    ),
]


@pytest.mark.parametrize(("table", "kappa", "stderr"), BINARY + ORDINAL)
def test_kappa_and_its_standard_error_are_those_of_statsmodels(table, kappa, stderr):
    result = agreement(*scores(table, first=0 if len(table) == 2 else 1))
    assert result.kappa == pytest.approx(kappa, abs=1e-12)
    assert result.stderr == pytest.approx(stderr, abs=1e-12)
    width = scipy.stats.t.ppf(0.975, result.n - 1) * stderr / (1 - kappa)
    ends = [1 - math.exp(math.log(1 - kappa) + side * width) for side in (1, -1)]
    assert result.ci95 == pytest.approx(ends)
    assert result.n == sum(map(sum, table))


def test_kappa_of_labels_by_hand():
    # Cohen (1960): 35 of 50 alike, and by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5 of them.
    result = agreement(*scores([[20, 5], [10, 15]]))
    assert result.same == 0.7
    assert result.kappa == pytest.approx((0.7 - 0.5) / (1 - 0.5))


_PAIRS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=30)


@given(_PAIRS | st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=30))
def test_kappa_is_its_definition_and_its_error_the_infinitesimal_jackknife(pairs):
    first, second = ({str(i): float(p[side]) for i, p in enumerate(pairs)} for side in (0, 1))
    result = agreement(first, second)
    n, step = len(pairs), 1e-5
    assert result.same == pytest.approx(sum(a == b for a, b in pairs) / n)
    expected = by_definition(pairs, [1] * n)
    assert (result.kappa is None) == (expected is None)
    if expected is None:
        assert result.stderr is result.ci95 is None
        return
    assert result.kappa == pytest.approx(expected, abs=1e-9)
    # How kappa moves with the weight of each sample (Efron 1981) gives the delta method's error.
    moves = []
    for i in range(n):
        up, down = ([1 + sign * step * (k == i) for k in range(n)] for sign in (1, -1))
        moves.append((by_definition(pairs, up) - by_definition(pairs, down)) / (2 * step))
    stderr = math.sqrt(math.fsum(move**2 for move in moves))
    assert (result.stderr or 0.0) == pytest.approx(stderr, abs=1e-6)
    if result.ci95:
        assert -1 <= result.ci95[0] <= result.kappa <= result.ci95[1] <= 1
    assert agreement(second, first).kappa == pytest.approx(expected, abs=1e-9)


def test_labels_swapped_or_scores_moved_agree_as_much():
    first, second = scores(ORDINAL[0][0])
    moved = [{key: 2 * value + 7 for key, value in s.items()} for s in (first, second)]
    assert agreement(*moved).kappa == pytest.approx(agreement(first, second).kappa)
    assert agreement(*moved).stderr == pytest.approx(agreement(first, second).stderr)


def test_only_what_both_scored_is_compared():
    result = agreement({"a": 1, "b": 0, "c": 1, "x": 0}, {"c": 1, "b": 0, "a": 0, "y": 1, "z": 1})
    assert (result.n, result.left_out, result.same) == (3, 3, pytest.approx(2 / 3))


def test_judges_that_never_vary_leave_nothing_to_chance():
    same = {str(i): 1.0 for i in range(20)}
    assert agreement(same, same).to_dict() == {
        "kappa": None,
        "stderr": None,
        "ci95": None,
        "same": 1.0,
        "n": 20,
        "left_out": 0,
    }


def test_judges_that_agree_throughout_have_no_interval():
    labels = {str(i): float(i % 2) for i in range(20)}
    result = agreement(labels, labels)
    assert (result.kappa, result.stderr, result.ci95) == (1, None, None)
    assert agreement({"a": 1}, {"a": 0}).ci95 is None


def test_an_interval_is_plain_json_data():
    low, high = agreement(*scores(BINARY[0][0])).to_dict()["ci95"]
    assert -1 < low < high < 1


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({}, {}, "0 and 0 samples, none of them in common"),
        ({"a": 1}, {"b": 1}, "none of them in common"),
        ({"a": 1, "b": math.nan}, {"a": 1, "b": 1}, "sample 'b' is nan"),
        ({"a": 1}, {"a": math.inf}, "sample 'a' is inf"),
    ],
)
def test_scores_without_meaning_are_refused(first, second, message):
    with pytest.raises(ValueError, match=message):
        agreement(first, second)


def test_copies_of_an_answer_are_one_answer_to_its_question():
    first, second = scores(ORDINAL[0][0], first=1)
    once = agreement(first, second)
    copies = [
        {f"{i}#{n}": score for i, score in own.items() for n in range(4)} for own in (first, second)
    ]
    of = {answer: answer.partition("#")[0] for answer in copies[0]}
    result = agreement(*copies, of)
    assert result.kappa == pytest.approx(once.kappa)
    assert result.stderr == pytest.approx(once.stderr)
    # As if they were independent, which they are not.
    assert agreement(*copies).stderr == pytest.approx(once.stderr / 2)
