"""Vectors in loaded weights: exact at the ends, linear between, and refused where meaningless."""

import copy
import itertools
import random

import pytest
import torch

from trimtab import AlignmentVector, AlignmentVectors, Generation, LanguageModel, Plain
from trimtab.tasks import Advice
from trimtab.tensors.delta import Between, Dense
from trimtab.vectors import Dial, Vector, extract
from trimtab.vectors.live import sum_in_place
from trimtab.vectors.live.dial import between, move
from trimtab.vectors.live.sum_in_place import write_sum
from trimtab.vectors.matching import require_same_tensors
from trimtab.vectors.weighted_sum import Term

Tensors = dict[str, torch.Tensor]


def state(model: LanguageModel) -> Tensors:
    return {name: tensor.clone() for name, tensor in model.weights.state_dict().items()}


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor's bits, in which 0 and -0 differ and NaN is equal to itself."""
    return tensor.view({2: torch.int16, 4: torch.int32}[tensor.element_size()])


def same(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(bits(one[name]), bits(other[name])) for name in one
    )


def models(*names: str, dtype: str = "float32") -> list[LanguageModel]:
    return [LanguageModel(path=f"zoo:{name}", prompt="chat", dtype=dtype) for name in names]


class Weights(torch.nn.Module):
    """One tensor, called `w`."""

    def __init__(self, values: torch.Tensor) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(values.clone())


def turned(base: torch.Tensor, aligned: torch.Tensor, strength: float) -> torch.Tensor:
    weights = Weights(base)
    Dial(weights, {"v": Vector.between({"w": base}, {"w": aligned})}).turn({"v": strength})
    return weights.w.detach()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_ends_of_the_dial_are_the_two_models_bit_for_bit(dtype: str) -> None:
    base, aligned = models("a-small-sft", "a-small-expert", dtype=dtype)
    vector = between(base, aligned)
    for strength, expected in ((0.0, base), (1.0, aligned)):
        assert same(state(move(base, {"v": vector}, {"v": strength})), state(expected))


# Magnitudes so far apart that fp32 differences round; zeros of both signs; subnormal numbers.
ODD = [1.0, -1.0, 1e8, -1e-8, 0.0, -0.0, 1e-40, 3e-9, 65504.0, 1.0000001, -7e37]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_ends_are_exact_where_a_sum_would_round(dtype: torch.dtype) -> None:
    pairs = torch.tensor(list(itertools.product(ODD, ODD)))
    pairs = pairs.clamp(*((-65504, 65504) if dtype == torch.float16 else (None, 1e38)))
    base, aligned = pairs.to(dtype).T.contiguous()
    assert torch.equal(bits(turned(base, aligned, 0.0)), bits(base))
    assert torch.equal(bits(turned(base, aligned, 1.0)), bits(aligned))
    if dtype == torch.float32:  # the test would prove nothing of a plain sum
        assert not torch.equal(base + (aligned - base), aligned)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("strengths", [(1.0,), (0.3,), (0.3, -1.2)])
def test_the_kernels_for_gpus_add_what_those_for_cpus_do(dtype, strengths, monkeypatch) -> None:
    """They may round products otherwise, but at strength 1, which has none."""
    pairs = torch.tensor(list(itertools.product(ODD, ODD))).clamp(-65504, 65504)
    base, aligned = pairs.to(dtype).T.contiguous()
    terms = [Term(Between(base, aligned), strength) for strength in strengths]
    expected, found = torch.empty_like(base), torch.empty_like(base)
    write_sum(expected, base, terms)
    monkeypatch.setattr(
        sum_in_place, "_add_on_cpu", lambda *given: sum_in_place._add_on_gpu(*given[:-1])
    )
    write_sum(found, base, terms)
    if strengths == (1.0,):
        assert torch.equal(bits(found), bits(aligned))
    size = torch.finfo(dtype).eps * sum(
        (abs(strength) * (aligned.double() - base.double())).abs() for strength in strengths
    )
    size = size + torch.finfo(dtype).eps * base.double().abs() + torch.finfo(dtype).smallest_normal
    alike = (found.double() - expected.double()).abs() <= size
    assert (alike | (found == expected)).all()  # infinite ones too


