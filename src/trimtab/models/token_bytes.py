"""What the tokens of a vocabulary stand for: bytes of text, or a control sign by its role.

Tokenizers write tokens in alphabets of their own: a byte as a letter, a space as a mark, a byte
without a token as its number. Here all are bytes, so that tokens of two vocabularies compare.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from trimtab.models.codec import Codec

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
_BYTE = re.compile("<0x([0-9A-F]{2})>")
END = "end"
_ROLES = {"begin": "bos_token_id", "unknown": "unk_token_id", "padding": "pad_token_id"}


@dataclass(frozen=True, eq=False)
class TokenBytes:
    """The tokens of a vocabulary, by id.

    Attributes:
        tokens: as the vocabulary writes them; None for an id without one.
        spelled: their bytes in mid-text; None for a control sign, and for an id without a token.
        signs: the control signs, by role: `end` for all that end an answer, `begin`, `unknown` and
            `padding`; any other by what it is written as.
    """

    tokens: tuple[str | None, ...]
    spelled: tuple[bytes | None, ...]
    signs: Mapping[str, frozenset[int]]

    @cached_property
    def ids(self) -> dict[bytes, int]:
        """The token of each spelling; of several the first that is not written as a number."""
        found: dict[bytes, int] = {}
        numbers: dict[bytes, int] = {}
        for i, (token, word) in enumerate(zip(self.tokens, self.spelled, strict=True)):
            if word and token is not None:
                (numbers if _BYTE.fullmatch(token) else found).setdefault(word, i)
        return numbers | found

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerBase, codec: Codec, *, ends: frozenset[int], width: int
    ) -> TokenBytes:
        """Return those of a tokenizer.

        Args:
            tokenizer: the tokenizer.
            codec: its directions, which know what is text.
            ends: the tokens that end an answer.
            width: how many tokens count, from the first.
        """
        tokens: list[str | None] = [None] * width
        for token, i in tokenizer.get_vocab().items():
            if i < width:
                tokens[i] = token
        lead, before = codec.lead
        spelled = [
            None
            if token is None or not codec.is_text(i)
            else _bytes(token, codec.decode([*lead, i])[len(before) :])
            for i, token in enumerate(tokens)
        ]
        signs = {END: frozenset(i for i in ends if i < width)}
        for role, attribute in _ROLES.items():
            i = getattr(tokenizer, attribute)
            if i is not None and i < width and not any(i in known for known in signs.values()):
                signs[role] = frozenset({i})
        named = frozenset().union(*signs.values())
        for i, token in enumerate(tokens):
            if token is not None and spelled[i] is None and i not in named:
                signs[f"sign {token}"] = frozenset({i})
        return cls(tuple(tokens), tuple(spelled), signs)


def _bytes(token: str, decoded: str) -> bytes:
    """Return a token's bytes, from what it is written as and what its tokenizer reads from it."""
    if _INCOMPLETE not in decoded:
        return decoded.encode()
    if number := _BYTE.fullmatch(token):  # SentencePiece's, of part of a character
        return bytes.fromhex(number[1])
    letters = _byte_letters()
    if all(letter in letters for letter in token):
        return bytes(letters[letter] for letter in token)
    return decoded.encode()  # the sign of replacement itself


@cache
def _byte_letters() -> dict[str, int]:
    """Return the letters that byte-level vocabularies (GPT-2's) write bytes as."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(0x100) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(0x100 + i): b for i, b in enumerate(hidden)}
