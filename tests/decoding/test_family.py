"""Several values of a dial at once: each answer is, to the last bit, that of its value alone."""

import dataclasses

import pytest

from trimtab import (
    AlignmentVector,
    Completion,
    DeRa,
    Ensemble,
    Generation,
    LanguageModel,
    Nudging,
    ProxyTuning,
)
from trimtab.decoding import local
from trimtab.methods import Method
from trimtab.models import session
from trimtab.tasks import Stories, WordProblems

SAMPLED = {"temperature": 0.9, "top_p": 0.95, "seed": 5}


def dera(zoo) -> Method:
    return DeRa(reference=zoo("a-small-sft"), aligned=zoo("a-small-dpo"), measure_kl=True)


def drafted(zoo) -> Method:
    return dataclasses.replace(dera(zoo), draft=zoo("a-small-chat"))


def looked_up(zoo) -> Method:
    return dataclasses.replace(dera(zoo), draft="prompt-lookup")


def proxy_tuning(zoo) -> Method:
    return ProxyTuning(
        base=zoo("a-large-base"), tuned=zoo("a-small-chat"), untuned=zoo("a-small-base")
    )


def ensemble(zoo) -> Method:
    return Ensemble(base=zoo("a-large-base"), guide=zoo("a-small-chat"))


def nudging(zoo) -> Method:
    return Nudging(base=zoo("a-large-base"), guide=zoo("a-small-chat"))


def other_tokenizer(zoo) -> Method:
    return Nudging(base=zoo("a-large-base"), guide=zoo("b-small-chat"))


CASES = [
    (dera, (0.0, 0.3, 1.0, 1.5), SAMPLED),
    (dera, (-0.5, 0.5, 1.0), {}),
    (drafted, (0.0, 0.5, 1.0), SAMPLED),
    (looked_up, (0.2, 0.8), {}),
    (proxy_tuning, (0.0, 1.0, 2.0), SAMPLED),
    (ensemble, (0.0, 0.5, 1.0), {}),
    (nudging, (0.0, 0.2, 0.4, 0.6, 0.9, 1.1), {}),
    (nudging, (0.0, 0.6, 0.95), SAMPLED),
    (other_tokenizer, (0.0, 0.6, 1.1), {}),
]


def conversations(method: Method, count: int) -> dict:
    task = Stories() if isinstance(method, DeRa) else WordProblems()
    return {sample.id: sample.conversation for sample in task.samples(count)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "values", "drawn"),
    CASES,
    ids=[f"{make.__name__}-{'sampled' if drawn else 'greedy'}" for make, _, drawn in CASES],
)
def test_a_family_answers_as_each_alone(zoo, make, values, drawn) -> None:
    method = make(zoo)
    asked = conversations(method, 9)
    family = [method.at(value) for value in values]
    generation = Generation(max_new_tokens=48, batch_size=4, **drawn)
    together = {
        (i, answer.id): answer
        for i, answer in method.stream_together(family, [asked] * len(family), generation)
    }
    assert len(together) == len(values) * len(asked)
    alone: dict[tuple[int, str], Completion] = {}
    passes = 0
    for i, value in enumerate(values):
        member = method.at(value)
        for answer in member.stream(asked, generation):
            alone[i, answer.id] = answer
        passes += sum(member.forward_passes.values())
    # Texts, traces, probabilities, divergences, and the work as if each were alone.
    assert together == alone
    assert sum(family[0].forward_passes.values()) < passes
    traces = {sample: set[object]() for sample in asked}
    for (_, sample), answer in alone.items():
        traces[sample].add(answer.trace)
    assert max(map(len, traces.values())) > 1, "the dial did nothing: a weak test"


@pytest.mark.parametrize(("make", "value"), [(ensemble, 1.0), (drafted, 0.0), (nudging, 0.6)])
def test_equal_values_say_the_same_in_the_passes_of_one(zoo, make, value) -> None:
    """Some of these ask one model alone, which then says the same to both."""
    method = make(zoo)
    asked = conversations(method, 5)
    generation = Generation(max_new_tokens=24, batch_size=4, **SAMPLED)
    family, one = [method.at(value), method.at(value)], method.at(value)
    together: list[dict[str, Completion]] = [{}, {}]
    for i, answer in method.stream_together(family, [asked] * 2, generation):
        together[i][answer.id] = answer
    alone = {answer.id: answer for answer in one.stream(asked, generation)}
    assert together == [alone, alone]
    assert sum(family[0].forward_passes.values()) <= sum(one.forward_passes.values())


def test_members_may_have_different_samples_left(zoo) -> None:
    """As after an interruption, when each value has got to another place."""
    method = nudging(zoo)
    asked = conversations(method, 8)
    family = [method.at(value) for value in (0.2, 0.5, 0.8)]
    rest = [dict(list(asked.items())[i:]) for i in (0, 3, 8)]
    generation = Generation(max_new_tokens=48, batch_size=4)
    together = {(i, a.id): a for i, a in method.stream_together(family, rest, generation)}
    assert {key for key in together} == {(i, s) for i, own in enumerate(rest) for s in own}
    for i in (0, 1):
        for answer in family[i].stream(asked, generation):
            if answer.id in rest[i]:
                assert together[i, answer.id] == answer


def test_only_what_differs_in_the_dial_alone_goes_together(zoo) -> None:
    method = nudging(zoo)
    assert method.goes_with(method.at(0.9))
    assert not method.goes_with(dataclasses.replace(method, agreement=False))
    assert not method.goes_with(dera(zoo))
    assert not dera(zoo).goes_with(method)
    vector = AlignmentVector(base=zoo("a-small-sft"), aligned=zoo("a-small-expert"))
    assert not vector.goes_with(vector.at(0.5))
    with pytest.raises(ValueError, match="more than their dials"):
        next(method.stream_together([method, dera(zoo)], [{}, {}], Generation()))


def test_a_batch_takes_no_more_memory_than_its_samples_fill(zoo, monkeypatch) -> None:
    taken = []

    class Counted(session.Session):
        def __init__(self, model: LanguageModel, slots: int, **given: object) -> None:
            taken.append(slots)
            super().__init__(model, min(slots, 64), **given)

    monkeypatch.setattr(local, "Session", Counted)
    large = Generation(max_new_tokens=8, batch_size=100_000)
    method = nudging(zoo)
    asked = conversations(method, 6)
    alone = {c.id: c for c in method.stream(asked, dataclasses.replace(large, batch_size=16))}
    assert {c.id: c for c in method.stream(asked, large)} == alone
    dict(dera(zoo).weigh(asked, {key: [" a", " b"] for key in asked}, large))
    assert set(taken) == {6}
