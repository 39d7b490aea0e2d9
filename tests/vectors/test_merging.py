"""Merges against the papers' definitions, spelled out element by element in exact fractions."""

import itertools
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.tensors.delta import Dense
from trimtab.tensors.low_rank import LowRank
from trimtab.vectors.merge.emr import EmrMerge
from trimtab.vectors.merge.merging import dare_linear, dare_ties, sign_conflicts, soup, ties
from trimtab.vectors.merge.thinning import drop, trim
from trimtab.vectors.vector import Vector

# Few levels make equal magnitudes, zeros and votes that cancel common; sums of them are exact.
LEVELS = [Fraction(n, 4) for n in range(-4, 5)]
TENSORS = {"first": (3, 4), "second": (5,)}
Elements = dict[str, list[Fraction]]


def vector_of(elements: Elements) -> Vector:
    return Vector(
        {
            name: Dense(torch.tensor([float(e) for e in elements[name]]).view(shape))
            for name, shape in TENSORS.items()
            if name in elements
        }
    )


def values(vector: Vector) -> dict[str, list[float]]:
    return {name: delta.dense().reshape(-1).tolist() for name, delta in vector.deltas.items()}


def some_vectors(count: int, seed: int = 0, size: int = 1000) -> dict[str, Vector]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"matrix": (size // 10, 10), "row": (7,)}
    return {
        f"task{i}": Vector(
            {name: Dense(torch.randn(shape, generator=generator)) for name, shape in shapes.items()}
        )
        for i in range(count)
    }


@st.composite
def elements_of_vectors(draw: st.DrawFn) -> dict[str, Elements]:
    """One to four vectors, each of one tensor or of both."""
    found = {}
    for which in range(draw(st.integers(1, 4))):
        names = draw(st.sampled_from([["first"], ["second"], ["first", "second"]]))
        found[f"task{which}"] = {
            name: draw(
                st.lists(
                    st.sampled_from(LEVELS),
                    min_size=math.prod(TENSORS[name]),
                    max_size=math.prod(TENSORS[name]),
                )
            )
            for name in names
        }
    return found


def trimmed(elements: Sequence[Fraction], density: Fraction) -> list[Fraction]:
    """The largest by magnitude stay; of equal ones the first."""
    count = max(1, math.floor(density * len(elements)))
    ranked = sorted(range(len(elements)), key=lambda i: (-abs(elements[i]), i))
    return [e if i in ranked[:count] else Fraction(0) for i, e in enumerate(elements)]


def merged_by_ties(
    vectors: Mapping[str, Elements], density: Fraction, normalize: bool, weights: Sequence[Fraction]
) -> dict[str, list[Fraction]]:
    """TIES, element by element: the sign with more weight, and the mean of those that have it."""
    merged = {}
    for name in sorted({name for elements in vectors.values() for name in elements}):
        voters = [
            (w, trimmed(elements[name], density))
            for w, elements in zip(weights, vectors.values(), strict=False)
            if name in elements
        ]
        merged[name] = []
        for place in range(math.prod(TENSORS[name])):
            for_plus = sum(w * e[place] for w, e in voters if e[place] > 0)
            for_minus = sum(-w * e[place] for w, e in voters if e[place] < 0)
            wins = 1 if for_plus >= for_minus else -1
            agree = [(w, e[place]) for w, e in voters if e[place] * wins > 0]
            total, weight = sum(w * e for w, e in agree), sum(w for w, _ in agree)
            merged[name].append(Fraction(total) / (weight if normalize and weight else 1))
    return merged


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    elements_of_vectors(),
    st.sampled_from([Fraction(1, 4), Fraction(1, 2), Fraction(1)]),
    st.booleans(),
    st.lists(st.sampled_from([Fraction(1), Fraction(1, 2), Fraction(3)]), min_size=4, max_size=4),
)
def test_ties_is_trim_elect_merge(
    vectors: dict[str, Elements], density: Fraction, normalize: bool, weights: list[Fraction]
) -> None:
    ours = ties(
        {name: vector_of(elements) for name, elements in vectors.items()},
        density=float(density),
        weights={name: float(w) for name, w in zip(vectors, weights, strict=False)},
        normalize=normalize,
    )
    wanted = merged_by_ties(vectors, density, normalize, weights)
    assert list(ours.deltas) == list(wanted)
    for name, found in values(ours).items():
        assert found == pytest.approx([float(e) for e in wanted[name]], rel=1e-6, abs=0)


