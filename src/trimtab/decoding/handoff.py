"""Two speakers of any two tokenizers: a base model, and a guide that speaks where it is unsure.

Nudging (Fei, Razeghi and Singh, arXiv 2410.09300), with the rules of the authors' released API
code by default. What the two share is the answer's text: at each hand-off both see the canonical
tokens of their prompt and that text.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TypeVar

from trimtab.decoding.batching import Answer
from trimtab.decoding.completion import Completion, Span
from trimtab.decoding.voice import Ask, ContextFull, Part, Reading
from trimtab.models.language_model import LanguageModel

T = TypeVar("T")
Steps = Generator[Ask, Reading, T]
"""Part of an answer in the making, that ends with a T."""

_WORDS = {"space": re.compile(r" *[^ ]+| +"), "whitespace": re.compile(r"\s*\S+|\s+")}
# The authors' guard against loops: the same guide turn this many times in a row.
_SAME_TURNS = 4


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Who speaks when; the options of `trimtab.methods.Nudging`, where they are explained."""

    threshold: float
    agreement: bool
    boundary: str
    stop: str
    lookahead: int
    repetition_guard: bool

    def words(self, text: str) -> list[str]:
        """Cut a guide's continuation into words; each keeps its leading space."""
        return _WORDS[self.boundary].findall(text)


@dataclass
class _Speaker:
    """One side of the conversation: its part, its model, its prompt as text and as tokens."""

    part: Part
    prompt: str
    model: LanguageModel = field(init=False)
    prompt_tokens: list[int] = field(init=False)

    def __post_init__(self) -> None:
        (self.model,) = self.part.voice.models.values()
        (self.prompt_tokens,) = self.part.prompts

    def tokens(self, text: str) -> list[int]:
        """Return the canonical tokens of the prompt and the answer so far."""
        return self.model.encode(self.prompt + text)

    def answer_length(self, text: str) -> int:
        """Return how many of this model's tokens the answer so far takes."""
        return len(self.tokens(text)) - len(self.prompt_tokens)

    def ask(self, tokens: list[int]) -> Ask:
        return self.part.ask([tokens])


@dataclass
class _Stop(Exception):
    """The answer ends here."""

    reason: str


def nudge(
    base: Part, guide: Part, *, prompts: dict[str, str], rules: Rules, max_new_tokens: int
) -> Answer:
    """Decode one answer; `max_new_tokens` counts the base model's tokens of it."""
    speakers = _Speaker(base, prompts["base"]), _Speaker(guide, prompts["guide"])
    return _Nudged(*speakers, rules, max_new_tokens).answer()


