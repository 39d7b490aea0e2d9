"""Text to tokens and back, searched over texts, cuts and tokens of every kind of tokenizer."""

import functools
import os
import unicodedata

import oracles
import pytest
from decoding import real_tokenizers as real
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from trimtab import LanguageModel

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# The same examples each time; SEARCH_EXAMPLES=10000 searches on.
EXAMPLES = int(os.environ.get("SEARCH_EXAMPLES", "100"))
SEARCH = settings(deadline=None, derandomize=True, database=None, max_examples=EXAMPLES)
every_kind = pytest.mark.parametrize("kind", real.KINDS)

FRAGMENTS = [
    *"aQß é中的かアяب" "हि0 1.,\n\t{}<>",
    *[" ", "  ", "   ", "\n\n", "\r\n", "\t\t", " \n"],
    *["\u00a0", "\u3000", "\u200d", "\ufeff", "\x00", "\u2029"],
    *["the", " turn", "Öl", "ück", "мал", " это", "这是", "です", "هذا", "है", "2048", "don't"],
    *["e\u0301", "o\u0308", "\u0301", "\ud55c", "\u1112\u1161\u11ab", "\u212b", "ﬁ", "½"],
    *["😀", "👍🏽", "👩‍🚀", "👨‍👩‍👧‍👦", "🏳️‍🌈", "❤️", "🇩🇪", "\U0001f3fd", "\ufe0f"],
    *["\U0001d518", "𠮷", REPLACEMENT],
]  # fmt: skip
SIGNS = ["<s>", "</s>", "<|endoftext|>", "<|im_end|>", "<tool_call>", "<bos>", "<0x0A>", "<unk>"]

texts = st.lists(
    st.sampled_from(FRAGMENTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    max_size=30,
).map("".join)
numbers = st.lists(st.integers(0, 10_000), max_size=60)


spelling = functools.cache(oracles.Spelling)


def kept(kind: str, text: str) -> str:
    """What a tokenizer of this kind keeps of a text."""
    if kind == "qwen":
        return unicodedata.normalize("NFC", text)
    if kind == "t5":
        known = real.tokenizer(kind).get_vocab()
        text = "".join(sign for sign in text if sign == " " or sign in known)
        text = text.removeprefix(" ")
    return text.replace("▁", " ") if kind in ("llama2", "gemma", "t5") else text


def read(model: LanguageModel, tokens: list[int]) -> str:
    """The tokenizer's own way from tokens to text."""
    return model.tokenizer.decode(
        tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )


def spelled(model: LanguageModel, tokens: list[int]) -> list[tuple[str, int]]:
    """The same byte by byte, with the first token of each piece."""
    signs = oracles.signs_of(model.tokenizer)
    return spelling(model.tokenizer).pieces([None if t in signs else t for t in tokens])


@every_kind
@SEARCH
@given(text=st.lists(texts | st.sampled_from(SIGNS), max_size=4).map("".join))
@example(text="<s>")
@example(text="<s><s>a <bos>")
def test_a_text_has_its_own_tokens_and_one_beginning(kind: str, text: str) -> None:
    model = real.model(kind)
    expected = model.tokenizer(text).input_ids
    bos = model.tokenizer.bos_token_id
    if len(expected) > 1 and expected[0] == expected[1] == bos and kind != "gpt2":
        del expected[0]
    assert model.encode(text) == expected


@every_kind
@SEARCH
@given(text=texts, cut=st.integers(0, 1000))
def test_a_text_cut_between_characters_is_its_parts(kind: str, text: str, cut: int) -> None:
    model = real.model(kind)
    text = kept(kind, text)
    tokens = model.encode(text)
    assume(tokens)
    cut %= len(tokens) + 1
    context, rest = tokens[:cut], tokens[cut:]
    before = read(model, context)
    assume(before and not before.endswith(REPLACEMENT))
    whole = before + model.continuation(context, rest)
    # A sign of replacement at the very end reads as a character whose rest is to come.
    expected = kept(kind, text)
    assert expected.startswith(whole)
    assert set(expected[len(whole) :]) <= {REPLACEMENT}


@every_kind
@SEARCH
@given(text=texts, chosen=numbers, again=st.integers(0, 1000))
@example(text="a 你", chosen=[0xE5, 98], again=0)
def test_whatever_is_said_is_the_bytes_it_spells(
    kind: str, text: str, chosen: list[int], again: int
) -> None:
    """Any tokens after any text, specials and broken characters among them."""
    model = real.model(kind)
    context = model.encode(kept(kind, text))
    assume(set(context) - oracles.signs_of(model.tokenizer))
    # Some of what is said is a text's own tokens, so that characters of many bytes come out whole.
    said = [number % model.vocabulary_size for number in chosen]
    place = again % (len(said) + 1)
    said[place:place] = model.encode(text[: again % 13])
    expected = spelled(model, said)
    assert model.pieces(context, said) == expected
    assert model.continuation(context, said) == "".join(piece for piece, _ in expected)


@every_kind
@SEARCH
@given(first=numbers, second=numbers)
def test_after_any_tokens_that_end_with_a_character(
    kind: str, first: list[int], second: list[int]
) -> None:
    """The context may hold broken characters; the tokenizer's own difference is the text."""
    model = real.model(kind)
    size = model.vocabulary_size
    context, said = ([number % size for number in each] for each in (first, second))
    whole_before, whole = read(model, context), read(model, context + said)
    assume(whole_before and not whole_before.endswith(REPLACEMENT))
    text = model.continuation(context, said)
    assert text == "".join(piece for piece, _ in spelled(model, said))
    if whole.startswith(whole_before) and REPLACEMENT not in whole:
        assert whole_before + text == whole


@every_kind
@SEARCH
@given(text=texts, chosen=numbers)
def test_text_grows_token_by_token(kind: str, text: str, chosen: list[int]) -> None:
    model = real.model(kind)
    context = model.encode("The answer is " + kept(kind, text))
    said = [number % model.vocabulary_size for number in chosen]
    whole = model.continuation(context, said)
    pieces = model.pieces(context, said)
    assert "".join(piece for piece, _ in pieces) == whole
    assert [first for _, first in pieces] == sorted({first for _, first in pieces})
    for end in range(len(said)):
        assert whole.startswith(model.continuation(context, said[:end]))
