"""Arithmetic on weights: exact at the ends, linear between, and refused where it has no meaning."""

import itertools

import pytest
import torch

from trimtab import AlignmentVector, Generation, LanguageModel, Plain
from trimtab.tasks import Advice
from trimtab.vectors import combine, move, require_same_tensors


def states(*models: LanguageModel) -> list[dict[str, torch.Tensor]]:
    return [model.weights.state_dict() for model in models]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_ends_of_the_dial_are_the_two_models_bit_for_bit(dtype: str) -> None:
    base, aligned = (
        LanguageModel(path=f"zoo:{name}", prompt="chat", dtype=dtype)
        for name in ("a-small-sft", "a-small-expert")
    )
    for strength, expected in ((0.0, base), (1.0, aligned)):
        moved, wanted = states(move(base, aligned, strength), expected)
        assert moved.keys() == wanted.keys()
        assert all(torch.equal(moved[name], wanted[name]) for name in moved)


def test_between_the_ends_weights_are_the_linear_sum_in_fp64(zoo) -> None:
    base, aligned = zoo("a-small-sft"), zoo("a-small-expert")
    for strength in (-0.5, 0.3, 2.0):
        moved, start, end = states(move(base, aligned, strength), base, aligned)
        for name in moved:
            exact = start[name].double() + strength * (end[name].double() - start[name].double())
            torch.testing.assert_close(moved[name].double(), exact, rtol=1e-6, atol=1e-7)


def test_moving_leaves_both_models_untouched(zoo) -> None:
    base, aligned = zoo("a-small-sft"), zoo("a-small-expert")
    before = [{n: t.clone() for n, t in state.items()} for state in states(base, aligned)]
    move(base, aligned, 0.7)
    for old, new in zip(before, states(base, aligned), strict=True):
        assert all(torch.equal(old[name], new[name]) for name in old)


def test_ends_are_exact_where_a_sum_would_round() -> None:
    base = torch.tensor([1.0, 1e8, -3.0])
    aligned = torch.tensor([1e-10, 1.0, 3e-9])
    assert not torch.equal(base + (aligned - base), aligned)
    assert torch.equal(combine(base, [(aligned, 1.0)]), aligned)
    assert torch.equal(combine(base, [(aligned, 0.0)]), base)


def test_vectors_add_in_any_order() -> None:
    base, first, second = torch.randn(3, 100, generator=torch.Generator().manual_seed(0))
    pairs = [(first, 0.4), (second, -1.2)]
    sums = [combine(base, list(order)) for order in itertools.permutations(pairs)]
    torch.testing.assert_close(sums[0], sums[1])
    torch.testing.assert_close(sums[0], base + 0.4 * (first - base) - 1.2 * (second - base))


def test_tied_weights_stay_tied(zoo) -> None:
    moved = move(zoo("a-small-sft"), zoo("a-small-expert"), 0.5).weights
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


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), True])
def test_a_strength_that_is_no_number_is_refused(zoo, strength: float) -> None:
    with pytest.raises(ValueError, match="strength="):
        AlignmentVector(base=zoo("a-small-sft"), aligned=zoo("a-small-sft"), strength=strength)


def test_weights_tied_in_one_model_alone_are_refused(zoo) -> None:
    """Names and shapes agree, yet no sum is both models."""
    import copy

    tied = zoo("a-small-sft")
    weights = copy.deepcopy(tied.weights)
    weights.lm_head.weight = torch.nn.Parameter(weights.lm_head.weight.clone())
    untied = LanguageModel.of(weights, tied.tokenizer, prompt="chat", name="untied")
    with pytest.raises(ValueError, match="tie different weights"):
        move(tied, untied, 0.5)
