"""Drafts: guesses of what comes next, which several positions of one forward pass then verify.

Speculative decoding (Leviathan et al., arXiv 2211.17192) with one difference: a draw is a function
of logits and of place (see `sampling`), so a draft is kept exactly as far as it says what would
have been drawn, and answers are the same with and without drafts, sampled ones included.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from trimtab.decoding.predictor import ContextFull, Cursor, Prediction, Steps

_SURE = 0.5
_LONGEST_MATCH = 3


def is_sure(prediction: Prediction) -> bool:
    """Whether a drafter's token is worth verifying.

    Where the drafter itself is unsure, the draft ends: the pass that verifies it also gives the
    next token, so the doubtful place costs nothing, and the next draft starts behind it.
    """
    return prediction.top_probability >= _SURE


class Drafter(ABC):
    """A source of drafts for one answer."""

    @abstractmethod
    def draft(self, tokens: list[int], length: int) -> Steps[list[int]]:
        """Return at most `length` tokens that may follow the answer so far."""


class PromptLookup(Drafter):
    """Guesses that the answer goes on as its prompt, or the answer itself, did before.

    Saxena, "Prompt lookup decoding", 2023: the latest place where the last few tokens stood.

    Args:
        prompt: the prompt's tokens.
    """

    def __init__(self, prompt: list[int]) -> None:
        self._prompt = prompt

    def draft(self, tokens: list[int], length: int) -> Steps[list[int]]:
        """Return what followed the latest earlier match of up to three last tokens."""
        yield from ()
        text = self._prompt + tokens
        for size in range(min(_LONGEST_MATCH, len(text) - 1), 0, -1):
            last = text[-size:]
            for start in range(len(text) - size - 1, -1, -1):
                if text[start : start + size] == last:
                    return text[start + size : start + size + length]
        return []


class ModelDraft(Drafter):
    """Guesses what a small model of the same vocabulary would say, with the same noise.

    Args:
        cursor: the small model's in the answer.
        vocabulary_size: how many tokens those who speak have.
    """

    def __init__(self, cursor: Cursor, vocabulary_size: int) -> None:
        self._cursor = cursor
        self._vocabulary_size = vocabulary_size

    def draft(self, tokens: list[int], length: int) -> Steps[list[int]]:
        """Return the small model's next tokens."""
        drafted: list[int] = []
        try:
            while len(drafted) < length:
                (prediction,) = yield self._cursor.after([*tokens, *drafted])
                if not is_sure(prediction) or prediction.token >= self._vocabulary_size:
                    break
                drafted.append(prediction.token)
                if prediction.token in self._cursor.stop_tokens:
                    break
        except ContextFull:
            pass
        return drafted


class DraftLength:
    """How many tokens to draft: twice as many while most are kept, else half as many.

    It follows from the answer alone, so the passes of a sample do not depend on its batch.

    Args:
        most: the longest draft; 0 for no drafts.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.drafted = 0
        self._length = most
        self._asked_at = 0

    def next(self, position: int) -> int:
        """Return the length of a draft that starts at `position`, from how the last one fared."""
        if self.drafted:
            kept = min(self.drafted, position - self._asked_at - 1)
            fared_well = 2 * kept >= self.drafted
            self._length = min(self.most, 2 * self._length) if fared_well else self._length // 2
            self._length = max(1, self._length)
        self.drafted = 0
        self._asked_at = position
        return self._length