def test_settings_of_torch_do_not_reach_a_turn() -> None:
    base, aligned = torch.randn(2, 50, 7)
    expected = base.double() + 0.3 * (aligned - base).double()
    torch.set_default_dtype(torch.bfloat16)
    try:
        found = turned(base, aligned, 0.3)
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)


def test_strided_tensors_are_differences_too(tmp_path) -> None:
    base, columns = torch.randn(9), torch.randn(9, 2)
    assert torch.equal(turned(base, columns[:, 0], 1.0), columns[:, 0])
    saved = Vector({"w": Dense(columns[:, 1])}).save(tmp_path / "v")
    assert torch.equal(Vector.open(saved).deltas["w"].dense(), columns[:, 1])


def test_a_vector_may_start_at_the_weights_that_are_turned() -> None:
    weights, aligned = Weights(torch.randn(40)), torch.randn(40)
    base = weights.w.detach().clone()
    dial = Dial(weights, {"v": Vector.between(dict(weights.named_parameters()), {"w": aligned})})
    for strength, expected in ((1.0, aligned), (0.5, (base + aligned) / 2), (0.0, base)):
        dial.turn({"v": strength})
        torch.testing.assert_close(weights.w.detach(), expected, rtol=1e-5, atol=1e-6)
    dial.turn({"v": 1.0})
    assert torch.equal(bits(weights.w.detach()), bits(aligned))


def test_what_lies_between_models_in_memory_is_saved_exactly(tmp_path) -> None:
    base, aligned = (
        torch.tensor(list(itertools.product(ODD, ODD))).clamp(-1e37, 1e37).T.contiguous()
    )
    learnt = torch.nn.Parameter(aligned)  # asks for gradients
    saved = Vector.between({"w": base}, {"w": learnt}).save(tmp_path / "v")
    weights = Weights(base)
    Dial(weights, {"v": Vector.open(saved)}).turn({"v": 1.0})
    assert torch.equal(bits(weights.w.detach()), bits(aligned))


@pytest.mark.parametrize("value", [3, 4])
def test_buffers_of_integers_may_be_there_if_they_are_equal(value: int) -> None:
    weights = Weights(torch.zeros(2))
    weights.register_buffer("ids", torch.tensor([3]))
    aligned = {"w": torch.ones(2), "ids": torch.tensor([value])}
    if value != 3:
        with pytest.raises(ValueError, match="there is no difference of"):
            Vector.between(dict(weights.state_dict()), aligned)
        return
    Dial(weights, {"v": Vector.between(dict(weights.state_dict()), aligned)}).turn({"v": 0.5})
    assert weights.w.tolist() == [0.5, 0.5] and weights.ids.tolist() == [3]


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int8])
def test_quantized_weights_are_refused(dtype: torch.dtype) -> None:
    weights = torch.nn.Module()
    weights.register_buffer("w", torch.zeros(3).to(dtype))
    with pytest.raises(ValueError, match=str(dtype).removeprefix("torch.")):
        Dial(weights, {"v": Vector({"w": Dense(torch.ones(3))})})


