"""Take a vector out of two models on disk; memory holds a block at a time, never a model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch

from trimtab.choices import not_a_choice
from trimtab.vectors import folder, peft_layout
from trimtab.vectors.delta import Correction, LowRank, blocks
from trimtab.vectors.low_rank import factors
from trimtab.vectors.measures import is_of_weights, square
from trimtab.vectors.pairing import paired
from trimtab.vectors.sources import ModelFolder
from trimtab.vectors.tensor_file import StoredTensor, TensorWriter
from trimtab.vectors.vector import Vector
from trimtab.vectors.whole_folder import whole_folder

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
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
    if dtype not in DTYPES:
        raise ValueError(not_a_choice("dtype:", dtype, DTYPES))
    if vocabulary not in VOCABULARIES:
        raise ValueError(not_a_choice("vocabulary:", vocabulary, VOCABULARIES))
    if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 1):
        raise ValueError(f"rank={rank!r}: accepted are whole numbers from 1 up, such as 64.")
    models = ModelFolder(base, base_revision), ModelFolder(aligned, aligned_revision)
    pairs = paired(*models, shared=vocabulary == "shared")
    lossless = dtype == "float32" and rank is None
    layout = peft_layout.Layout.of(models[0]) if rank else None
    weights = sum(start.numel for start, _ in pairs.values())
    work = _Extraction(
        DTYPES[dtype],
        rank,
        layout,
        step=lambda read: None if progress is None else progress(read, weights),
    )
    with (
        ThreadPoolExecutor(1) as beside,
        whole_folder(Path(out), size=0 if rank else weights * DTYPES[dtype].itemsize) as temporary,
    ):
        identities = beside.submit(lambda: [model.facts() for model in models])
        most = {name: pair[0].shape for name, pair in pairs.items()}
        room = 2048 + len(json.dumps([base, aligned, *pairs])) + _NUMBERS * len(pairs)
        with TensorWriter(temporary / folder.DENSE, most, metadata_room=room) as writer:
            for name, (start, end) in pairs.items():
                work.take(name, start, end, writer)
            one, other = identities.result()
            facts = {
                "base": one,
                "aligned": other,
                "dtype": dtype,
                "rank": rank,
                "vocabulary": vocabulary,
                "exact": lossless and all(map(_is_exact, pairs.values())),
                "tensors": work.measures,
            }
            writer.close({folder.FACTS: json.dumps(facts)})
        if work.corrections:
            folder.write_corrections(work.corrections, temporary)
        if work.layout is not None and work.factors:
            work.layout.write(work.factors, rank or 0, temporary, base=base)
    return Vector.open(out)


@dataclass
class _Extraction:
    """The tensors that were taken, and what was measured on the way."""

    dtype: torch.dtype
    rank: int | None
    layout: peft_layout.Layout | None
    step: Callable[[int], None]
    measures: dict[str, dict[str, float]] = field(default_factory=dict)
    corrections: dict[str, Correction] = field(default_factory=dict)
    factors: dict[str, LowRank] = field(default_factory=dict)

    def take(self, name: str, start: StoredTensor, end: StoredTensor, writer: TensorWriter) -> None:
        """Write what changed of a tensor, unless nothing did, and measure it."""
        if not (is_of_weights(start.dtype) and is_of_weights(end.dtype)):
            if start.dtype != end.dtype or not torch.equal(start.load(), end.load()):
                raise ValueError(
                    f"{name} is of type {start.dtype} and {end.dtype}: there is no difference of "
                    "quantized weights. Give the models before they were quantized."
                )
            self.step(start.numel)
            return
        if self.layout is not None and self.layout.takes(name, start.shape):
            self._factorize(name, start, end)
            return
        writer.begin()
        squares = {"norm": 0.0, "base_norm": 0.0, "error": 0.0}
        changed = 0
        short: list[Correction] = []
        for first, last in blocks(start.shape):
            base, aligned = start.read(first, last).float(), _read(end, start, first, last)
            delta = aligned - base
            stored = delta.to(self.dtype)
            writer.write(stored)
            changed += int(delta.count_nonzero())
            squares["norm"] += square(delta)
            squares["base_norm"] += square(base)
            if stored is not delta:
                squares["error"] += square(stored.float() - delta)
            elif correction := Correction.of(base, delta, aligned):
                short.append(Correction(correction.places + first, correction.values))
            self.step(last - first)
        if changed or short:  # where a zero's sign alone changed, the difference is 0
            writer.keep(name, self.dtype, start.shape)
        else:
            writer.drop()
        if short:
            places, values = (torch.cat(parts) for parts in zip(*short, strict=True))
            self.corrections[name] = Correction(places, values)
        self._measure(name, squares, changed, start.numel)

    def _factorize(self, name: str, start: StoredTensor, end: StoredTensor) -> None:
        assert self.rank is not None
        base = start.load().float()
        delta = _read(end, start, 0, start.numel).view(start.shape) - base
        norm, error = square(delta), 0.0
        if 0 < norm < math.inf:
            self.factors[name] = factors(delta, self.rank, self.dtype)
            for first, last in blocks(start.shape):
                kept = self.factors[name].block(first, last)
                error += square(delta.view(-1)[first:last] - kept)
        squares = {"norm": norm, "base_norm": square(base), "error": error}
        self.step(start.numel)
        self._measure(name, squares, int(delta.count_nonzero()), start.numel)

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
        norms = {what: float(f"{square**0.5:.6g}") for what, square in squares.items()}
        self.measures[name] = {**norms, "changed": changed, "parameters": parameters}


def _is_exact(pair: tuple[StoredTensor, StoredTensor]) -> bool:
    """Tell whether fp32 holds both tensors, and the base's dtype the aligned one."""
    start, end = pair
    return start.dtype == end.dtype != torch.float64


def _read(tensor: StoredTensor, like: StoredTensor, first: int, last: int) -> torch.Tensor:
    """Return a part of the aligned tensor in fp32; of rows that only the base has, the base's."""
    there = min(last, tensor.numel)
    if there == last:
        return tensor.read(first, last).float()
    own = tensor.read(first, there).float() if there > first else torch.empty(0)
    return torch.cat([own, like.read(max(first, there), last).float()])
