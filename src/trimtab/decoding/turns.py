"""An answer that several speakers write in turns, as one text that all of them see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from trimtab.decoding.completion import Completion, Span
from trimtab.decoding.drafts import DraftLength, is_sure
from trimtab.decoding.generation import Generation
from trimtab.decoding.predictor import ContextFull, Cursor, Steps
from trimtab.decoding.stop_strings import STOPPED, StopStrings, cut
from trimtab.decoding.telling import News, Telling
from trimtab.decoding.text_cursor import TextCursor
from trimtab.models.codec import Spoken

Until = Callable[[str, int], int | None]
"""Where a turn ends in an answer's text, of which it began at a length; None where it goes on."""


class Turns:
    """What was said so far, by whom, and how a speaker goes on.

    Speakers may have any tokenizers: at each turn a speaker sees the canonical tokens of its prompt
    and the whole text.

    Args:
        cursors: those who speak, each a single model, by name.
        prompts: prompt text by the models' roles.
        generation: how long the answer and its drafts are, and what stops it.

    Attributes:
        text: the answer so far.
        trace: its spans.
        tokens: how many tokens each speaker said.
        speakers: the cursors, read as text.
        streamed: whether somebody listens while it is made.
    """

    def __init__(
        self, cursors: Mapping[str, Cursor], prompts: Mapping[str, str], generation: Generation
    ) -> None:
        self.text = ""
        self.trace: list[Span] = []
        self.tokens = dict.fromkeys(cursors, 0)
        self._prompts = dict(prompts)
        self.speakers = {
            name: TextCursor(cursor, prompts[next(iter(cursor.models))])
            for name, cursor in cursors.items()
        }
        self._budget = generation.max_new_tokens
        self._stops = StopStrings(generation.stop_strings)
        self._drafts = DraftLength(generation.draft_length)
        self.streamed = any(cursor.streamed for cursor in cursors.values())
        self._telling = Telling(self.streamed, generation.stop_strings)

    def say(
        self,
        name: str,
        *,
        most: int | None = None,
        until: Until | None = None,
        guessed_by: str | None = None,
    ) -> Steps[str | None]:
        """Let a speaker go on.

        Args:
            name: whose turn it is.
            most: tokens of the turn; None for as many as come.
            until: where in the answer's text the turn ends, which may have gone beyond it.
            guessed_by: another speaker, whose words are drafts of this turn; for speed alone.

        Returns:
            Why the answer ends with this turn, a `stop_reason`; None where it goes on.
        """
        speaker = self.speakers[name]
        context, looked_at = speaker.tokens(self.text), len(self.text)
        spoken, turn, sure = speaker.speak_after(context), list[int](), list[float]()
        reason = None
        room = self._budget - sum(self.tokens.values())
        while most is None or len(turn) < most:
            said = self.text + spoken.whole()
            if self.ends_at(said, looked_at) is not None:
                break  # found again, and cut, once all is said
            if self.streamed and until is None:  # else it may end before what was said
                yield from self.tell(name, spoken.settled, sure)
            if until is not None and until(said, looked_at) is not None:
                break
            if len(turn) >= room:
                reason = "length"
                break
            guess = partial(self.guess, name, guessed_by, said) if guessed_by else None
            try:
                prediction = yield from speaker.read(context + turn, guess)
            except ContextFull:
                reason = "context"
                break
            if prediction.token in speaker.model.special_tokens:
                reason = "end"
                break
            turn.append(prediction.token)
            sure.append(prediction.top_probability)
            spoken.add(prediction.token)
        self.tokens[name] += len(turn)
        self.add(name, spoken, sure)
        if self.stopped(looked_at):
            return STOPPED
        end = until(self.text, looked_at) if until is not None else None
        if end is not None:
            self.tokens[name] -= len(turn) - _tokens_in(spoken, end - looked_at, len(turn))
            self._cut(end)
            reason = None
        yield from self.tell()
        return reason

    def add(self, name: str, spoken: Spoken, sure: list[float]) -> None:
        """Add what a speaker said, with the probability of each token."""
        for text, first in spoken.pieces():
            self.text += text
            self.trace.append(Span(text=text, speaker=name, probability=sure[first]))

    def tell(
        self, name: str = "", pieces: Sequence[tuple[str, int]] = (), sure: Sequence[float] = ()
    ) -> Iterator[News]:
        """Tell whoever listens what is settled: the answer so far, and what was said since.

        Args:
            name: who speaks.
            pieces: what of the turn nothing will change, each text with its first token's index.
            sure: the probability of each token.
        """
        if self.streamed:
            said = [Span(text=text, speaker=name, probability=sure[i]) for text, i in pieces]
            yield from self._telling.of([*self.trace, *said])

    def guess(self, name: str, by: str, text: str, tokens: list[int]) -> Steps[list[int]]:
        """Draft what a speaker says next by what another would, in the speaker's tokens.

        Args:
            name: the speaker.
            by: the other.
            text: the answer so far.
            tokens: the speaker's tokens so far, its prompt's among them.
        """
        length = self._drafts.next(len(tokens))
        if length == 0:
            return []
        speaker, other = self.speakers[name], self.speakers[by]
        context = other.tokens(text)
        said: list[int] = []
        try:
            while len(said) < length:
                prediction = yield from other.read(context + said)
                if prediction.token in other.model.stop_tokens or not is_sure(prediction):
                    break
                said.append(prediction.token)
        except ContextFull:
            return []
        guessed = speaker.tokens(text + other.model.continuation(context, said))
        if guessed[: len(tokens)] != tokens:
            return []  # the speaker's own tokens are not the canonical ones: nothing lines up
        self._drafts.drafted = len(guessed) - len(tokens)
        return guessed[len(tokens) :]

    def ends_at(self, text: str, looked_at: int) -> int | None:
        """Return where a stop string ends a text, of which so much was looked at before."""
        return self._stops.end(text, looked_at)

    def stopped(self, looked_at: int) -> bool:
        """Cut the answer before the first stop string, if it holds one; return whether it did."""
        end = self.ends_at(self.text, looked_at)
        if end is not None:
            self._cut(end)
        return end is not None

    def _cut(self, end: int) -> None:
        self.text, self.trace = self.text[:end], cut(self.trace, end)

    def completion(
        self, stop_reason: str, measures: Mapping[str, float] | Iterable[tuple[str, float]] = ()
    ) -> Completion:
        """Return the answer as it is.

        Args:
            stop_reason: why it ends here; see `Completion`.
            measures: numbers that the method reports of its own working.
        """
        speakers = self.speakers.values()
        return Completion(
            id=next(iter(speakers)).sample_id,
            text=self.text,
            trace=tuple(self.trace),
            stop_reason=stop_reason,
            prompts=self._prompts,
            tokens=self.tokens,
            work={role: work for each in speakers for role, work in each.work.items()},
            measures=dict(measures),
        )


def _tokens_in(spoken: Spoken, length: int, count: int) -> int:
    """Return how many of some tokens the first characters of their text take."""
    seen = 0
    for text, first in spoken.pieces():
        if seen >= length:
            return first
        seen += len(text)
    return count
