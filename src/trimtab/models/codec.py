"""Text to tokens and back, for one tokenizer: what "text is the truth" rests on.

A continuation is read piece by piece: a character whose bytes are spread over several tokens is
never cut, one that is whole stays whole whatever follows, and a leading space that a tokenizer
drops at the start of a text is kept.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

    from trimtab.models.boundaries import Boundaries

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
# Tails of texts are encoded again and again: by drafts that begin alike, and by the answers of a
# family. So many of them are remembered, if no longer than this.
_REMEMBERED, _SHORT = 4096, 256


class Codec:
    """A tokenizer's two directions.

    Args:
        tokenizer: the tokenizer.
        special_tokens: ids that are control signs and never text.
        prompts_have_bos: tells whether a chat template writes the beginning-of-sequence token,
            wherever in the prompt that is.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        special_tokens: frozenset[int],
        *,
        prompts_have_bos: Callable[[], bool] = lambda: False,
    ) -> None:
        self._tokenizer = tokenizer
        self._special_tokens = special_tokens
        self._prompts_have_bos = prompts_have_bos
        self._encode_short = functools.lru_cache(maxsize=_REMEMBERED)(self._encode)

    def encode(self, text: str) -> list[int]:
        """Return the canonical tokens of `text`, with the beginning-of-sequence token once."""
        tokens = self.encode_bare(text)
        bos = self._tokenizer.bos_token_id
        if not self._adds_bos or tokens[:1] == [bos]:
            return tokens
        return tokens if bos in tokens and self._prompts_have_bos() else [bos, *tokens]

    def encode_bare(self, text: str) -> list[int]:
        """Return the tokens of `text` and nothing else."""
        return list((self._encode_short if len(text) <= _SHORT else self._encode)(text))

    def _encode(self, text: str) -> Sequence[int]:
        if self._backend is None:
            tokens: list[int] = self._tokenizer(text, add_special_tokens=False).input_ids
            return tokens
        # An earlier call by someone else may have left these on.
        self._backend.no_truncation()
        self._backend.no_padding()
        return self._backend.encode(text, add_special_tokens=False).ids

    def last_boundary(self, text: str, before: int) -> int:
        """Return the last place, at most `before`, where `text` can be cut; see `boundaries`."""
        return self._boundaries.last(text, before) if self._boundaries else 0

    @cached_property
    def _boundaries(self) -> Boundaries | None:
        from trimtab.models.boundaries import Boundaries

        return Boundaries(self._backend) if self._backend is not None else None

    @cached_property
    def _backend(self) -> Tokenizer | None:
        """The Rust tokenizer, where there is one: wrapping it costs as much as short texts do."""
        return getattr(self._tokenizer, "backend_tokenizer", None)

    @cached_property
    def _adds_bos(self) -> bool:
        bos = self._tokenizer.bos_token_id
        return bos is not None and self._tokenizer("").input_ids[:1] == [bos]

    def continuation(self, context: list[int], tokens: list[int]) -> str:
        """Return the text that `tokens` add after `context`: the join of their `pieces`."""
        return "".join(text for text, _ in self.pieces(context, tokens))

    def pieces(self, context: list[int], tokens: list[int]) -> list[tuple[str, int]]:
        """Cut `tokens`, spoken after `context`, into texts of whole characters.

        Special tokens are not text. A character whose last bytes are still to come is left out.

        Returns:
            Each text with the index of its first token.
        """
        spoken = Spoken(self, context)
        for token in tokens:
            spoken.add(token)
        return spoken.pieces()

    def is_text(self, token: int) -> bool:
        """Whether a token is part of an answer's text."""
        return token not in self._special_tokens

    @cached_property
    def lead(self) -> tuple[list[int], str]:
        """Tokens of some text, and that text: what follows them decodes as in mid-text.

        They end no byte run, so what follows is not read together with bytes before it.
        """
        tokens = self.encode_bare("a")
        return tokens, self.decode(tokens)

    def decode(self, tokens: list[int]) -> str:
        """Return the text of tokens on their own, special ones included."""
        if self._backend is None:
            text = self._tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
            assert isinstance(text, str)
            return text
        return self._backend.decode(tokens, skip_special_tokens=False)


class Spoken:
    """Text that grows token by token, after a context.

    Args:
        codec: the tokenizer's.
        context: the tokens before.
    """

    def __init__(self, codec: Codec, context: list[int]) -> None:
        self.text = ""
        self._codec = codec
        self._pieces: list[tuple[str, int]] = []
        self._count = 0
        self._start = 0
        self._pending: list[int] = []
        # At the very start of a text a tokenizer may drop a space.
        self._opens = not any(map(codec.is_text, context))

    def add(self, token: int) -> None:
        """Take the next token; `text` grows once it completes a character."""
        if self._codec.is_text(token):
            if not self._pending:
                self._start = self._count
            self._pending.append(token)
            text = self._ahead()
            if text and not text.endswith(_INCOMPLETE):
                self.text += text
                self._pieces.append((text, self._start))
                self._pending = []
                self._opens = False
        self._count += 1

    @property
    def pending(self) -> list[int]:
        """The last tokens, where they are no whole character yet."""
        return self._pending

    @property
    def settled(self) -> list[tuple[str, int]]:
        """Each text with the index of its first token, whatever tokens follow."""
        return self._pieces

    def pieces(self) -> list[tuple[str, int]]:
        """Return each text with the index of its first token, and what is whole at the end."""
        rest = self._rest()
        return [*self._pieces, (rest, self._start)] if rest else self._pieces.copy()

    def whole(self) -> str:
        """Return the text that is whole if nothing follows: the join of the pieces."""
        return self.text + self._rest()

    def _rest(self) -> str:
        return self._ahead().rstrip(_INCOMPLETE) if self._pending else ""

    def _ahead(self) -> str:
        if self._opens:
            return self._codec.decode(self._pending)
        lead, text = self._codec.lead
        return self._codec.decode(lead + self._pending)[len(text) :]
