"""A batch that is never closed gives each who asks what would be given alone."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from trimtab import (
    Completion,
    Conversation,
    DeRa,
    Generation,
    LanguageModel,
    Method,
    Nudging,
    Piece,
)
from trimtab.decoding.local import LocalPredictor
from trimtab.decoding.predictor import Prediction, Request
from trimtab.methods import AlignmentVectors, BestOfN, Handover, Plain
from trimtab.methods.prompts import Prompts
from trimtab.scorers import FunctionReward
from trimtab.serve import Asked, Closed, Engine, Full
from trimtab.tasks import Stories, Task, WordProblems

Zoo = Callable[[str], LanguageModel]
METHODS: dict[str, tuple[Callable[[Zoo], Method], Task, list[dict[str, Any]]]] = {
    "plain": (lambda zoo: Plain(model=zoo("a-small-sft")), Stories(), [{}]),
    "nudging": (
        lambda zoo: Nudging(base=zoo("a-large-base"), guide=zoo("b-small-chat")),
        WordProblems(),
        [{"threshold": value} for value in (0.0, 0.4, 0.9)],
    ),
    "dera": (
        lambda zoo: DeRa(reference=zoo("a-small-sft"), aligned=zoo("a-small-dpo")),
        Stories(),
        [{"strength": value} for value in (-0.5, 0, 1, 2.5)],
    ),
    "dera, drafted": (
        lambda zoo: DeRa(
            reference=zoo("a-small-sft"), aligned=zoo("a-small-dpo"), draft="prompt-lookup"
        ),
        Stories(),
        [{"strength": value} for value in (0.5, 1.5)],
    ),
    "vectors": (
        lambda zoo: AlignmentVectors(
            base=zoo("a-small-mixed"), vectors={"law": "zoo:law"}, per_row=True
        ),
        Stories(),
        [{"strength": 0.5}, {"strengths": {"law": -0.5}}],
    ),
    "handover": (
        lambda zoo: Handover(base=zoo("a-large-base"), guide=zoo("b-small-chat")),
        WordProblems(),
        [{"first": value} for value in (0, 1, 2)],
    ),
}


def generations(rng: random.Random) -> Generation:
    return Generation(
        max_new_tokens=rng.choice((5, 30)),
        temperature=rng.choice((0, 0.8)),
        top_p=rng.choice((1, 0.9)),
        top_k=rng.choice((0, 20)),
        seed=rng.randrange(3),
        stop_strings=rng.choice(((), (". T",))),
    )


def completion(asked: Asked) -> Completion:
    *pieces, last = asked
    assert isinstance(last, Completion)
    assert [piece.span for piece in pieces if isinstance(piece, Piece)] == list(last.trace)
    return last


@pytest.mark.parametrize("name", METHODS)
def test_all_are_answered_as_if_alone(name: str, zoo: Zoo) -> None:
    make, task, dials = METHODS[name]
    method, rng = make(zoo), random.Random(name)
    asks = [
        (sample.conversation, generations(rng), rng.choice(dials)) for sample in task.samples(18)
    ]
    alone = [method.turned(dial).complete([q], own)[0] for q, own, dial in asks]
    with Engine(method, rows=5) as engine:
        early = [engine.ask(*each) for each in asks[:9]]
        found = [completion(early[0])]
        late = [engine.ask(*each) for each in asks[9:]]
        found += [completion(asked) for asked in [*early[1:], *late]]
        again = completion(engine.ask(*asks[0]))  # after all were done
    assert found == alone
    assert again == alone[0]


def test_many_may_ask_at_once(zoo: Zoo) -> None:
    questions = [sample.conversation for sample in Stories().samples(24)]
    method, found = Plain(model=zoo("a-small-sft")), dict[int, Completion]()
    with Engine(method, rows=8) as engine:

        def ask(number: int) -> None:
            found[number] = completion(engine.ask(questions[number], Generation(max_new_tokens=9)))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number, question in enumerate(questions):
        assert found[number] == method.complete([question], Generation(max_new_tokens=9))[0]


class Held:
    """Lets passes go on when it is said."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.error: BaseException | None = None
        self._go = threading.Semaphore(0)

    def go(self, passes: int) -> None:
        for _ in range(passes):
            self._go.release()

    def passing(self, requests: Sequence[Request]) -> None:
        self._go.acquire()
        self.rows.append(len(requests))
        if self.error is not None:
            error, self.error = self.error, None
            raise error


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    found, predict = Held(), LocalPredictor.predict

    def waiting(self: LocalPredictor, requests: Sequence[Request]) -> list[list[Prediction]]:
        found.passing(requests)
        return predict(self, requests)

    monkeypatch.setattr(LocalPredictor, "predict", waiting)
    yield found


