"""A model that is one GGUF file: what it says of itself, checked before transformers reads it.

Nothing that lies beside the file is read.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trimtab.models.gguf_header import GgufHeader
from trimtab.models.model_folder import no_template

SUFFIX = ".gguf"
_TOKENIZER = {"tokenizer.ggml.model", "tokenizer.ggml.tokens"}
_PLAIN = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
_ALONE = "model.gguf"


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
        """Raise ValueError for a file without a tokenizer, or a chat template if needed."""
        if not self.settings.keys() >= _TOKENIZER:
            raise ValueError(
                f"{str(self.path)!r} has no tokenizer (tokenizer.ggml.tokens). Name a folder that "
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
    if find_spec("gguf") is None:
        raise ValueError(
            f"{str(path)!r} is read by the package gguf, which is not installed. Install it with: "
            "pip install 'trimtab[gguf]'"
        )
    try:
        header = GgufHeader(path)
        if size < header.end:
            raise ValueError(
                f"is cut off: it has {size:,} bytes of the {header.end:,} that its header tells "
                "of. Download it again."
            )
        _require_readable(header.settings)
    except ValueError as error:
        raise ValueError(f"{str(path)!r} {error}") from None
    return GgufFile(path, header.settings, header.tensors)


def _require_readable(settings: Mapping[str, Any]) -> None:
    """Refuse what transformers does not read, or would read as something else."""
    # Neither imports torch: what cannot be loaded is said at once.
    from transformers.integrations.ggml import GGUF_CONFIG_MAPPING
    from transformers.integrations.gguf.gguf_config_mapping import GGUF_CONFIG_ARCHS

    architecture = settings.get("general.architecture")
    known = {*GGUF_CONFIG_MAPPING, *GGUF_CONFIG_ARCHS} - {"general", "tokenizer"}
    if _plain(architecture) not in map(_plain, known):
        raise ValueError(
            f"is of the architecture {architecture!r}, which transformers does not read from a "
            f"GGUF file. It reads: {', '.join(sorted(known))}. Take the model's safetensors."
        )
    if (parts := settings.get("split.count", 1)) > 1:
        raise ValueError(
            f"is one of {parts} parts. Join them first: llama-gguf-split --merge FIRST OUT"
        )


def _plain(name: object) -> str:
    """Return an architecture's name as neither llama.cpp nor transformers spells it."""
    return str(name).replace("-", "").replace("_", "")
