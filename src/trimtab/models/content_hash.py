"""What models and vectors are by their content: the hashes that tell two of one name apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.machine import whole_files
from trimtab.models.model_folder import WORDS, folder_files

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CONTENT = {".safetensors", ".bin", ".json", ".jinja", ".model"}
_OF_A_COPY = ("_name_or_path", "transformers_version", "_commit_hash", "dtype", "torch_dtype")


def content_sha256(folder: Path) -> str:
    """Return a hash of the files of a model or a vector, by name and content.

    Raises:
        ValueError: for what `folder_files` refuses.
    """
    return _files_sha256(file for file in folder_files(folder) if file.suffix in _CONTENT)


def further_sha256(folder: Path, *, code: bool) -> str | None:
    """Return a hash of what a model's folder is read by beside that; None where there is nothing.

    That is the lists of words of a tokenizer without tokenizer.json, and code where it is run.
    """
    whole = (folder / "tokenizer.json").is_file()
    suffixes = (set() if whole else WORDS) | ({".py"} if code else set())
    files = [file for file in folder_files(folder) if file.suffix in suffixes]
    return _files_sha256(files) if files else None


def words_sha256(folder: Path) -> str:
    """Return a hash of the files that a folder's tokenizer can be read from."""
    readable = {".json", ".jinja", ".model", *WORDS}
    return _files_sha256(file for file in folder_files(folder) if file.suffix in readable)


def _files_sha256(files: Iterable[Path]) -> str:
    return text_sha256("".join(f"{file.name} {whole_files.sha256(file)}\n" for file in files))


def text_sha256(text: str) -> str:
    """Return a hash of a text, such as a chat template."""
    return hashlib.sha256(text.encode()).hexdigest()


def vocabulary_sha256(ids: Mapping[str, int]) -> str:
    """Return a hash of a tokenizer's tokens and their ids."""
    return text_sha256(json.dumps(sorted(ids.items())))


def in_memory_sha256(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a hash of a loaded model's tensors and settings, and of its tokenizer, as they are.

    It may have no files that could be compared. Tensors that are elsewhere than in memory count by
    name and shape alone.
    """
    import torch

    found = hashlib.sha256()
    for name, tensor in _parts(model.state_dict()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if not tensor.is_meta:
            plain = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            found.update(plain.numpy().data)
    settings = [model.config.to_dict()]
    if model.generation_config is not None:
        settings.append(model.generation_config.to_dict())
    plain_settings = [{k: v for k, v in own.items() if k not in _OF_A_COPY} for own in settings]
    found.update(json.dumps(plain_settings, sort_keys=True, default=str).encode())
    found.update(_tokenizer(tokenizer).encode())
    return found.hexdigest()


def _parts(tensors: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield tensors by name, those that are made of others as these."""
    for name, tensor in tensors.items():
        if hasattr(tensor, "__tensor_flatten__"):
            inner, _ = tensor.__tensor_flatten__()
            yield from _parts({f"{name}.{part}": getattr(tensor, part) for part in inner})
        else:
            yield name, tensor


def _tokenizer(tokenizer: PreTrainedTokenizerBase) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items())
    return json.dumps([rules, tokenizer.special_tokens_map, tokenizer.chat_template], default=str)
