"""Mixtures of models of other vocabularies, against plain passes over texts tokenized anew."""

import dataclasses
import functools
import math

import oracles
import pytest
import torch
from decoding import real_tokenizers
from short_prompts import PROMPTS

from trimtab import Conversation, DeRa, Ensemble, Generation, LanguageModel, Plain, ProxyTuning
from trimtab.decoding.other_vocabulary import by_classes
from trimtab.methods import CMC, Formula, Mixture
from trimtab.methods.prompts import Prompts
from trimtab.tasks import Stories, WordProblems

GREEDY = Generation(max_new_tokens=16, batch_size=8)
SAMPLED = Generation(max_new_tokens=16, batch_size=8, temperature=0.9, top_p=0.95, seed=5)
WAYS = pytest.mark.parametrize("generation", [GREEDY, SAMPLED], ids=["greedy", "sampled"])


def word_problems(count: int) -> list[Conversation]:
    return [sample.conversation for sample in WordProblems().samples(count)]


def stories(count: int) -> list[Conversation]:
    return [sample.conversation for sample in Stories().samples(count)]


def mapped(model: LanguageModel, kind: str = "pm-mined") -> LanguageModel:
    """The same model, loaded as it is, read through a token map."""
    same = dataclasses.replace(model, token_map=kind) if "zoo:" in model.path else None
    if same is None:
        same = LanguageModel.of(
            model.weights, model.tokenizer, prompt=model.prompt, name=model.path
        )
        object.__setattr__(same, "token_map", kind)
    else:
        same.__dict__["weights"] = model.weights
    return same


# ------------------------------------------------------------------ the oracle


