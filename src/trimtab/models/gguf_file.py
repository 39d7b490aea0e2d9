"""A model that is one GGUF file: what it says of itself, checked before transformers reads it.

Nothing that lies beside the file is read.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trimtab.models import gguf_coverage
from trimtab.models.gguf_header import GgufHeader
from trimtab.models.model_folder import no_template

SUFFIX = ".gguf"
_TOKENIZER = {"tokenizer.ggml.model", "tokenizer.ggml.tokens"}
_KINDS = ("gpt2", "llama")
_PLAIN = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
_ALONE = "model.gguf"
_READ_BY = ("gguf", "accelerate")  # transformers takes both
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GgufFile:
    """A whole GGUF file of a model that transformers reads.

    Args:
        path: the file.
        settings: its metadata by key; of lists of texts, and of long ones, the length alone.
        tensors: its tensors by name, each with what it is packed in, such as F16 or Q4_K.
    """

    path: Path
    settings: Mapping[str, Any]
    tensors: Mapping[str, str]

    @classmethod
    def open(cls, path: Path) -> GgufFile:
        """Read a file's header, which takes no time, and check that the file is whole.

        Raises:
            ValueError: for what is no such file or is cut off, for a model that transformers does
                not read from one, and without the package gguf.
        """
        status = path.stat()
        return _opened(path, status.st_size, status.st_mtime_ns)

    def check_tokenizer(self, *, needs_template: bool) -> None:
        """Raise ValueError for a file without a known tokenizer, or a chat template if needed."""
        if not self.settings.keys() >= _TOKENIZER:
            raise ValueError(
                f"{str(self.path)!r} has no tokenizer (tokenizer.ggml.tokens). Name a folder that "
                "has the model's by tokenizer_path."
            )
        if (kind := self.settings["tokenizer.ggml.model"]) not in _KINDS:
            raise ValueError(
                f"{str(self.path)!r} has a tokenizer of the kind {kind!r} (tokenizer.ggml.model), "
                f"and only {' and '.join(_KINDS)} are read from a GGUF file. Name a folder that "
                "has the model's by tokenizer_path."
            )
        if needs_template and not self.settings.get("tokenizer.chat_template"):
            raise ValueError(no_template(str(self.path)))

    @property
    def dtype(self) -> str:
        """The number format that it holds, of torch by name; that of unpacked ones is float32."""
        packings = set(self.tensors.values())
        if packings <= _PLAIN.keys():  # norms are F32 in files of 16 bits too
            return next((_PLAIN[one] for one in _PLAIN if one in packings), "float32")
        return "float32"

    def without_place(self, placed: Collection[str]) -> list[str]:
        """Return the tensors that are not among those placed; stacked ones are without suffix."""
        return [
            name
            for name in self.tensors
            if name not in placed and name.removesuffix(".weight") not in placed
        ]

    @contextmanager
    def alone(self) -> Iterator[tuple[Path, str]]:
        """Give a folder that holds the file alone, and its name there, for transformers.

        It would read what else lies beside a file, which is no part of the model.
        """
        with TemporaryDirectory(prefix="trimtab-") as folder:
            (Path(folder) / _ALONE).symlink_to(self.path.resolve())
            yield Path(folder), _ALONE


@functools.lru_cache(maxsize=16)  # each model is asked for more than once
def _opened(path: Path, size: int, changed: int) -> GgufFile:
    for package in _READ_BY:
        if find_spec(package) is None:
            raise ValueError(
                f"{str(path)!r} is read by the package {package}, which is not installed. Install "
                "it with: pip install 'trimtab[gguf]'"
            )
    try:
        header = GgufHeader(path)
        if size < header.end:
            raise ValueError(
                f"is cut off: it has {size:,} bytes of the {header.end:,} that its header tells "
                "of. Download it again."
            )
        gguf_coverage.require_readable(header.settings, header.tensors)
    except ValueError as error:
        raise ValueError(f"{str(path)!r} {error}") from None
    if unread := gguf_coverage.unread(header.settings):
        _log.warning(
            "%s: transformers does not read %s from a GGUF file. Where that matters, answers are "
            "not the model's own.",
            path,
            ", ".join(unread),
        )
    return GgufFile(path, header.settings, header.tensors)