def test_between_the_ends_weights_are_the_linear_sum_in_fp64() -> None:
    base, aligned = models("a-small-sft", "a-small-expert")
    start, end = state(base), state(aligned)
    for strength in (-0.5, 0.3, 2.0):
        moved = state(move(base, {"v": between(base, aligned)}, {"v": strength}))
        for name in moved:
            exact = start[name].double() + strength * (end[name].double() - start[name].double())
            torch.testing.assert_close(moved[name].double(), exact, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_walk_of_fifty_turns_leaves_no_trace(dtype: str, tmp_path) -> None:
    """The end of a walk is what one turn gives, and 0 at its end is the base bit for bit."""
    base, expert = models("a-small-sft", "a-small-expert", dtype=dtype)
    vectors = {
        name: extract(base="zoo:a-small-sft", aligned=f"zoo:{name}", out=tmp_path / name)
        for name in ("a-small-expert", "a-small-dpo")
    }
    vectors["low"] = extract(
        base="zoo:a-small-sft", aligned="zoo:a-small-dpo", out=tmp_path / "low", rank=4
    )
    before, weights = state(base), copy.deepcopy(base.weights)
    dial = Dial(weights, vectors)
    draws = random.Random(0)
    for _ in range(50):
        dial.turn({name: draws.uniform(-2, 2) for name in vectors if draws.random() < 0.7})
    end = dict(dial.strengths)
    assert not same(dict(weights.state_dict()), before)
    assert same(dict(weights.state_dict()), state(move(base, vectors, end)))
    dial.turn(dict.fromkeys(vectors, 0.0))
    assert same(dict(weights.state_dict()), before)
    dial.turn({"a-small-expert": 1.0})
    assert same(dict(weights.state_dict()), state(expert))


def test_a_turn_sets_the_strengths_that_it_names_alone() -> None:
    base, one, two = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    weights = Weights(base)
    dial = Dial(
        weights, {n: Vector.between({"w": base}, {"w": v}) for n, v in (("a", one), ("b", two))}
    )
    dial.turn({"a": 0.4})
    dial.turn({"b": -1.2})
    assert dial.strengths == {"a": 0.4, "b": -1.2}
    expected = base.double() + 0.4 * (one - base).double() - 1.2 * (two - base).double()
    torch.testing.assert_close(weights.w.detach().double(), expected, rtol=1e-6, atol=1e-6)


def test_vectors_add_in_any_order() -> None:
    base, first, second = torch.randn(3, 100, generator=torch.Generator().manual_seed(0))
    vectors = {n: Vector.between({"w": base}, {"w": v}) for n, v in (("a", first), ("b", second))}
    sums = []
    for order in itertools.permutations(vectors):
        weights = Weights(base)
        Dial(weights, {name: vectors[name] for name in order}).turn({"a": 0.4, "b": -1.2})
        sums.append(weights.w.detach())
    torch.testing.assert_close(*sums)


def test_moving_leaves_both_models_untouched() -> None:
    base, aligned = models("a-small-sft", "a-small-expert")
    before = [state(model) for model in (base, aligned)]
    move(base, {"v": between(base, aligned)}, {"v": 0.7})
    assert all(same(old, state(new)) for old, new in zip(before, (base, aligned), strict=True))


def test_a_moved_model_is_not_taken_for_its_base() -> None:
    base, aligned = models("a-small-sft", "a-small-expert")
    vectors = {"v": between(base, aligned)}
    half, whole = (move(base, vectors, {"v": strength}) for strength in (0.5, 1.0))
    assert base not in (half, whole) and half != whole
    told = [model.identity.get("in_memory_sha256") for model in (base, half, whole)]
    assert len({*told}) == 3 and told[0] is None


def test_tied_weights_stay_tied() -> None:
    base, aligned = models("a-small-sft", "a-small-expert")
    moved = move(base, {"v": between(base, aligned)}, {"v": 0.5}).weights
    assert moved.get_input_embeddings().weight is moved.get_output_embeddings().weight


def test_the_method_at_its_ends_answers_as_its_models(zoo) -> None:
    base, aligned = zoo("a-small-sft"), zoo("a-small-expert")
    asked = [sample.conversation for sample in Advice().samples(12)]
    settings = Generation(max_new_tokens=32, temperature=1.0)
    for strength, model in ((0.0, base), (1.0, aligned)):
        vector = AlignmentVector(base=base, aligned=aligned, strength=strength)
        # The role that names the noise is the same, so even samples agree.
        texts = [a.text for a in vector.complete(asked, settings)]
        assert texts == [a.text for a in Plain(model=model).complete(asked, settings)]


def test_weights_that_do_not_match_are_listed(zoo) -> None:
    with pytest.raises(ValueError, match=r"do not match in \d+ tensors:\n  model\."):
        AlignmentVector(
            base=zoo("a-small-chat"), aligned=zoo("a-large-chat"), strength=0.5
        ).complete(["Hello"])
    one, two = {"a": torch.zeros(2), "b": torch.zeros(3)}, {"b": torch.zeros(4), "c": torch.ones(1)}
    with pytest.raises(ValueError) as error:
        require_same_tensors(one, two, ("first", "second"))
    for line in ("a: only in first", "c: only in second", "b: (3,) in first, (4,) in second"):
        assert line in str(error.value)


def test_a_vector_of_another_architecture_is_refused(zoo, tmp_path) -> None:
    vector = extract(base="zoo:a-small-sft", aligned="zoo:a-small-expert", out=tmp_path / "v")
    with pytest.raises(ValueError, match=r"does not fit .* in \d+ tensors:\n  model\."):
        Dial(zoo("a-large-chat").weights, {"v": vector})


def test_weights_that_are_not_in_memory_are_refused() -> None:
    with torch.device("meta"):
        absent = torch.nn.Linear(4, 3)
    vector = Vector.between({"weight": torch.zeros(3, 4)}, {"weight": torch.ones(3, 4)})
    with pytest.raises(ValueError, match="weight of 'Linear' is not in memory"):
        Dial(absent, {"v": vector})


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), True, "1"])
def test_a_strength_that_is_no_number_is_refused(zoo, strength: float) -> None:
    base = zoo("a-small-sft")
    with pytest.raises(ValueError, match="strength="):
        AlignmentVector(base=base, aligned=base, strength=strength)
    dial = Dial(Weights(torch.ones(2)), {"v": Vector({})})
    with pytest.raises(ValueError, match="strength="):
        dial.turn({"v": strength})
    assert dial.strengths == {"v": 0.0}


