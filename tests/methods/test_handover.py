"""Handing over after so many tokens, words, sentences or lines: against a slow telling of it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import oracles
import pytest
from decoding import real_tokenizers as real
from short_prompts import PROMPTS

from trimtab import Conversation, Generation, LanguageModel, Plain
from trimtab.decoding.openings import first, sentence
from trimtab.methods import Handover
from trimtab.tasks import Stories, WordProblems

Zoo = Callable[[str], LanguageModel]
GREEDY = Generation(max_new_tokens=40, batch_size=8)
SAMPLED = dataclasses.replace(GREEDY, temperature=0.9, top_p=0.95, seed=3)
RULES = [
    {"first": 1, "unit": "sentences"},
    {"first": 2, "unit": "lines"},
    {"first": 3, "unit": "words"},
    {"first": 5, "unit": "tokens"},
    {"first": 2, "unit": "words", "of": "sentence"},
    {"first": 1, "unit": "tokens", "of": "sentence"},
]


@functools.cache
def reader(model: LanguageModel) -> oracles.Reader:
    return oracles.Reader(model)


# ------------------------------------------------------------------ where a turn ends


def is_sentence_end(text: str, place: int, start: int = 0) -> bool:
    """Whether a sentence ends before a place, with a mark behind `start` or with its line."""
    before = text[start:place].rstrip("\"')]")
    marked = before[-1:] in (".", "!", "?") and text[place].isspace()
    return marked or (text[place] == "\n" and not text[place - 1].isspace())


def ends_after(text: str, began: int, count: int, unit: str) -> int | None:
    place = began
    for _ in range(count):
        while place < len(text) and text[place].isspace():
            place += 1
        start = place
        while place < len(text):
            if unit == "words" and text[place].isspace():
                break
            if unit == "lines" and text[place] == "\n":
                break
            if unit == "sentences" and place > start and is_sentence_end(text, place, start):
                break
            place += 1
        if place >= len(text):
            return None
        place += unit == "lines"
    return place


def ends_with_sentence(text: str, began: int) -> int | None:
    return next((i for i in range(max(1, began), len(text)) if is_sentence_end(text, i)), None)


TEXTS = [
    'Ana has 3.5 boats. She sells two.\nHow many? "None." (Two!) See.\n\n1. Add\n2. Take  it ',
    "  \n leading\n\nlines \n and  words\tand\u3000wide spaces.\n ...  odd. ) marks ?! here.",
    "no end at all",
    "One.",
    "One.\n",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_turns_end_where_they_should(text: str) -> None:
    """Every text in every stage of its growth, from every place where a turn may begin."""
    for length in range(len(text) + 1):
        grown = text[:length]
        for began in range(0, length + 1, 5):
            assert sentence(grown, began) == (
                ends_with_sentence(grown, began) if began else sentence(grown, 0)
            )
            for unit in ("words", "sentences", "lines"):
                for count in (1, 2, 4):
                    expected = ends_after(grown, began, count, unit)
                    assert first(count, unit)(grown, began) == expected, (grown, began, unit)


# ------------------------------------------------------------------ whole answers


def told(method: Handover, asked: Conversation, drawn: Generation, i: str) -> oracles.Told:
    speakers = {"guide": method.guide, "base": method.base}
    prompts = {name: model.render(asked) for name, model in speakers.items()}
    answer, trace, spoken = "", [], 0

    def say(name: str, most: int | None, until) -> str | None:
        nonlocal answer, spoken
        read = reader(speakers[name])
        before = read.tokens(prompts[name] + answer)
        asked_with = len(read.tokens(prompts[name]))
        new, sure, reason, end = [], [], None, None
        while most is None or len(new) < most:
            end = until(answer + read.text(new), len(answer)) if until else None
            if end is not None:
                break
            if spoken + len(new) >= drawn.max_new_tokens:
                reason = "length"
                break
            try:
                logits = read.logits((*before, *new))
            except oracles.Full:
                reason = "context"
                break
            place = {"role": name, "position": len(before) + len(new) - asked_with}
            token = oracles.choose(logits, drawn, sample_id=i, **place)
            if token in read.signs:
                reason = "end"
                break
            new.append(token)
            sure.append(oracles.surest(logits)[0])
        whole = answer + read.text(new)
        end = end if end is not None else (until(whole, len(answer)) if until else None)
        kept = len(new)
        if end is not None:
            reason = None
            while kept and len(answer + read.text(new[: kept - 1])) >= end:
                kept -= 1
        spoken += kept
        for piece, begins in read.pieces(new):
            piece = piece[: None if end is None else max(0, end - len(answer))]
            answer += piece
            if piece:
                trace.append(oracles.Said(piece, name, sure[begins]))
        return reason

    by_token = method.unit == "tokens"
    opened = None if by_token else lambda t, b: ends_after(t, b, method.first, method.unit)
    closed = ends_with_sentence if method.of == "sentence" else None
    while True:
        for name, most, until in (
            ("guide", method.first if by_token else None, opened),
            ("base", None, closed),
        ):
            if reason := say(name, most, until):
                return oracles.Told(answer, reason, trace)


def require_told(method: Handover, asked: list[Conversation], drawn: Generation) -> None:
    expected = [told(method, each, drawn, str(i)) for i, each in enumerate(asked)]
    for draft_length, size in ((0, 1), (0, 8), (16, 8)):
        some = asked if size > 1 else asked[:2]
        sized = dataclasses.replace(drawn, batch_size=size, draft_length=draft_length)
        for got, one in zip(method.complete(some, sized), expected, strict=False):
            assert (got.text, got.stop_reason) == (one.text, one.stop_reason)
            assert [(span.speaker, span.text) for span in got.trace] == one.turns
            for span, said in zip(got.trace, one.trace, strict=True):
                assert span.probability == pytest.approx(said.probability, abs=1e-4)


@pytest.mark.parametrize("drawn", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(each, marks=[pytest.mark.slow] * (i not in (0, 4)))
        for i, each in enumerate(RULES)
    ],
    ids=str,
)
def test_answers_are_told_alike(zoo: Zoo, rule: dict, drawn: Generation) -> None:
    """Other tokenizers, stories and problems: small models that end what they begin."""
    method = Handover(base=zoo("a-small-sft"), guide=zoo("b-small-chat"), **rule)
    asked = [s.conversation for task in (Stories(), WordProblems()) for s in task.samples(3)]
    require_told(method, asked, drawn)


@pytest.mark.slow
@pytest.mark.parametrize("drawn", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_so_they_are_on_many_prompts(zoo: Zoo, drawn: Generation) -> None:
    method = Handover(base=zoo("a-small-sft"), guide=zoo("b-small-chat"), first=2, unit="words")
    require_told(method, [*PROMPTS.values()], dataclasses.replace(drawn, max_new_tokens=8))


@pytest.mark.slow
@pytest.mark.parametrize("drawn", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("rule", [RULES[2], RULES[5]], ids=str)
def test_bytes_that_are_no_character_change_hands(rule: dict, drawn: Generation) -> None:
    method = Handover(base=real.model("qwen"), guide=real.model("llama2"), **rule)
    asked = [Conversation(question=q) for q in ("Köln?", "这是什么？", "👩‍🚀 and 👍🏽", "a\n b")]  # noqa: RUF001
    require_told(method, asked, drawn)


def test_the_base_alone_and_a_sweep_together(zoo: Zoo) -> None:
    base, guide = zoo("a-small-sft"), zoo("b-small-chat")
    asked = {sample.id: sample.conversation for sample in Stories().samples(5)}
    family = [Handover(base=base, guide=guide, first=n, unit="words") for n in (0, 1, 4)]
    alone = [{a.id: a for a in each.stream(asked, SAMPLED)} for each in family]
    together: list[dict] = [{} for _ in family]
    for number, answer in family[0].stream_together(family, [asked] * 3, SAMPLED):
        together[number][answer.id] = answer
    assert together == alone
    greedy = family[0].complete([*asked.values()], GREEDY)
    plain = Plain(model=base).complete([*asked.values()], GREEDY)
    assert [a.text for a in greedy] == [a.text for a in plain]
    assert all(a.measures["guide_ratio_tokens"] == 0 for a in greedy)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"first": -1}, "first"),
        ({"first": 1.5}, "first"),
        ({"unit": "word"}, "unit.*words"),
        ({"of": "line"}, "of.*sentence"),
        ({"of": "sentence"}, "leaves nothing to the base"),
    ],
)
def test_settings_are_refused(settings: dict, named: str) -> None:
    base = LanguageModel(path="zoo:a-small-base", prompt="plain")
    with pytest.raises(ValueError, match=named):
        Handover(base=base, guide=base, **settings)
