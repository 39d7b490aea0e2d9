"""Nudging against a slow, cache-free oracle, and against rules scripted by hand."""

import dataclasses
import json
from typing import Any

import oracles
import pytest

from trimtab import Conversation, Generation, LanguageModel, Nudging
from trimtab import zoo as embedded
from trimtab.decoding.handoff import Rules
from trimtab.tasks import Stories, WordProblems

BUDGET = 64
PAIRS = [("a-large-base", "a-small-chat"), ("a-large-base", "b-small-chat")]


def conversations(count: int) -> list[Conversation]:
    return [sample.conversation for sample in WordProblems().samples(count)]


def turns(trace: tuple) -> list[tuple[str, str]]:
    """Join neighbouring spans of one speaker."""
    joined: list[tuple[str, str]] = []
    for span in trace:
        if joined and joined[-1][0] == span.speaker:
            joined[-1] = (span.speaker, joined[-1][1] + span.text)
        else:
            joined.append((span.speaker, span.text))
    return joined


class Oracle:
    """Nudging of two models as the oracle tells it."""

    def __init__(self, base: LanguageModel, guide: LanguageModel) -> None:
        self.models = base, guide
        self.readers = oracles.Reader(base), oracles.Reader(guide)

    def tell(self, conversation: Conversation, got: str, **settings: Any) -> oracles.Told:
        """Tell an answer; `got` is the one to be checked, which saves time if it is right."""
        prompts = [model.render(conversation) for model in self.models]
        for reader, prompt in zip(self.readers, prompts, strict=True):
            reader.foresee(prompt, got)
        (base, guide), (base_prompt, guide_prompt) = self.readers, prompts
        return oracles.nudge(base, base_prompt, guide, guide_prompt, **settings)


@pytest.mark.slow
@pytest.mark.parametrize(("base_name", "guide_name"), PAIRS)
@pytest.mark.parametrize("agreement", [True, False])
def test_equals_the_oracle(zoo, base_name: str, guide_name: str, agreement: bool) -> None:
    base, guide = zoo(base_name), zoo(guide_name)
    oracle = Oracle(base, guide)
    asked = conversations(20 if agreement else 10)
    generation = Generation(max_new_tokens=BUDGET, batch_size=8)
    for threshold in (0.0, 0.2, 0.4, 0.8, 1.01) if agreement else (0.2, 0.8, 1.01):
        nudging = Nudging(
            base=base,
            guide=guide,
            threshold=threshold,
            agreement=agreement,
            repetition_guard=False,
        )
        for conversation, got in zip(asked, nudging.complete(asked, generation), strict=True):
            told = oracle.tell(
                conversation,
                got.text,
                threshold=threshold,
                generation=generation,
                agreement=agreement,
            )
            assert got.text == told.text
            assert got.stop_reason == told.stop_reason
            assert [(span.speaker, span.text) for span in got.trace] == told.turns
            assert got.measures["ends_suppressed"] == told.ends_suppressed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("guide_name", "threshold"),
    [("a-small-base", 0.2), ("a-small-sft", 0.2), ("a-small-sft", 0.6)],
)
def test_the_guard_equals_the_oracle_on_texts_that_repeat(
    zoo, guide_name: str, threshold: float
) -> None:
    """Stories by models of which none ends one: they come round to the same sentences."""
    base, guide = zoo("a-large-base"), zoo(guide_name)
    oracle = Oracle(base, guide)
    asked = [sample.conversation for sample in Stories().samples(6)]
    generation = Generation(max_new_tokens=160)
    nudging = Nudging(base=base, guide=guide, threshold=threshold)
    guarded = nudging.complete(asked, generation)
    for conversation, got in zip(asked, guarded, strict=True):
        settings = {"threshold": threshold, "generation": generation, "guard": True}
        told = oracle.tell(conversation, got.text, **settings)
        assert (got.text, got.stop_reason) == (told.text, told.stop_reason)
        assert [(span.speaker, span.text) for span in got.trace] == told.turns
    unguarded = dataclasses.replace(nudging, repetition_guard=False).complete(asked, generation)
    assert any(one.text != other.text for one, other in zip(guarded, unguarded, strict=True))


