"""What a loaded model is, by its content: it has no files that could be compared."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_OF_A_COPY = ("_name_or_path", "transformers_version", "_commit_hash", "dtype", "torch_dtype")


def in_memory_sha256(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a hash of a model's tensors and settings, and of its tokenizer, as they are now.

    Tensors that are elsewhere than in memory count by name and shape alone.
    """
    import torch

    found = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if not tensor.is_meta:
            plain = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            found.update(memoryview(plain.numpy()))
    settings = [model.config.to_dict()]
    if model.generation_config is not None:
        settings.append(model.generation_config.to_dict())
    plain_settings = [{k: v for k, v in own.items() if k not in _OF_A_COPY} for own in settings]
    found.update(json.dumps(plain_settings, sort_keys=True, default=str).encode())
    found.update(_tokenizer(tokenizer).encode())
    return found.hexdigest()


def _tokenizer(tokenizer: PreTrainedTokenizerBase) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items())
    return json.dumps([rules, tokenizer.special_tokens_map, tokenizer.chat_template], default=str)
