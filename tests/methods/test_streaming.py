"""Answers piece by piece: early, never taken back, and the same as without; and given up."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab import (
    Completion,
    Conversation,
    DeRa,
    Generation,
    LanguageModel,
    Method,
    Nudging,
    Piece,
    Plain,
    Span,
)
from trimtab.decoding import Speaker, Turns
from trimtab.decoding.local import LocalPredictor
from trimtab.decoding.predictor import Answer, Cursors, Prediction, Request
from trimtab.decoding.telling import News, Telling
from trimtab.methods import BestOfN, Handover, NudgingNotebook, NudgingPaper
from trimtab.methods.prompts import Prompts
from trimtab.scorers import FunctionReward
from trimtab.tasks import Stories, WordProblems

Zoo = Callable[[str], LanguageModel]
GREEDY = Generation(max_new_tokens=48, batch_size=4)
SAMPLED = dataclasses.replace(GREEDY, temperature=0.9, seed=5)
STOPPED = dataclasses.replace(SAMPLED, stop_strings=("\nNow", ". T", "and the"))


def shortness(completion: str, question: str, target: str | None) -> float:
    return -len(completion)


def asked(count: int = 9) -> dict[str, Conversation]:
    samples = [*WordProblems().samples(count - 4), *Stories().samples(4)]
    return {f"q{i}": sample.conversation for i, sample in enumerate(samples)}


@dataclass(frozen=True, kw_only=True)
class Alternating(Method):
    """A user's own: the two speakers say three tokens each, in turns."""

    base: LanguageModel
    guide: LanguageModel

    def speakers(self) -> dict[str, Speaker]:
        return {"base": Speaker.of(base=self.base), "guide": Speaker.of(guide=self.guide)}

    def answer(self, cursors: Cursors, prompts: Prompts, generation: Generation) -> Answer:
        turns = Turns(cursors, prompts.text, generation)
        while True:
            for name in cursors:
                ending = yield from turns.say(name, most=3)
                if ending is not None:
                    return turns.completion(ending)


METHODS: dict[str, Callable[[Zoo], Method]] = {
    "plain": lambda zoo: Plain(model=zoo("a-large-base")),
    "dera": lambda zoo: DeRa(
        reference=zoo("a-small-sft"), aligned=zoo("a-small-dpo"), strength=0.5
    ),
    "dera, drafted": lambda zoo: DeRa(
        reference=zoo("a-small-sft"),
        aligned=zoo("a-small-dpo"),
        strength=1.5,
        draft="prompt-lookup",
    ),
    "nudging": lambda zoo: Nudging(base=zoo("a-large-base"), guide=zoo("b-small-chat")),
    "nudging, sure": lambda zoo: Nudging(
        base=zoo("a-small-base"), guide=zoo("b-small-chat"), threshold=0.15
    ),
    "notebook": lambda zoo: NudgingNotebook(base=zoo("a-small-base"), guide=zoo("a-small-chat")),
    "paper": lambda zoo: NudgingPaper(base=zoo("a-small-base"), guide=zoo("a-small-chat")),
    "first sentence": lambda zoo: Handover(base=zoo("a-large-base"), guide=zoo("b-small-chat")),
    "every sentence": lambda zoo: Handover(
        base=zoo("a-small-base"), guide=zoo("b-small-chat"), unit="words", of="sentence"
    ),
    "own": lambda zoo: Alternating(base=zoo("a-small-base"), guide=zoo("b-small-chat")),
}


def followed(
    method: Method, questions: dict[str, Conversation], generation: Generation
) -> tuple[dict[str, list[Span]], dict[str, Completion]]:
    """Return the pieces and the completion of each sample, none of which comes too late."""
    pieces: dict[str, list[Span]] = {name: [] for name in questions}
    done: dict[str, Completion] = {}
    for item in method.stream_pieces(questions, generation):
        assert item.id not in done
        if isinstance(item, Piece):
            pieces[item.id].append(item.span)
        else:
            done[item.id] = item
    return pieces, done