class Retold:
    """What a model of another vocabulary says, in the target's tokens, told from nothing.

    Its tokens are those of the whole text anew; classes are found by comparing all tokens.
    """

    def __init__(self, model: LanguageModel, target: LanguageModel, kind: str) -> None:
        exactly, self.raw = kind == "exact", kind == "pm-mined-raw"
        written = model.tokenizer.convert_ids_to_tokens(range(len(model.tokenizer)))
        self.numbers = [token.startswith("<0x") for token in written]
        self.reader, self.target = oracles.Reader(model), oracles.Reader(target)
        self.exactly = exactly
        self.lost: list[float] = []
        self.begun: list[bytes] = []
        self.other_words = self._words(model)
        self.target_words = self._words(target)
        self.roles = [self._roles(model), self._roles(target)]
        self.classes = functools.cache(self._classes)

    @staticmethod
    def _words(model: LanguageModel) -> list[bytes | None]:
        spelling = oracles.Spelling(model.tokenizer)
        signs = oracles.signs_of(model.tokenizer) | model.stop_tokens
        words = [each.encode() if isinstance(each, str) else each for each in spelling._stands_for]
        return [None if i in signs else word for i, word in enumerate(words)]

    @staticmethod
    def _roles(model: LanguageModel) -> dict[int, str]:
        made = model.tokenizer
        signs = oracles.signs_of(made)
        roles = {i: made.convert_ids_to_tokens(i) for i in signs}
        named = {"pad": made.pad_token_id, "unk": made.unk_token_id, "bos": made.bos_token_id}
        roles |= {i: role for role, i in named.items() if i is not None}
        return roles | dict.fromkeys(model.stop_tokens, "end")

    def logits(self, prompt: str, answer: list[int], before: torch.Tensor) -> torch.Tensor:
        """Return `[V]`, log-probabilities of the target's tokens; `before` are the target's own."""
        signs = self.target.signs
        pieces = self.target.pieces([t for t in answer if t not in signs])
        text = "".join(piece for piece, _ in pieces)
        tail = b"".join(self.target_words[t] or b"" for t in answer)[-3:]
        begun = next((tail[i:] for i in range(len(tail)) if begins(tail[i:])), b"")
        self.begun.append(begun)
        self.said = self.reader.logits(tuple(self.reader.tokens(prompt + text)))
        q = self.said.double().softmax(-1)
        p = before.double().softmax(-1)
        if self.raw:
            return self._raw_logits(begun, p)
        of_target, of_other = self.classes(begun)
        mass: dict[object, float] = {}
        lost = 0.0
        for i, probability in enumerate(q.tolist()):
            if of_other[i] is not None and of_other[i] != "ruled out":
                mass[of_other[i]] = mass.get(of_other[i], 0.0) + probability
            elif of_other[i] is None:
                lost += probability
        own: dict[object, float] = {}
        for i, probability in enumerate(p.tolist()):
            own[of_target[i]] = own.get(of_target[i], 0.0) + probability
        heard = sum(mass.values())
        self.lost.append(lost / (lost + heard) if lost + heard else 0.0)
        shared = sum(mine for key, mine in own.items() if key is not None)
        if not heard:
            return p.log()
        told = [
            mine if key is None else shared * mass[key] / heard * mine / own[key]
            for key, mine in zip(of_target, p.tolist(), strict=True)
        ]
        return torch.tensor(told, dtype=torch.float64).log()

    def _raw_logits(self, begun: bytes, p: torch.Tensor) -> torch.Tensor:
        """What the paper's code reads: the logits of the tokens that are mapped to, or 0."""
        z = self.said.double()
        told, without = [], 0.0
        for i, key in enumerate(self.classes(begun)[0]):
            word = self.target_words[i]
            if key is None:
                without += float(p[i])
                told.append(0.0)
            elif word is None:
                told.append(min((j, float(z[j])) for j, r in self.roles[0].items() if r == key)[1])
            else:
                alike = [j for j, other in enumerate(self.other_words) if other == key]
                as_text = [j for j in alike if not self.numbers[j]]
                told.append(float(z[(as_text or alike)[0]]))
        self.lost.append(without)
        return torch.tensor(told, dtype=torch.float64)

    def _classes(self, begun: bytes) -> tuple[list[object], list[object]]:
        first: dict[bytes, int] = {}
        for i, word in enumerate(self.other_words):
            first.setdefault(word or b"", i)
        others = {word for word in self.other_words if word}
        alike = set(self.roles[0].values())

        def stands(word: bytes | None, i: int) -> object:
            if word is None:
                role = self.roles[1].get(i)
                return role if role in alike else None
            if begun:
                if not word or not 0x80 <= word[0] < 0xC0:
                    return None
                word = begun + word
            if not word or word in others:
                return word or None
            if self.exactly:
                return None
            kin = [each for each in others if each.startswith(word) or word.startswith(each)]
            return min(
                kin,
                key=lambda w: (abs(len(w) - len(word)), len(w) > len(word), first[w]),
                default=None,
            )

        of_target = [stands(word, i) for i, word in enumerate(self.target_words)]
        reached = set(of_target) - {None}
        said: dict[bytes, object] = {}
        for word, key in zip(self.target_words, of_target, strict=True):
            if word and (not begun or 0x80 <= word[0] < 0xC0):
                said[begun + word] = key

        def heard(word: bytes | None, i: int) -> object:
            if word is None:
                role = self.roles[0].get(i)
                return role if role in reached else None
            if begun and not (word.startswith(begun) or begun.startswith(word)):
                return "ruled out"
            if word in reached:
                return word
            if self.exactly:
                return None
            beginnings = [w for w in said if word.startswith(w)]
            return said[max(beginnings, key=len)] if beginnings else None

        return of_target, [heard(word, i) for i, word in enumerate(self.other_words)]


def begins(tail: bytes) -> bool:
    """Whether bytes are the beginning of one character."""
    for more in range(1, 4):
        for filler in (b"\x80", b"\x90", b"\xa0"):
            try:
                if len((tail + filler * more).decode()) == 1:
                    return True
            except UnicodeDecodeError:
                continue
    return False


