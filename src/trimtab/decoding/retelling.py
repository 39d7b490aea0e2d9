"""An answer in the tokens of one vocabulary, as it is read by a model of another.

Text is the truth: after each token of the answer the model reads the canonical tokens, in its own
vocabulary, of its own prompt and the answer's text so far. A character that is only begun is not
read; its bytes are kept, for what the model says is compared with tokens by the bytes that then
stand there.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import NamedTuple

from trimtab.models.codec import Spoken
from trimtab.models.growing_text import GrowingText
from trimtab.models.language_model import LanguageModel
from trimtab.models.prefix import common_prefix


class Reading(NamedTuple):
    """A sequence that a model reads in one pass.

    Attributes:
        tokens: its own tokens.
        last: after how many of the last positions it is to predict.
    """

    tokens: list[int]
    last: int


class Retold(NamedTuple):
    """What a model of another vocabulary reads for a request.

    Attributes:
        readings: the sequences, one after another: after another token of the answer all tokens of
            its text may be others.
        places: for each position that the request asks about, which reading answers it, and how
            many positions before its end.
        begun: for each, the bytes of a character that is not whole.
    """

    readings: tuple[Reading, ...]
    places: tuple[tuple[int, int], ...]
    begun: tuple[bytes, ...]


class Retelling:
    """One answer as a model of another vocabulary reads it.

    Args:
        model: who reads it.
        prompt: the prompt that it reads.
        target: the model whose tokens the answer is made of.
        context: that model's prompt, in its tokens.

    Raises:
        ValueError: for a prompt without tokens, after which nothing can be predicted.
    """

    def __init__(
        self, model: LanguageModel, prompt: str, target: LanguageModel, context: list[int]
    ) -> None:
        if not model.encode(prompt):
            raise ValueError(
                f"The prompt {prompt!r} for {model.path}, which is read through a token map, has "
                "no tokens. Give it some text."
            )
        self._prompt = prompt
        self._growing = GrowingText(model.codec)
        self._target, self._context = target, context
        self._begin()

    def _begin(self) -> None:
        self._said: list[int] = []
        self._spoken = Spoken(self._target.codec, self._context)
        self._ends = [0]  # of the text, by the number of tokens said
        self._begun = [b""]

    def tell(self, answer: Sequence[int], last: int) -> Retold:
        """Return what is read of an answer, to predict after each of its last positions."""
        self._say(answer)
        lengths = range(len(answer) - last + 1, len(answer) + 1)
        text = self._prompt + self._spoken.whole()
        before = len(self._prompt)
        known: dict[int, list[int]] = {}
        for length in lengths:
            end = before + self._ends[length]
            if end not in known:
                known[end] = self._growing.tokens(text[:end])
        sequences = [known[before + self._ends[length]] for length in lengths]
        readings, places = _in_few_passes(sequences)
        return Retold(readings, places, tuple(self._begun[length] for length in lengths))

    def _say(self, answer: Sequence[int]) -> None:
        """Know the text after each token of an answer, which may begin otherwise than the last."""
        if common_prefix(self._said, answer) < len(self._said):
            self._begin()
        spelled = self._target.token_bytes.spelled
        for token in answer[len(self._said) :]:
            self._spoken.add(token)
            self._said.append(token)
            self._ends.append(len(self._spoken.whole()))
            pending = b"".join(spelled[each] or b"" for each in self._spoken.pending)
            self._begun.append(_unfinished(pending))


def _unfinished(text: bytes) -> bytes:
    """Return the bytes at the end of a text that begin a character."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(text)
    return decoder.getstate()[0]


def _in_few_passes(
    sequences: Sequence[list[int]],
) -> tuple[tuple[Reading, ...], tuple[tuple[int, int], ...]]:
    """Read sequences that begin alike at once: those that are beginnings of a later one."""
    readings: list[Reading] = []
    places: list[tuple[int, int]] = []
    group: list[list[int]] = []

    def read() -> None:
        whole = group[-1]
        readings.append(Reading(whole, len(whole) - min(map(len, group)) + 1))
        places.extend((len(readings) - 1, len(whole) - len(each)) for each in group)

    for sequence in sequences:
        if group and sequence[: len(group[-1])] != group[-1]:
            read()
            group = []
        group.append(sequence)
    read()
    return tuple(readings), tuple(places)
