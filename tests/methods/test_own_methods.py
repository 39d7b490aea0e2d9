"""Methods of one's own: what they say in company is what they say alone, or is refused."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from trimtab import Completion, Conversation, Generation, LanguageModel, Method
from trimtab.decoding import Speaker, Turns
from trimtab.methods import Mixture
from trimtab.runs import most_likely
from trimtab.tasks import Sample

Zoo = Callable[[str], LanguageModel]
GREEDY = Generation(max_new_tokens=10, batch_size=4)
ASKED = {
    str(i): Conversation(question=question)
    for i, question in enumerate(["Tell me about the farm.", "Ana has 3 pens.", "Why is it late?"])
}


class Push:
    """Adds a strength times a vector to what one layer gives."""

    names = ("push",)

    def __init__(self, model: LanguageModel, layer: int) -> None:
        self._layer = model.weights.get_submodule(f"model.layers.{layer}")
        width = model.config.hidden_size
        self._vector = 3 * torch.randn(width, generator=torch.Generator().manual_seed(layer))

    @contextmanager
    def at(self, strengths_RD: torch.Tensor) -> Iterator[None]:
        def push(layer: Any, given: Any, out: torch.Tensor) -> torch.Tensor:
            return out + strengths_RD[:, :1, None] * self._vector

        handle = self._layer.register_forward_hook(push)
        try:
            yield
        finally:
            handle.remove()


@dataclass(frozen=True)
class Pushed:
    model: LanguageModel
    layer: int = 0

    def __call__(self) -> Push:
        return Push(self.model, self.layer)


@dataclass(frozen=True, kw_only=True)
class Steered(Mixture):
    """A steered model with another: the dial is the other's weight."""

    base: LanguageModel
    guide: LanguageModel
    weight: float = 0.5
    strength: float = 0.8
    layer: int = 0

    dial = "weight"
    further_dials = ("strength", "layer")

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        return {"base": (self.base, 1 - self.weight), "guide": (self.guide, self.weight)}

    @property
    def steering(self) -> dict[str, Pushed]:
        return {"base": Pushed(self.base, self.layer)}

    def strengths_for(self, prompts: Any) -> tuple[float, ...]:
        return (self.strength,)


@dataclass(frozen=True, kw_only=True)
class SteeredWhereAsked(Steered):
    """The same, where what is 0 is left out."""

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        return {role: part for role, part in super().mixture.items() if part[1]}

    @property
    def steering(self) -> dict[str, Pushed]:
        return super().steering if self.strength else {}

    def strengths_for(self, prompts: Any) -> tuple[float, ...]:
        return (self.strength,) if self.strength else ()


@dataclass(frozen=True, kw_only=True)
class OneOf(Mixture):
    """One of several models: the dial says which."""

    models_in_turn: Sequence[LanguageModel]
    which: int = 0

    dial = "which"

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        return {"model": (self.models_in_turn[self.which], 1.0)}


@dataclass(frozen=True, kw_only=True)
class Greeted(Mixture):
    """A model that is greeted before it is asked: the dial says how often."""

    model: LanguageModel
    times: int = 0

    dial = "times"

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        return {"model": (self.model, 1.0)}

    def asked(self, role: str, conversation: Conversation) -> Conversation:
        return dataclasses.replace(
            conversation, question="Hi. " * self.times + conversation.question
        )


@dataclass(frozen=True, kw_only=True)
class Guessed(Method):
    """Says three tokens, and how likely another would have been behind the first few of them."""

    base: LanguageModel
    behind: int = 1

    dial = "behind"

    def speakers(self) -> dict[str, Speaker]:
        return {"base": Speaker.of(base=self.base)}

    def answer(self, cursors: Any, prompts: Any, generation: Generation) -> Any:
        cursor, said = cursors["base"], list[int]()
        for _ in range(3):
            (prediction,) = yield cursor.after(said)
            said.append(prediction.token)
        targets = (*said[: self.behind], 40 + self.behind)
        found = yield cursor.after([], targets[:-1], targets)
        return Completion(
            text=self.base.continuation(cursor.prompts[0], said),
            trace=(),
            stop_reason="length",
            tokens={"base": 3},
            measures={"log_probability": sum(each.log_probability for each in found)},
        )