def told(
    mixture: Mixture, conversation: Conversation, generation: Generation, sample_id: str
) -> tuple[list[int], float]:
    """Decode a mixture whose logits add up or whose probabilities do, token by token."""
    parts = mixture.mixture
    target = next(model for model, _ in parts.values() if model.token_map is None)
    reader = readers(target)
    prompts = {role: model.render(conversation) for role, (model, _) in parts.items()}
    (own_prompt,) = {prompts[r] for r, (model, _) in parts.items() if model is target}
    retold = {
        role: retellers(model, target)
        for role, (model, weight) in parts.items()
        if model.vocabulary != target.vocabulary and weight
    }
    for each in retold.values():
        each.lost = []
    new: list[int] = []
    while len(new) < generation.max_new_tokens:
        before = reader.logits((*reader.tokens(own_prompt), *new))
        said = {}
        for role, (model, weight) in parts.items():
            if not weight:
                continue
            if role in retold:
                said[role] = retold[role].logits(prompts[role], new, before)
            else:
                own = readers(model)
                said[role] = own.logits((*own.tokens(prompts[role]), *new)).double()
        weights = {role: weight for role, (_, weight) in parts.items() if weight}
        if isinstance(mixture, Ensemble):
            logits = sum(w * said[role].softmax(-1) for role, w in weights.items()).log()
        else:
            logits = sum(w * said[role] for role, w in weights.items())
        token = oracles.choose(
            logits, generation, sample_id=sample_id, role="model", position=len(new)
        )
        if token in target.stop_tokens:
            break
        new.append(token)
    lost = [
        sum(each) / len(retold) for each in zip(*(r.lost for r in retold.values()), strict=True)
    ]
    return new, sum(lost) / len(lost)


_READERS: dict[int, oracles.Reader] = {}
_RETELLERS: dict[tuple, Retold] = {}


def readers(model: LanguageModel) -> oracles.Reader:
    if id(model.weights) not in _READERS:
        _READERS[id(model.weights)] = oracles.Reader(model)
    return _READERS[id(model.weights)]


def retellers(model: LanguageModel, target: LanguageModel) -> Retold:
    key = id(model.weights), id(target.tokenizer), model.token_map
    if key not in _RETELLERS:
        _RETELLERS[key] = Retold(model, target, str(model.token_map))
    return _RETELLERS[key]


def require_as_told(mixture: Mixture, asked: list[Conversation], generation: Generation) -> None:
    answers = mixture.complete(asked, generation)
    for i, (answer, conversation) in enumerate(zip(answers, asked, strict=True)):
        expected, lost = told(mixture, conversation, generation, str(i))
        assert list(answer.token_ids)[: len(expected)] == expected
        assert len(answer.token_ids) <= len(expected) + 1
        assert answer.measures["unmapped"] == pytest.approx(lost, abs=2e-6)


# ------------------------------------------------------------------ mixtures


@pytest.mark.slow
@WAYS
@pytest.mark.parametrize("kind", ["pm-mined", "exact"])
def test_proxy_tuning_of_another_family_equals_the_oracle(
    zoo, generation: Generation, kind: str
) -> None:
    proxy = ProxyTuning(
        base=zoo("b-small-base"),
        tuned=mapped(zoo("a-small-chat"), kind),
        untuned=mapped(zoo("a-small-base"), kind),
        strength=0.8,
    )
    require_as_told(proxy, word_problems(8), generation)


@pytest.mark.slow
@WAYS
def test_dera_between_families_equals_the_oracle(zoo, generation: Generation) -> None:
    for strength in (0.5, 1.0, 1.4):
        dera = DeRa(
            reference=zoo("a-small-sft"), aligned=mapped(zoo("b-small-chat")), strength=strength
        )
        require_as_told(dera, word_problems(4), generation)


@WAYS
def test_an_ensemble_of_families_equals_the_oracle(zoo, generation: Generation) -> None:
    ensemble = Ensemble(base=mapped(zoo("b-small-chat")), guide=zoo("a-small-sft"), strength=0.4)
    require_as_told(ensemble, word_problems(8), generation)


