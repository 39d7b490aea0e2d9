"""Single-voice decoding: against generate(), against oracles, and the identities of the dials."""

import copy

import oracles
import pytest
import torch

from trimtab import Conversation, DeRa, Ensemble, Generation, LanguageModel, Plain, ProxyTuning
from trimtab import zoo as embedded
from trimtab.decoding.mixing import linear, probabilities
from trimtab.tasks import Stories, WordProblems

SAMPLED = Generation(max_new_tokens=40, batch_size=8, temperature=0.9, top_p=0.9, seed=3)
GREEDY = Generation(max_new_tokens=40, batch_size=8)


def word_problems(count: int) -> list[Conversation]:
    return [sample.conversation for sample in WordProblems().samples(count)]


def stories(count: int) -> list[Conversation]:
    return [sample.conversation for sample in Stories().samples(count)]


@pytest.mark.slow
@pytest.mark.parametrize("name", embedded.names())
def test_greedy_equals_generate(zoo, name: str) -> None:
    model = zoo(name)
    asked = word_problems(32)
    by_batch_size = [
        Plain(model=model).complete(asked, Generation(max_new_tokens=48, batch_size=size))
        for size in (1, 7, 32)
    ]
    for conversation, *answers in zip(asked, *by_batch_size, strict=True):
        prompt = torch.tensor([model.encode(model.render(conversation))])
        whole = model.weights.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=48, do_sample=False
        )
        new = whole[0, prompt.shape[1] :].tolist()
        ended = new[-1] in model.stop_tokens
        for answer in answers:
            assert answer.stop_reason == ("end" if ended else "length")
            assert answer.tokens["model"] == len(new) - ended
            assert answer.text == model.continuation(prompt[0].tolist(), new)


