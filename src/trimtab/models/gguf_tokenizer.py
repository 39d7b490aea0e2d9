"""The tokenizer that a GGUF file describes, cut as its publisher's own cuts.

A file holds words, and the name of how text is cut before they are looked up
(`tokenizer.ggml.pre`). These kinds are known; of another one a warning says so, and
`tokenizer_path` puts the publisher's own tokenizer in its place.

| tokenizer.ggml.model | tokenizer.ggml.pre | cut |
|---|---|---|
| llama (SentencePiece: Llama 1 and 2, Mistral, Gemma 1 to 3) | any | not at all |
| gpt2 (bytes) | gpt-2, phi-2, olmo, mpt, jais, trillion, gigachat, exaone4, mellum | as GPT-2's |
| gpt2 | smollm, starcoder, refact, command-r, codeshell, exaone, minerva-7b | and each digit |
| gpt2 | llama-bpe, qwen2, qwen35, tekken, gpt-4o, and those like them | as transformers knows |

Of gpt-2, olmo, mpt, qwen2 and llama all tokens are those of llama.cpp's own test vectors and of the
publishers' tokenizers, of Gemma those of SentencePiece's rule on the file's scores; the others are
cut by the same rules, and were not tried on their publishers' files.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.models.gguf_header import GgufHeader

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

_WORDS, _MERGES = "tokenizer.ggml.tokens", "tokenizer.ggml.merges"
_SCORES, _KINDS = "tokenizer.ggml.scores", "tokenizer.ggml.token_type"
_CONTROL, _OWN, _BYTE = 3, 4, 6  # signs; words of the publisher that are found before all others
_SIGNS = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
_LIKE_GPT2 = {"gpt-2", "phi-2", "olmo", "mpt", "jais", "trillion", "gigachat", "exaone4", "mellum"}
_DIGITS_APART = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}
_COMPOSED = {"qwen2", "qwen35", "olmo", "mpt"}  # characters in Unicode's form NFC
# Words are taken whole where they are in the list, whatever the merges say.
_WHOLE_FIRST = {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0"}
_WHOLE_FIRST |= {"lfm2", "jina-v5-nano", "tekken"}
_log = logging.getLogger(__name__)


def read(file: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a GGUF file, of one of the two kinds."""
    from transformers import PreTrainedTokenizerFast

    said = GgufHeader(file, whole={_WORDS, _MERGES, _SCORES, _KINDS}).settings
    model, cut = said["tokenizer.ggml.model"], said.get("tokenizer.ggml.pre")
    backend = _of_bytes(said, cut) if model == "gpt2" else _of_sentence_pieces(said)
    words: Sequence[str] = said[_WORDS]
    signs = {
        f"{name}_token": words[said[f"tokenizer.ggml.{theirs}_token_id"]]
        for name, theirs in _SIGNS.items()
        if f"tokenizer.ggml.{theirs}_token_id" in said
    }
    tokenizer: PreTrainedTokenizerBase = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **{"bos_token": None, "eos_token": None} | signs,
        # What llama.cpp does where a file does not say.
        add_bos_token=said.get(
            "tokenizer.ggml.add_bos_token", model == "llama" or cut in _WHOLE_FIRST
        ),
        add_eos_token=said.get("tokenizer.ggml.add_eos_token", False),
        chat_template=said.get("tokenizer.chat_template"),
    )
    return tokenizer


def _of_bytes(said: Mapping[str, Any], cut: str | None) -> Tokenizer:
    """Return a tokenizer whose words are merged from bytes, written as GPT-2 writes them."""
    from tokenizers import Tokenizer, decoders, normalizers
    from tokenizers.models import BPE

    backend = Tokenizer(
        BPE(
            vocab=_ids(said[_WORDS]),
            merges=[tuple(merge.split(" ", 1)) for merge in said.get(_MERGES, ())],
            ignore_merges=cut in _WHOLE_FIRST,
        )
    )
    if cut in _COMPOSED:
        backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = _cutter(cut)
    backend.decoder = decoders.ByteLevel()
    _add_signs(backend, said)
    return backend


