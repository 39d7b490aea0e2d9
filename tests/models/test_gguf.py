"""Models in GGUF files: equal to transformers' own reading, and to the model that was written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.models import gguf_files

from trimtab import LanguageModel


def test_a_file_is_the_model_that_was_written(tmp_path: Path, zoo) -> None:
    twin = zoo("a-small-chat")
    file = gguf_files.write(tmp_path / "model.gguf")
    model = LanguageModel(path=str(file), prompt="chat")
    mine, its = model.weights.state_dict(), twin.weights.state_dict()
    assert mine.keys() == its.keys()
    assert all(torch.equal(mine[name], its[name]) for name in its)
    assert model.tokenizer.chat_template == twin.tokenizer.chat_template
    assert (model.stop_tokens, model.context_length) == (twin.stop_tokens, twin.context_length)


def test_quantization_gguf_of_a_folder_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no GGUF file\. Use quantization=none"):
        LanguageModel(path="zoo:a-small-chat", prompt="chat", quantization="gguf")