@pytest.mark.parametrize("generation", [GREEDY, SAMPLED, STOPPED])
@pytest.mark.parametrize("name", METHODS)
def test_pieces_are_the_trace_of_the_answer_that_complete_gives(
    name: str, generation: Generation, zoo: Zoo
) -> None:
    method, questions = METHODS[name](zoo), asked()
    pieces, done = followed(method, questions, generation)
    alone = {answer.id: answer for answer in method.stream(questions, generation)}
    assert done == alone
    assert {i: tuple(spans) for i, spans in pieces.items()} == {i: a.trace for i, a in done.items()}


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Whose answers each pass was for."""
    seen: list[list[str]] = []
    predict = LocalPredictor.predict

    def noted(self: LocalPredictor, requests: Sequence[Request]) -> list[list[Prediction]]:
        seen.append([request.cursor.sample_id for request in requests])
        return predict(self, requests)

    monkeypatch.setattr(LocalPredictor, "predict", noted)
    return seen


def test_a_piece_comes_with_the_pass_that_settles_it(passes: list[list[str]], zoo: Zoo) -> None:
    question = {"q": Conversation(question="Tell me a story.")}
    after = [
        len(passes)
        for item in Plain(model=zoo("a-small-sft")).stream_pieces(question, GREEDY)
        if isinstance(item, Piece)
    ]
    assert after == list(range(1, len(after) + 1))
    assert len(after) > 20


@pytest.mark.parametrize("name", ["nudging", "nudging, sure", "first sentence", "own"])
def test_pieces_of_turns_do_not_wait_for_the_answer(
    name: str, passes: list[list[str]], zoo: Zoo
) -> None:
    method = METHODS[name](zoo)
    question = {"q": next(iter(asked(5).values()))}
    after = [
        len(passes) for item in method.stream_pieces(question, GREEDY) if isinstance(item, Piece)
    ]
    assert after[0] < len(passes) / 2
    assert len(set(after)) >= 4  # a look-ahead of the guide has up to 16 passes


def test_what_is_given_up_takes_no_pass_and_its_row_is_free(
    passes: list[list[str]], zoo: Zoo
) -> None:
    method, questions = METHODS["nudging"](zoo), asked()
    alone = {answer.id: answer for answer in method.stream(questions, GREEDY)}
    del passes[:]
    done = {}
    with method.stream_pieces(questions, GREEDY) as stream:
        for item in stream:
            if item.id == "q1" and not done:
                before = len(passes)
                stream.give_up("q1")  # in the middle
                stream.give_up("q6")  # before it began
            assert item.id not in ("q1", "q6") or len(passes) == before
            if isinstance(item, Completion):
                done[item.id] = item
    later = Counter(name for row in passes[before:] for name in row)
    assert later["q1"] == later["q6"] == 0
    assert "q4" in passes[before]  # the next in line has the row
    assert done == {name: alone[name] for name in questions if name not in ("q1", "q6")}


def test_what_is_left_is_given_up_at_the_end_of_a_block(passes: list[list[str]], zoo: Zoo) -> None:
    method = METHODS["plain"](zoo)
    with method.stream_pieces(asked(), GREEDY) as stream:
        next(stream)
        with pytest.raises(ValueError, match="give_up: 'q77'"):
            stream.give_up("q77")
    assert len(passes) == 1
    assert list(stream) == []
    assert len(method.complete(["Go on:"], GREEDY)) == 1


def test_of_several_answers_the_best_alone_is_told(zoo: Zoo) -> None:
    method = BestOfN(
        model=zoo("a-small-sft"), reward=FunctionReward(function=f"{__name__}.shortness"), n=3
    )
    questions = asked(5)
    pieces, done = followed(method, questions, SAMPLED)
    assert done == {answer.id: answer for answer in method.stream(questions, SAMPLED)}
    assert all(tuple(pieces[i]) == answer.trace for i, answer in done.items())


@given(
    st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=12),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
)
def test_what_may_begin_a_stop_string_waits_and_nothing_else(
    texts: list[str], stops: list[str]
) -> None:
    told: list[Span] = []
    telling, trace = Telling(True, stops), list[Span]()
    for text in texts:
        trace.append(Span(text=text, speaker="model"))
        said = "".join(span.text for span in trace)
        if any(stop in said for stop in stops):
            break
        for news in telling.of(trace):
            assert isinstance(news, News)
            told += news.spans
        begun = [n for n in range(len(said)) if any(s.startswith(said[n:]) for s in stops)]
        settled = min(begun, default=len(said))
        ends = [sum(len(span.text) for span in trace[: n + 1]) for n in range(len(trace))]
        assert told == trace[: sum(end <= settled for end in ends)]
