"""What holds for every method: batches, order and slots change nothing; bad dials are refused."""

import dataclasses

import pytest

from trimtab import (
    AlignmentVector,
    AlignmentVectors,
    Conversation,
    DeRa,
    Generation,
    Method,
    Nudging,
    Plain,
    ProxyTuning,
)
from trimtab.tasks import Advice, Stories, WordProblems


def methods(zoo) -> dict[str, tuple[Method, type]]:
    """One of each, between the ends of its dial, with the task that it is for."""
    large, guide = zoo("a-large-base"), zoo("a-small-chat")
    reference = zoo("a-small-sft")
    return {
        "base": (Plain(model=large), WordProblems),
        "guide": (Plain(model=zoo("b-small-chat")), WordProblems),
        "nudging": (Nudging(base=large, guide=guide, threshold=0.4), WordProblems),
        "nudging-b": (Nudging(base=large, guide=zoo("b-small-chat")), WordProblems),
        "dera": (DeRa(reference=reference, aligned=zoo("a-small-dpo"), strength=0.6), Stories),
        "proxy_tuning": (
            ProxyTuning(base=large, tuned=guide, untuned=zoo("a-small-base"), strength=0.8),
            WordProblems,
        ),
        "alignment_vector": (
            AlignmentVector(base=reference, aligned=zoo("a-small-expert"), strength=0.5),
            Advice,
        ),
    }


NAMES = ["base", "guide", "nudging", "nudging-b", "dera", "proxy_tuning", "alignment_vector"]


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_batches_of_1_and_32_give_the_same_completions(zoo, name: str, temperature: float) -> None:
    method, task = methods(zoo)[name]
    asked = [sample.conversation for sample in task().samples(40)]
    alone, together = (
        method.complete(
            asked, Generation(max_new_tokens=48, batch_size=size, temperature=temperature)
        )
        for size in (1, 32)
    )
    for one, other in zip(alone, together, strict=True):
        assert one.text == other.text
        assert one.stop_reason == other.stop_reason
        assert one.tokens == other.tokens
        assert one.work == other.work
        assert [(s.text, s.speaker) for s in one.trace] == [
            (s.text, s.speaker) for s in other.trace
        ]
        for span, twin in zip(one.trace, other.trace, strict=True):
            assert span.probability == pytest.approx(twin.probability, abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_is_the_join_of_its_trace(zoo, name: str) -> None:
    method, task = methods(zoo)[name]
    asked = [sample.conversation for sample in task().samples(8)]
    for answer in method.complete(asked, Generation(max_new_tokens=48)):
        assert "".join(span.text for span in answer.trace) == answer.text
        assert sum(answer.tokens.values()) > 0
        assert answer.prompts.keys() == method.models.keys()


def test_a_string_is_a_conversation_of_only_a_question(zoo) -> None:
    method = Plain(model=zoo("a-small-chat"))
    settings = Generation(max_new_tokens=16)
    plain, full = (
        method.complete([question], settings)[0]
        for question in (
            "Tell me about the lake.",
            Conversation(question="Tell me about the lake."),
        )
    )
    assert plain.text == full.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": -0.1}, r"threshold=-0\.1: accepted are probabilities from 0 to 1"),
        ({"threshold": 40}, r"threshold=40"),
        ({"threshold": float("nan")}, r"threshold=nan"),
        ({"boundary": "spaces"}, r"boundary: 'spaces' is not known. Did you mean 'space'"),
        ({"stop": "both"}, r"Accepted: guide, speaker"),
        ({"lookahead": 1.5}, r"lookahead=1.5: accepted are whole numbers from 1 up"),
        ({"lookahead": 0}, r"lookahead=0: accepted are whole numbers from 1 up"),
    ],
)
def test_nudging_refuses_what_has_no_meaning(zoo, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Nudging(base=zoo("a-large-base"), guide=zoo("a-small-chat"), **settings)


def test_settings_made_in_python_are_of_their_type(zoo) -> None:
    model = zoo("a-small-sft")
    for name, make in (
        ("agreement", lambda: Nudging(base=model, guide=model, agreement="false")),
        ("measure_kl", lambda: DeRa(reference=model, aligned=model, measure_kl="false")),
        (
            "per_row",
            lambda: AlignmentVectors(base=model, vectors={"v": "zoo:law"}, per_row="false"),
        ),
    ):
        with pytest.raises(ValueError, match=f"{name}='false': accepted is true or false"):
            make()


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), -float("inf"), True, "1"])
def test_strengths_that_are_not_finite_numbers_are_refused(zoo, strength) -> None:
    model = zoo("a-small-sft")
    for make in (
        lambda: DeRa(reference=model, aligned=model, strength=strength),
        lambda: ProxyTuning(base=model, tuned=model, untuned=model, strength=strength),
        lambda: AlignmentVector(base=model, aligned=model, strength=strength),
    ):
        with pytest.raises(ValueError, match="accepted is any finite number"):
            make()


def test_an_answer_that_fills_the_context_stops_there(zoo) -> None:
    """The context is 1024 tokens; a long prompt leaves only some of them."""
    model = zoo("a-large-base")
    question = "Ana has 3 pens. " * 300
    tokens = model.encode(model.render(Conversation(question=question)))
    question = model.tokenizer.decode(tokens[:1000])
    room = 1024 - len(model.encode(model.render(Conversation(question=question))))
    (answer,) = Plain(model=model).complete([question], Generation(max_new_tokens=100))
    if answer.stop_reason != "end":
        assert answer.stop_reason == "context"
        assert answer.tokens["model"] == room + 1


@pytest.mark.parametrize("questions", ["a plain string", [3]])
def test_questions_of_another_kind_are_refused(zoo, questions) -> None:
    with pytest.raises(ValueError, match="accepted is a list of strings and Conversations"):
        Plain(model=zoo("a-small-chat")).complete(questions)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loud(DeRa):
    """Answers in a way of its own."""

    def answer(self, cursors, prompts, generation):
        completion = yield from super().answer(cursors, prompts, generation)
        return dataclasses.replace(completion, text=completion.text.upper())


def test_every_door_goes_by_the_way_in_which_a_subclass_answers(zoo) -> None:
    models = {"reference": zoo("a-small-sft"), "aligned": zoo("a-small-dpo")}
    methods = [Loud(**models, strength=strength) for strength in (0.2, 0.8)]
    quiet = [DeRa(**models, strength=strength) for strength in (0.2, 0.8)]
    asked = {"1": Conversation(question="Tell me about the farm.")}
    generation = Generation(max_new_tokens=8)
    said = {
        number: answer.text
        for number, answer in methods[0].stream_together(methods, [asked, asked], generation)
    }
    for number, (method, same) in enumerate(zip(methods, quiet, strict=True)):
        (alone,) = method.stream(asked, generation)
        (soft,) = same.stream(asked, generation)
        assert said[number] == alone.text == soft.text.upper() != soft.text
        assert alone.work == soft.work and alone.prompts == soft.prompts


@pytest.mark.parametrize("door", ["complete", "stream", "decode", "stream_together"])
def test_a_door_of_ones_own_which_the_others_would_pass_by_is_refused(door: str) -> None:
    with pytest.raises(TypeError, match=rf"Mine has a {door}\(\) of its own.* answer\(\)"):
        type("Mine", (DeRa,), {door: lambda self, *given: iter(())})
