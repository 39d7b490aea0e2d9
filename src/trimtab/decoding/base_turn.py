"""A turn of nudging's base model, and the authors' guard against turns that repeat themselves."""

from __future__ import annotations

from trimtab.decoding.nudging_rules import Rules
from trimtab.decoding.predictor import ContextFull, Prediction, Steps
from trimtab.decoding.text_cursor import TextCursor

_FEW = 5  # words that may well be said twice


class BaseTurn:
    """What the base says in one turn.

    The authors ask for `lookahead` tokens at a time, of which a turn keeps the piece before the
    first that is unsure. The first token of a turn is kept whatever follows.

    Args:
        speaker: the base.
        context: the tokens that it continues.
        before: the answer before the turn.
        rules: who speaks when.

    Attributes:
        tokens: of the turn so far.
        sure: the top-1 probability at each.
        spoken: their text.
        settled: how many pieces of that text nothing takes back.
    """

    def __init__(self, speaker: TextCursor, context: list[int], before: str, rules: Rules) -> None:
        self.tokens: list[int] = []
        self.sure: list[float] = []
        self.spoken = speaker.speak_after(context)
        self._speaker, self._context, self._rules = speaker, context, rules
        self._before = before
        self._ends: list[tuple[int, int]] = []
        # Where in the turn its last piece begins, and the turn's text up to there.
        self._start, self._segment = 0, ""
        self.settled = 0

    def add(self, prediction: Prediction) -> None:
        """Take the next token."""
        self.tokens.append(prediction.token)
        self.sure.append(prediction.top_probability)
        self.spoken.add(prediction.token)
        if len(self.tokens) == 1 and not self._rules.by_blocks:
            self._begin_piece()

    def note_end(self, length: int) -> None:
        """Note that the base would end the answer here, at a length of its text."""
        self._ends.append((len(self.tokens), length))

    @property
    def ends(self) -> list[int]:
        """The lengths of the answer at which the base would have ended it."""
        return [length for after, length in self._ends if after <= len(self.tokens)]

    def _begin_piece(self) -> None:
        self._start, self._segment = len(self.tokens), self.spoken.whole()
        self.settled = len(self.spoken.settled)

    @property
    def _end(self) -> int:
        """How long the turn is where its last piece is whole."""
        size = max(1, self._rules.lookahead)
        return (self._start // size + 1) * size

    def repeats(self, *, unsure: bool = False, ended: bool = False) -> Steps[bool]:
        """Whether the last piece says again what was said, so that the turn ends before it.

        It does if the whole piece is part of the turn already, or if it has more than five words up
        to the first token that is unsure and these are part of the answer already.

        Args:
            unsure: the base is unsure of what comes next.
            ended: nothing comes next.
        """
        is_whole = len(self.tokens) == self._end
        if not self._rules.repetition_guard or len(self.tokens) == self._start:
            return False
        kept = piece = self.spoken.whole()[len(self._segment) :]
        said = self._before + self._segment
        if self._rules.by_blocks:
            many = len(piece.split()) > _FEW
            return is_whole and (piece in self._segment or (many and piece in said))
        # What else is in the piece is read only while that can make a difference.
        tokens = self.tokens.copy()
        while (
            len(tokens) < self._end and not ended and piece in (self._segment if unsure else said)
        ):
            try:
                prediction = yield from self._speaker.read(self._context + tokens)
            except ContextFull:
                break
            unsure = unsure or not self._rules.is_sure(prediction.top_probability)
            ended = prediction.token in self._speaker.model.special_tokens
            if not ended:
                tokens.append(prediction.token)
                text = self._speaker.speak_after(self._context, tokens).whole()
                piece = text[len(self._segment) :]
                kept = kept if unsure else piece
        return piece in self._segment or (len(kept.split(" ")) > _FEW and kept in said)

    def piece_is_new(self) -> Steps[bool]:
        """Whether the turn goes on: its last piece, where that is whole, says something new."""
        if len(self.tokens) < self._end:
            return True
        if (yield from self.repeats()):
            return False
        self._begin_piece()
        return True

    def take_back(self) -> float:
        """Take back the last piece; return the top-1 probability at its first token."""
        probability = self.sure[self._start]
        del self.tokens[self._start :], self.sure[self._start :]
        self.spoken = self._speaker.speak_after(self._context, self.tokens)
        return probability
