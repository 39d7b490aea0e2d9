"""Text to tokens and back, for one tokenizer: what "text is the truth" rests on.

A continuation is read piece by piece, so that a character whose bytes are spread over several
tokens is never cut, and a leading space that a tokenizer drops at the start of a text is kept.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
# Tokens of context that decide how the next ones decode (spaces, characters split over tokens).
_DECODE_WINDOW = 16


class Codec:
    """A tokenizer's two directions.

    Args:
        tokenizer: the tokenizer.
        special_tokens: ids that are control signs and never text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, special_tokens: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._special_tokens = special_tokens

    def encode(self, text: str) -> list[int]:
        """Return the canonical tokens of `text`, with the beginning-of-sequence token once."""
        tokens = self._tokens(text)
        bos = self._tokenizer.bos_token_id
        if self._adds_bos and tokens[:1] != [bos]:
            return [bos, *tokens]
        return tokens

    def _tokens(self, text: str) -> list[int]:
        if self._backend is None:
            tokens: list[int] = self._tokenizer(text, add_special_tokens=False).input_ids
            return tokens
        # An earlier call by someone else may have left these on.
        self._backend.no_truncation()
        self._backend.no_padding()
        return self._backend.encode(text, add_special_tokens=False).ids

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
        pieces: list[tuple[str, int]] = []
        start, pending = 0, list[int]()
        tail, before = self._window(context)
        for index, token in enumerate(tokens):
            if token in self._special_tokens:
                continue
            if not pending:
                start = index
            pending.append(token)
            text = self._decode(tail + pending)[len(before) :]
            if text and not text.endswith(_INCOMPLETE):
                pieces.append((text, start))
                tail, before, pending = tail + pending, before + text, []
                if len(tail) > 2 * _DECODE_WINDOW:
                    tail, before = self._window(tail)
        if pending:
            text = self._decode(tail + pending)[len(before) :].rstrip(_INCOMPLETE)
            if text:
                pieces.append((text, start))
        return pieces

    def _window(self, context: list[int]) -> tuple[list[int], str]:
        """Return the end of `context`, long enough that what follows decodes as after all of it.

        With it comes its own text.
        """
        length = _DECODE_WINDOW
        text = self._decode(context[-length:])
        while length < len(context) and text.startswith(_INCOMPLETE):
            length *= 2
            text = self._decode(context[-length:])
        return context[-length:], text

    def _decode(self, tokens: list[int]) -> str:
        if self._backend is None:
            text = self._tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
            assert isinstance(text, str)
            return text
        return self._backend.decode(tokens, skip_special_tokens=False)