def test_a_name_that_is_no_vector_is_refused(zoo, tmp_path) -> None:
    extract(base="zoo:a-small-sft", aligned="zoo:a-small-expert", out=tmp_path / "v")
    with pytest.raises(ValueError, match="'legal' is not known"):
        Dial(Weights(torch.ones(2)), {"law": Vector({})}).turn({"legal": 1.0})
    vectors = {"law": str(tmp_path / "v")}
    with pytest.raises(ValueError, match="strengths: 'legal' is not known"):
        AlignmentVectors(base=zoo("a-small-sft"), vectors=vectors, strengths={"legal": 1.0})
    with pytest.raises(ValueError, match="does not exist"):
        AlignmentVectors(base=zoo("a-small-sft"), vectors={"law": "./nowhere"})
    with pytest.raises(ValueError, match="there is none"):
        AlignmentVectors(base=zoo("a-small-sft"), vectors={})


def test_weights_tied_in_one_model_alone_are_refused() -> None:
    """Names and shapes agree, yet no sum is both models."""
    (tied,) = models("a-small-sft")
    weights = copy.deepcopy(tied.weights)
    weights.lm_head.weight = torch.nn.Parameter(weights.lm_head.weight.clone())
    untied = LanguageModel.of(weights, tied.tokenizer, prompt="chat", name="untied")
    with pytest.raises(ValueError, match="tie different weights"):
        between(tied, untied)


@pytest.mark.parametrize(("delta", "strength"), [(float("nan"), 1.0), (3e38, 1000.0)])
def test_sums_that_are_not_of_finite_numbers_are_refused(
    zoo, delta: float, strength: float
) -> None:
    name = "model.norm.weight"
    base = zoo("a-small-sft")
    vector = Vector({name: Dense(torch.full_like(base.weights.state_dict()[name], delta))})
    with pytest.raises(ValueError, match=rf"{name}: the sum is not of finite numbers"):
        move(base, {"v": vector}, {"v": strength})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # torch warns of itself
def test_a_model_that_is_to_be_compiled_moves_as_one_that_is_not() -> None:
    """What was compiled is the base, which its moved copy must not go on to run."""
    start, end = models("a-small-sft", "a-small-expert")
    compiled = LanguageModel(path="zoo:a-small-sft", prompt="chat", device="cpu", compile=True)
    tokens = torch.arange(1, 21)[None]
    with torch.no_grad():
        expected = end.weights(tokens).logits
        moved = move(compiled, {"v": between(start, end)}, {"v": 1.0})
        assert torch.equal(moved.weights(tokens).logits, expected)