LONG = Generation(max_new_tokens=40)


def test_who_leaves_is_gone_within_a_pass_and_others_stay_as_they_were(
    held: Held, zoo: Zoo
) -> None:
    method = Plain(model=zoo("a-small-sft"))
    one, other, third = (sample.conversation for sample in Stories().samples(3))
    with Engine(method, rows=2) as engine:
        asked = [engine.ask(question, LONG) for question in (one, other, third)]
        held.go(6)
        for _ in range(4):
            next(asked[0])
        asked[0].give_up()
        held.go(500)
        found = [completion(each) for each in asked[1:]]
    alone = [method.complete([question], LONG)[0] for question in (other, third)]
    assert found == alone


def test_what_goes_wrong_is_told_to_those_it_was_for_and_the_next_are_answered(
    held: Held, zoo: Zoo
) -> None:
    method, question = Plain(model=zoo("a-small-sft")), Conversation(question="Go on.")
    held.go(500)
    with Engine(method, rows=2) as engine:
        held.error = MemoryError("out of memory")
        with pytest.raises(MemoryError, match="out of memory"):
            list(engine.ask(question, LONG))
        found = completion(engine.ask(question, LONG))
    assert found == method.complete([question], LONG)[0]


def test_whose_answer_cannot_begin_is_told_too(
    monkeypatch: pytest.MonkeyPatch, held: Held, zoo: Zoo
) -> None:
    def strengths(self: Plain, prompts: Prompts) -> tuple[float, ...]:
        if prompts.sample_id == "odd":
            raise ValueError("no strengths for this one")
        return ()

    monkeypatch.setattr(Plain, "strengths_for", strengths)
    with Engine(Plain(model=zoo("a-small-sft")), rows=4) as engine:
        first = engine.ask("Go on.", LONG)
        held.go(3)
        next(first)
        odd = engine.ask("Go on.", LONG, sample_id="odd")
        held.go(500)
        for asked in (odd, first):  # they shared the batch
            with pytest.raises(ValueError, match="no strengths"):
                list(asked)
        assert completion(engine.ask("Go on.", LONG)).text


def test_more_than_may_wait_are_refused(held: Held, zoo: Zoo) -> None:
    with Engine(Plain(model=zoo("a-small-sft")), rows=1, waiting=2) as engine:
        asked = [engine.ask("Go on.", LONG)]
        held.go(5)
        next(asked[0])  # it has a row: the others wait
        asked += [engine.ask("Go on.", LONG) for _ in range(2)]
        with pytest.raises(Full):
            engine.ask("Go on.", LONG)
        held.go(500)
        assert len({completion(each).text for each in asked[1:]}) == 1
        assert completion(engine.ask("Go on.", LONG)).text
    held.go(500)


def test_at_the_end_all_are_told(held: Held, zoo: Zoo) -> None:
    engine = Engine(Plain(model=zoo("a-small-sft")), rows=1)
    with engine:
        asked = [engine.ask("Go on.", LONG) for _ in range(3)]
        held.go(5)
        next(asked[0])
        threading.Timer(0.2, held.go, [500]).start()
    for each in asked:
        with pytest.raises(Closed):
            list(each)
    with pytest.raises(Closed):
        engine.ask("Go on.")


def test_what_cannot_be_is_refused_before_it_waits(zoo: Zoo) -> None:
    dera = DeRa(reference=zoo("a-small-sft"), aligned=zoo("a-small-dpo"))
    with Engine(dera) as engine:
        with pytest.raises(ValueError, match=r"dials: 'strenght'.*Did you mean 'strength'"):
            engine.ask("Hi", dials={"strenght": 1})
        with pytest.raises(ValueError, match="strength"):
            engine.ask("Hi", dials={"strength": float("nan")})
        with pytest.raises(ValueError, match="leave no room"):
            engine.ask("Hi " * 2000)
        for odd in ({"token_records": True}, {"draws": 2, "temperature": 1}):
            with pytest.raises(ValueError, match="of a run's record"):
                engine.ask("Hi", Generation(**odd))
    reward = FunctionReward(function=lambda completion, question, target: 0.0)
    with pytest.raises(ValueError, match="best of 8 answers"):
        Engine(BestOfN(model=zoo("a-small-sft"), reward=reward))
    with (
        Engine(BestOfN(model=zoo("a-small-sft"), reward=reward, n=1)) as engine,
        pytest.raises(ValueError, match="best of 4 answers"),
    ):
        engine.ask("Hi", Generation(temperature=1), {"n": 4})
    with pytest.raises(ValueError, match="vocabular"):
        Engine(DeRa(reference=zoo("a-small-sft"), aligned=zoo("b-small-chat")))
