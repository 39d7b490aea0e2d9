"""A cursor that is read as text: a model, its prompt, and what it was found to say so far.

A hand-off asks for one prediction at a time, as if there were no drafts. A text cursor answers
from what it has read before where it can; where it must ask its model, it lets a draft of what may
follow be read in the same forward pass. So drafts change how many passes an answer takes, and
nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trimtab.decoding.predictor import ContextFull, Cursor, Prediction, Steps
from trimtab.models.codec import Spoken
from trimtab.models.growing_text import GrowingText
from trimtab.models.prefix import common_prefix

Draft = Callable[[list[int]], Steps[list[int]]]
"""Guess, in a speaker's own tokens, what may follow a sequence."""


class TextCursor:
    """One side of a hand-off: its model, its prompt as text and as tokens.

    Args:
        cursor: that of a speaker of one model.
        prompt: the model's prompt.

    Raises:
        ValueError: for a speaker of several models, whose tokens have no one text before them.
    """

    def __init__(self, cursor: Cursor, prompt: str) -> None:
        self._cursor = cursor
        self.prompt = prompt
        self.work = cursor.work
        if len(cursor.models) != 1:
            raise ValueError(
                f"{cursor.predictor.name} is a mixture of {', '.join(cursor.models)}: a hand-off "
                "is between single models."
            )
        (self.model,) = cursor.models.values()
        (self._prompt_tokens,) = cursor.prompts
        self._text = GrowingText(self.model.codec)
        self._sequence: list[int] = []
        self._known: dict[int, Prediction] = {}  # by the length of the sequence they follow

    @property
    def sample_id(self) -> str:
        """The id of the sample that is answered."""
        return self._cursor.sample_id

    def tokens(self, text: str) -> list[int]:
        """Return the canonical tokens of the prompt and the answer so far."""
        return self._text.tokens(self.prompt + text)

    def answer_length(self, tokens: list[int]) -> int:
        """Return how many of `tokens` belong to the answer."""
        return len(tokens) - len(self._prompt_tokens)

    def speak_after(self, context: list[int], tokens: Sequence[int] = ()) -> Spoken:
        """Return the text that grows after a context, with its first tokens."""
        spoken = Spoken(self.model.codec, context)
        for token in tokens:
            spoken.add(token)
        return spoken

    def read(self, tokens: list[int], draft: Draft | None = None) -> Steps[Prediction]:
        """Return what the model says after `tokens`.

        Raises:
            ContextFull: if the model cannot hold them.
        """
        known = self._recall(tokens)
        if known is None:
            drafted = (yield from draft(tokens)) if draft else []
            room = self.model.context_length - len(tokens)
            if room < 0:
                raise ContextFull
            yield from self._ask(tokens, drafted[:room])
            known = self._known[len(tokens)]
        return known

    def _recall(self, tokens: list[int]) -> Prediction | None:
        if self._sequence[: len(tokens)] == tokens:
            return self._known.get(len(tokens))
        return None

    def _ask(self, tokens: list[int], drafted: list[int]) -> Steps[None]:
        whole = tokens + drafted
        predictions = yield self._cursor.request([whole], last=len(drafted) + 1)
        for length in range(common_prefix(self._sequence, whole) + 1, len(self._sequence) + 1):
            self._known.pop(length, None)
        self._known |= dict(enumerate(predictions, start=len(tokens)))
        self._sequence = whole
