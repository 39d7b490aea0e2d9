"""Two speakers of any two tokenizers: a base model, and a guide that speaks where it is unsure.

Nudging (Fei, Razeghi and Singh, arXiv 2410.09300), with the rules of the authors' released API
code by default. What the two share is the answer's text: at each hand-off both see the canonical
tokens of their prompt and that text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from trimtab.decoding.base_turn import BaseTurn
from trimtab.decoding.completion import Completion, Span
from trimtab.decoding.generation import Generation
from trimtab.decoding.nudging_rules import Rules
from trimtab.decoding.predictor import Answer, ContextFull, Cursor, Prediction, Steps
from trimtab.decoding.stop_strings import STOPPED
from trimtab.decoding.telling import News
from trimtab.decoding.turns import Turns

# The authors' guard against loops: the same guide turn this many times in a row.
_SAME_TURNS = 4


@dataclass
class _Stop(Exception):
    """The answer ends here."""

    reason: str


def nudge(
    cursors: Mapping[str, Cursor],
    prompts: Mapping[str, str],
    generation: Generation,
    rules: Rules,
) -> Answer:
    """Decode one answer.

    Args:
        cursors: those of `base` and `guide`.
        prompts: prompt text by role.
        generation: `max_new_tokens` counts the base model's tokens; the guide drafts for the base;
            stop strings end the answer whoever says them.
        rules: who speaks when.
    """
    return _Nudged(Turns(cursors, prompts, generation), rules, generation).answer()


class _Nudged:
    """One nudged answer in the making."""

    def __init__(self, turns: Turns, rules: Rules, generation: Generation) -> None:
        self.turns, self.rules = turns, rules
        self.base, self.guide = turns.speakers["base"], turns.speakers["guide"]
        self._ends = self.base.model.stop_tokens
        self.budget = generation.max_new_tokens
        self.drafts = generation.draft_length > 0
        self.guide_turns: list[str] = []
        # How long the text was wherever the base's most likely token was an end.
        self.base_ends: list[int] = []

    @property
    def text(self) -> str:
        return self.turns.text

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
    ) -> Steps[tuple[tuple[list[int], Prediction] | None, float | None]]:
        """Let the guide speak.

        Returns:
            Where the base takes over: the tokens it continues and what it says after them; None
            if it does not within this chunk. And the base's last top-1 probability.
        """
        words, ended = yield from self._guide_chunk()
        chunk = "".join(words)
        if ended:
            yield from self._accept_guide([chunk], [None])
            raise _Stop("guide")
        if not words:
            raise _Stop("stalled")
        spoken, doubts = words[:1], [doubt]
        opening = None
        if len(words) == 1:
            doubt = None  # at its end the base is not asked
        chunk_tokens = self.base.tokens(self.text + chunk)
        for word in [*words[1:], *([""] if self.rules.asks_at_end else [])]:
            if not self.rules.asks_before(word):
                doubt = None
                break
            tokens = self.base.tokens(self.text + "".join(spoken))
            prediction = yield from self.base.read(tokens, lambda t: self._rest(t, chunk_tokens))
            if prediction.top_token in self._ends:
                self.base_ends.append(len(self.text + "".join(spoken)))
            doubt = prediction.top_probability
            if self._takes_over(tokens, prediction, word):
                opening = (tokens, prediction)
                break
            spoken.append(word)
            doubts.append(doubt)
        if opening is None and len(spoken) == len(words) > 1:
            # The chunk may end inside its last word, so that word opens the next chunk instead.
            spoken.pop()
            doubts.pop()
        self._guard_guide("".join(spoken))
        yield from self._accept_guide(spoken, doubts)
        if self.base.answer_length(self.base.tokens(self.text)) >= self.budget:
            raise _Stop("length")
        return opening, doubt

    def _rest(self, tokens: list[int], chunk_tokens: list[int]) -> Steps[list[int]]:
        """Draft, for a base that is asked at a boundary, the rest of the guide's chunk."""
        yield from ()
        if self.drafts and chunk_tokens[: len(tokens)] == tokens:
            return chunk_tokens[len(tokens) :]
        return []

    def _guide_chunk(self) -> Steps[tuple[list[str], bool]]:
        """Read what the guide says next; return its words, and whether it ended."""
        context = self.guide.tokens(self.text)
        chunk: list[int] = []
        words: list[str] = []
        ended = False
        while not ended and self._reads_on(chunk, words):
            prediction = yield from self.guide.read(context + chunk)
            ended = prediction.token in self.guide.model.stop_tokens
            if not ended:
                chunk.append(prediction.token)
            if ended or len(chunk) >= self.rules.lookahead:
                pieces = self.guide.model.pieces(context, chunk)
                words = self.rules.cut([text for text, _ in pieces])
        return words, ended

    def _reads_on(self, chunk: list[int], words: list[str]) -> bool:
        """Whether the guide's look-ahead goes on: so many tokens, or to where a word begins."""
        if self.rules.lookahead:
            return len(chunk) < self.rules.lookahead
        return len(words) < 2 and len(chunk) <= self.budget

    def _takes_over(self, tokens: list[int], prediction: Prediction, next_word: str) -> bool:
        if self.rules.is_sure(prediction.top_probability):
            return True
        if not self.rules.agreement:
            return False
        first = self.base.model.continuation(tokens, [prediction.top_token])
        return first != "" and next_word.startswith(first)

    def _guard_guide(self, spoken: str) -> None:
        if not self.rules.repetition_guard:
            return
        recent = self.guide_turns[-(_SAME_TURNS - 1) :]
        if recent == [spoken] * (_SAME_TURNS - 1):
            raise _Stop("repetition")

    def _accept_guide(self, words: list[str], doubts: list[float | None]) -> Iterator[News]:
        spoken = "".join(words)
        before, looked_at = len(self.guide.tokens(self.text)), len(self.text)
        self.turns.text += spoken
        self.turns.tokens["guide"] += len(self.guide.tokens(self.text)) - before
        self.guide_turns.append(spoken)
        self.turns.trace.extend(
            Span(text=word, speaker="guide", probability=doubt)
            for word, doubt in zip(words, doubts, strict=True)
            if word
        )
        yield from self._stop_at_strings(looked_at)

    def _stop_at_strings(self, looked_at: int) -> Iterator[News]:
        if self.turns.stopped(looked_at):
            raise _Stop(STOPPED)
        yield from self.turns.tell()

    # -------------------------------------------------------------- the base's turn

    def _base_turn(self, tokens: list[int], prediction: Prediction) -> Steps[float]:
        """Let the base speak until it is unsure; return the probability at which it stopped."""
        turn = BaseTurn(self.base, tokens, self.text, self.rules)
        reason = None
        looked_at = len(self.text)
        while True:
            token, probability = prediction.token, prediction.top_probability
            unsure = bool(turn.tokens) and not self.rules.is_sure(probability)
            ended = not unsure and token in self.base.model.special_tokens
            full = self.base.answer_length(tokens + turn.tokens) >= self.budget
            if unsure or ended or full:
                if (yield from turn.repeats(unsure=unsure, ended=ended)):
                    probability = turn.take_back()
                elif ended and self.rules.stop == "speaker" and token in self._ends:
                    reason = "base"
                elif not unsure and not ended:
                    reason = "length"
                break
            turn.add(prediction)
            if not (yield from turn.piece_is_new()):
                probability = turn.take_back()
                break
            said = self.text + turn.spoken.whole()
            if self.turns.ends_at(said, looked_at) is not None:
                break  # found again, and cut, once all is said
            if self.turns.streamed:
                settled = turn.spoken.settled[: turn.settled]
                yield from self.turns.tell("base", settled, turn.sure)
            try:
                guess = partial(self.turns.guess, "base", "guide", said)
                prediction = yield from self.base.read(tokens + turn.tokens, guess)
                if prediction.top_token in self._ends:
                    turn.note_end(len(said))
            except ContextFull:
                reason = "context"
                break
        self.base_ends += turn.ends
        self.turns.tokens["base"] += len(turn.tokens)
        self.turns.add("base", turn.spoken, turn.sure)
        yield from self._stop_at_strings(looked_at)
        if reason:
            raise _Stop(reason)
        return probability

    # -------------------------------------------------------------- the whole

    def _completion(self, reason: str) -> Completion:
        tokens = self.turns.tokens
        return self.turns.completion(
            reason,
            {
                "guide_ratio": _word_ratio(self.guide_turns[:-1], self.text),
                "guide_ratio_with_ending": _word_ratio(self.guide_turns, self.text),
                "guide_ratio_tokens": tokens["guide"] / max(1, sum(tokens.values())),
                "ends_suppressed": float(sum(n < len(self.text) for n in self.base_ends)),
            },
        )


def _word_ratio(guide_turns: list[str], text: str) -> float:
    """Return the share of an answer's words that are the guide's.

    The paper's nudging ratio leaves out the last turn, which is the ending. Turns are joined by
    spaces, so a word that two speakers share counts as the guide's; hence the cap at 1. Both are
    what the authors' code does.
    """
    by_guide = " ".join(turn.strip() for turn in guide_turns).split()
    return min(1.0, len(by_guide) / max(1, len(text.split())))