@pytest.mark.slow
@pytest.mark.parametrize("generation", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_dera_equals_the_oracle_at_any_strength(zoo, generation: Generation) -> None:
    reference, aligned = zoo("a-small-sft"), zoo("a-small-dpo")
    readers = oracles.Reader(reference), oracles.Reader(aligned)
    asked = stories(8)
    for strength in (-0.5, 0.25, 0.5, 1.5):
        dera = DeRa(reference=reference, aligned=aligned, strength=strength)
        for i, answer in enumerate(dera.complete(asked, generation)):
            prompt = reference.encode(reference.render(asked[i]))
            expected = oracles.plain(
                [(readers[0], 1 - strength, prompt), (readers[1], strength, prompt)],
                generation,
                str(i),
            )
            assert answer.text == reference.continuation(prompt, expected)


@pytest.mark.parametrize("generation", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize(("strength", "name"), [(0.0, "a-small-sft"), (1.0, "a-small-dpo")])
def test_dera_at_its_ends_is_one_of_its_models(
    zoo, generation: Generation, strength: float, name: str
) -> None:
    dera = DeRa(reference=zoo("a-small-sft"), aligned=zoo("a-small-dpo"), strength=strength)
    asked = stories(20)
    mixed, alone = (method.complete(asked, generation) for method in (dera, Plain(model=zoo(name))))
    assert [a.text for a in mixed] == [a.text for a in alone]
    assert [a.stop_reason for a in mixed] == [a.stop_reason for a in alone]
    assert all(set(a.work) == {"reference" if strength == 0 else "aligned"} for a in mixed)


def test_proxy_tuning_with_base_as_its_own_anti_expert_is_dera(zoo) -> None:
    """z_b + s (z_t - z_b) is DeRa's mixture: the two methods must give the same texts."""
    asked = stories(12)
    reference, aligned = zoo("a-small-sft"), zoo("a-small-dpo")
    for strength in (0.5, 1.7):
        dera = DeRa(reference=reference, aligned=aligned, strength=strength)
        proxy = ProxyTuning(base=reference, tuned=aligned, untuned=reference, strength=strength)
        texts = [[a.text for a in m.complete(asked, SAMPLED)] for m in (dera, proxy)]
        assert texts[0] == texts[1]


@pytest.mark.slow
def test_proxy_tuning_equals_the_oracle(zoo) -> None:
    base, tuned, untuned = zoo("a-large-base"), zoo("a-small-chat"), zoo("a-small-base")
    proxy = ProxyTuning(base=base, tuned=tuned, untuned=untuned, strength=0.7)
    readers = [oracles.Reader(model) for model in (base, tuned, untuned)]
    asked = word_problems(6)
    for i, answer in enumerate(proxy.complete(asked, GREEDY)):
        prompts = [model.encode(model.render(asked[i])) for model in (base, tuned, untuned)]
        parts = list(zip(readers, (1.0, 0.7, -0.7), prompts, strict=True))
        expected = oracles.plain(parts, GREEDY, str(i))
        assert answer.text == base.continuation(prompts[0], expected)


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_samples_do_not_depend_on_batch_size_or_order(zoo, batch_size: int) -> None:
    asked = {str(i): conversation for i, conversation in enumerate(stories(12))}
    plain = Plain(model=zoo("a-small-sft"))
    expected = {c.id: c.text for c in plain.stream(asked, SAMPLED)}
    backwards = dict(reversed(asked.items()))
    settings = Generation(
        max_new_tokens=40, batch_size=batch_size, temperature=0.9, top_p=0.9, seed=3
    )
    assert {c.id: c.text for c in plain.stream(backwards, settings)} == expected
    assert len(set(expected.values())) > 6


def test_another_seed_gives_other_samples(zoo) -> None:
    plain = Plain(model=zoo("a-small-sft"))
    texts = [
        [a.text for a in plain.complete(stories(8), Generation(temperature=1.0, seed=seed))]
        for seed in (0, 1)
    ]
    assert texts[0] != texts[1]


def test_mixed_logits_are_the_geometric_mixture() -> None:
    """softmax(sum w_i z_i) is proportional to prod p_i^w_i, for weights that sum to 1."""
    first, second = torch.randn(2, 5, 30, generator=torch.Generator().manual_seed(0))
    mixed = linear({"one": first, "other": second}, {"one": 0.3, "other": 0.7}).softmax(-1)
    product = first.softmax(-1) ** 0.3 * second.softmax(-1) ** 0.7
    torch.testing.assert_close(mixed, product / product.sum(-1, keepdim=True))


def test_mixed_probabilities_are_their_weighted_mean() -> None:
    first, second = torch.randn(2, 5, 30, generator=torch.Generator().manual_seed(0))
    mixed = probabilities({"one": first, "other": second}, {"one": 0.3, "other": 0.7})
    expected = 0.3 * first.softmax(-1) + 0.7 * second.softmax(-1)
    torch.testing.assert_close(mixed.exp(), expected)


@pytest.mark.parametrize("generation", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_an_ensemble_says_what_the_mean_of_probabilities_says(zoo, generation: Generation) -> None:
    base, guide = zoo("a-small-sft"), zoo("a-small-expert")
    readers = oracles.Reader(base), oracles.Reader(guide)
    asked = stories(6)
    ensemble = Ensemble(base=base, guide=guide, strength=0.4)
    differs = False
    for i, answer in enumerate(ensemble.complete(asked, generation)):
        prompt = base.encode(base.render(asked[i]))
        new: list[int] = []
        while len(new) < generation.max_new_tokens:
            one, other = (r.logits((*prompt, *new)).double().softmax(-1) for r in readers)
            logits = (0.6 * one + 0.4 * other).log()
            token = oracles.choose(
                logits, generation, sample_id=str(i), role="model", position=len(new)
            )
            if token in readers[0].ends:
                break
            new.append(token)
        assert answer.text == base.continuation(prompt, new)
        alone = oracles.plain([(readers[0], 1.0, prompt)], generation, str(i))
        differs |= alone != new
    assert differs, "a test in which the guide has a say"


def test_an_ensemble_at_its_ends_is_one_of_its_models(zoo) -> None:
    asked = stories(6)
    for strength, name in ((0.0, "a-small-sft"), (1.0, "a-small-dpo")):
        ensemble = Ensemble(base=zoo("a-small-sft"), guide=zoo("a-small-dpo"), strength=strength)
        mixed, alone = (m.complete(asked, SAMPLED) for m in (ensemble, Plain(model=zoo(name))))
        assert [a.text for a in mixed] == [a.text for a in alone]


def test_an_ensembles_share_is_a_share(zoo) -> None:
    with pytest.raises(ValueError, match=r"strength=1.5: accepted are shares from 0 to 1"):
        Ensemble(base=zoo("a-small-sft"), guide=zoo("a-small-dpo"), strength=1.5)


def test_running_out_of_memory_names_the_setting_to_lower(zoo) -> None:
    sound = zoo("a-small-chat")
    greedy = LanguageModel.of(copy.deepcopy(sound.weights), sound.tokenizer, prompt="chat")
    greedy.weights.model.forward = lambda **inputs: torch.empty(1 << 60)
    with pytest.raises(MemoryError, match=r"batch_size=7. Lower it"):
        Plain(model=greedy).complete(["Hello"] * 7, Generation(batch_size=7))


def test_two_vocabularies_are_refused_with_their_first_difference(zoo) -> None:
    dera = DeRa(reference=zoo("a-small-chat"), aligned=zoo("b-small-chat"), strength=0.5)
    with pytest.raises(ValueError, match=r"do not share a vocabulary: token \d+ is '.+' in one"):
        dera.complete(["Hello"])


def test_logits_that_are_not_finite_are_an_error_naming_model_and_sample(zoo) -> None:
    sound = zoo("a-small-chat")
    weights = copy.deepcopy(sound.weights)
    with torch.no_grad():
        weights.model.norm.weight.fill_(float("nan"))
    damaged = LanguageModel.of(weights, sound.tokenizer, prompt="chat", name="damaged")
    with pytest.raises(FloatingPointError, match=r"'damaged' gave logits .* sample '0'"):
        Plain(model=damaged).complete(["Hello"])


@pytest.mark.slow
@pytest.mark.parametrize("generation", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("source", ["prompt-lookup", "model"])
def test_drafts_change_the_passes_and_nothing_else(
    zoo, source: str, generation: Generation
) -> None:
    large, small = zoo("a-large-chat"), zoo("a-small-chat")
    reference, aligned = zoo("a-small-sft"), zoo("a-small-dpo")
    draft = small if source == "model" else source
    drafted_by_twin = reference if source == "model" else source
    pairs = [
        (Plain(model=large), Plain(model=large, draft=draft), word_problems(10)),
        (
            DeRa(reference=reference, aligned=aligned, strength=0.4),
            DeRa(reference=reference, aligned=aligned, strength=0.4, draft=drafted_by_twin),
            stories(10),
        ),
        (
            Ensemble(base=reference, guide=aligned),
            Ensemble(base=reference, guide=aligned, draft=drafted_by_twin),
            stories(10),
        ),
    ]
    for plain, drafted, asked in pairs:
        one, other = (method.complete(asked, generation) for method in (plain, drafted))
        assert [a.text for a in one] == [a.text for a in other]
        assert [a.stop_reason for a in one] == [a.stop_reason for a in other]
        assert [a.tokens for a in one] == [a.tokens for a in other]
        role = next(iter(one[0].work))
        passes = [sum(a.work[role].passes for a in answers) for answers in (one, other)]
        assert passes[1] < passes[0]


def test_a_source_of_drafts_that_is_none_is_refused(zoo) -> None:
    with pytest.raises(ValueError, match="draft='lookup': accepted are null"):
        Plain(model=zoo("a-small-chat"), draft="lookup")
    with pytest.raises(ValueError, match="do not share a vocabulary"):
        Plain(model=zoo("a-small-chat"), draft=zoo("b-small-chat")).complete(["Hello"])


def test_a_mixture_that_overflows_is_an_error(zoo) -> None:
    dera = DeRa(reference=zoo("a-small-sft"), aligned=zoo("a-small-dpo"), strength=1e39)
    with pytest.raises(FloatingPointError, match="The mixture with weights"):
        dera.complete(["Hello"])