@pytest.mark.slow
@WAYS
@pytest.mark.parametrize(("base", "delta"), [("b-small-base", "a-small-chat"), ("gpt2", "gemma")])
def test_a_delta_model_is_read_as_it_is(zoo, generation: Generation, base: str, delta: str) -> None:
    random = base in real_tokenizers.KINDS
    make = real_tokenizers.model if random else zoo
    cmc = CMC(base=make(base), delta=mapped(make(delta), "pm-mined-raw"), strength=0.3)
    texts = [Conversation(question=text) for text in TEXTS]
    require_as_told(cmc, texts if random else word_problems(4), generation)


@pytest.mark.slow
@WAYS
def test_many_prompts_equal_the_oracle(zoo, generation: Generation) -> None:
    """A delta model's logits, and a distribution that is mixed."""
    base, other = zoo("b-small-base"), zoo("a-small-chat")
    brief = dataclasses.replace(generation, max_new_tokens=3)
    for mixture in (
        CMC(base=base, delta=mapped(other, "pm-mined-raw"), strength=0.3),
        DeRa(reference=base, aligned=mapped(other), strength=0.6),
    ):
        require_as_told(mixture, [*PROMPTS.values()], brief)


def test_of_one_vocabulary_a_delta_models_logits_are_added(zoo) -> None:
    base, delta = zoo("a-small-base"), zoo("a-small-chat")
    cmc = CMC(base=base, delta=delta, strength=0.4)
    terms = {"base": {"model": base, "weight": 1}, "delta": {"model": delta, "weight": 0.4}}
    asked = word_problems(4)
    one, other = (m.complete(asked, SAMPLED) for m in (cmc, Formula(terms=terms)))
    assert [a.token_ids for a in one] == [a.token_ids for a in other]


PAIRS = [("gpt2", "gemma"), ("gemma", "gpt2"), ("llama2", "qwen"), ("llama3", "t5")]
TEXTS = ["Wie heißt das größte Schiff?", "这是什么", "😀 😃", "The boat turns", "Что это такое?"]


@pytest.mark.slow
@WAYS
@pytest.mark.parametrize(("target", "other"), PAIRS)
def test_characters_of_several_tokens_equal_the_oracle(
    target: str, other: str, generation: Generation
) -> None:
    """Random models say parts of characters, and bytes that are none."""
    own = real_tokenizers.model(target)
    guide = mapped(real_tokenizers.model(other))
    asked = [Conversation(question=text) for text in TEXTS]
    retold = retellers(guide, own)
    retold.begun.clear()
    require_as_told(DeRa(reference=own, aligned=guide, strength=0.3), asked, generation)
    assert any(retold.begun) or target == "llama3", "a test in which characters are begun"


# ------------------------------------------------------------------ the same in any company


@pytest.mark.slow
@WAYS
@pytest.mark.parametrize(("target", "other"), [("gpt2", "gemma"), ("gemma", "gpt2")])
def test_drafts_and_batches_change_no_answer(
    target: str, other: str, generation: Generation
) -> None:
    own, guide = real_tokenizers.model(target), mapped(real_tokenizers.model(other))
    asked = {str(i): Conversation(question=text) for i, text in enumerate(TEXTS)}
    near = real_tokenizers.twin(target, distance=0.02)
    expected = None
    for batch_size in (1, 8):
        for draft in (None, "prompt-lookup", near):
            dera = DeRa(reference=own, aligned=guide, strength=0.3, draft=draft)
            settings = dataclasses.replace(generation, batch_size=batch_size)
            found = {c.id: (c.token_ids, c.measures) for c in dera.stream(asked, settings)}
            expected = expected or found
            assert {i: ids for i, (ids, _) in found.items()} == {
                i: ids for i, (ids, _) in expected.items()
            }
            for i, (_, measures) in found.items():
                assert measures == pytest.approx(expected[i][1], abs=1e-4)


