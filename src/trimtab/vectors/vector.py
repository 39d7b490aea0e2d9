"""A vector: the difference of an aligned model's weights and its base's, tensor by tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.tensors.delta import Between, Deltas, Dense
from trimtab.tensors.low_rank import added
from trimtab.tensors.number_format import is_plain, kind_of
from trimtab.vectors import provenance
from trimtab.vectors.disk import vector_folder
from trimtab.vectors.facts import VectorFacts
from trimtab.vectors.matching import quantized, require_one_architecture, require_same_tensors
from trimtab.vectors.weighted_sum import require_finite_strengths

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Vector:
    """Differences of weights by the tensors' names; a tensor that is not named does not change.

    Vectors add, subtract, scale and compare: `0.5 * (medicine + law) - finance`. What a sum of
    factors is stays factors; other results are fp32 in memory.

    Attributes:
        deltas: the differences.
        facts: where the vector comes from; see `trimtab vector show`.
    """

    deltas: Deltas
    facts: VectorFacts = field(default_factory=VectorFacts)

    @classmethod
    def between(
        cls,
        base: Mapping[str, torch.Tensor],
        aligned: Mapping[str, torch.Tensor],
        *,
        names: tuple[str, str] = ("base", "aligned"),
    ) -> Vector:
        """Return `aligned - base` of two models' tensors in memory, taken where it is wanted.

        Args:
            base: the base model's tensors by name.
            aligned: the aligned model's.
            names: what the two are called, in errors.

        Raises:
            ValueError: if the tensors do not match by name and shape, listing those that differ,
                and for integers that differ; equal ones, such as buffers, are left out.
        """
        require_same_tensors(base, aligned, names)
        weights = {
            name: tensor
            for name, tensor in base.items()
            if kind_of(tensor).is_of_weights and kind_of(aligned[name]).is_of_weights
        }
        for name in base.keys() - weights.keys():
            start, end = base[name], aligned[name]
            plain = is_plain(start) and is_plain(end) and start.dtype == end.dtype
            if not (plain and start.equal(end.to(start.device))):
                raise quantized(name, kind_of(start).label, kind_of(end).label)
        return cls({name: Between(start, aligned[name]) for name, start in weights.items()})

    @classmethod
    def open(cls, path: str | Path) -> Vector:
        """Return a vector that lies in a folder; tensors are read when they are wanted.

        Args:
            path: what `trimtab vector extract` or `save` wrote, a folder with a LoRA adapter as
                PEFT writes it, or `zoo:<name>` for an embedded vector.

        Raises:
            ValueError: for a folder that holds neither, and for files that are cut off.
        """
        return cls(*vector_folder.read(path))

    def save(self, path: str | Path, dtype: str = "float32") -> Path:
        """Write the vector to a new folder, which appears once it is whole.

        Args:
            path: the folder.
            dtype: of the differences: `float32`, `bfloat16` or `float16`.

        Raises:
            ValueError: if there is something already, and for another dtype.
        """
        return vector_folder.write(self.deltas, self.facts, Path(path), dtype)

    def transferred_to(self, content_sha256: str | None) -> bool | None:
        """Whether a model is another than the one that the vector starts from; None if unknown.

        Args:
            content_sha256: the hash of that model's files.
        """
        return provenance.transferred(self.facts, content_sha256)

    # ------------------------------------------------------------------ arithmetic

    def __add__(self, other: Vector) -> Vector:
        """Return the sum, tensor by tensor."""
        if not isinstance(other, Vector):
            return NotImplemented
        require_one_architecture({"the first": self.deltas, "the second": other.deltas})
        deltas = dict(self.deltas)
        for name, delta in other.deltas.items():
            deltas[name] = added(deltas[name], delta) if name in deltas else delta
        return Vector(deltas, provenance.summed(self.facts, other.facts))

    def __sub__(self, other: Vector) -> Vector:
        """Return the difference, tensor by tensor."""
        return self + -other if isinstance(other, Vector) else NotImplemented

    def __neg__(self) -> Vector:
        """Return the reverse."""
        return self * -1

    def __mul__(self, strength: float) -> Vector:
        """Return the vector multiplied by a finite number."""
        require_finite_strengths([strength])
        deltas = {name: delta.times(strength) for name, delta in self.deltas.items()}
        return Vector(deltas, provenance.scaled(self.facts, strength))

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        """Tell whether two vectors do the same to every tensor, number for number."""
        if not isinstance(other, Vector):
            return NotImplemented
        require_one_architecture({"the first": self.deltas, "the second": other.deltas})
        return all(
            bool((one == another).all()) if another is not None else not one.any()
            for one, another in self._pairs(other)
        )

    def map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Vector:
        """Return the vector whose tensors are a function of this one's, in fp32."""
        deltas = {n: Dense(function(d.dense().float())) for n, d in self.deltas.items()}
        return Vector(deltas, provenance.made("function", {"": self}))

    # ------------------------------------------------------------------ measures

    def norm(self) -> float:
        """Return the Euclidean length over all tensors."""
        return math.sqrt(self.dot(self))

    def dot(self, other: Vector) -> float:
        """Return the inner product over all tensors."""
        shared = self.deltas.keys() & other.deltas.keys()
        return math.fsum(
            float((self.deltas[n].dense().double() * other.deltas[n].dense().double()).sum())
            for n in sorted(shared)
        )

    def cosine(self, other: Vector) -> float:
        """Return the cosine of the angle between two vectors; NaN where one is 0 throughout."""
        lengths = self.norm() * other.norm()
        return self.dot(other) / lengths if lengths else math.nan

    @property
    def rank(self) -> int | None:
        """The highest rank of the factors; None where there are none."""
        ranks = [delta.rank for delta in self.deltas.values() if delta.rank is not None]
        return max(ranks, default=None)

    def _pairs(self, other: Vector) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        for name in self.deltas.keys() | other.deltas.keys():
            found = [v.deltas[name].dense().float() for v in (self, other) if name in v.deltas]
            yield found[0], found[1] if len(found) == 2 else None