class _Nudged:
    """One nudged answer in the making."""

    def __init__(self, base: _Speaker, guide: _Speaker, rules: Rules, budget: int) -> None:
        self.base, self.guide, self.rules, self.budget = base, guide, rules, budget
        self.text = ""
        self.trace: list[Span] = []
        self.guide_turns: list[str] = []
        self.tokens = {"base": 0, "guide": 0}

    def answer(self) -> Answer:
        # The base's top-1 probability that gave the guide the word; unknown at the opening.
        doubt: float | None = None
        try:
            while True:
                opening, doubt = yield from self._guide_turn(doubt)
                if opening:
                    doubt = yield from self._base_turn(*opening)
        except ContextFull:
            reason = "context"
        except _Stop as stop:
            reason = stop.reason
        return self._completion(reason)

    # -------------------------------------------------------------- the guide's turn

    def _guide_turn(
        self, doubt: float | None
    ) -> Steps[tuple[tuple[list[int], Reading] | None, float | None]]:
        """Let the guide speak.

        Returns:
            Where the base takes over: the tokens it continues and what it says after them; None
            if it does not within this chunk. And the base's last top-1 probability.
        """
        chunk, ended = yield from self._guide_chunk()
        if ended:
            self._accept_guide([chunk], [None])
            raise _Stop("guide")
        words = self.rules.words(chunk)
        if not words:
            raise _Stop("stalled")
        spoken, doubts = words[:1], [doubt]
        opening = None
        for word in words[1:]:
            tokens = self.base.tokens(self.text + "".join(spoken))
            reading = yield self.base.ask(tokens)
            doubt = reading.top_probabilities[0]
            if self._takes_over(tokens, reading, word):
                opening = (tokens, reading)
                break
            spoken.append(word)
            doubts.append(doubt)
        if opening is None and len(spoken) > 1:
            # The chunk may end inside its last word, so that word opens the next chunk instead.
            spoken.pop()
            doubts.pop()
        self._guard_guide("".join(spoken))
        self._accept_guide(spoken, doubts)
        if self.base.answer_length(self.text) >= self.budget:
            raise _Stop("length")
        return opening, doubt

    def _guide_chunk(self) -> Steps[tuple[str, bool]]:
        """Read the guide's next `lookahead` tokens; return their text and whether it ended."""
        context = self.guide.tokens(self.text)
        chunk: list[int] = []
        ended = False
        while len(chunk) < self.rules.lookahead and not ended:
            reading = yield self.guide.ask(context + chunk)
            ended = reading.tokens[0] in self.guide.model.stop_tokens
            if not ended:
                chunk.append(reading.tokens[0])
        return self.guide.model.continuation(context, chunk), ended

    def _takes_over(self, tokens: list[int], reading: Reading, next_word: str) -> bool:
        if reading.top_probabilities[0] >= self.rules.threshold:
            return True
        if not self.rules.agreement:
            return False
        first = self.base.model.continuation(tokens, reading.top_tokens)
        return first != "" and next_word.startswith(first)

    def _guard_guide(self, spoken: str) -> None:
        if not self.rules.repetition_guard:
            return
        recent = self.guide_turns[-(_SAME_TURNS - 1) :]
        if recent == [spoken] * (_SAME_TURNS - 1):
            raise _Stop("repetition")

    def _accept_guide(self, words: list[str], doubts: list[float | None]) -> None:
        spoken = "".join(words)
        before = self.guide.answer_length(self.text)
        self.text += spoken
        self.tokens["guide"] += self.guide.answer_length(self.text) - before
        self.guide_turns.append(spoken)
        self.trace.extend(
            Span(text=word, speaker="guide", probability=doubt)
            for word, doubt in zip(words, doubts, strict=True)
            if word
        )

    # -------------------------------------------------------------- the base's turn

    def _base_turn(self, tokens: list[int], reading: Reading) -> Steps[float]:
        """Let the base speak until it is unsure; return the probability at which it stopped."""
        turn: list[int] = []
        sure: list[float] = []
        reason = None
        while True:
            token, probability = reading.tokens[0], reading.top_probabilities[0]
            if turn and probability < self.rules.threshold:
                break
            if token in self.base.model.special_tokens:
                if self.rules.stop == "speaker" and token in self.base.model.stop_tokens:
                    reason = "base"
                break
            if len(tokens) + len(turn) - len(self.base.prompt_tokens) >= self.budget:
                reason = "length"
                break
            turn.append(token)
            sure.append(probability)
            if self._repeats(tokens, turn):
                del turn[-self.rules.lookahead :], sure[-self.rules.lookahead :]
                break
            try:
                reading = yield self.base.ask(tokens + turn)
            except ContextFull:
                reason = "context"
                break
        self._accept_base(tokens, turn, sure)
        if reason:
            raise _Stop(reason)
        return probability

    def _repeats(self, tokens: list[int], turn: list[int]) -> bool:
        """Whether the last full chunk of the turn says again what was said (the authors' test)."""
        size = self.rules.lookahead
        if not self.rules.repetition_guard or len(turn) % size or len(turn) < size:
            return False
        chunk = self.base.model.continuation(tokens + turn[:-size], turn[-size:])
        segment = self.base.model.continuation(tokens, turn[:-size])
        long_enough = len(chunk.split()) > 5
        return chunk in segment or (long_enough and chunk in self.text + segment)

    def _accept_base(self, context: list[int], turn: list[int], sure: list[float]) -> None:
        self.tokens["base"] += len(turn)
        for text, first in self.base.model.pieces(context, turn):
            self.text += text
            self.trace.append(Span(text=text, speaker="base", probability=sure[first]))

    # -------------------------------------------------------------- the whole

    def _completion(self, reason: str) -> Completion:
        return Completion(
            id=self.base.part.sample_id,
            text=self.text,
            trace=tuple(self.trace),
            stop_reason=reason,
            prompts={"base": self.base.prompt, "guide": self.guide.prompt},
            tokens=self.tokens,
            work=self.base.part.work | self.guide.part.work,
            measures={
                "guide_ratio": _word_ratio(self.guide_turns, self.text),
                "guide_ratio_tokens": self.tokens["guide"] / max(1, sum(self.tokens.values())),
            },
        )


def _word_ratio(guide_turns: list[str], text: str) -> float:
    """Return the paper's nudging ratio: words by the guide, its last turn left out, of all words.

    Leaving out the last turn, which is the ending, and capping at 1 is what the authors' code does.
    """
    by_guide = " ".join(turn.strip() for turn in guide_turns[:-1]).split()
    return min(1.0, len(by_guide) / max(1, len(text.split())))