@WAYS
def test_a_sweep_gives_what_each_value_gives_alone(zoo, generation: Generation) -> None:
    base, guide = zoo("a-small-sft"), mapped(zoo("b-small-chat"))
    methods = [
        DeRa(reference=base, aligned=guide, strength=strength) for strength in (0.0, 0.5, 1.0)
    ]
    asked = {str(i): conversation for i, conversation in enumerate(word_problems(5))}
    together: list[dict] = [{}, {}, {}]
    for number, done in methods[0].stream_together(methods, [asked] * 3, generation):
        together[number][done.id] = done
    for method, found in zip(methods, together, strict=True):
        for done in method.stream(asked, generation):
            assert found[done.id].token_ids == done.token_ids
            assert found[done.id].measures == done.measures
            assert found[done.id].work == done.work


def test_at_strength_0_only_the_reference_runs(zoo) -> None:
    base, guide = zoo("a-small-sft"), mapped(zoo("b-small-chat"))
    asked = stories(4)
    mixed = DeRa(reference=base, aligned=guide, strength=0.0).complete(asked, SAMPLED)
    alone = Plain(model=base).complete(asked, SAMPLED)
    assert [a.token_ids for a in mixed] == [a.token_ids for a in alone]
    assert all(set(a.work) == {"reference"} and "unmapped" not in a.measures for a in mixed)


@WAYS
def test_a_map_between_equal_vocabularies_changes_nothing(zoo, generation: Generation) -> None:
    base, tuned = zoo("a-small-sft"), zoo("a-small-dpo")
    asked = stories(6)
    for through in (tuned, mapped(tuned)):
        answers = DeRa(reference=base, aligned=through, strength=0.7).complete(asked, generation)
        if through is tuned:
            expected = answers
    assert [a.token_ids for a in answers] == [a.token_ids for a in expected]
    assert [a.measures for a in answers] == [a.measures for a in expected]
    assert [a.work for a in answers] == [a.work for a in expected]


def test_a_formula_takes_maps_whatever_the_order_of_its_terms(zoo) -> None:
    terms = {
        "z_base": {"model": zoo("b-small-base"), "weight": 1.0},
        "a_tuned": {"model": mapped(zoo("a-small-chat")), "per_strength": 1.0},
        "b_untuned": {"model": mapped(zoo("a-small-base")), "per_strength": -1.0},
    }
    formula = Formula(terms=terms, strength=0.8)
    proxy = ProxyTuning(
        base=terms["z_base"]["model"],
        tuned=terms["a_tuned"]["model"],
        untuned=terms["b_untuned"]["model"],
        strength=0.8,
    )
    asked = word_problems(6)
    one, other = (m.complete(asked, SAMPLED) for m in (formula, proxy))
    assert [a.token_ids for a in one] == [a.token_ids for a in other]


def test_likelihoods_are_those_of_the_steps(zoo) -> None:
    dera = DeRa(reference=zoo("a-small-sft"), aligned=mapped(zoo("b-small-chat")), strength=0.6)
    conversation = word_problems(1)[0]
    texts = [" The answer is 5.", "Let's think step by step."]
    ((_, found),) = dera.weigh({"0": conversation}, {"0": texts})
    target = zoo("a-small-sft")
    reader, retold = readers(target), retellers(dera.aligned, target)
    prompt = target.render(conversation)
    for text, likelihood in zip(texts, found, strict=True):
        before = reader.tokens(prompt)
        tokens = reader.tokens(prompt + text)[len(before) :]
        total = 0.0
        for place, token in enumerate(tokens):
            own = reader.logits((*before, *tokens[:place]))
            theirs = retold.logits(dera.aligned.render(conversation), tokens[:place], own)
            mixed = 0.4 * own.double() + 0.6 * theirs
            total += float(mixed.log_softmax(-1)[token])
        assert likelihood.log_probability == pytest.approx(total, abs=1e-3)