def steered(zoo: Zoo, kind: type[Steered] = Steered, **settings: Any) -> Steered:
    return kind(base=zoo("a-small-base"), guide=zoo("a-small-chat"), **settings)


def alone(method: Method, generation: Generation = GREEDY) -> dict[str, Completion]:
    return {completion.id: completion for completion in method.stream(ASKED, generation)}


def together(methods: Sequence[Method]) -> list[dict[str, Completion]]:
    found: list[dict[str, Completion]] = [{} for _ in methods]
    asked = [ASKED] * len(methods)
    for member, completion in methods[0].stream_together(methods, asked, GREEDY):
        found[member][completion.id] = completion
    return found


FAMILIES: dict[str, Callable[[Zoo], list[Method]]] = {
    "steered in a mixture": lambda zoo: [steered(zoo, weight=w) for w in (0.2, 0.5, 0.0)],
    "steered otherwise": lambda zoo: [steered(zoo, strength=s) for s in (0, 1)],
    "asked otherwise": lambda zoo: [Greeted(model=zoo("a-small-chat"), times=n) for n in (0, 2, 1)],
    "asked about tokens of its own": lambda zoo: [
        Guessed(base=zoo("a-small-chat"), behind=n) for n in (0, 2, 1)
    ],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_method_says_in_company_what_it_says_alone(zoo: Zoo, family: str) -> None:
    methods = FAMILIES[family](zoo)
    expected = [alone(method) for method in methods]
    assert together(methods) == expected
    assert len({str(each) for each in expected}) == len(methods)


APART: dict[str, Callable[[Zoo], list[Method]]] = {
    "of other models": lambda zoo: [
        OneOf(models_in_turn=[zoo("a-small-chat"), zoo("a-small-sft")], which=i) for i in (0, 1)
    ],
    "moved by something else": lambda zoo: [steered(zoo, layer=layer) for layer in (0, 1)],
    "moved where others are not": lambda zoo: [
        steered(zoo, SteeredWhereAsked, strength=s) for s in (0.0, 0.8)
    ],
    "with models that others lack": lambda zoo: [
        steered(zoo, SteeredWhereAsked, weight=w) for w in (0.0, 0.5)
    ],
}


@pytest.mark.parametrize("family", APART)
def test_methods_of_other_speakers_decode_apart(zoo: Zoo, family: str) -> None:
    first, other = APART[family](zoo)
    assert first.goes_with(first)
    assert not first.goes_with(other)
    with pytest.raises(ValueError, match="have other speakers: they decode apart"):
        list(first.stream_together([first, other], [ASKED, ASKED], GREEDY))


def test_a_steered_model_is_steered_in_every_row(zoo: Zoo) -> None:
    """By a plain loop over whole sequences."""
    method = steered(zoo, weight=0.0)
    push = Push(method.base, 0)
    for i, found in alone(method).items():
        tokens, said = method.prompts(ASKED)[i].tokens["base"], list[int]()
        for _ in found.token_ids:
            with torch.no_grad(), push.at(torch.full((1, 1), method.strength)):
                logits_TV = method.base.weights(torch.tensor([tokens + said])).logits[0]
            said.append(int(logits_TV[-1, : method.base.vocabulary_size].argmax()))
        assert [*found.token_ids] == said


@dataclass(frozen=True, kw_only=True)
class Unsaid(Steered):
    """Forgets how much."""

    def strengths_for(self, prompts: Any) -> tuple[float, ...]:
        return ()


@dataclass(frozen=True, kw_only=True)
class Misnamed(Steered):
    """Steers a model that it has not."""

    @property
    def steering(self) -> dict[str, Pushed]:
        return {"bsae": Pushed(self.base)}


@dataclass(frozen=True, kw_only=True)
class Unreferred(Steered):
    """Measures from nobody."""

    measure_kl: bool = True


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Unsaid, r"strengths=\(\) for 'zoo:a-small-base', which is moved in 1 directions \(push\)"),
        (Misnamed, r"steering: 'bsae' is not known.*base"),
        (Unreferred, r"reference=None: divergence is to be measured from it"),
    ],
)
def test_what_would_have_no_effect_is_refused(zoo: Zoo, kind: type[Steered], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        alone(steered(zoo, kind))


@dataclass(frozen=True, kw_only=True)
class Relay(Method):
    """One says two tokens, another the rest; the names of their roles are given."""

    one: LanguageModel
    two: LanguageModel
    roles: tuple[str, str] = ("model", "model")

    def speakers(self) -> dict[str, Speaker]:
        first, second = self.roles
        return {"one": Speaker.of(**{first: self.one}), "two": Speaker.of(**{second: self.two})}

    def answer(self, cursors: Any, prompts: Any, generation: Generation) -> Any:
        turns = Turns(cursors, prompts.text, generation)
        ending = yield from turns.say("one", most=2)
        if ending is None:
            ending = yield from turns.say("two")
        return turns.completion(ending)


def test_two_models_of_one_role_are_refused(zoo: Zoo) -> None:
    method = Relay(one=zoo("a-small-chat"), two=zoo("a-small-base"))
    with pytest.raises(ValueError, match="'model' is zoo:a-small-chat in one speaker and zoo:a-sm"):
        alone(method)


def test_a_model_of_two_speakers_did_the_work_of_both(zoo: Zoo) -> None:
    chat = zoo("a-small-chat")
    shared, apart = (Relay(one=chat, two=chat, roles=r) for r in (("m", "m"), ("m", "n")))
    once, twice = alone(shared), alone(apart)
    for i in ASKED:
        assert once[i].text == twice[i].text
        works = twice[i].work.values()
        assert once[i].work["m"].passes == sum(work.passes for work in works)
        assert once[i].work["m"].tokens == sum(work.tokens for work in works)
    assert shared.forward_passes == {"m": sum(apart.forward_passes.values())}


@dataclass(frozen=True, kw_only=True)
class Forgetful(Relay):
    """Returns nothing."""

    def answer(self, cursors: Any, prompts: Any, generation: Generation) -> Any:
        yield cursors["one"].after([])


@dataclass(frozen=True, kw_only=True)
class BrokenOff(Relay):
    """Ends where it could go on."""

    def answer(self, cursors: Any, prompts: Any, generation: Generation) -> Any:
        turns = Turns(cursors, prompts.text, generation)
        return turns.completion((yield from turns.say("one", most=1)))


@dataclass(frozen=True, kw_only=True)
class OutOfStep(Relay):
    """Asks about fewer tokens than places."""

    def answer(self, cursors: Any, prompts: Any, generation: Generation) -> Any:
        yield cursors["one"].after([], [40, 41], [40])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Forgetful, r"Forgetful.*answer\(\) came to None. Accepted is a generator that returns"),
        (BrokenOff, r"BrokenOff.*answer\(\) ended with stop_reason=None. Accepted is a text"),
        (OutOfStep, r"targets=\(40,\): accepted is one for each of the 3 positions"),
    ],
)
def test_answers_that_are_none_are_refused(zoo: Zoo, kind: type[Relay], message: str) -> None:
    method = kind(one=zoo("a-small-chat"), two=zoo("a-small-chat"))
    with pytest.raises(ValueError, match=message):
        alone(method)