@pytest.mark.parametrize(("base_name", "guide_name"), PAIRS)
@pytest.mark.slow
def test_sampled_answers_equal_the_oracle(zoo, base_name: str, guide_name: str) -> None:
    base, guide = zoo(base_name), zoo(guide_name)
    oracle = Oracle(base, guide)
    generation = Generation(
        max_new_tokens=40, batch_size=5, temperature=0.8, top_k=50, top_p=0.95, seed=11
    )
    asked = conversations(10)
    nudging = Nudging(base=base, guide=guide, threshold=0.4, repetition_guard=False)
    for i, got in enumerate(nudging.complete(asked, generation)):
        told = oracle.tell(
            asked[i], got.text, threshold=0.4, generation=generation, sample_id=str(i)
        )
        assert (got.text, got.stop_reason) == (told.text, told.stop_reason)
        assert got.measures["ends_suppressed"] == told.ends_suppressed


@pytest.mark.slow
def test_batch_size_changes_nothing(zoo) -> None:
    nudging = Nudging(base=zoo("a-large-base"), guide=zoo("b-small-chat"), threshold=0.4)
    asked = conversations(16)
    alone, together = (
        nudging.complete(asked, Generation(max_new_tokens=96, batch_size=size)) for size in (1, 16)
    )
    for one, other in zip(alone, together, strict=True):
        assert one.text == other.text
        assert one.stop_reason == other.stop_reason
        assert one.tokens == other.tokens
        for span, twin in zip(one.trace, other.trace, strict=True):
            assert (span.text, span.speaker) == (twin.text, twin.speaker)
            assert span.probability == pytest.approx(twin.probability, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("guide_name", ["a-small-chat", "b-small-chat"])
def test_drafts_change_the_passes_and_nothing_else(
    zoo, guide_name: str, temperature: float
) -> None:
    nudging = Nudging(base=zoo("a-large-base"), guide=zoo(guide_name), threshold=0.3)
    asked = conversations(6)
    undrafted, *drafted = (
        nudging.complete(
            asked,
            Generation(max_new_tokens=80, draft_length=length, temperature=temperature, top_p=0.95),
        )
        for length in (0, 1, 5, 16)
    )
    for answers in drafted:
        assert [a.text for a in answers] == [a.text for a in undrafted]
        assert [a.stop_reason for a in answers] == [a.stop_reason for a in undrafted]
    passes = [sum(a.work["base"].passes for a in answers) for answers in (undrafted, drafted[-1])]
    assert passes[1] < passes[0]


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_ends_that_were_passed_over_equal_the_oracle(zoo, temperature: float) -> None:
    """An aligned base ends its stories, and the guide goes on: whatever is drafted or batched."""
    base, guide = zoo("a-small-dpo"), zoo("b-small-chat")
    oracle = Oracle(base, guide)
    asked = [sample.conversation for sample in Stories().samples(6)]
    settings = {"max_new_tokens": 48, "temperature": temperature}
    nudging = Nudging(base=base, guide=guide, threshold=0.4, repetition_guard=False)
    told: list[oracles.Told] = []
    for draft_length, batch_size in ((0, 1), (0, 8), (5, 3), (16, 8)):
        generation = Generation(draft_length=draft_length, batch_size=batch_size, **settings)
        answers = nudging.complete(asked, generation)
        told = told or [
            oracle.tell(asked[i], got.text, threshold=0.4, generation=generation, sample_id=str(i))
            for i, got in enumerate(answers)
        ]
        assert [a.text for a in answers] == [each.text for each in told]
        expected = [each.ends_suppressed for each in told]
        assert [a.measures["ends_suppressed"] for a in answers] == expected
    assert sum(expected) > len(asked)
    assert temperature == 0 or len(set(expected)) > 2
    # A fused sweep reads for all its thresholds at once.
    generation = Generation(batch_size=4, **settings)
    family = [nudging.at(threshold) for threshold in (0.2, 0.4, 0.9)]
    conversations = {str(i): conversation for i, conversation in enumerate(asked)}
    together = nudging.stream_together(family, [conversations] * len(family), generation)
    fused = {answer.id: answer for member, answer in together if member == 1}
    assert [fused[i].measures["ends_suppressed"] for i in conversations] == expected


def test_trace_tells_the_text_and_why_the_guide_spoke(zoo) -> None:
    nudging = Nudging(base=zoo("a-large-base"), guide=zoo("a-small-chat"), threshold=0.5)
    for answer in nudging.complete(conversations(12), Generation(max_new_tokens=128)):
        assert "".join(span.text for span in answer.trace) == answer.text
        assert answer.trace[0].speaker == "guide"
        previous = None
        for span in answer.trace:
            if span.speaker == "guide" and span.probability is not None and previous == "guide":
                # Within a guide's turn, every further word is one that the base left to it.
                assert span.probability < 0.5
            if span.speaker == "base" and previous == "base":
                assert span.probability is not None
            previous = span.speaker
        assert 0 <= answer.measures["guide_ratio"] <= 1
        assert answer.tokens["base"] <= 128


def test_a_base_that_is_never_sure_leaves_the_answer_to_the_guide(zoo) -> None:
    """Threshold above 1 without agreement: the guide speaks alone."""
    guide = zoo("a-small-chat")
    nudging = Nudging(
        base=zoo("a-large-base"),
        guide=guide,
        threshold=1.01,
        agreement=False,
        repetition_guard=False,
    )
    for answer in nudging.complete(conversations(6), Generation(max_new_tokens=64)):
        assert {span.speaker for span in answer.trace} == {"guide"}


def test_the_budget_counts_the_base_models_tokens(zoo) -> None:
    base = zoo("a-large-base")
    nudging = Nudging(base=base, guide=zoo("b-small-chat"), threshold=0.1)
    asked = conversations(8)
    for conversation, answer in zip(
        asked, nudging.complete(asked, Generation(max_new_tokens=20)), strict=True
    ):
        prompt = base.render(conversation)
        length = len(base.encode(prompt + answer.text)) - len(base.encode(prompt))
        if answer.stop_reason == "length":
            assert length >= 20
        if answer.trace[-1].speaker == "base":
            assert length <= 20


def test_words_keep_their_leading_space() -> None:
    rules = Rules(
        threshold=0.4,
        agreement=True,
        boundary="space",
        stop="guide",
        lookahead=16,
        repetition_guard=True,
    )
    for text in ("Step\nOne two", " a  b ", "", "   ", "one", "x\ty z"):
        assert rules.words(text) == oracles.words_of(text)
        assert "".join(rules.words(text)) == text
    assert rules.words("Step\nOne two") == ["Step\nOne", " two"]


def test_the_papers_ratio_leaves_out_the_ending(zoo) -> None:
    nudging = Nudging(base=zoo("a-large-base"), guide=zoo("a-small-chat"), threshold=0.4)
    for answer in nudging.complete(conversations(5), Generation(max_new_tokens=200)):
        assert answer.stop_reason == "guide"
        total = len(answer.text.split())
        by_guide = [text for speaker, text in turns(answer.trace) if speaker == "guide"]
        assert answer.measures["guide_ratio"] == pytest.approx(
            len(" ".join(by_guide[:-1]).split()) / total
        )
        assert answer.measures["guide_ratio_with_ending"] == pytest.approx(
            len(" ".join(by_guide).split()) / total
        )


def test_rows_and_prompts_are_disjoint_from_training_by_construction() -> None:
    """Test and validation share no question."""
    questions = [
        {
            json.loads(line)["question"]
            for line in embedded.data_path("word-problems", split).read_text().splitlines()
        }
        for split in ("test", "validation")
    ]
    assert len(questions[0]) >= 500
    assert not questions[0] & questions[1]