def test_a_vector_alone_is_its_merge() -> None:
    (vector,) = some_vectors(1).values()
    assert ties({"a": vector}, density=1.0) == vector
    assert soup({"a": vector}) == vector
    assert dare_linear({"a": vector}, density=1.0) == vector
    assert dare_ties({"a": vector}, density=1.0) == vector
    assert ties({"a": vector}, density=0.3) == trim(vector, 0.3) != vector


def test_equal_vectors_are_their_merge() -> None:
    (vector,) = some_vectors(1).values()
    same = {"a": vector, "b": vector, "c": vector}
    for merged in (
        soup(same),
        soup(same, weights={"a": 0.25, "b": 0.75, "c": 0.0}),
        ties(same, density=1.0),
        ties(same, density=1.0, weights={"a": 0.5, "b": 2.0, "c": 1.0}),
    ):
        for name, delta in merged.deltas.items():
            torch.testing.assert_close(delta.dense(), vector.deltas[name].dense())


def test_the_order_of_vectors_changes_nothing() -> None:
    vectors = some_vectors(4)
    weights = dict(zip(vectors, (0.1, 0.2, 0.3, 0.4), strict=True))
    merges = {
        "ties": lambda v: ties(v, density=0.5, weights=weights),
        "soup": lambda v: soup(v, weights=weights),
        "dare_linear": lambda v: dare_linear(v, density=0.5, weights=weights),
        "dare_ties": lambda v: dare_ties(v, density=0.5, weights=weights),
        "emr": lambda v: EmrMerge.of(v).unified,
        "emr task": lambda v: EmrMerge.of(v).vector("task2"),
    }
    for method, merge in merges.items():
        first = merge(vectors)
        for order in list(itertools.permutations(vectors))[1::5]:
            again = merge({name: vectors[name] for name in order})
            for name, delta in again.deltas.items():
                torch.testing.assert_close(
                    delta.dense(), first.deltas[name].dense(), msg=lambda m, n=method: f"{n}: {m}"
                )


def test_soups_are_weighted_means() -> None:
    vectors = {
        "a": vector_of({"first": LEVELS + LEVELS[:3]}),
        "b": vector_of({"first": [Fraction(1)] * 12, "second": [Fraction(-3)] * 5}),
    }
    merged = values(soup(vectors, weights={"a": 0.75, "b": 0.25}))
    assert merged["first"] == [float(e) * 0.75 + 0.25 for e in LEVELS + LEVELS[:3]]
    assert merged["second"] == [-0.75] * 5
    assert values(soup(vectors))["second"] == [-1.5] * 5


def test_soups_of_factors_stay_factors() -> None:
    one, other = (LowRank(torch.randn(6, r), torch.randn(r, 5), scale=0.5) for r in (2, 3))
    merged = soup({"a": Vector({"w": one}), "b": Vector({"w": other})}).deltas["w"]
    assert isinstance(merged, LowRank)
    torch.testing.assert_close(merged.dense(), (one.dense() + other.dense()) / 2)


# ---------------------------------------------------------------------- trim and drop


@pytest.mark.parametrize("density", [0.001, 0.2, 0.5, 0.999, 1.0])
def test_trim_keeps_the_largest(density: float) -> None:
    (vector,) = some_vectors(1).values()
    for name, found in values(trim(vector, density)).items():
        whole = values(vector)[name]
        count = max(1, int(density * len(whole)))
        kept = [e for e in found if e]
        assert sorted(map(abs, kept)) == sorted(map(abs, whole))[-count:]
        assert all(f in (0, w) for f, w in zip(found, whole, strict=True))


