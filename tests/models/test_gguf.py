"""Models in GGUF files: equal to transformers' own reading, and to the model that was written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.models import gguf_files
from transformers import AutoModelForCausalLM, GgufConfig

from trimtab import Conversation, Generation, LanguageModel, Plain

QUESTIONS = (
    "Tom has 3 apples and buys 14 more. How many has he?",
    "What should I do for a cold?",
    "Write a story of a dog.",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gguf")
    for packing in ("F32", "F16", "Q8_0"):
        gguf_files.write(folder / f"{packing}.gguf", packing=packing)
    return folder


def theirs(file: Path) -> torch.nn.Module:
    """Return transformers' own reading of a file."""
    return AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    ).eval()


@pytest.mark.parametrize("packing", ["F32", "F16", "Q8_0"])
def test_answers_are_those_of_transformers(folder: Path, packing: str) -> None:
    file = folder / f"{packing}.gguf"
    model, peer = LanguageModel(path=str(file), prompt="chat"), theirs(file)
    asked = [Conversation(question=question) for question in QUESTIONS]
    found = Plain(model=model).complete(asked, Generation(max_new_tokens=40))
    for conversation, answer in zip(asked, found, strict=True):
        tokens = model.tokenizer(model.render(conversation), return_tensors="pt").input_ids
        out = peer.generate(tokens, do_sample=False, max_new_tokens=40)[0, tokens.shape[1] :]
        assert answer.text == model.tokenizer.decode(out, skip_special_tokens=True)


def test_a_file_of_float32_is_the_model_that_was_written(folder: Path, zoo) -> None:
    twin, model = zoo("a-small-chat"), LanguageModel(path=str(folder / "F32.gguf"), prompt="chat")
    mine, its = model.weights.state_dict(), twin.weights.state_dict()
    assert mine.keys() == its.keys()
    assert all(torch.equal(mine[name], its[name]) for name in its)
    assert model.tokenizer.chat_template == twin.tokenizer.chat_template
    assert (model.stop_tokens, model.context_length) == (twin.stop_tokens, twin.context_length)
    assert (model.vocabulary, model.special_tokens) == (twin.vocabulary, twin.special_tokens)


def test_what_lies_beside_a_file_is_not_read(folder: Path, zoo) -> None:
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        (folder / name).write_text("no JSON")
    model = LanguageModel(path=str(folder), gguf_file="F16.gguf", prompt="chat")
    assert model.stop_tokens == zoo("a-small-chat").stop_tokens
    assert model.weights.num_parameters() == zoo("a-small-chat").weights.num_parameters()


def test_a_tokenizer_of_a_folder_takes_the_place_of_the_models_own(
    folder: Path, tmp_path: Path, zoo
) -> None:
    twin, bare = zoo("a-small-chat"), tmp_path / "bare.gguf"
    gguf_files.write(bare, tokenizer=False)
    with pytest.raises(ValueError, match=r"bare\.gguf' has no tokenizer .* by tokenizer_path"):
        LanguageModel(path=str(bare), prompt="chat")
    model = LanguageModel(path=str(bare), prompt="chat", tokenizer_path="zoo:a-small-chat")
    assert model.vocabulary == twin.vocabulary
    assert model.render(Conversation(question="Hi")) == twin.render(Conversation(question="Hi"))
    other = LanguageModel(path=str(bare), prompt="chat", tokenizer_path=str(folder / "F32.gguf"))
    assert other.vocabulary == twin.vocabulary
    assert model.identity["words_sha256"] != other.identity["words_sha256"]
    foreign = LanguageModel(path=str(bare), prompt="chat", tokenizer_path="zoo:b-small-chat")
    with pytest.raises(ValueError, match=r"has 896 tokens, .* has rows for 768: it is another"):
        _ = foreign.tokenizer


def test_a_tokenizer_needs_no_model_beside_it(tmp_path: Path, zoo) -> None:
    zoo("a-small-chat").tokenizer.save_pretrained(tmp_path)
    model = LanguageModel(path="zoo:a-small-base", prompt="chat", tokenizer_path=str(tmp_path))
    asked = Conversation(question="Hi")
    assert model.render(asked) == zoo("a-small-chat").render(asked)
    before = model.identity["words_sha256"]
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}")
    again = LanguageModel(path="zoo:a-small-base", prompt="chat", tokenizer_path=str(tmp_path))
    assert again.identity["words_sha256"] != before
    with pytest.raises(ValueError, match="no tokenizer"):
        LanguageModel(path="zoo:a-small-base", prompt="plain", tokenizer_path=str(tmp_path.parent))


def test_answers_end_where_the_file_says_that_a_turn_ends(tmp_path: Path, zoo) -> None:
    turn = {"tokenizer.ggml.eot_token_id": 4}
    file = gguf_files.write(tmp_path / "model.gguf", settings=turn)
    model = LanguageModel(path=str(file), prompt="chat")
    assert model.stop_tokens == zoo("a-small-chat").stop_tokens | {4}
    assert not model.codec.is_text(4)