def test_token_records_have_what_each_model_gave(zoo) -> None:
    dera = DeRa(reference=zoo("a-small-sft"), aligned=mapped(zoo("b-small-chat")), strength=0.6)
    settings = dataclasses.replace(GREEDY, token_records=True)
    (answer,) = dera.complete(word_problems(1), settings)
    for log_p, models in zip(
        answer.by_token["log_probability"],
        zip(*answer.by_token["models"].values(), strict=True),
        strict=True,
    ):
        assert log_p < 0 and all(own < 0 for own in models)


# ------------------------------------------------------------------ the rule


def test_a_heard_distribution_is_one_and_gives_classes_what_the_model_gives_them() -> None:
    noise = torch.Generator().manual_seed(0)
    said, target = torch.randn(4, 7, generator=noise), torch.randn(4, 6, generator=noise)
    of_said, of_target = torch.tensor([2, 2, 3, 4, 0, 0, 1]), torch.tensor([2, 3, 3, 4, 0, 4])
    heard, lost = by_classes(said, target, of_said, of_target, 5)
    p, q, own = heard.exp(), said.softmax(-1), target.softmax(-1)
    torch.testing.assert_close(p.sum(-1), torch.ones(4))
    torch.testing.assert_close(p[:, 4], own[:, 4])  # the one without a class
    heard_of = q[:, :4].sum(-1)
    torch.testing.assert_close(lost.float(), q[:, 4:6].sum(-1) / (1 - q[:, 6]))
    for number, members, theirs in ((2, [0], [0, 1]), (3, [1, 2], [2]), (4, [3, 5], [3])):
        expected = (1 - own[:, 4]) * q[:, theirs].sum(-1) / heard_of
        torch.testing.assert_close(p[:, members].sum(-1), expected)
        within = own[:, members] / own[:, members].sum(-1, keepdim=True)
        torch.testing.assert_close(p[:, members] / p[:, members].sum(-1, keepdim=True), within)
        assert number in of_target


def test_probabilities_that_are_nearly_nothing_have_logarithms() -> None:
    said = torch.tensor([[0.0, -600.0, -2000.0]])
    target = torch.tensor([[-500.0, 0.0, -2000.0]])
    classes = torch.tensor([2, 3, 0])
    heard, _ = by_classes(said, target, classes, classes, 4)
    assert heard[0].isfinite().all() and heard[0, 0] == pytest.approx(0.0)
    assert heard[0, 1] == pytest.approx(-600.0) and math.isfinite(heard[0, 2])


# ------------------------------------------------------------------ what is refused


def test_other_vocabularies_are_refused_with_the_setting_that_takes_them(zoo) -> None:
    dera = DeRa(reference=zoo("a-small-chat"), aligned=zoo("b-small-chat"), strength=0.5)
    with pytest.raises(ValueError, match=r"token \d+ is .* through a token map .*=pm-mined"):
        dera.complete(["Hello"])


def test_somebody_must_say_the_tokens(zoo) -> None:
    both = [mapped(zoo(name)) for name in ("a-small-chat", "b-small-chat")]
    with pytest.raises(ValueError, match=r"token_map is set for reference .*, aligned .*null"):
        DeRa(reference=both[0], aligned=both[1]).complete(["Hello"])
    with pytest.raises(ValueError, match=r"token_map is set for model \(zoo:b-small-chat\)"):
        Plain(model=both[1]).complete(["Hello"])


def test_a_draft_of_another_vocabulary_is_refused(zoo) -> None:
    base, guide = zoo("a-small-chat"), mapped(zoo("b-small-chat"))
    with pytest.raises(ValueError, match=r"token_map is set for draft \(zoo:b-small-chat\)"):
        DeRa(reference=base, aligned=base, draft=guide).complete(["Hello"])