@pytest.mark.parametrize("density", [0.001, 0.3, 0.77, 1.0])
@pytest.mark.parametrize("spread", [1.0, 12.0])
def test_trim_of_the_whole_vector_ranks_tensors_together(density: float, spread: float) -> None:
    (vector,) = some_vectors(1).values()
    # Magnitudes over many powers of two, and one tensor much larger than the other.
    vector = vector.map(lambda t: t.sign() * t.abs() ** spread * (100 if t.dim() == 1 else 1))
    everything = [e for part in values(vector).values() for e in part]
    count = max(1, int(density * len(everything)))
    found = values(trim(vector, density, over="vector"))
    kept = [e for part in found.values() for e in part if e]
    assert sorted(map(abs, kept)) == sorted(map(abs, everything))[-count:]


def test_trim_of_the_whole_vector_keeps_all_of_equal_magnitude() -> None:
    vector = vector_of({"first": LEVELS + LEVELS[:3], "second": [Fraction(0)] * 5})
    found = values(trim(vector, 0.05, over="vector"))  # 0.85 of 17: one, but three are of size 1
    assert found["first"] == [e if abs(e) == 1 else 0 for e in map(float, LEVELS + LEVELS[:3])]
    everything = trim(vector, 0.99, over="vector")  # the threshold is 0
    assert everything == vector


def test_drop_is_the_vector_on_average() -> None:
    """Kept elements are Bernoulli: bounds of 5 standard deviations of their counts and means."""
    density, draws = 0.3, 400
    (vector,) = some_vectors(1, size=200).values()
    total = {name: torch.zeros(delta.shape) for name, delta in vector.deltas.items()}
    kept = 0
    for seed in range(draws):
        for name, delta in drop(vector, density, seed=seed, name="v").deltas.items():
            total[name] += delta.dense()
            kept += int(delta.dense().count_nonzero())
    for name, delta in vector.deltas.items():
        bound = 5 * delta.dense().abs() * math.sqrt((1 - density) / (density * draws))
        off = (total[name] / draws - delta.dense()).abs()
        assert (off <= bound).all()
        assert (off > 0).all(), "nothing was dropped"
    trials = draws * sum(math.prod(delta.shape) for delta in vector.deltas.values())
    assert abs(kept - density * trials) <= 5 * math.sqrt(trials * density * (1 - density))


def test_what_is_dropped_depends_on_seed_and_names_alone() -> None:
    ones = torch.ones(100, 100)
    vector = Vector({"w": Dense(ones), "u": Dense(ones)})
    backwards = Vector({"u": Dense(ones), "w": Dense(ones), "z": Dense(ones)})
    here = drop(vector, 0.5, seed=1, name="a")
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    there = drop(backwards, 0.5, seed=1, name="a")
    assert torch.equal(torch.random.get_rng_state(), state)
    for name in ("w", "u"):
        assert torch.equal(here.deltas[name].dense(), there.deltas[name].dense())
    # Of two independent draws of 10,000 elements both keep a quarter, 5 standard deviations 0.022.
    mask = here.deltas["w"].dense() > 0
    for other in (
        here.deltas["u"],
        drop(vector, 0.5, seed=2, name="a").deltas["w"],
        drop(vector, 0.5, seed=1, name="b").deltas["w"],
    ):
        both = (mask & (other.dense() > 0)).float().mean()
        assert 0.228 < float(both) < 0.272


def test_what_is_kept_is_rescaled() -> None:
    (vector,) = some_vectors(1).values()
    plain = drop(vector, 0.6, rescale="none")
    by_density, by_sum = (drop(vector, 0.6, rescale=r) for r in ("density", "l1"))
    for name, delta in vector.deltas.items():
        whole, kept = delta.dense(), plain.deltas[name].dense()
        assert torch.equal(kept, torch.where(kept != 0, whole, 0.0))
        torch.testing.assert_close(by_density.deltas[name].dense(), kept / 0.6)
        found = by_sum.deltas[name].dense()
        torch.testing.assert_close(found.abs().sum(), whole.abs().sum())
        torch.testing.assert_close(found, kept * (whole.abs().sum() / kept.abs().sum()))


def test_where_nothing_is_kept_there_is_nothing_to_rescale() -> None:
    lone = Vector({"w": Dense(torch.ones(1))})
    found = {drop(lone, 1e-6, rescale="l1", seed=s).deltas["w"].dense().item() for s in range(9)}
    assert found == {0.0}


