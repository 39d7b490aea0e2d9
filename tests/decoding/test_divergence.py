"""KL to the reference model: exact, against scipy and plain forward passes."""

from __future__ import annotations

import math

import pytest
import scipy.stats
import torch

from trimtab import AlignmentVector, Conversation, DeRa, Generation, LanguageModel, Plain
from trimtab.decoding.mixing import divergence
from trimtab.methods.mixture import Mixture

QUESTIONS = ["Tell me about the farm. Speak of Leo.", "Tell me about a storm.", "Who is Ana?"]
SAMPLED = Generation(max_new_tokens=24, temperature=0.8, seed=3)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 20.0])
def test_divergence_is_that_of_the_distributions(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    mixed, reference = (
        torch.randn(40, 7, generator=generator, dtype=torch.float64) / temperature for _ in "ab"
    )
    mixed[::3, 2] = -math.inf  # a token that is ruled out adds nothing
    p, q = (logits.softmax(dim=-1).numpy() for logits in (mixed, reference))
    found = divergence(mixed, reference)
    assert found.tolist() == pytest.approx(scipy.stats.entropy(p, q, axis=1).tolist(), rel=1e-9)
    assert (found >= 0).all()
    assert divergence(reference, reference).tolist() == [0.0] * 40


@torch.inference_mode()
def log_distributions(
    model: LanguageModel, question: Conversation, told: list[int]
) -> torch.Tensor:
    """The model's log p at each position of an answer, `[T, V]`, with no cache."""
    prompt = model.encode(model.render(question))
    logits = model.weights(input_ids=torch.tensor([[*prompt, *told]])).logits[0]
    return logits[len(prompt) - 1 : -1, : model.vocabulary_size].double().log_softmax(dim=-1)


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("draft", [None, "prompt-lookup"])
def test_an_answers_divergence_is_the_sum_over_its_tokens(
    zoo, strength: float, draft: str | None
) -> None:
    reference, aligned = zoo("a-small-sft"), zoo("a-small-dpo")
    method = DeRa(
        reference=reference, aligned=aligned, strength=strength, measure_kl=True, draft=draft
    )
    for question, answer in zip(QUESTIONS, method.complete(QUESTIONS, SAMPLED), strict=True):
        asked, told = Conversation(question=question), list(answer.token_ids)
        log_q = log_distributions(reference, asked, told)
        log_a = log_distributions(aligned, asked, told)
        log_p = ((1 - strength) * log_q + strength * log_a).log_softmax(dim=-1)
        by_token = scipy.stats.entropy(log_p.exp().numpy(), log_q.exp().numpy(), axis=1)
        assert answer.measures["kl"] == pytest.approx(by_token.sum(), abs=2e-4)
        assert answer.measures["kl_per_token"] == pytest.approx(by_token.mean(), abs=2e-5)


def test_at_strength_0_it_is_0_and_at_0_the_answers_are_the_references(zoo) -> None:
    reference, aligned = zoo("a-small-sft"), zoo("a-small-dpo")
    for measure in (False, True):
        still = DeRa(reference=reference, aligned=aligned, strength=0, measure_kl=measure)
        answers = still.complete(QUESTIONS, SAMPLED)
        assert [a.measures for a in answers] == [{"kl": 0.0, "kl_per_token": 0.0}] * 3
    plain = Plain(model=reference).complete(QUESTIONS, SAMPLED)
    assert [a.text for a in answers] == [a.text for a in plain]
    moved = DeRa(reference=reference, aligned=aligned, strength=0.5)
    assert all(a.measures["kl"] > 0 for a in moved.complete(QUESTIONS, SAMPLED))


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.5])
def test_a_vectors_divergence_is_from_its_base(zoo, strength: float) -> None:
    base, expert = zoo("a-small-base"), zoo("a-small-expert")
    method: Mixture = AlignmentVector(base=base, aligned=expert, strength=strength, measure_kl=True)
    (moved, _), _ = method.mixture.values()
    for question, answer in zip(QUESTIONS, method.complete(QUESTIONS, SAMPLED), strict=True):
        asked, told = Conversation(question=question), list(answer.token_ids)
        log_p, log_q = (log_distributions(model, asked, told) for model in (moved, base))
        by_token = scipy.stats.entropy(log_p.exp().numpy(), log_q.exp().numpy(), axis=1)
        assert answer.measures["kl"] == pytest.approx(by_token.sum(), abs=2e-4)
    if strength == 0:
        assert answer.measures["kl"] == 0.0


def test_without_a_reference_there_is_none(zoo) -> None:
    (answer,) = Plain(model=zoo("a-small-sft")).complete(QUESTIONS[:1], SAMPLED)
    assert "kl" not in answer.measures
    alone = DeRa(reference=zoo("a-small-sft"), aligned=zoo("a-small-dpo"), strength=1)
    (answer,) = alone.complete(QUESTIONS[:1], SAMPLED)
    assert "kl" not in answer.measures  # the reference has no weight and is not run
