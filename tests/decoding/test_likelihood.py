"""Probabilities of given texts, against plain forward passes of transformers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from trimtab import (
    AlignmentVector,
    Conversation,
    DeRa,
    Ensemble,
    Generation,
    LanguageModel,
    Nudging,
    Plain,
)
from trimtab.decoding.likelihood import Likelihood
from trimtab.methods.method import Prompts
from trimtab.methods.mixture import Mixture

Zoo = Callable[[str], LanguageModel]
ASKED = {
    "a": "Ana has 12 pens. She buys 30. How many pens does Ana have now?",
    "b": "Tom has 3 cups.",
    "c": "Tell me about the farm.",
}
OPTIONS = ["The answer is 42.", "42", "Ana has 12 pens. " * 3, " "]


@torch.inference_mode()
def logits_of(model: LanguageModel, prompt: list[int], told: list[int]) -> torch.Tensor:
    """The logits `[T, V]` after the prompt and each told token but the last, with no cache."""
    tokens = torch.tensor([[*prompt, *told]])
    whole = model.weights(input_ids=tokens).logits[0, len(prompt) - 1 : -1]
    return whole[:, : model.vocabulary_size].float()


def expected(z_TV: torch.Tensor, told: list[int]) -> Likelihood:
    log_p_TV = z_TV.log_softmax(dim=-1)
    picked = log_p_TV[torch.arange(len(told)), told]
    return Likelihood(float(picked.sum()), len(told), z_TV.argmax(dim=-1).tolist() == told)


def mixed(method: Mixture, z: dict[str, torch.Tensor]) -> torch.Tensor:
    """The equation of each method, written out."""
    if isinstance(method, DeRa):
        return (1 - method.strength) * z["reference"] + method.strength * z["aligned"]
    if isinstance(method, Ensemble):
        p = {role: each.softmax(dim=-1) for role, each in z.items()}
        return ((1 - method.strength) * p["base"] + method.strength * p["guide"]).log()
    (only,) = z.values()
    return only


def methods(zoo: Zoo) -> list[Mixture]:
    sft, dpo = zoo("a-small-sft"), zoo("a-small-dpo")
    return [
        Plain(model=zoo("a-large-base")),
        Plain(model=zoo("a-small-chat")),
        DeRa(reference=sft, aligned=dpo, strength=0.4),
        DeRa(reference=sft, aligned=dpo, strength=0.0),
        DeRa(reference=sft, aligned=dpo, strength=2.5),
        Ensemble(base=zoo("a-large-base"), guide=zoo("a-large-chat"), strength=0.3),
        AlignmentVector(base=zoo("a-small-base"), aligned=zoo("a-small-expert"), strength=0.5),
    ]


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("batch_size", [1, 8])
def test_likelihoods_are_those_of_plain_forward_passes(
    zoo: Zoo, number: int, batch_size: int
) -> None:
    method = methods(zoo)[number]
    asked = {i: Conversation(question=question) for i, question in ASKED.items()}
    found = dict(
        method.weigh(asked, dict.fromkeys(asked, OPTIONS), Generation(batch_size=batch_size))
    )
    assert set(found) == set(asked)
    for sample_id, conversation in asked.items():
        for text, got in zip(OPTIONS, found[sample_id], strict=True):
            z = {}
            for role, (model, _) in method.mixture.items():
                prompt = model.encode(model.render(conversation))
                told = model.encode(model.render(conversation) + text)[len(prompt) :]
                z[role] = logits_of(model, prompt, told)
            want = expected(mixed(method, z), told)
            assert got.log_probability == pytest.approx(want.log_probability, abs=2e-4)
            assert (got.tokens, got.greedy) == (want.tokens, want.greedy)


def test_a_greedy_answer_is_greedy_and_no_other_text_is(zoo: Zoo) -> None:
    method = Plain(model=zoo("a-small-chat"))
    asked = Conversation(question=ASKED["a"])
    (answer,) = method.complete([asked], Generation(max_new_tokens=20))
    ((_, (same, other)),) = method.weigh({"0": asked}, {"0": [answer.text, "Blue. " * 3]})
    assert same.greedy and not other.greedy
    assert same.log_probability > other.log_probability


def test_next_tokens_are_a_distribution(zoo: Zoo) -> None:
    model = zoo("a-small-sft")
    method = DeRa(reference=model, aligned=zoo("a-small-dpo"), strength=0.7)
    tokens = model.encode("Tell me about the farm.\n")
    prompts = {"0": Prompts({}, {"reference": tokens, "aligned": tokens})}
    every = {"0": [[token] for token in range(model.vocabulary_size)]}
    ((_, found),) = method.likelihoods(prompts, every)
    assert math.fsum(math.exp(one.log_probability) for one in found) == pytest.approx(1, abs=1e-5)
    assert sum(one.greedy for one in found) == 1


def test_long_continuations_are_read_in_parts(zoo: Zoo) -> None:
    model = zoo("a-small-sft")
    prompt, told = [5, 6, 7], [8 + i % 700 for i in range(700)]
    prompts = {"0": Prompts({}, {"model": prompt})}
    ((_, (found,)),) = Plain(model=model).likelihoods(prompts, {"0": [told]})
    want = expected(logits_of(model, prompt, told), told)
    assert found.log_probability == pytest.approx(want.log_probability, rel=1e-5)
    assert found.tokens == 700


def test_what_cannot_be_weighed_is_said(zoo: Zoo) -> None:
    model = zoo("a-small-sft")
    asked = {"0": Conversation(question="?")}
    nudging = Nudging(base=model, guide=zoo("a-small-chat"))
    with pytest.raises(ValueError, match="Nudging has no probability of a given text"):
        nudging.weigh(asked, {"0": ["a"]})
    plain = Plain(model=model)
    with pytest.raises(ValueError, match=r"'0'.*1026 tokens.*holds 1024"):
        list(plain.likelihoods({"0": Prompts({}, {"model": [5] * 1000})}, {"0": [[6] * 27]}))
    with pytest.raises(ValueError, match=r"'0'.*no tokens"):
        list(plain.likelihoods({"0": Prompts({}, {"model": []})}, {"0": [[6]]}))