def test_dare_merges_vectors_that_were_dropped_by_their_names() -> None:
    vectors = some_vectors(3)
    weights = dict(zip(vectors, (0.5, 1.0, -2.0), strict=True))
    density = dict(zip(vectors, (0.5, 0.9, 0.2), strict=True))
    parts = {n: drop(v, density[n], seed=4, name=n) for n, v in vectors.items()}
    summed = dare_linear(vectors, density=density, weights=weights, seed=4)
    elected = dare_ties(vectors, density=density, weights=weights, seed=4)
    expected = sum((weights[n] * parts[n] for n in parts), start=Vector({}))
    for name, delta in summed.deltas.items():
        torch.testing.assert_close(delta.dense(), expected.deltas[name].dense())
    assert elected == ties(parts, density=1.0, weights=weights, normalize=False)


# ---------------------------------------------------------------------- EMR


def emr(
    vectors: Mapping[str, Elements], by_tensor: bool
) -> tuple[Elements, dict[str, dict[str, list[float]]]]:
    """The paper's steps, element by element: the unified vector, and each task's approximation."""
    unified: Elements = {}
    for name in sorted({name for elements in vectors.values() for name in elements}):
        columns = zip(*(e[name] for e in vectors.values() if name in e), strict=True)
        unified[name] = []
        for column in columns:
            sign = (sum(column) > 0) - (sum(column) < 0)
            agree = [abs(e) for e in column if e * sign > 0]
            unified[name].append(sign * max(agree, default=Fraction(0)))
    tasks = {}
    for task, elements in vectors.items():
        masked = {
            n: [u if u * e > 0 else Fraction(0) for u, e in zip(unified[n], part, strict=True)]
            for n, part in elements.items()
        }
        own, left = (
            sum(
                sum(map(abs, part), Fraction(0)) / (len(part) if by_tensor else 1)
                for part in each.values()
            )
            for each in (elements, masked)
        )
        scale = Fraction(own) / left if left else Fraction(0)
        tasks[task] = {n: [float(scale * e) for e in part] for n, part in masked.items()}
    return unified, tasks


@settings(deadline=None, max_examples=150, derandomize=True)
@given(elements_of_vectors(), st.booleans())
def test_emr_is_elect_mask_rescale(vectors: dict[str, Elements], by_tensor: bool) -> None:
    merge = EmrMerge.of(
        {name: vector_of(elements) for name, elements in vectors.items()},
        scale="tensors" if by_tensor else "elements",
    )
    unified, tasks = emr(vectors, by_tensor)
    assert values(merge.unified) == {n: [float(e) for e in part] for n, part in unified.items()}
    for task, wanted in tasks.items():
        found = values(merge.vector(task))
        assert found.keys() == wanted.keys()
        for name, part in found.items():
            assert part == pytest.approx(wanted[name], rel=1e-6, abs=0)


def test_emr_of_one_vector_gives_it_back_bit_for_bit() -> None:
    (vector,) = some_vectors(1).values()
    for scale in ("elements", "tensors"):
        merge = EmrMerge.of({"only": vector}, scale=scale)
        assert merge.scales == {"only": 1.0}
        assert merge.vector("only") == vector


def test_emr_keeps_each_tasks_sum_of_magnitudes() -> None:
    vectors = some_vectors(5)
    merge = EmrMerge.of(vectors)
    for task, vector in vectors.items():
        sums = [
            sum(float(d.dense().abs().sum()) for d in each.deltas.values())
            for each in (vector, merge.vector(task))
        ]
        assert sums[1] == pytest.approx(sums[0], rel=1e-5)
        assert merge.vector(task).cosine(vector) > 0.5


