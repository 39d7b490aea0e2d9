"""Tokenizers in GGUF files: equal to those that the words and their cuts were taken from."""

from __future__ import annotations

import io
import json
import unicodedata
from pathlib import Path

import pytest
from tests.decoding.real_tokenizers import TEXT, tokenizer
from tests.models import gguf_files
from transformers import PreTrainedTokenizerFast

from trimtab import zoo
from trimtab.models import gguf_tokenizer

CONTROL, OWN, NORMAL = 3, 4, 1
TEXTS = (
    *TEXT.splitlines(),
    TEXT,
    unicodedata.normalize("NFD", TEXT),
    "",
    " ",
    "   ",
    "\n\n",
    " starts with a space",
    "two  spaces,   three,\ttab\n\n\n and lines \n",
    "12345 and 1,024.50 and ½ and Ⅷ and ४५६",
    "signs <s>in</s> text <|endoftext|><|im_start|>user<tool_call>",
)


def written(file: Path, made: PreTrainedTokenizerFast, cut: str, **settings: int | bool) -> Path:
    """Write a tokenizer of bytes as llama.cpp's converter would."""
    said = json.loads(made.backend_tokenizer.to_str())
    added = {token["content"]: token for token in said["added_tokens"]}
    ids = {**said["model"]["vocab"], **{word: token["id"] for word, token in added.items()}}
    words = sorted(ids, key=ids.__getitem__)
    kinds = [(CONTROL if added[w]["special"] else OWN) if w in added else NORMAL for w in words]
    merges = [" ".join(pair) for pair in said["model"]["merges"]]
    if made.bos_token_id is not None:
        settings = {"bos_token_id": made.bos_token_id, **settings}
    return gguf_files.write_words(
        file,
        {"model": "gpt2", "pre": cut, "eos_token_id": made.eos_token_id, **settings},
        {"tokens": words, "token_type": kinds, "merges": merges},
    )


@pytest.mark.parametrize(
    "kind, cut", [("gpt2", "gpt-2"), ("qwen", "qwen2"), ("llama3", "llama-bpe"), ("zoo", "smollm")]
)
def test_words_of_bytes_are_cut_as_the_publisher_cuts(tmp_path: Path, kind: str, cut: str) -> None:
    folder = zoo.path("a-small-chat")
    made = tokenizer(kind) if kind != "zoo" else PreTrainedTokenizerFast.from_pretrained(folder)
    read = gguf_tokenizer.read(written(tmp_path / "words.gguf", made, cut))
    for text in TEXTS:
        assert read(text).input_ids == made(text).input_ids, text
        assert read.decode(made(text).input_ids) == made.decode(made(text).input_ids)
    assert read.get_vocab() == made.get_vocab()
    assert read.eos_token == made.eos_token


def test_an_unknown_cut_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gguf_tokenizer.read(written(tmp_path / "words.gguf", tokenizer("gpt2"), "of-tomorrow"))
    assert "'of-tomorrow'" in caplog.text
    assert "tokenizer_path" in caplog.text


@pytest.mark.parametrize("prefixed", [True, False], ids=["llama", "gemma"])
def test_sentence_pieces_are_those_of_sentencepiece(tmp_path: Path, prefixed: bool) -> None:
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    model = io.BytesIO()
    own = [] if prefixed else ["\n", "\n\n", "▁▁", "▁▁▁", "<table>"]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.splitlines() * 3),
        model_writer=model,
        vocab_size=700,
        model_type="bpe",
        byte_fallback=True,
        character_coverage=0.98,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=prefixed,
        user_defined_symbols=own,
        minloglevel=2,
    )
    made = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    places = range(made.vocab_size())
    kinds = [
        2 if made.is_unknown(i) else 3 if made.is_control(i) else 6 if made.is_byte(i) else 1
        for i in places
    ]
    words = [made.id_to_piece(i) for i in places]
    kinds = [OWN if word in own else kind for word, kind in zip(words, kinds, strict=True)]
    words = [word.replace("▁", " ") if word in own else word for word in words]
    settings = {"model": "llama", "pre": "default", "unknown_token_id": made.unk_id()}
    settings |= {"bos_token_id": made.bos_id(), "eos_token_id": made.eos_id()}
    file = gguf_files.write_words(
        tmp_path / "words.gguf",
        settings | ({} if prefixed else {"add_space_prefix": False}),
        {"tokens": words, "scores": [made.get_score(i) for i in places], "token_type": kinds},
    )
    read = gguf_tokenizer.read(file)
    for text in (each for each in TEXTS if "<s>" not in each):
        assert read(text).input_ids == [made.bos_id(), *made.encode(text)], text
        assert read.decode(made.encode(text)) == made.decode(made.encode(text))