def _cutter(cut: str | None) -> Any:
    """Return what cuts text before its parts are looked up."""
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    if cut in _DIGITS_APART:
        return Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    if rule := GGUF_PRE_TOKENIZER_SPLITS.get(cut):
        parts = Split(Regex(rule), behavior="isolated")
        return Sequence([parts, ByteLevel(add_prefix_space=False, use_regex=False)])
    if cut not in _LIKE_GPT2:
        named = f"of the unknown kind {cut!r}" if cut else "of a kind that the file does not name"
        _log.warning(
            "Text is cut as GPT-2 cuts it, but the tokenizer is %s (tokenizer.ggml.pre): numbers "
            "and spaces may come out as other tokens than in training. Name the publisher's own "
            "tokenizer by tokenizer_path.",
            named,
        )
    return ByteLevel(add_prefix_space=False)


def _of_sentence_pieces(said: Mapping[str, Any]) -> Tokenizer:
    """Return a tokenizer whose words are merged from characters, the best word first."""
    from tokenizers import Tokenizer, decoders, normalizers
    from tokenizers.models import BPE

    words = [_spaced(word, kind) for word, kind in zip(said[_WORDS], _kinds(said), strict=True)]
    unknown = said.get("tokenizer.ggml.unknown_token_id")
    backend = Tokenizer(
        BPE(
            vocab=_ids(words),
            merges=_merges(words, said[_SCORES], _kinds(said)),
            unk_token=None if unknown is None else words[unknown],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    prefixed = said.get("tokenizer.ggml.add_space_prefix", True)
    spaces = normalizers.Replace(" ", _SPACE)
    prefix = [normalizers.Prepend(_SPACE)] if prefixed else []
    backend.normalizer = normalizers.Sequence([*prefix, spaces])
    strip = [decoders.Strip(content=" ", left=1, right=0)] if prefixed else []
    backend.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    _add_signs(backend, said)
    return backend


def _merges(
    words: Sequence[str], scores: Sequence[float], kinds: Sequence[int]
) -> list[tuple[str, str]]:
    """Return the pairs of words that make up a word, the word of the highest score first."""
    plain = {
        word: score
        for word, score, kind in zip(words, scores, kinds, strict=True)
        if kind not in (_CONTROL, _OWN, _BYTE)
    }
    pairs = [
        (-score, (word[:place], word[place:]))
        for word, score in plain.items()
        for place in range(1, len(word))
        if word[:place] in plain and word[place:] in plain
    ]
    return [pair for _, pair in sorted(pairs, key=lambda each: each[0])]


def _ids(words: Sequence[str]) -> dict[str, int]:
    return {word: place for place, word in enumerate(words)}


def _kinds(said: Mapping[str, Any]) -> Sequence[int]:
    return said.get(_KINDS) or [1] * len(said[_WORDS])


def _spaced(word: str, kind: int) -> str:
    """Return a word of spaces as other words write them."""
    return _SPACE * len(word) if kind == _OWN and word and not word.strip(" ") else word


def _add_signs(backend: Tokenizer, said: Mapping[str, Any]) -> None:
    """Let signs, and the publisher's own words, be found in text before all others."""
    from tokenizers import AddedToken

    is_pieces = said["tokenizer.ggml.model"] == "llama"
    signs, own = [], []
    for word, kind in zip(said[_WORDS], _kinds(said), strict=True):
        if kind == _CONTROL and word:
            signs.append(AddedToken(word, normalized=False, special=True))
        elif kind == _OWN and word:
            spaced = _spaced(word, kind) if is_pieces else word
            own.append(AddedToken(spaced, normalized=spaced != word, special=False))
    backend.add_special_tokens(signs)
    backend.add_tokens(own)