def test_the_record_of_a_choice_has_the_prompt_that_was_read(zoo: Zoo) -> None:
    method = Greeted(model=zoo("a-small-chat"), times=2)
    sample = Sample(id="0", conversation=ASKED["0"], target="A", choices={"A": "cow", "B": "dog"})
    ((completion, _),) = most_likely.answer(method, {"0": sample}, GREEDY, "sum")
    assert "Hi. Hi. Tell me about the farm." in completion.prompts["model"]


def test_generate_does_not_pass_a_method_by(zoo: Zoo) -> None:
    chat = zoo("a-small-chat")
    method = Relay(one=chat, two=zoo("a-small-base"), roles=("one", "two"))
    asked = torch.tensor([chat.encode("Tell me about the farm.")])
    with pytest.raises(ValueError, match=r"Relay.*is no custom_generate.*Ask it by complete\(\)"):
        chat.weights.generate(asked, custom_generate=method, max_new_tokens=4)


@pytest.mark.parametrize(
    ("dial", "stands_at"), [("roles", r"\('model', 'model'\)"), ("rolls", None)]
)
def test_a_dial_is_a_number(zoo: Zoo, dial: str, stands_at: str | None) -> None:
    kind = type("Turned", (Relay,), {"dial": dial})
    method = kind(one=zoo("a-small-chat"), two=zoo("a-small-base"))
    with pytest.raises(ValueError, match=f"its dial '{dial}' stands at {stands_at}"):
        _ = method.value