def test_a_delta_model_is_no_distribution(zoo) -> None:
    delta = mapped(zoo("a-small-chat"))
    with pytest.raises(
        ValueError, match=r"delta.token_map=pm-mined: .* are pm-mined-raw, and null"
    ):
        CMC(base=zoo("b-small-base"), delta=delta)


def test_a_map_for_delta_models_is_refused_where_distributions_are_mixed(zoo) -> None:
    base, other = zoo("b-small-base"), mapped(zoo("a-small-chat"), "pm-mined-raw")
    terms = {"base": {"model": base, "weight": 0.9}, "other": {"model": other, "weight": 0.1}}
    message = r"token_map=pm-mined-raw of (guide|other) \(zoo:a-small-chat\): .*, as pm-mined"
    for method in (
        Ensemble(base=base, guide=other),
        Formula(terms=terms, mixing="probabilities"),
    ):
        with pytest.raises(ValueError, match=message):
            method.require_compatible()
    Formula(terms=terms).require_compatible()


def test_a_kind_of_map_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"token_map of zoo:a-small-chat: 'mined' is not known"):
        LanguageModel(path="zoo:a-small-chat", prompt="chat", token_map="mined")


# ------------------------------------------------------------------ other doors


@WAYS
def test_generate_gives_what_complete_gives(zoo, generation: Generation) -> None:
    """Both models read the target's prompt as text, as a Conversation in plain form is read."""
    base, guide = zoo("a-small-base"), mapped(zoo("b-small-base"))
    dera = DeRa(reference=base, aligned=guide, strength=0.5)
    asked = [Conversation(question="Tell me about the farm."), Conversation(question="Hello")]
    rows = [base.encode(base.render(conversation)) for conversation in asked]
    batch = base.tokenizer.pad({"input_ids": rows}, padding_side="left", return_tensors="pt")
    sampling = {"do_sample": True, "temperature": 0.9, "top_p": 0.95, "top_k": 0}
    settings = sampling if generation is SAMPLED else {"do_sample": False}
    whole = base.weights.generate(
        **batch, **settings, max_new_tokens=16, custom_generate=dera, seed=5
    )
    for row, answer in zip(whole, dera.complete(asked, generation), strict=True):
        new = row[batch["input_ids"].shape[1] :].tolist()
        assert new[: len(answer.token_ids)] == list(answer.token_ids)
    with pytest.raises(ValueError, match=r"Call it on its reference.weights \(zoo:a-small-base\);"):
        zoo("b-small-base").weights.generate(**batch, max_new_tokens=4, custom_generate=dera)


def test_doors_that_have_tokens_alone_are_shut(zoo) -> None:
    dera = DeRa(reference=zoo("a-small-sft"), aligned=mapped(zoo("b-small-chat")), strength=0.5)
    with pytest.raises(ValueError, match="aligned: what is read through a token map is text"):
        dera.logits_processor("reference")
    tokens = {role: model.encode("Hello") for role, model in dera.models.items()}
    with pytest.raises(ValueError, match=r"these prompts are tokens alone.* weigh\(\) takes"):
        list(dera.likelihoods({"0": Prompts({}, tokens)}, {"0": [[5, 6]]}))


def test_a_full_context_ends_an_answer_whosever_it_is(zoo) -> None:
    """The other's own tokens are counted, and not the answer's."""
    own = real_tokenizers.model("gpt2")
    guide = mapped(real_tokenizers.model("llama2", context=24))
    (answer,) = DeRa(reference=own, aligned=guide, strength=0.2).complete(
        [Conversation(question="The boat")], Generation(max_new_tokens=100)
    )
    assert answer.stop_reason == "context"
    said = guide.encode(guide.render(Conversation(question="The boat")) + answer.text)
    assert len(said) > 20
    with pytest.raises(ValueError, match="longer than the context of a model that is read"):
        list(
            DeRa(reference=own, aligned=guide).weigh(
                {"0": Conversation(question="The boat")}, {"0": ["the boat turns " * 20]}
            )
        )
