"""The general mixture: equal to the named ones, and to an equation computed token by token."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import oracles
import pytest
import torch
from short_prompts import FEW, PROMPTS

from trimtab import (
    Conversation,
    DeRa,
    Ensemble,
    Generation,
    LanguageModel,
    Method,
    Plain,
    ProxyTuning,
)
from trimtab.methods import STRENGTH, Formula, Mixture, Term, voice
from trimtab.methods.terms import Sum
from trimtab.runs import preconditions
from trimtab.tasks import Stories

Zoo = Callable[[str], LanguageModel]
GREEDY = Generation(max_new_tokens=20, batch_size=8)
SAMPLED = dataclasses.replace(GREEDY, temperature=0.9, top_p=0.95, seed=3)
STRENGTHS = (-0.5, 0.0, 0.3, 1.0, 1.7)


def stories(count: int) -> dict[str, Conversation]:
    return {sample.id: sample.conversation for sample in Stories().samples(count)}


def voices(zoo: Zoo) -> tuple[Sum, Sum, Sum]:
    names = {"base": "a-small-sft", "tuned": "a-small-dpo", "untuned": "a-small-base"}
    base, tuned, untuned = (voice(role, zoo(name)) for role, name in names.items())
    return base, tuned, untuned


def named(zoo: Zoo) -> dict[str, tuple[Mixture, Formula, tuple[float, ...]]]:
    """Named methods, each with the general one, and values of the dial."""
    base, tuned, untuned = voices(zoo)
    sft, dpo, plain = (each.model for part in (base, tuned, untuned) for each in part.values())
    reference, aligned = voice("reference", sft), voice("aligned", dpo)
    return {
        "plain": (Plain(model=sft), Formula(terms=voice("model", sft)), ()),
        "dera": (
            DeRa(reference=sft, aligned=dpo, measure_kl=True),
            Formula(
                terms=(1 - STRENGTH) * reference + STRENGTH * aligned,
                reference="reference",
                measure_kl=True,
            ),
            STRENGTHS,
        ),
        "proxy_tuning": (
            ProxyTuning(base=sft, tuned=dpo, untuned=plain),
            Formula(terms=base + STRENGTH * (tuned - untuned), reference="base"),
            STRENGTHS,
        ),
        "ensemble": (
            Ensemble(base=sft, guide=dpo),
            Formula(
                terms={
                    "guide": {"model": dpo, "per_strength": 1.0},
                    "base": {"model": sft, "weight": 1.0, "per_strength": -1},
                },
                mixing="probabilities",
                reference="base",
            ),
            (0.0, 0.3, 1.0),
        ),
    }


@pytest.mark.slow
@pytest.mark.parametrize("generation", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("name", ["plain", "dera", "proxy_tuning", "ensemble"])
def test_named_mixtures_are_cases_of_it(zoo: Zoo, name: str, generation: Generation) -> None:
    """Texts, prompts, work, divergences: whole completions."""
    method, formula, values = named(zoo)[name]
    asked = stories(4)
    for value in values or (None,):
        one, other = (m if value is None else m.at(value) for m in (method, formula))
        expected = {answer.id: answer for answer in one.stream(asked, generation)}
        assert {answer.id: answer for answer in other.stream(asked, generation)} == expected


def said_by_equation(
    formula: Formula, readers: Mapping[str, oracles.Reader], i: str, asked: Conversation
) -> Callable[[Generation], list[int]]:
    parts = []
    for role, term in formula.terms.items():
        own = dataclasses.replace(asked, **(term.asked or {}))
        weight = term.weight + formula.strength * term.per_strength
        parts.append((readers[role], weight, term.model.encode(term.model.render(own))))
    return lambda generation: oracles.plain(parts, generation, i)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("generation", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("draft", [None, "prompt-lookup"])
def test_it_says_what_its_equation_says(
    zoo: Zoo, generation: Generation, batch_size: int, draft: str | None
) -> None:
    """Three models of which one is asked in two ways, at several strengths."""
    base, tuned, untuned = voices(zoo)
    (chat,) = (term.model for term in tuned.values())
    brief = voice("brief", chat, system="Be brief.", context="")
    formula = Formula(
        terms=base + STRENGTH * (tuned - untuned) / 2 + 0.3 * (brief - STRENGTH * base),
        draft=draft,
    )
    readers = {role: oracles.Reader(term.model) for role, term in formula.terms.items()}
    asked = stories(6)
    settings = dataclasses.replace(generation, batch_size=batch_size)
    for strength in (0.4, 1.2):
        turned = formula.at(strength)
        for answer in turned.stream(asked, settings):
            by_hand = said_by_equation(turned, readers, answer.id, asked[answer.id])(generation)
            ended = [token for token in answer.token_ids if token not in readers["base"].ends]
            assert ended == by_hand
            assert answer.prompts.keys() == answer.work.keys() == formula.terms.keys()
            assert "Be brief." in answer.prompts["brief"]
            assert "Be brief." not in answer.prompts["tuned"]


@pytest.mark.slow
@pytest.mark.parametrize("generation", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("mixing", ["logits", "probabilities", "by a function"])
def test_so_it_does_on_many_prompts(zoo: Zoo, mixing: str, generation: Generation) -> None:
    base, *_ = voices(zoo)
    terms = 0.4 * base + 0.6 * voice("brief", zoo("a-small-dpo"), system="Be so.", context="")
    formula = Formula(terms=terms, mixing=largest if mixing == "by a function" else mixing)
    brief = dataclasses.replace(generation, max_new_tokens=4, draft_length=3)
    readers = {role: oracles.Reader(term.model) for role, term in formula.terms.items()}

    def one_by_one(i: str) -> list[int]:
        own = dataclasses.replace(PROMPTS[i], system="Be so.", context="")
        asked = {"base": PROMPTS[i], "brief": own}
        prompts = {r: t.model.encode(t.model.render(asked[r])) for r, t in formula.terms.items()}
        said: list[int] = []
        while len(said) < brief.max_new_tokens:
            z = {role: each.logits((*prompts[role], *said)) for role, each in readers.items()}
            p = {role: each.softmax(-1) for role, each in z.items()}
            mixed = {
                "logits": 0.4 * z["base"] + 0.6 * z["brief"],
                "probabilities": (0.4 * p["base"] + 0.6 * p["brief"]).log(),
                "by a function": torch.maximum(p["base"], p["brief"]).log(),
            }[mixing]
            place = {"sample_id": i, "role": "model", "position": len(said)}
            said.append(oracles.choose(mixed, brief, **place))
            if said[-1] in readers["base"].ends:
                break
        return said

    told = {i: one_by_one(i) for i in PROMPTS}
    for draft, size, asked in ((None, 8, PROMPTS), ("prompt-lookup", 8, PROMPTS), (None, 1, FEW)):
        own = dataclasses.replace(formula, draft=draft)
        found = own.stream(asked, dataclasses.replace(brief, batch_size=size))
        assert {a.id: [*a.token_ids] for a in found} == {i: told[i] for i in asked}


def test_values_of_strength_and_of_weights_decode_together_as_each_alone(zoo: Zoo) -> None:
    base, tuned, untuned = voices(zoo)
    brief = voice("untuned", untuned["untuned"].model, system="Be brief.")
    methods: list[Method] = [
        Formula(terms=base + STRENGTH * (tuned - untuned), strength=0.4),
        Formula(terms=base + STRENGTH * (tuned - untuned), strength=1.1),
        Formula(terms=base + STRENGTH * (0.3 * tuned + 0.4 * untuned), strength=1.1),
        Formula(terms=base + STRENGTH * (tuned - brief), strength=1.1),
        Formula(terms=base + 0 * tuned + 0.0 * brief),
    ]
    asked = stories(5)
    alone = [{a.id: a for a in each.stream(asked, SAMPLED)} for each in methods]
    together: list[dict] = [{} for _ in methods]
    for number, answer in methods[0].stream_together(methods, [asked] * 5, SAMPLED):
        together[number][answer.id] = answer
    assert together == alone
    assert len({str([a.text for a in each.values()]) for each in alone}) == len(methods)


def largest(logits: Mapping[str, torch.Tensor], weights: Mapping[str, float]) -> torch.Tensor:
    """For each token the probability of whoever finds it likeliest."""
    assert logits.keys() == weights.keys()
    return torch.stack([z.log_softmax(-1) for z in logits.values()]).amax(0)


def test_terms_can_be_mixed_by_a_function(zoo: Zoo) -> None:
    base, tuned, _ = voices(zoo)
    formula = Formula(terms=base + tuned, mixing=f"{__name__}.largest")
    assert formula == Formula(terms=tuned + base, mixing=largest)
    readers = [oracles.Reader(term.model) for term in formula.terms.values()]
    for i, answer in enumerate(formula.complete([*stories(5).values()], SAMPLED)):
        prompts = [term.model.encode(answer.prompts[name]) for name, term in formula.terms.items()]
        for place, token in enumerate(answer.token_ids):
            each = [
                r.logits((*p, *answer.token_ids[:place])).softmax(-1)
                for r, p in zip(readers, prompts, strict=True)
            ]
            expected = oracles.choose(
                torch.maximum(*each).log(),
                SAMPLED,
                sample_id=str(i),
                role="model",
                position=place,
            )
            assert token == expected


def test_who_is_run_to_be_measured_from_has_no_say(zoo: Zoo) -> None:
    base, tuned, untuned = voices(zoo)
    formula = Formula(terms=base + tuned + 0 * untuned, mixing=largest, reference="untuned")
    measured = dataclasses.replace(formula, measure_kl=True)
    one, other = (m.complete([*stories(3).values()], SAMPLED) for m in (formula, measured))
    assert [a.token_ids for a in one] == [a.token_ids for a in other]
    assert all("kl" not in a.measures for a in one) and all(a.measures["kl"] > 0 for a in other)


def halved(logits: Mapping[str, torch.Tensor], weights: Mapping[str, float]) -> torch.Tensor:
    return next(iter(logits.values()))[:, ::2]


def test_a_function_that_returns_no_logits_is_named(zoo: Zoo) -> None:
    base, tuned, _ = voices(zoo)
    for function, message in (
        (halved, r"^halved returned \[1, 384\] from logits of \[1, 768\]"),
        (lambda logits, weights: logits["base"].add_(1), r"<lambda> changes the logits"),
    ):
        with pytest.raises(ValueError, match=message):
            Formula(terms=base + tuned, mixing=function).complete(["Hi"], GREEDY)


def test_the_file_of_a_function_counts_for_a_run(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_mixtures.py").write_text("def last(logits, weights):\n    return logits['b']\n")
    monkeypatch.chdir(tmp_path)
    base = voice("b", zoo("a-small-sft"))
    formula = Formula(terms=base + voice("a", zoo("a-small-dpo")), mixing="my_mixtures.last")
    assert preconditions.code(formula) == {tmp_path / "my_mixtures.py"}
    assert preconditions.code(Formula(terms=base)) == set()
    (one,), (other,) = (m.complete(["Hi"], GREEDY) for m in (formula, Plain(model=base["b"].model)))
    assert one.text == other.text


def test_likelihoods_are_those_of_the_distribution(zoo: Zoo) -> None:
    base, tuned, _ = voices(zoo)
    formula = Formula(terms=0.4 * base + 0.6 * tuned, mixing="probabilities")
    asked = stories(3)
    texts = {i: [" a lake", " nothing at all"] for i in asked}
    readers = {name: oracles.Reader(term.model) for name, term in formula.terms.items()}
    for i, found in formula.weigh(asked, texts):
        for text, own in zip(texts[i], found, strict=True):
            prompt = formula.terms["base"].model.render(asked[i])
            start = len(readers["base"].tokens(prompt))
            tokens = readers["base"].tokens(prompt + text)
            total = 0.0
            for place in range(start, len(tokens)):
                before = tuple(tokens[:place])
                one, other = (readers[n].logits(before).softmax(-1) for n in ("base", "tuned"))
                total += float((0.4 * one + 0.6 * other)[tokens[place]].log())
            assert own.log_probability == pytest.approx(total, abs=1e-3)


def test_every_term_is_named_in_the_record_and_equal_models_are_one(zoo: Zoo) -> None:
    again = dataclasses.replace(zoo("a-small-sft"))
    small = LanguageModel(path="zoo:a-small-base", prompt="plain")
    formula = Formula(
        terms={
            "one": Term(model=dataclasses.replace(again), weight=1),
            "two": Term(model=again, weight=1, asked={"system": "Be brief."}),
        },
        draft=small,
    )
    assert formula.terms["one"].model is formula.terms["two"].model
    assert formula.all_models.keys() == formula.provenance().keys() == {"one", "two", "draft"}
    assert formula.identity.keys() == {"one", "two"}
    (answer,) = formula.complete(["Hi"], GREEDY)
    assert {*answer.work} == {"one", "two", "draft"}
    with pytest.raises(ValueError, match=r"asks its models in ways of their own"):
        formula.require_one_question("generate()")
    plain = Formula(terms=voice("one", again))
    prompt = torch.tensor([again.encode("Tell me about the lake.")])
    expected = again.weights.generate(prompt, max_new_tokens=8, do_sample=False)
    found = again.weights.generate(prompt, max_new_tokens=8, custom_generate=plain)
    assert found.tolist() == expected.tolist()


NAN = float("nan")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"terms": {}}, r"terms=\{\}: accepted are terms by name"),
        ({"terms": {"a": 3}}, r"terms.a=3: accepted are a model and its weight, per_strength"),
        ({"terms": {"a": {"weight": 1}}}, r"terms.a=.*: accepted are a model and its"),
        ({"terms": {"a": {"model": 0, "wieght": 1}}}, r"terms.a: 'wieght' is not known. Did you"),
        ({"terms": {"a": {"model": 0}}}, r"terms.a.model=0: accepted is a model"),
        ({"terms": {"draft": {"model": 0}}}, r"terms.draft: accepted as a name are"),
        ({"terms": {"a.b": {"model": 0}}}, r"terms.a.b: accepted as a name are"),
        ({"weight": NAN}, r"terms.base.weight=nan: accepted is any finite number"),
        ({"weight": "1"}, r"terms.base.weight='1': accepted is a number"),
        ({"per_strength": float("inf")}, r"terms.base.per_strength=inf: accepted is any finite"),
        ({"asked": "briefly"}, r"terms.base.asked='briefly': accepted are pieces"),
        ({"asked": {"sytem": "x"}}, r"terms.base.asked: 'sytem' is not known. Did you mean 'syst"),
        ({"asked": {"system": 3}}, r"terms.base.system=3 of a Conversation is of type int"),
        ({"weight": 0, "per_strength": 0}, r"strength=1 weigh base 0: nobody is left to speak"),
        ({"weight": 0.5, "mixing": "probabilities"}, r"weigh base 0.5, which are no shares"),
        ({"weight": -1, "mixing": "probabilities"}, r"weigh base -1, which are no shares"),
        ({"strength": NAN}, r"strength=nan: accepted is any finite number"),
        ({"strength": 0.5}, r"strength=0.5 turns nothing"),
        ({"reference": "bsae"}, r"reference: 'bsae' is not known. Did you mean 'base'"),
        ({"measure_kl": True}, r"measure_kl=True: reference=None"),
        ({"mixing": "logit"}, r"mixing: 'logit' is not known. Did you mean 'logits'"),
        ({"mixing": "my_nowhere.f"}, r"mixing='my_nowhere.f': my_nowhere cannot be imported"),
        ({"mixing": "math.pi"}, r"mixing='math.pi' is of type float. Accepted is a function"),
        ({"mixing": lambda z: z}, r"is called with logits and weights .* two, each by term"),
        ({"mixing": 3}, r"mixing=3 is of type int. Accepted is a function"),
    ],
)
def test_what_has_no_meaning_is_named(settings: dict, message: str) -> None:
    """Before anything loads: there is no such model."""
    own = {key: settings.pop(key) for key in ("weight", "per_strength", "asked") if key in settings}
    base = {"model": LanguageModel(path="zoo:a-small-base", prompt="plain"), "weight": 1.0} | own
    with pytest.raises(ValueError, match=message):
        Formula(**{"terms": {"base": base}} | settings)
    assert "weights" not in vars(base["model"])


def test_a_weight_that_rounding_leaves_of_nothing_is_nothing() -> None:
    """0.3 - 3 * 0.1 is -5.6e-17: no negative share, and nobody who would have to be run."""
    model = LanguageModel(path="zoo:a-small-base", prompt="plain")
    terms = {
        "ends": Term(model=model, weight=0.3, per_strength=-3),
        "stays": Term(model=model, weight=0.7, per_strength=3),
    }
    turned = Formula(terms=terms, strength=0.1, mixing="probabilities")
    assert {role: weight for role, (_, weight) in turned.mixture.items()} == {"ends": 0, "stays": 1}
    assert terms["ends"].at(0.1 + 1e-9) == pytest.approx(-3e-9)  # small is not nothing


def test_a_sum_is_linear(zoo: Zoo) -> None:
    base, tuned, _ = voices(zoo)
    written = sum([2 * base, -tuned * STRENGTH, base / 4 + (1 - STRENGTH / 2) * tuned])
    weights = {name: (term.weight, term.per_strength) for name, term in written.items()}
    assert weights == {"base": (2.25, 0.0), "tuned": (1.0, -1.5)}
    with pytest.raises(ValueError, match="'base': STRENGTH times STRENGTH"):
        STRENGTH * (base * STRENGTH)
    with pytest.raises(ValueError, match="'base' names two voices"):
        base + voice("base", zoo("a-small-dpo"))
    for nonsense in (lambda: base + 1, lambda: base * base, lambda: STRENGTH * STRENGTH):
        with pytest.raises(TypeError):
            nonsense()
