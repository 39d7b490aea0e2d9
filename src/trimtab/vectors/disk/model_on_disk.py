"""Where models and vectors come from that are read from disk to disk, and what they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trimtab.machine.json_file import read_object
from trimtab.models import quantized_checkpoint
from trimtab.models.content_hash import content_sha256, vocabulary_sha256
from trimtab.models.source import Source
from trimtab.models.tokenizer_file import tokens_in
from trimtab.tensors.tensor_file import StoredTensor, TensorFolder
from trimtab.vectors.facts import ModelFacts


@dataclass(frozen=True)
class ModelOnDisk:
    """A model's folder, of which no weights are loaded.

    Args:
        name: `zoo:<name>`, a local folder or a hub id, as in `LanguageModel.path`.
        revision: hub revision; only for hub ids.

    Raises:
        ValueError: if there is no such folder, or none with a config.json.
    """

    name: str
    revision: str | None = None

    def __post_init__(self) -> None:
        _ = self.path

    @cached_property
    def source(self) -> Source:
        """The place that it is read from."""
        return Source(path=self.name, revision=self.revision)

    @property
    def path(self) -> Path:
        """The folder."""
        return self.source.folder_with_weights

    @cached_property
    def tensors(self) -> dict[str, StoredTensor]:
        """The weights by name.

        Raises:
            ValueError: for a model whose config.json says that they are quantized.
        """
        if method := quantized_checkpoint.method_in(self.config):
            raise ValueError(
                f"{self.name!r} is quantized (by {method}, as its config.json says): there are no "
                "differences of quantized weights, and nothing is added to them. Give the model "
                "before it was quantized."
            )
        return TensorFolder(self.path).tensors

    @cached_property
    def config(self) -> dict[str, Any]:
        """What config.json says."""
        return read_object(self.path / "config.json")

    @property
    def vocabulary_size(self) -> int | None:
        """How many tokens the model has a row for, as far as its config says."""
        of_text = self.config.get("text_config") or {}  # of models that also see or hear
        inner = of_text.get("vocab_size") if isinstance(of_text, dict) else None
        size = self.config.get("vocab_size", inner)
        return size if isinstance(size, int) else None

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Tokens and their ids, of a tokenizer.json; empty where there is none.

        Raises:
            ValueError: for a file that does not say which token has which id.
        """
        file = self.path / "tokenizer.json"
        return tokens_in(file) if file.is_file() else {}

    def facts(self) -> ModelFacts:
        """Return what names exactly this model: where from, revision, hashes."""
        return {
            "name": self.name,
            "revision": self.revision,
            "content_sha256": content_sha256(self.path),
            "tokenizer_sha256": vocabulary_sha256(self.vocabulary),
        }


def total_bytes(tensors: Iterable[StoredTensor]) -> int:
    """Return how many bytes some tensors take."""
    return sum(tensor.numel * tensor.format.size for tensor in tensors)
