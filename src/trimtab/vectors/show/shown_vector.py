"""What is to be shown of a vector in a folder, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trimtab.vectors.disk import vector_folder
from trimtab.vectors.provenance import MADE_OF
from trimtab.vectors.show.profile import Profile
from trimtab.vectors.vector import Vector

UNKNOWN = "unknown"


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
        return stored or str(self.vector.facts.get("dtype", UNKNOWN))

    def to_dict(self) -> dict[str, Any]:
        """Return everything for programs."""
        facts = self.vector.facts
        return {
            "name": self.name,
            "folder": str(self.folder),
            **{key: facts.get(key) for key in ("base", "aligned", MADE_OF, "vocabulary", "exact")},
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
