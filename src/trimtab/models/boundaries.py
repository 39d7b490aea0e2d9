"""Places where a text may be cut so that its parts are tokenized as they are in the whole.

A boundary is a place before a space or a newline that no token of the vocabulary spans together
with the character before it. Merges and scores then cannot reach across, whatever they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

if TYPE_CHECKING:
    from collections.abc import Iterable

# How vocabularies write a space and a newline: as they are, byte-level, SentencePiece.
_MARKS = {
    " ": " \N{LATIN CAPITAL LETTER G WITH DOT ABOVE}\N{LOWER ONE EIGHTH BLOCK}",
    "\n": "\n\N{LATIN CAPITAL LETTER C WITH DOT ABOVE}",
}
_BLANK = "".join(_MARKS.values())


class Boundaries:
    """Finds the boundaries of one tokenizer.

    Args:
        tokenizer: the Rust tokenizer.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._normalizer = tokenizer.normalizer
        self._bytes = ByteLevel(add_prefix_space=False, use_regex=False)
        added = tokenizer.get_added_tokens_decoder().values()
        greedy = {token.content[-1:] for token in added if token.rstrip}
        vocabulary = tokenizer.get_vocab()
        # For each mark, the characters that some token joins with it.
        self._joined = {
            mark: greedy | _last_before(signs, vocabulary) for mark, signs in _MARKS.items()
        }

    def last(self, text: str, before: int) -> int:
        """Return the last boundary of `text` that is at most at `before`; 0 if there is none."""
        for place in range(min(before, len(text) - 1), 0, -1):
            if text[place] in _MARKS and self._parts(text[place - 1], text[place]):
                return place
        return 0

    def _parts(self, character: str, mark: str) -> bool:
        if character.isspace():
            return False
        joined = self._joined[mark]
        if self._normalizer is not None:
            character = self._normalizer.normalize_str(character)[-1:]
        as_bytes = "".join(piece for piece, _ in self._bytes.pre_tokenize_str(character))
        return character not in joined and as_bytes[-1:] not in joined


def _last_before(signs: str, vocabulary: Iterable[str]) -> set[str]:
    """Return every character that is not blank and that some token has before one of `signs`."""
    pair = re.compile(f"([^\\s{_BLANK}])[{signs}]")
    return {match[1] for token in vocabulary for match in pair.finditer(token)}
