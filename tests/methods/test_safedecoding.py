"""SafeDecoding against its equation, computed token by token with sets of tokens."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import oracles
import pytest
import torch
from short_prompts import FEW, PROMPTS

from trimtab import Conversation, Generation, LanguageModel, Plain
from trimtab.methods import SafeDecoding
from trimtab.tasks import Stories

Zoo = Callable[[str], LanguageModel]
GREEDY = Generation(max_new_tokens=12, batch_size=8)
SAMPLED = dataclasses.replace(GREEDY, temperature=0.9, top_p=0.95, seed=3)
SETTINGS = [
    {"strength": 3.0, "first": 2, "common": 5},
    {"strength": 0.5, "first": 5, "common": 3},
    {"strength": -2.0, "first": 3, "common": 1},
    {"strength": 0.0, "first": 16, "common": 40},
    {"strength": 1.0, "first": 0, "common": 5},
]


@functools.cache
def reader(model: LanguageModel) -> oracles.Reader:
    return oracles.Reader(model)


def stories(count: int) -> dict[str, Conversation]:
    return {sample.id: sample.conversation for sample in Stories().samples(count)}


def opening(base: torch.Tensor, expert: torch.Tensor, strength: float, common: int) -> torch.Tensor:
    """Logits of the first tokens, from those of two models, of shape `[V]`."""
    ranked = [sorted(range(len(z)), key=lambda v: -z[v]) for z in (base.tolist(), expert.tolist())]
    k, both = common, set()
    while len(both) < common and k <= len(base):
        both = {*ranked[0][:k]} & {*ranked[1][:k]}
        k += 1
    mixed = torch.full_like(base, -math.inf)
    p_base, p_expert = base.softmax(-1), expert.softmax(-1)
    for v in both:
        mixed[v] = math.log(max(1e-8, p_base[v] + strength * (p_expert[v] - p_base[v])))
    return mixed


def by_hand(method: SafeDecoding, asked: Conversation, drawn: Generation, i: str) -> list[int]:
    base, expert = reader(method.base), reader(method.expert)
    prompts = [tuple(m.encode(m.render(asked))) for m in (method.base, method.expert)]
    said: list[int] = []
    while len(said) < drawn.max_new_tokens:
        logits = base.logits((*prompts[0], *said))
        if len(said) < method.first:
            other = expert.logits((*prompts[1], *said))
            logits = opening(logits, other, method.strength, method.common)
        token = oracles.choose(logits, drawn, sample_id=i, role="model", position=len(said))
        if token in base.ends | expert.ends:
            break
        said.append(token)
    return said


@pytest.mark.parametrize("drawn", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize(
    "settings",
    [pytest.param(each, marks=[pytest.mark.slow] * (i > 1)) for i, each in enumerate(SETTINGS)],
    ids=str,
)
def test_it_says_what_its_equation_says(zoo: Zoo, settings: dict, drawn: Generation) -> None:
    method = SafeDecoding(base=zoo("a-small-sft"), expert=zoo("a-small-dpo"), **settings)
    asked = stories(8)
    told = {i: by_hand(method, each, drawn, i) for i, each in asked.items()}
    ends = reader(method.base).ends | reader(method.expert).ends
    for draft in (None, "prompt-lookup", zoo("a-small-base")):
        drafted = dataclasses.replace(method, draft=draft)
        for size in (1, 8):
            sized = dataclasses.replace(drawn, batch_size=size, draft_length=6)
            few = asked if size > 1 else dict(list(asked.items())[:3])
            for answer in drafted.stream(few, sized):
                said = [token for token in answer.token_ids if token not in ends]
                assert said == told[answer.id], (draft, size)
                # The expert is run for the first tokens, and no longer.
                reads = len(answer.token_ids) if draft is None else math.inf
                assert answer.work["expert"].passes <= min(method.first, reads)


@pytest.mark.slow
@pytest.mark.parametrize("drawn", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_so_it_does_on_many_prompts(zoo: Zoo, drawn: Generation) -> None:
    method = SafeDecoding(base=zoo("a-small-sft"), expert=zoo("a-small-dpo"), first=3)
    drawn = dataclasses.replace(drawn, max_new_tokens=5, draft_length=3)
    told = {i: by_hand(method, each, drawn, i) for i, each in PROMPTS.items()}
    ends = reader(method.base).ends
    for draft, size, asked in ((None, 8, PROMPTS), ("prompt-lookup", 8, PROMPTS), (None, 1, FEW)):
        own = dataclasses.replace(method, draft=draft)
        found = own.stream(asked, dataclasses.replace(drawn, batch_size=size))
        said = {a.id: [token for token in a.token_ids if token not in ends] for a in found}
        assert said == {i: told[i] for i in asked}


def test_values_of_strength_decode_together_as_each_alone(zoo: Zoo) -> None:
    method = SafeDecoding(base=zoo("a-small-sft"), expert=zoo("a-small-dpo"), first=4)
    family = [method.at(strength) for strength in (0.0, 1.0, 3.0, 20.0)]
    asked = stories(6)
    alone = [{a.id: a for a in each.stream(asked, SAMPLED)} for each in family]
    together: list[dict] = [{} for _ in family]
    for number, answer in family[0].stream_together(family, [asked] * len(family), SAMPLED):
        together[number][answer.id] = answer
    assert together == alone
    assert len({str([a.text for a in each.values()]) for each in alone}) > 2


def test_without_first_tokens_it_is_the_base_and_all_of_them_diverge(zoo: Zoo) -> None:
    base, expert = zoo("a-small-sft"), zoo("a-small-dpo")
    asked = [*stories(6).values()]
    none, two, plain = (
        method.complete(asked, SAMPLED)
        for method in (
            SafeDecoding(base=base, expert=expert, first=0),
            SafeDecoding(base=base, expert=expert),
            Plain(model=base),
        )
    )
    assert [a.text for a in none] == [a.text for a in plain]
    assert all(a.measures["kl"] == 0 for a in none)
    assert all(a.measures["kl"] > 0 for a in two)


def test_generate_gives_the_same_answers(zoo: Zoo) -> None:
    base = zoo("a-small-sft")
    method = SafeDecoding(base=base, expert=zoo("a-small-dpo"))
    prompt = base.encode(base.render(Conversation(question="Tell me a story.")))
    tokens = torch.tensor([prompt])
    got = base.weights.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        custom_generate=method,
        max_new_tokens=12,
        do_sample=False,
    )[0, len(prompt) :].tolist()
    said: list[int] = []
    for place in range(12):
        logits = [reader(m).logits((*prompt, *said)) for m in (base, method.expert)]
        mixed = opening(*logits, method.strength, method.common) if place < 2 else logits[0]
        said.append(int(mixed.argmax()))
        if said[-1] in base.stop_tokens:
            break
    assert got[: len(said)] == said


def test_an_expert_of_another_vocabulary_has_a_say_in_the_first_tokens(zoo: Zoo) -> None:
    base, asked = zoo("b-small-base"), stories(3)
    expert = dataclasses.replace(zoo("a-small-dpo"), token_map="pm-mined")
    method = SafeDecoding(base=base, expert=expert, first=3, strength=1.5)
    alone = {a.id: a.token_ids for a in Plain(model=base).stream(asked, SAMPLED)}
    answers = [*method.stream(asked, SAMPLED)]
    assert any(a.token_ids != alone[a.id] for a in answers)
    for answer in answers:
        prompt = base.encode(base.render(asked[answer.id]))
        for place in range(3, len(answer.token_ids)):
            logits = reader(base).logits((*prompt, *answer.token_ids[:place]))
            told = oracles.choose(
                logits, SAMPLED, sample_id=answer.id, role="model", position=place
            )
            assert answer.token_ids[place] == told


@pytest.mark.parametrize("draft", [None, "prompt-lookup"])
def test_the_experts_end_is_one_while_it_has_a_say(zoo: Zoo, draft: str | None) -> None:
    """An expert that says what the base does, and ends where the base goes on."""
    base, ((i, asked),) = zoo("a-small-sft"), stories(1).items()
    (plain,) = Plain(model=base).stream({i: asked}, GREEDY)
    for place in (1, 5):
        end = plain.token_ids[place]
        assert end not in plain.token_ids[:place]
        expert = base.holding(base.weights)
        expert.__dict__["stop_tokens"] = base.stop_tokens | {end}
        method = SafeDecoding(base=base, expert=expert, first=3, draft=draft)
        (answer,) = method.stream({i: asked}, GREEDY)
        said = plain.token_ids if place > 2 else plain.token_ids[: place + 1]
        assert answer.token_ids == said


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"strength": math.nan}, "strength"),
        ({"first": -1}, "first"),
        ({"common": 0}, "common"),
        ({"draft": "lookup"}, "draft"),
    ],
)
def test_settings_are_refused(settings: dict, named: str) -> None:
    base = LanguageModel(path="zoo:a-small-base", prompt="plain")
    with pytest.raises(ValueError, match=named):
        SafeDecoding(base=base, expert=base, **settings)


def test_other_vocabularies_likelihoods_and_records_of_tokens_are_refused(zoo: Zoo) -> None:
    base = zoo("a-small-base")
    with pytest.raises(ValueError, match="vocabular"):
        SafeDecoding(base=base, expert=zoo("b-small-chat")).complete(["?"])
    mapped = LanguageModel(path="zoo:b-small-chat", prompt="chat", token_map="pm-mined")
    with pytest.raises(ValueError, match=r"token_map=pm-mined of base .*set it for the expert"):
        SafeDecoding(base=mapped, expert=base).complete(["?"])
    method = SafeDecoding(base=base, expert=zoo("a-small-chat"))
    with pytest.raises(ValueError, match="likelihoods compare nothing"):
        method.weigh({}, {})
    with pytest.raises(ValueError, match="likelihoods compare nothing"):
        method.likelihoods({}, {})
    with pytest.raises(ValueError, match="token_records"):
        method.complete(["?"], Generation(token_records=True))
    with pytest.raises(ValueError, match=r"answer\(\) of its own"):
        method.logits_processor("base")
