"""Write a model that vectors were added to, from disk to disk, a block at a time."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from trimtab.machine.whole_folder import new_folder, whole_folder
from trimtab.models.model_folder import folder_files
from trimtab.models.source import DESCRIPTION
from trimtab.tensors.blocks import blocks, squared_norm, to_six_digits
from trimtab.tensors.delta import Deltas
from trimtab.tensors.number_format import Array
from trimtab.tensors.tensor_file import StoredTensor, TensorFile, TensorWriter
from trimtab.vectors.disk.model_on_disk import ModelOnDisk, total_bytes
from trimtab.vectors.files.checkpoint_record import RECORD, card, checkpoint_record
from trimtab.vectors.matching import require_fits, require_weights
from trimtab.vectors.names.names_in_files import by_names_in_files
from trimtab.vectors.vector import Vector
from trimtab.vectors.weighted_sum import (
    Term,
    not_finite,
    require_finite_strengths,
    terms_of,
    weighted_sum,
)

# Weights in other formats would contradict those written; code is never carried along.
_CARRIED_ALONG = (*DESCRIPTION, "*.md")


def apply(
    *,
    base: str,
    vectors: Mapping[str, Vector],
    strengths: Mapping[str, float],
    out: str | Path,
    base_revision: str | None = None,
    command: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the checkpoint `base + sum_d strength_d vector_d`, and return its folder.

    It is an ordinary one: the base's files of weights with other numbers, in their dtypes, its
    tokenizer and settings, a card, and `vectors.json`, which says what it is made of.

    Args:
        base: the model, often but not necessarily the one that the vectors were extracted from: a
            folder, a hub id, or `zoo:<name>`.
        vectors: what is added, by name.
        strengths: how much of each, by the same names.
        out: the folder to write, which appears once it is whole.
        base_revision: revision of the base, if it is on the hub.
        command: what made it, for the card.
        progress: called with how many weights were just written, and how many there are in all.

    Raises:
        ValueError: for tensors that do not match, listing them, strengths that are not finite, and
            sums that are not.
        OSError: if the disk is full.
    """
    require_finite_strengths(list(strengths.values()))
    if odd := sorted(strengths.keys() ^ vectors.keys()):
        raise ValueError(
            f"strengths: {', '.join(odd)}: accepted is one for each vector: {', '.join(vectors)}."
        )
    out = new_folder(out)
    model = ModelOnDisk(base, base_revision)
    kinds = {name: tensor.format for name, tensor in model.tensors.items()}
    added = {n: by_names_in_files(vector.deltas, model, of=n) for n, vector in vectors.items()}
    for name, deltas in added.items():
        require_fits(model.tensors, deltas, model=base, vector_name=name)
        require_weights(kinds, deltas, model=base)
    beside_weights = [file for file in folder_files(model.path) if _is_carried_along(file.name)]
    size = total_bytes(model.tensors.values()) + sum(f.stat().st_size for f in beside_weights)
    weights = sum(tensor.numel for tensor in model.tensors.values())
    work = _Application(
        base,
        added,
        strengths,
        step=lambda written: None if progress is None else progress(written, weights),
    )
    with (
        np.errstate(over="ignore", invalid="ignore"),  # what is not finite is an error below
        ThreadPoolExecutor(1) as beside,
        whole_folder(out, size=size) as temporary,
    ):
        identity = beside.submit(model.facts)
        for file in beside_weights:
            shutil.copyfile(file, temporary / file.name)
        tensor_files = {tensor.file for tensor in model.tensors.values()}
        for tensor_file in sorted(tensor_files, key=lambda file: file.path):
            work.write(tensor_file, temporary / tensor_file.path.name)
        record = checkpoint_record(identity.result(), vectors, strengths, work.norms)
        (temporary / RECORD).write_text(json.dumps(record, indent=2) + "\n", "utf-8")
        (temporary / "README.md").write_text(card(record, command), "utf-8")
    return out


def _is_carried_along(name: str) -> bool:
    return name != "README.md" and any(fnmatchcase(name, each) for each in _CARRIED_ALONG)


@dataclass
class _Application:
    """The sum that is being written, and how far it lies from the base."""

    base: str
    vectors: Mapping[str, Deltas]
    strengths: Mapping[str, float]
    step: Callable[[int], None]
    _moved_square: float = 0.0
    _base_square: float = 0.0

    @property
    def norms(self) -> tuple[float, float]:
        """The Euclidean norms of what was added, as it was written, and of the base weights."""
        return to_six_digits(self._moved_square**0.5), to_six_digits(self._base_square**0.5)

    def write(self, file: TensorFile, out: Path) -> None:
        """Write the file that one of the base's becomes."""
        shapes = {name: tensor.shape for name, tensor in file.tensors.items()}
        with TensorWriter(out, shapes, metadata_room=len(json.dumps(file.metadata))) as writer:
            for name, tensor in sorted(file.tensors.items(), key=lambda pair: pair[1].start):
                terms = terms_of(name, self.vectors, self.strengths)
                writer.begin()
                for first, last in blocks(tensor.shape):
                    writer.write(self._written(name, tensor, terms, first, last))
                    self.step(last - first)
                writer.keep(name, tensor.format, tensor.shape)
            writer.close(file.metadata)

    def _written(
        self, name: str, tensor: StoredTensor, terms: Sequence[Term], first: int, last: int
    ) -> Array:
        """Return a part of a tensor as it is to be written, and measure it."""
        stored, kind = tensor.read(first, last), tensor.format
        if not kind.is_of_weights:
            return stored
        base = kind.widened(stored)
        self._base_square += squared_norm(base)
        if not terms:
            return stored
        stored = kind.narrowed(weighted_sum(base, terms, first, last))
        moved_square = squared_norm(kind.widened(stored) - base)
        if not moved_square < math.inf:
            raise not_finite(name, base=self.base, dtype=kind.label)
        self._moved_square += moved_square
        return stored
