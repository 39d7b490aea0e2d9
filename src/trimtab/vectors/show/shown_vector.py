"""What is to be shown of a vector in a folder, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypedDict

from trimtab.vectors.disk import vector_folder
from trimtab.vectors.facts import MadeOf, ModelFacts
from trimtab.vectors.provenance import UNKNOWN
from trimtab.vectors.show.profile import Profile, SumsRecord
from trimtab.vectors.vector import Vector


class PlaceRecord(SumsRecord):
    """What a vector does to the modules of one kind in one layer."""

    layer: str | None  # its number, behind that of its stack where there are several; None: outside
    kind: str  # of modules, such as `q_proj`


class ShownRecord(TypedDict):
    """What `trimtab vector show --json` prints of a vector."""

    name: str  # what it is called
    folder: str  # where it lies
    base: ModelFacts | None  # the model that it starts from; None: unknown
    aligned: ModelFacts | None  # the model that it leads to; None: unknown, or made of vectors
    made_of: MadeOf | None  # what it was made of; None: unknown, or extracted
    vocabulary: str | None  # `same`, or `shared`: other tokens were left alone; None: unknown
    exact: bool | None  # whether strength 1 gives the aligned weights bit for bit; None: unknown
    dtype: str  # what its numbers are stored as
    rank: int | None  # the highest of its factors; None: it has none
    bytes: int  # of its files
    total: SumsRecord  # what it does to all tensors
    kinds: dict[str, SumsRecord]  # by kind of module
    places: list[PlaceRecord]  # by layer and kind


class ShowRecord(TypedDict):
    """What `trimtab vector show --json` prints."""

    vectors: list[ShownRecord]  # in the order in which they were given
    cosines: dict[str, list[list[float]]] | None  # by kind, and over `all`; None: of one vector


@dataclass(frozen=True)
class ShownVector:
    """A vector in a folder, and what it is called."""

    name: str
    vector: Vector
    folder: Path

    @classmethod
    def open(cls, named: Mapping[str, str]) -> list[ShownVector]:
        """Open vectors, given by their names and where they lie."""
        return [cls(name, Vector.open(at), vector_folder.resolve(at)) for name, at in named.items()]

    @cached_property
    def profile(self) -> Profile:
        """Where its length lies."""
        return Profile.of(self.vector)

    @property
    def bytes(self) -> int:
        """What its files take on disk."""
        return sum(file.stat().st_size for file in self.folder.iterdir() if file.is_file())

    @property
    def dtype(self) -> str:
        """What its numbers are stored as."""
        found = {delta.label for delta in self.vector.deltas.values() if delta.label}
        stored = " and ".join(sorted(found))
        return stored or self.vector.facts.get("dtype") or UNKNOWN

    def to_dict(self) -> ShownRecord:
        """Return everything for programs."""
        facts = self.vector.facts
        return {
            "name": self.name,
            "folder": str(self.folder),
            "base": facts.get("base"),
            "aligned": facts.get("aligned"),
            "made_of": facts.get("made_of"),
            "vocabulary": facts.get("vocabulary"),
            "exact": facts.get("exact"),
            "dtype": self.dtype,
            "rank": self.vector.rank,
            "bytes": self.bytes,
            "total": self.profile.total.to_dict(),
            "kinds": {kind: sums.to_dict() for kind, sums in self.profile.by_kind().items()},
            "places": [
                {"layer": layer or None, "kind": kind, **sums.to_dict()}
                for (layer, kind), sums in self.profile.by_place().items()
            ],
        }