def test_emr_takes_an_eighth_byte_a_task_beside_the_unified_vector() -> None:
    vectors = some_vectors(8)
    merge = EmrMerge.of(vectors)
    assert merge.nbytes == 4 * 1007 + 8 * (1000 // 8 + 1)  # 7 elements fill up a byte
    assert merge.nbytes < 0.16 * (8 * 4 * 1007)


def test_emrs_vectors_come_in_blocks_from_any_row_and_scale() -> None:
    vectors = some_vectors(3)
    delta = EmrMerge.of(vectors).vector("task1").deltas["matrix"]
    whole = delta.dense().reshape(-1)
    for first, last in ((0, 10), (10, 30), (30, 1000), (990, 1000), (50, 50)):
        assert torch.equal(delta.block(first, last), whole[first:last])
    torch.testing.assert_close(delta.times(-0.5).dense(), -0.5 * delta.dense())


# ---------------------------------------------------------------------- diagnosis, errors


def test_sign_conflicts_are_a_share_of_what_several_vectors_change() -> None:
    rows = {
        "a": [1, 1, -1, 0, 1, 0, -2, 0, 0, 0, 0, 0],
        "b": [1, -1, -1, 0, 0, 0, 3, 0, 0, 0, 0, 0],
        "c": [1, 0, 0, -1, 0, 0, -9, 0, 0, 0, 0, 0],
    }  # four elements are changed by several vectors, two of them both ways
    vectors = {n: vector_of({"first": [Fraction(e) for e in row]}) for n, row in rows.items()}
    assert sign_conflicts(vectors) == 2 / 4
    assert sign_conflicts(vectors, density=1 / 12) == 1 / 1  # each keeps one; two of them the -2, 3
    assert math.isnan(sign_conflicts({"a": vectors["a"]}))
    (vector,) = some_vectors(1).values()
    assert sign_conflicts({"one": vector, "reverse": -vector}) == 1
    assert sign_conflicts({"one": vector, "same": vector}) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda v: soup(v, weights={"task0": 0.5, "task1": 0.6}), "sum to 1, not 1.1"),
        (lambda v: soup(v, weights={"task0": 1.5, "task1": -0.5}), "0 or more"),
        (lambda v: soup(v, weights={"task0": 1.0}), "weight: task1"),
        (lambda v: soup(v, weights={"task0": 0.5, "task1": 0.5, "x": 0}), "weight: x"),
        (lambda v: soup({}), "one or more vectors"),
        (lambda v: ties({}), "one or more vectors"),
        (lambda v: ties(list(v.values())), "vectors by name"),
        (lambda v: EmrMerge.of({}), "one or more vectors"),
        (lambda v: ties(v, density=0), r"density=0: .* up to 1"),
        (lambda v: ties(v, density=1.5), "density=1.5"),
        (lambda v: ties(v, density=True), "density of task0: True"),
        (lambda v: ties(v, density={"task0": 0.5}), "density: task1"),
        (lambda v: ties(v, over="layer"), "'layer' is not known.*tensor, vector"),
        (lambda v: ties(v, weights=math.nan), "weight of task0: nan"),
        (lambda v: ties(v, weights={"task0": 1, "task1": -1}), "normalize=False"),
        (lambda v: dare_linear(v, density=-1), "density=-1"),
        (lambda v: dare_linear(v, density=0.5, seed=0.5), "seed=0.5"),
        (lambda v: dare_ties(v, density=0.5, rescale="l2"), "'l2' is not known"),
        (lambda v: dare_ties(v, density=0.5, weights="half"), "weight of task0: 'half'"),
        (lambda v: EmrMerge.of(v, scale="median"), "'median' is not known"),
        (lambda v: EmrMerge.of(v).vector("task7"), "'task7' is not known.*Accepted: task0, task1"),
        (lambda v: trim(v["task0"], float("nan")), "density=nan"),
        (lambda v: drop(v["task0"], 0.0), "density=0"),
    ],
)
def test_values_that_are_not_accepted_are_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(some_vectors(2))


def test_vectors_of_two_architectures_are_refused() -> None:
    vectors = {
        "a": Vector({"w": Dense(torch.ones(2, 3))}),
        "b": Vector({"w": Dense(torch.ones(3, 2))}),
    }
    for merge in (soup, ties, EmrMerge.of, sign_conflicts):
        with pytest.raises(ValueError, match=r"w: \(2, 3\) in a, \(3, 2\) in b"):
            merge(vectors)
    with pytest.raises(ValueError, match="1 tensors"):
        dare_linear(vectors, density=0.5)
