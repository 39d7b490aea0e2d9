"""Model folders as an attacker, or a broken download, would leave them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trimtab import zoo

SECRET = "not for the model's folder"


def copied(folder: Path) -> Path:
    """Copy an embedded chat model to a folder, as one that could be a reward model's too."""
    shutil.copytree(zoo.path("a-small-chat"), folder)
    edit(folder / "config.json", id2label={"0": "reward"}, label2id={"reward": 0})
    return folder


def edit(file: Path, **changes: Any) -> None:
    """Change some keys of a JSON file."""
    content = json.loads(file.read_text("utf-8")) if file.exists() else {}
    file.write_text(json.dumps(content | changes), "utf-8")


def _code(folder: Path) -> None:
    """Write a module that leaves a file behind when it is run."""
    mark = folder.parent / "ran"
    (folder / "own.py").write_text(
        f"open({str(mark)!r}, 'w').close()\n"
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class Config(LlamaConfig):\n    model_type = 'own'\n"
        "class Model(LlamaForCausalLM):\n    config_class = Config\n"
        "class Tokenizer:\n    pass\n"
    )


def code_in_config(folder: Path) -> None:
    _code(folder)
    classes = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
    classes["AutoModelForSequenceClassification"] = "own.Model"
    edit(folder / "config.json", auto_map=classes, model_type="own", architectures=["Model"])


def code_in_tokenizer(folder: Path) -> None:
    _code(folder)
    (folder / "tokenizer.json").unlink()
    auto_map = {"AutoTokenizer": ["own.Tokenizer", None]}
    edit(folder / "tokenizer_config.json", auto_map=auto_map, tokenizer_class="Tokenizer")


def code_of_generate(folder: Path) -> None:
    """Not an error: transformers would run it, we do not."""
    _code(folder)
    (folder / "custom_generate").mkdir()
    text = (folder / "own.py").read_text()
    (folder / "custom_generate/generate.py").write_text(f"{text}\ndef generate(model): pass\n")


def kernel_in_config(folder: Path) -> None:
    edit(folder / "config.json", attn_implementation="someone/kernel")


class _Runs:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.mark), "w")


def pickled_weights(folder: Path) -> None:
    import torch

    (folder / "model.safetensors").unlink()
    torch.save({"weight": _Runs(folder.parent / "ran")}, folder / "pytorch_model.bin")


def pipe_as_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")


def pipe_as_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")


def device_as_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to("/dev/zero")


def link_out(folder: Path) -> None:
    secret = folder.parent / "secret.json"
    secret.write_text(json.dumps({"secret": SECRET}))
    (folder / "special_tokens_map.json").symlink_to(secret)


def template_out(folder: Path) -> None:
    secret = folder.parent / "templates"
    secret.mkdir()
    (secret / "tools.jinja").write_text(SECRET)
    (folder / "additional_chat_templates").symlink_to(secret)


def weights_elsewhere(folder: Path) -> None:
    shutil.move(folder / "model.safetensors", folder.parent / "model.safetensors")
    index = {"metadata": {}, "weight_map": {"model.norm.weight": "../model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def index_of_nothing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": [1]}')


def huge_json(folder: Path) -> None:
    os.truncate(folder / "tokenizer.json", 1 << 40)  # a hole: it takes no room


def deep_json(folder: Path) -> None:
    (folder / "config.json").write_text('{"a": ' + "[" * 200_000 + "]" * 200_000 + "}")


def list_as_config(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def list_as_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("[]")


def list_as_tokenizer_config(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text("[]")


def torn_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama", "hid')


def numbers_that_are_text(folder: Path) -> None:
    edit(folder / "config.json", hidden_size="many", num_attention_heads=None)


def truncated_weights(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 5000)


def fewer_layers(folder: Path) -> None:
    edit(folder / "config.json", num_hidden_layers=1)


def leftover_adapter(folder: Path) -> None:
    edit(folder / "adapter_config.json", peft_type="LORA", base_model_name_or_path="someone/model")


def adapter_alone(folder: Path) -> None:
    leftover_adapter(folder)
    for name in ("config.json", "model.safetensors"):
        (folder / name).unlink()
