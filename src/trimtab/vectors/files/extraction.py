"""Take a vector out of two models on disk; memory holds a block at a time, never a model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trimtab.config.accepted import require_choice, require_whole
from trimtab.machine.whole_folder import new_folder, whole_folder
from trimtab.tensors.blocks import blocks, squared_norm, to_six_digits
from trimtab.tensors.delta import Correction
from trimtab.tensors.number_format import FLOAT32, Array, NumberFormat
from trimtab.tensors.tensor_file import StoredTensor, TensorWriter
from trimtab.vectors.disk import vector_folder
from trimtab.vectors.disk.model_on_disk import ModelOnDisk
from trimtab.vectors.facts import TensorFacts, VectorFacts
from trimtab.vectors.files.pairing import paired
from trimtab.vectors.matching import quantized
from trimtab.vectors.vector import Vector

if TYPE_CHECKING:
    from trimtab.vectors.files.adapter_writer import AdapterWriter

VOCABULARIES = ("same", "shared")
_NUMBERS = 200  # bytes that what is measured of a tensor takes in the metadata


def extract(
    *,
    base: str,
    aligned: str,
    out: str | Path,
    base_revision: str | None = None,
    aligned_revision: str | None = None,
    dtype: str = "float32",
    rank: int | None = None,
    vocabulary: str = "same",
    progress: Callable[[int, int], None] | None = None,
) -> Vector:
    """Write `aligned - base` to a folder and return it.

    Differences are taken in fp32. Stored in fp32 they give the aligned weights back bit for bit at
    strength 1; in another dtype or at low rank they do so up to an error, which is recorded for
    each tensor. Low rank is the truncated singular value decomposition of each matrix, in the
    layout of PEFT's LoRA adapters; tensors that are no matrices stay exact, beside it.

    Args:
        base: the unaligned model: a folder of safetensors files, a hub id, or `zoo:<name>`.
        aligned: a model fine-tuned from it.
        out: the folder to write, which appears once it is whole.
        base_revision: revision of the base, if it is on the hub.
        aligned_revision: revision of the aligned model, if it is on the hub.
        dtype: of the stored differences: `float32`, `bfloat16` or `float16`.
        rank: of the factors; None for the differences themselves.
        vocabulary: `same`, or `shared` to leave tokens alone that one of the models lacks.
        progress: called with how many weights were just read, and how many there are in all.

    Raises:
        ValueError: for models that do not match, listing the tensors; for files that are cut off;
            and for weights that are not finite.
        OSError: if the disk is full.
    """
    kind = vector_folder.stored_as(dtype)
    require_choice("vocabulary:", vocabulary, VOCABULARIES)
    if rank is not None:
        require_whole("rank", rank, 1, further=", such as 64")
    out = new_folder(out)
    models = ModelOnDisk(base, base_revision), ModelOnDisk(aligned, aligned_revision)
    pairs = paired(*models, shared=vocabulary == "shared")
    lossless = kind is FLOAT32 and rank is None
    weights = sum(start.numel for start, _ in pairs.values())
    work = _Extraction(
        kind,
        _adapter(models[0], rank, kind, pairs),
        step=lambda read: None if progress is None else progress(read, weights),
    )
    with (
        np.errstate(over="ignore", invalid="ignore"),  # what is not finite is an error below
        ThreadPoolExecutor(1) as beside,
        whole_folder(out, size=0 if rank else weights * kind.size) as temporary,
    ):
        identities = beside.submit(lambda: [model.facts() for model in models])
        most = {name: pair[0].shape for name, pair in pairs.items()}
        room = 2048 + len(json.dumps([base, aligned, *pairs])) + _NUMBERS * len(pairs)
        with TensorWriter(temporary / vector_folder.DENSE, most, metadata_room=room) as writer:
            for name, (start, end) in pairs.items():
                work.take(name, start, end, writer)
            one, other = identities.result()
            facts: VectorFacts = {
                "base": one,
                "aligned": other,
                "dtype": dtype,
                "rank": rank,
                "vocabulary": vocabulary,
                "exact": lossless and all(map(_is_exact, pairs.values())),
                "tensors": work.measures,
            }
            writer.close({vector_folder.FACTS: json.dumps(facts)})
        if work.corrections:
            vector_folder.write_corrections(work.corrections, temporary)
        if work.adapter is not None:
            work.adapter.write(temporary, base=base)
    return Vector.open(out)


def _adapter(
    model: ModelOnDisk, rank: int | None, kind: NumberFormat, tensors: Iterable[str]
) -> AdapterWriter | None:
    if rank is None:
        return None
    from trimtab.vectors.files.adapter_writer import AdapterWriter

    adapter = AdapterWriter(model, rank, kind.label)
    if not any(adapter.takes(name, model.tensors[name].shape) for name in tensors):
        raise ValueError(
            f"rank={rank}: none of the matrices in the files of {model.name!r} has the name of a "
            "module that an adapter can be for. Load and save the model with transformers "
            "(save_pretrained), or leave rank out."
        )
    return adapter


@dataclass
class _Extraction:
    """The tensors that were taken, and what was measured on the way."""

    kind: NumberFormat
    adapter: AdapterWriter | None
    step: Callable[[int], None]
    measures: dict[str, TensorFacts] = field(default_factory=dict)
    corrections: dict[str, Correction] = field(default_factory=dict)

    def take(self, name: str, start: StoredTensor, end: StoredTensor, writer: TensorWriter) -> None:
        """Write what changed of a tensor, unless nothing did, and measure it."""
        if not (start.format.is_of_weights and end.format.is_of_weights):
            alike = (start.format, start.shape) == (end.format, end.shape)
            if not alike or (start.read() != end.read()).any():
                raise quantized(name, start.format.label, end.format.label)
            self.step(start.numel)
        elif self.adapter is not None and self.adapter.takes(name, start.shape):
            self._factorize(name, start, end, self.adapter)
        else:
            self._subtract(name, start, end, writer)

    def _subtract(
        self, name: str, start: StoredTensor, end: StoredTensor, writer: TensorWriter
    ) -> None:
        writer.begin()
        squares = {"norm": 0.0, "base_norm": 0.0, "error": 0.0}
        changed = 0
        short: list[Correction] = []
        for first, last in blocks(start.shape):
            base, aligned = start.values(first, last), _aligned(end, start, first, last)
            delta = aligned - base
            stored = self.kind.narrowed(delta)
            writer.write(stored)
            changed += int(np.count_nonzero(delta != 0))
            squares["norm"] += squared_norm(delta)
            squares["base_norm"] += squared_norm(base)
            if self.kind is not FLOAT32:
                squares["error"] += squared_norm(self.kind.widened(stored) - delta)
            elif correction := Correction.of(base, delta, aligned):
                short.append(correction.after(first))
            self.step(last - first)
        if changed or short:  # where a zero's sign alone changed, the difference is 0
            writer.keep(name, self.kind, start.shape)
        else:
            writer.drop()
        if short:
            self.corrections[name] = Correction.joined(short)
        self._measure(name, squares, changed, start.numel)

    def _factorize(
        self, name: str, start: StoredTensor, end: StoredTensor, adapter: AdapterWriter
    ) -> None:
        base = start.values()
        delta = _aligned(end, start, 0, start.numel) - base
        squares = {"norm": squared_norm(delta), "base_norm": squared_norm(base), "error": 0.0}
        if 0 < squares["norm"] < math.inf:
            squares["error"] = adapter.add(name, delta.reshape(start.shape))
        self.step(start.numel)
        self._measure(name, squares, int(np.count_nonzero(delta != 0)), start.numel)

    def _measure(
        self, name: str, squares: Mapping[str, float], changed: int, parameters: int
    ) -> None:
        if not squares["norm"] < math.inf:
            raise ValueError(
                f"{name}: the two models' weights do not differ by finite numbers; one of them "
                "holds NaN or infinite weights, or has overflown."
            )
        if not squares["error"] < math.inf:
            raise ValueError(
                f"{name}: differences of up to 65,504 fit dtype=float16, and some are larger. "
                "Use dtype=bfloat16 or dtype=float32."
            )
        norms = {what: to_six_digits(square**0.5) for what, square in squares.items()}
        self.measures[name] = {
            "norm": norms["norm"],
            "base_norm": norms["base_norm"],
            "error": norms["error"],
            "changed": changed,
            "parameters": parameters,
        }


def _is_exact(pair: tuple[StoredTensor, StoredTensor]) -> bool:
    """Tell whether fp32 holds both tensors, and the base's format the aligned one."""
    start, end = pair
    return start.format == end.format and start.format.label != "float64"


def _aligned(tensor: StoredTensor, base: StoredTensor, first: int, last: int) -> Array:
    """Return a part of the aligned tensor in fp32; of rows that only the base has, the base's."""
    there = max(first, min(last, tensor.numel))
    if there == last:
        return tensor.values(first, last)
    return np.concatenate([tensor.values(first, there), base.values(there, last)])
