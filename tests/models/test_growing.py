"""Tokens of growing texts equal those of the whole text, found without reading all of it."""

import random

import pytest
from decoding import real_tokenizers

from trimtab.models.codec import Codec
from trimtab.models.growing_text import GrowingText

NAMES = ["a-large-base", "b-small-chat", *real_tokenizers.KINDS]
PARTS = [
    *[
        "the",
        "of",
        "Hello",
        "don't",
        "we're",
        "12,345.67",
        "x=1;",
        "f(a):",
        "\t",
        "...",
        "!!!",
        "--",
    ],
    *[
        "naïve",
        "café",
        "Straße",
        "e\u0301",
        "ﬁ",
        "привет",
        "你好。",
        "こんにちは",
        "مرحبا",
        "नमस्ते",
        "😀",
    ],
    *[
        "👩\u200d👩\u200d👧",
        "🇩🇪",
        "</s>",
        "<|im_end|>",
        "[INST]",
        "A",
        "22",
        "4444",
        "_a_",
        "▁",
        "Ġ",
        "\n",
    ],
]
SPACES = [" ", " ", " ", "", "  ", "\n", " \n", "\n\n"]


def codec_of(zoo, name: str) -> Codec:
    if name in real_tokenizers.KINDS:
        return Codec(real_tokenizers.tokenizer(name), frozenset())
    return zoo(name).codec


def text_of(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(PARTS) + rng.choice(SPACES) for _ in range(count))


@pytest.mark.parametrize("name", NAMES)
def test_tokens_are_those_of_the_whole_text(zoo, name: str) -> None:
    codec = codec_of(zoo, name)
    rng = random.Random(5)
    for _ in range(12):
        text, growing = text_of(rng, 150), GrowingText(codec)
        end = 1
        while end < len(text):
            guess = text[:end] + rng.choice(["", rng.choice(PARTS)])
            assert growing.tokens(guess) == codec.encode(guess)
            assert growing.tokens(text[:end]) == codec.encode(text[:end])
            end += rng.randint(1, 25)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_reads_the_end_of_the_text_alone(zoo, name: str, monkeypatch) -> None:
    codec = codec_of(zoo, name)
    read: list[int] = []
    encode = codec.encode_bare
    monkeypatch.setattr(codec, "encode_bare", lambda text: read.append(len(text)) or encode(text))
    text = "She had 12 apples, and he ate some of them; what a day it was. " * 80
    growing = GrowingText(codec)
    for end in range(300, len(text), 5):
        read.clear()
        growing.tokens(text[:end])
        assert sum(read) < 1000 or end < 400
