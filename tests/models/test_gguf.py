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
