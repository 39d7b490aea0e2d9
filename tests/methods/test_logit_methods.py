"""Methods over next-token distributions, each against its equation, computed token by token.

The expected answers come from plain forward passes over whole sequences, prompts rendered for each
role here, and the papers' sums over probabilities written out one token at a time.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import oracles
import pytest
import torch
from decoding import real_tokenizers as real
from short_prompts import FEW, PROMPTS

from trimtab import Conversation, DeRa, Generation, LanguageModel, Plain, ProxyTuning
from trimtab.methods import (
    PAD,
    STRENGTH,
    BlendIn,
    ClassifierFreeGuidance,
    ContrastiveDecoding,
    Formula,
    GenARM,
    LinearAlignment,
    Mixture,
    MultiObjective,
    voice,
)
from trimtab.runs import most_likely
from trimtab.tasks import Sample, Stories

Zoo = Callable[[str], LanguageModel]
GREEDY = Generation(max_new_tokens=12, batch_size=8)
SAMPLED = dataclasses.replace(GREEDY, temperature=0.9, top_p=0.95, seed=3)
PRINCIPLE = "Speak of nothing but boats."
INF = math.inf

Logits = Mapping[str, list[float]]


def probabilities(z: list[float], temperature: float = 1.0) -> list[float]:
    top = max(z)
    mass = [math.exp((each - top) / temperature) for each in z]
    total = math.fsum(mass)
    return [each / total for each in mass]


# ------------------------------------------------------------------ the papers' equations


def contrastive(z: Logits, m: Any) -> list[float]:
    p = probabilities(z["expert"])
    return [
        (1 + m.strength) * e - m.strength * a if own >= m.alpha * max(p) else -INF
        for e, a, own in zip(z["expert"], z.get("amateur", z["expert"]), p, strict=True)
    ]


def guidance(z: Logits, m: Any) -> list[float]:
    """`log p_without + strength (log p_with - log p_without)`, as the paper has it."""
    with_, without = (
        [math.log(p) for p in probabilities(z[role])] if role in z else [0.0] * len(z["with"])
        for role in ("with", "without")
    )
    return [b + m.strength * (a - b) for a, b in zip(with_, without, strict=True)]


def linear_alignment(z: Logits, m: Any) -> list[float]:
    p = probabilities(z["with"], m.nucleus_temperature)
    nucleus, held = set(), 0.0
    for token in sorted(range(len(p)), key=lambda t: -p[t]):
        if nucleus and held >= m.top_p:
            break
        nucleus.add(token)
        held += p[token]
    return [
        (1 + m.strength) * a - m.strength * b if token in nucleus else -INF
        for token, (a, b) in enumerate(zip(z["with"], z["without"], strict=True))
    ]


def pad(z: Logits, m: Any) -> list[float]:
    """Renormalised on the candidates, as the published code does."""
    base = z["base"]
    top = sorted(range(len(base)), key=lambda t: -base[t])[: m.top_k]
    log_p = {
        role: [math.log(p) for p in probabilities([z[role][t] for t in top])]
        for role in ("base", "preferred", "reference")
        if role in z
    }
    before = log_p.get("reference", log_p["base"])
    scores = [-INF] * len(base)
    for t, after, prior in zip(top, log_p["preferred"], before, strict=True):
        scores[t] = base[t] + m.strength * (after - prior)
    return scores


def blendin(z: Logits, m: Any) -> list[float]:
    base = probabilities(z["base"])
    if max(base) >= m.threshold:
        return [math.log(p) for p in base]
    guide = probabilities(z["guide"])
    a = max(guide) / (max(base) + max(guide)) + 0.1 * base[guide.index(max(guide))]
    a = min(1.0, a)
    return [math.log(a * g + (1 - a) * b) for g, b in zip(guide, base, strict=True)]


def autoregressive_reward(z: Logits, m: Any) -> list[float]:
    """`log pi_base + (1 / beta) log pi_r`, both normalised."""
    p = {role: probabilities(own) for role, own in z.items()}
    worth = p.get("reward", [1.0] * len(p["base"]))
    return [
        math.log(own) + m.strength * math.log(reward)
        for own, reward in zip(p["base"], worth, strict=True)
    ]


def objectives(z: Logits, m: Any) -> list[float]:
    """MOD's `p_ref f'^-1(sum_i w_i f'(p_i / p_ref))`, f being that of each divergence."""
    names = [*m.aligned]
    shares = m.weights or dict.fromkeys(names, 1 / len(names))
    p = {role: probabilities(own) for role, own in z.items()}
    found = []
    for token, prior in enumerate(p["reference"]):
        ratios = {n: p[f"aligned.{n}"][token] / prior for n in names}
        if m.alpha == 0:
            total = sum(m.strength * shares[n] * math.log(ratio) for n, ratio in ratios.items())
            found.append(math.log(prior) + total)
        else:
            slope = sum(
                m.strength * shares[n] * (1 - ratio**-m.alpha) / m.alpha
                for n, ratio in ratios.items()
            )
            found.append(math.log(prior * (1 - m.alpha * slope) ** (-1 / m.alpha)))
    return found


# ------------------------------------------------------------------ what each is asked


def same(role: str, asked: Conversation) -> Conversation:
    return asked


def unprompted(role: str, asked: Conversation) -> Conversation:
    start = asked.answer_start
    return asked if role == "with" else Conversation(question="", answer_start=start)


def under(system: str, roles: str) -> Callable[[str, Conversation], Conversation]:
    return lambda role, asked: (
        dataclasses.replace(asked, system=system.format(asked.system).lstrip())
        if role == roles
        else asked
    )


def told(role: str, asked: Conversation) -> Conversation:
    return dataclasses.replace(asked, context=f"{PRINCIPLE}\n{asked.context}")


CASES: dict[str, tuple[Callable[[Zoo], Mixture], Any, Any]] = {
    "contrastive_decoding": (
        lambda zoo: ContrastiveDecoding(
            expert=zoo("a-small-dpo"), amateur=zoo("a-small-base"), strength=0.7
        ),
        contrastive,
        same,
    ),
    "guidance": (
        lambda zoo: ClassifierFreeGuidance(model=zoo("a-small-sft"), strength=1.8),
        guidance,
        unprompted,
    ),
    "guidance, plain": (
        lambda zoo: ClassifierFreeGuidance(model=zoo("a-small-base"), strength=1.3),
        guidance,
        unprompted,
    ),
    "guidance, negative": (
        lambda zoo: ClassifierFreeGuidance(
            model=zoo("a-small-chat"), strength=2.0, negative="Be rude."
        ),
        guidance,
        under("Be rude.", "without"),
    ),
    "linear_alignment": (
        lambda zoo: LinearAlignment(model=zoo("a-small-sft"), principle=PRINCIPLE, top_p=0.95),
        linear_alignment,
        under("{}\n" + PRINCIPLE, "with"),
    ),
    "pad": (
        lambda zoo: PAD(base=zoo("a-small-sft"), preferred=zoo("a-small-dpo"), strength=1.2),
        pad,
        same,
    ),
    "pad, reference": (
        lambda zoo: PAD(
            base=zoo("a-small-chat"),
            preferred=zoo("a-small-dpo"),
            reference=zoo("a-small-sft"),
            principle=PRINCIPLE,
            top_k=5,
        ),
        pad,
        told,
    ),
    "blendin": (
        lambda zoo: BlendIn(base=zoo("a-small-sft"), guide=zoo("a-small-expert"), threshold=0.6),
        blendin,
        same,
    ),
    "genarm": (
        lambda zoo: GenARM(base=zoo("a-small-sft"), reward=zoo("a-small-dpo"), strength=0.8),
        autoregressive_reward,
        same,
    ),
    "objectives": (
        lambda zoo: MultiObjective(
            reference=zoo("a-small-sft"),
            aligned={"story": zoo("a-small-dpo"), "expert": zoo("a-small-expert")},
            weights={"story": 0.9, "expert": -0.4},
            strength=1.5,
        ),
        objectives,
        same,
    ),
    "objectives, forward": (
        lambda zoo: MultiObjective(
            reference=zoo("a-small-sft"),
            aligned={"story": zoo("a-small-dpo"), "expert": zoo("a-small-expert")},
            alpha=1.0,
        ),
        objectives,
        same,
    ),
    "objectives, between": (
        lambda zoo: MultiObjective(
            reference=zoo("a-small-sft"),
            aligned={"story": zoo("a-small-dpo"), "expert": zoo("a-small-expert")},
            weights={"story": 0.5, "expert": 0.2},
            alpha=0.4,
        ),
        objectives,
        same,
    ),
}
VALUES = {
    "blendin": (0.0, 0.5, 2.0),
    "objectives, forward": (0.0, 0.3, 1.0),
    "objectives, between": (0.0, 0.3, 1.4),
}
NAMES = list(CASES)


@functools.cache
def reader(model: LanguageModel) -> oracles.Reader:
    return oracles.Reader(model)


def stories(count: int) -> dict[str, Conversation]:
    return {sample.id: sample.conversation for sample in Stories().samples(count)}


def expected(
    method: Mixture,
    equation: Callable[[Logits, Any], list[float]],
    asks: Callable[[str, Conversation], Conversation],
    asked: Conversation,
    generation: Generation,
    sample_id: str,
) -> list[int]:
    """The answer's tokens, its ending included."""
    models = {role: model for role, (model, _) in method.mixture.items()}
    read = {role: reader(m) for role, m in models.items()}
    prompts = {role: m.encode(m.render(asks(role, asked))) for role, m in models.items()}
    ends = {token for reader in read.values() for token in reader.ends}
    said: list[int] = []
    while len(said) < generation.max_new_tokens:
        z = {r: read[r].logits((*prompts[r], *said)).double().tolist() for r in models}
        mixed = torch.tensor(equation(z, method))
        place = {"sample_id": sample_id, "role": "model", "position": len(said)}
        said.append(oracles.choose(mixed, generation, **place))
        if said[-1] in ends:
            break
    return said


@pytest.mark.slow
@pytest.mark.parametrize("generation", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_its_equation_says(zoo: Zoo, name: str, generation: Generation) -> None:
    """In batches of 1 and 8, drafted and not."""
    make, equation, asks = CASES[name]
    method, asked = make(zoo), stories(3)
    by_hand = {i: expected(method, equation, asks, one, generation, i) for i, one in asked.items()}
    spoken = {role for role, (_, weight) in method.mixture.items() if weight}
    for size, draft in ((1, None), (8, None), (1, zoo("a-small-sft")), (8, "prompt-lookup")):
        own = dataclasses.replace(method, draft=draft)
        settings = dataclasses.replace(generation, batch_size=size)
        found = {answer.id: answer for answer in own.stream(asked, settings)}
        assert {i: [*answer.token_ids] for i, answer in found.items()} == by_hand
        for i, answer in found.items():
            assert answer.work.keys() - {"draft"} == spoken
            for role, (model, _) in method.mixture.items():
                assert answer.prompts[role] == model.render(asks(role, asked[i]))
    assert method.identity.keys() == method.all_models.keys()


@pytest.mark.slow
@pytest.mark.parametrize("generation", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("name", NAMES)
def test_so_it_does_on_many_prompts(zoo: Zoo, name: str, generation: Generation) -> None:
    make, equation, asks = CASES[name]
    method, asked = make(zoo), PROMPTS
    brief = dataclasses.replace(generation, max_new_tokens=4, draft_length=3)
    found = {answer.id: [*answer.token_ids] for answer in method.stream(asked, brief)}
    for i, tokens in found.items():
        for role, (model, _) in method.mixture.items():
            prompt = model.encode(model.render(asks(role, asked[i])))
            reader(model).read_ahead(prompt, [*prompt, *tokens])
    by_hand = {i: expected(method, equation, asks, one, brief, i) for i, one in asked.items()}
    assert found == by_hand
    assert len({*map(tuple, by_hand.values())}) > 10, "prompts that matter"
    drafted = dataclasses.replace(method, draft="prompt-lookup")
    for size, some in ((8, asked), (1, FEW)):
        settings = dataclasses.replace(brief, batch_size=size)
        found = {answer.id: [*answer.token_ids] for answer in drafted.stream(some, settings)}
        assert found == {i: by_hand[i] for i in some}


@pytest.mark.parametrize("kind", ["gpt2", "llama2", "t5"])
@pytest.mark.parametrize("name", ["guidance", "linear_alignment"])
def test_a_model_of_any_tokenizer_is_asked_in_two_ways(name: str, kind: str) -> None:
    """Which may read no line break at all, and begin its prompts with a token or not."""
    model, (_, equation, asks) = real.model(kind), CASES[name]
    method = (
        ClassifierFreeGuidance(model=model, strength=1.8)
        if name == "guidance"
        else LinearAlignment(model=model, principle=PRINCIPLE, top_p=0.95)
    )
    brief = dataclasses.replace(SAMPLED, max_new_tokens=5)
    by_hand = {i: expected(method, equation, asks, one, brief, i) for i, one in FEW.items()}
    for draft, size in ((None, 8), ("prompt-lookup", 1)):
        own = dataclasses.replace(method, draft=draft)
        answers = own.stream(FEW, dataclasses.replace(brief, batch_size=size))
        assert {answer.id: [*answer.token_ids] for answer in answers} == by_hand


@pytest.mark.parametrize("name", NAMES)
def test_values_of_the_dial_decode_together_as_each_alone(zoo: Zoo, name: str) -> None:
    method, asked = CASES[name][0](zoo), stories(3)
    methods = [method.at(value) for value in VALUES.get(name, (0.0, 0.4, 1.5))]
    together: list[dict] = [{} for _ in methods]
    for number, answer in method.stream_together(methods, [asked] * 3, SAMPLED):
        together[number][answer.id] = answer
    assert together == [{a.id: a for a in each.stream(asked, SAMPLED)} for each in methods]
    assert len({str([a.text for a in own.values()]) for own in together}) > 1


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_weights_of_objectives_decode_together_as_each_alone(zoo: Zoo, alpha: float) -> None:
    """Of whom some have none."""
    aligned = {"story": zoo("a-small-dpo"), "expert": zoo("a-small-expert")}
    pairs, asked = ((1.0, 0.0), (0.3, 0.2), (0.0, 0.0), (0.5, 0.5)), stories(3)
    methods = [
        MultiObjective(
            reference=zoo("a-small-sft"),
            aligned=aligned,
            weights=dict(zip(aligned, each, strict=True)),
            alpha=alpha,
        )
        for each in pairs
    ]
    together: list[dict] = [{} for _ in methods]
    for number, answer in methods[0].stream_together(methods, [asked] * 4, SAMPLED):
        together[number][answer.id] = answer
    assert together == [{a.id: a for a in each.stream(asked, SAMPLED)} for each in methods]


@pytest.mark.parametrize("name", NAMES)
def test_likelihoods_are_those_of_the_distribution(zoo: Zoo, name: str) -> None:
    make, equation, asks = CASES[name]
    method, asked = make(zoo), stories(2)
    models = {role: model for role, (model, _) in method.mixture.items()}
    (answers,) = [{a.id: a.text for a in method.stream(asked, GREEDY)}]
    for i, (own, other) in method.weigh(asked, {i: [answers[i], " zq"] for i in asked}):
        first, *_ = models.values()
        prompts = {role: m.encode(m.render(asks(role, asked[i]))) for role, m in models.items()}
        before = first.render(asks(next(iter(models)), asked[i]))
        for text, found in ((answers[i], own), (" zq", other)):
            tokens = first.encode(before + text)[len(first.encode(before)) :]
            total = 0.0
            for place, token in enumerate(tokens):
                z = {
                    role: reader(m).logits((*prompts[role], *tokens[:place])).tolist()
                    for role, m in models.items()
                }
                p = probabilities(equation(z, method))[token]
                total += math.log(p) if p else -INF
            assert found.log_probability == pytest.approx(total, abs=1e-3)
            assert found.tokens == len(tokens)


def test_choices_that_are_ruled_out_are_not_compared(zoo: Zoo) -> None:
    choices = {"A": "a lake", "B": "zq"}
    sample = Sample(id="7", conversation=stories(1).popitem()[1], target="A", choices=choices)
    method = PAD(base=zoo("a-small-sft"), preferred=zoo("a-small-dpo"), top_k=2)
    with pytest.raises(ValueError, match=r"Sample '7': the method rules out '.*without a mask"):
        list(most_likely.answer(method, {"7": sample}, GREEDY, "sum"))
    everything = dataclasses.replace(method, top_k=100_000)
    ((_, score),) = most_likely.answer(everything, {"7": sample}, GREEDY, "sum")
    assert score.prediction == "A"


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_both_prompts_of_a_model_are_read_in_one_pass(zoo: Zoo, batch_size: int) -> None:
    model, passes = zoo("a-small-sft"), list[int]()
    method = ClassifierFreeGuidance(model=model)
    settings = dataclasses.replace(GREEDY, batch_size=batch_size)
    handle = model.weights.register_forward_hook(lambda *given: passes.append(1))
    try:
        answers = method.complete([*stories(3).values()], settings)
    finally:
        handle.remove()
    assert method.forward_passes == {"with": len(passes), "without": len(passes)}
    tokens = sum(answer.work["with"].passes for answer in answers)
    assert all(answer.work["with"].passes == answer.work["without"].passes for answer in answers)
    assert len(passes) <= tokens + 4  # prompts may differ too much in length to share one


# ------------------------------------------------------------------ cases of one another


def texts(method: Mixture, generation: Generation = SAMPLED) -> dict[str, str]:
    return {answer.id: answer.text for answer in method.stream(stories(6), generation)}


def test_cases_of_the_general_mixture(zoo: Zoo) -> None:
    sft, dpo, expert = zoo("a-small-sft"), zoo("a-small-dpo"), zoo("a-small-expert")
    with_, without = (
        voice("with", sft, system=f"{Stories().system}\n{PRINCIPLE}"),
        voice("without", sft),
    )
    reference, story, other = voice("a", sft), voice("b", dpo), voice("c", expert)
    pairs: list[tuple[Mixture, Mixture]] = [
        (
            MultiObjective(reference=sft, aligned={"b": dpo, "c": expert}, strength=0.8),
            Formula(
                terms=reference + STRENGTH * ((story - reference) / 2 + (other - reference) / 2),
                strength=0.8,
            ),
        ),
        (
            ContrastiveDecoding(expert=dpo, amateur=sft, strength=0.6, alpha=0.0),
            Formula(terms=story + STRENGTH * (story - reference), strength=0.6),
        ),
        (
            LinearAlignment(model=sft, principle=PRINCIPLE, strength=0.7, top_p=1.0),
            Formula(terms=with_ + STRENGTH * (with_ - without), strength=0.7),
        ),
        (
            PAD(base=sft, preferred=expert, reference=dpo, strength=0.7, top_k=100_000),
            ProxyTuning(base=sft, tuned=expert, untuned=dpo, strength=0.7),
        ),
        (
            PAD(base=sft, preferred=dpo, strength=0.7, top_k=100_000),
            DeRa(reference=sft, aligned=dpo, strength=0.7),
        ),
        (
            GenARM(base=sft, reward=dpo, strength=0.6),
            Formula(terms=reference + STRENGTH * story, strength=0.6),
        ),
        (
            MultiObjective(reference=sft, aligned={"only": dpo}, strength=1.4),
            DeRa(reference=sft, aligned=dpo, strength=1.4),
        ),
    ]
    for one, general in pairs:
        assert texts(one) == texts(general)


def test_at_their_ends_they_are_one_model(zoo: Zoo) -> None:
    sft, dpo = zoo("a-small-sft"), zoo("a-small-dpo")
    alone = texts(Plain(model=sft))
    for method in (
        ContrastiveDecoding(expert=sft, amateur=dpo, strength=0.0, alpha=0.0),
        ClassifierFreeGuidance(model=sft, strength=1.0),
        PAD(base=sft, preferred=dpo, strength=0.0, top_k=100_000),
        BlendIn(base=sft, guide=dpo, threshold=0.0),
        MultiObjective(reference=sft, aligned={"only": dpo}, strength=0.0, alpha=1.0),
        MultiObjective(reference=dpo, aligned={"b": sft, "c": sft}),
    ):
        assert texts(method) == alone
        (answer,) = method.complete(["Hi"], GREEDY)
        assert sum(work.passes > 0 for work in answer.work.values()) == 1 + (
            "aligned.c" in answer.work
        )
    greedy = texts(Plain(model=sft), GREEDY)
    hot = dataclasses.replace(SAMPLED, temperature=3.0)
    masked = (
        ContrastiveDecoding(expert=sft, amateur=dpo, strength=0.3, alpha=1.0),
        PAD(base=sft, preferred=dpo, top_k=1),
    )
    assert all(texts(method, hot) == greedy for method in masked)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: ContrastiveDecoding(expert=m, amateur=m, strength=-1), r"strength=-1: accepted"),
        (lambda m: ContrastiveDecoding(expert=m, amateur=m, alpha=2), r"alpha=2: accepted are sha"),
        (lambda m: ClassifierFreeGuidance(model=m, strength=math.nan), r"strength=nan: accepted"),
        (lambda m: ClassifierFreeGuidance(model=m, negative=3), r"negative=3: accepted is text or"),
        (lambda m: LinearAlignment(model=m, principle=" "), r"principle=' ': accepted is a text"),
        (lambda m: LinearAlignment(model=m, principle=3), r"principle=3: accepted is text"),
        (lambda m: LinearAlignment(model=m, principle="x", top_p=0), r"top_p=0: accepted are shar"),
        (
            lambda m: LinearAlignment(model=m, principle="x", nucleus_temperature=0),
            r"nucleus_temperature=0: accepted are numbers above 0",
        ),
        (lambda m: PAD(base=m, preferred=m, top_k=0), r"top_k=0: accepted are whole numbers"),
        (lambda m: PAD(base=m, preferred=m, strength=math.inf), r"strength=inf: accepted are num"),
        (lambda m: BlendIn(base=m, guide=m, threshold=40), r"threshold=40: accepted are probabil"),
        (lambda m: MultiObjective(reference=m, aligned={}), r"aligned=\{\}: there is none"),
        (
            lambda m: MultiObjective(reference=m, aligned={"chat": m}, weights={"chit": 1}),
            r"weights: 'chit' is not known. Did you mean 'chat'",
        ),
        (
            lambda m: MultiObjective(reference=m, aligned={"chat": m}, weights={"chat": math.nan}),
            r"weights.chat=nan: accepted is any finite number",
        ),
        (
            lambda m: MultiObjective(reference=m, aligned={"a": m, "b": m}, weights={"b": 1}),
            r"weights=\{'b': 1\}: none for a. Accepted is one for each",
        ),
        (
            lambda m: MultiObjective(reference=m, aligned={"a": m}, strength=1.5, alpha=0.5),
            r"alpha=0.5: the weight of reference is -0.5",
        ),
        (
            lambda m: MultiObjective(reference=m, aligned={"a": m}, alpha=2),
            r"alpha=2: accepted are numbers from 0 to 1",
        ),
    ],
)
def test_what_has_no_meaning_is_named(make: Callable[[Any], Mixture], message: str) -> None:
    model = LanguageModel(path="zoo:a-small-base", prompt="plain")
    with pytest.raises(ValueError, match=message):
        make(model)
    assert "weights" not in vars(model)


def test_what_a_given_prompt_cannot_hold_is_refused(zoo: Zoo) -> None:
    model = zoo("a-small-sft")
    for method in (
        ClassifierFreeGuidance(model=model),
        LinearAlignment(model=model, principle=PRINCIPLE),
        PAD(base=model, preferred=model, principle=PRINCIPLE),
    ):
        with pytest.raises(ValueError, match="asks its models in ways of their own"):
            method.require_one_question("generate()")
    method = PAD(base=model, preferred=zoo("a-small-dpo"))
    prompt = torch.tensor([model.encode("Tell me about the lake.")])
    by_processor, by_method = (
        model.weights.generate(prompt, max_new_tokens=8, do_sample=False, **way)
        for way in (
            {"logits_processor": [method.logits_processor("base")]},
            {"custom_generate": method},
        )
    )
    assert by_processor.tolist() == by_method.tolist()
