"""Model folders made by plain safetensors and transformers, and their weights read back by them."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

Tensors = dict[str, torch.Tensor]
VOCABULARY = 48


def write_folder(
    folder: Path, tensors: Mapping[str, torch.Tensor], *, tokens: Mapping[str, int] | None = None
) -> str:
    """Write hand-made tensors as a model's folder, and return its name."""
    folder.mkdir()
    rows = [len(tensor) for name, tensor in tensors.items() if "embed" in name]
    config = {"model_type": "llama", "vocab_size": rows[0] if rows else VOCABULARY}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(dict(tensors), folder / "model.safetensors", metadata={"format": "pt"})
    if tokens is not None:
        tokenizer = {"model": {"type": "BPE", "vocab": dict(tokens)}, "added_tokens": []}
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return str(folder)


def read_folder(folder: str | Path) -> Tensors:
    """Return all tensors of a folder's `model*.safetensors`, as the safetensors library reads."""
    tensors: Tensors = {}
    for file in sorted(Path(folder).glob("model*.safetensors")):
        tensors |= load_file(file)
    return tensors


def llama(*, seed: int, tied: bool = False, dtype: torch.dtype = torch.float32, **settings: int):
    """Return a tiny Llama; its weights depend on the seed alone."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
        tie_word_embeddings=tied,
        **settings,
    )
    return _drawn(LlamaForCausalLM(config), seed).to(dtype)


def gpt2(*, seed: int, tied: bool = True):
    """Return a tiny GPT-2, whose weights are stored transposed."""
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=32,
        tie_word_embeddings=tied,
    )
    return _drawn(GPT2LMHeadModel(config), seed)


def _drawn(model, seed: int):
    """Draw all weights, also those of norms and biases, which are otherwise all alike."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((parameter.ndim == 1) + 0.1 * torch.randn_like(parameter))
    return model.eval()


def saved(model, folder: Path, **settings: str) -> str:
    """Save a model by transformers, and return the folder's name."""
    model.save_pretrained(folder, **settings)
    return str(folder)


def bits_differ(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the names of tensors that are not the same to the last bit, dtype included."""
    return [
        name
        for name in sorted(one.keys() | other.keys())
        if name not in one
        or name not in other
        or one[name].dtype != other[name].dtype
        or not torch.equal(one[name].view(torch.uint8), other[name].view(torch.uint8))
    ]
