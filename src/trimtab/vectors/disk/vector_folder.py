"""The folder that a vector lies in: its files, read and written here alone.

vector.safetensors          differences by tensor, and the facts in its metadata
exact.safetensors           the few elements that make strength 1 exact; may be missing
adapter_model.safetensors   factors of low rank, with adapter_config.json, as PEFT has them
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from trimtab.config.accepted import require_choice
from trimtab.machine.whole_folder import whole_folder
from trimtab.models import hub_files
from trimtab.models.adapters import peft_adapter
from trimtab.models.content_hash import content_sha256
from trimtab.models.model_folder import folder_files
from trimtab.models.source import DESCRIPTION, local_folder
from trimtab.tensors.blocks import blocks, squared_norm, to_six_digits
from trimtab.tensors.delta import Correction, Delta, Deltas
from trimtab.tensors.number_format import FLOAT32, INT64, Array, NumberFormat, labelled
from trimtab.tensors.tensor_file import StoredTensor, TensorFile, TensorWriter
from trimtab.vectors.facts import PartFacts, TensorFacts, VectorFacts
from trimtab.vectors.facts import read as read_facts
from trimtab.vectors.provenance import origin, transferred

if TYPE_CHECKING:
    import torch

DENSE, EXACT = "vector.safetensors", "exact.safetensors"
DTYPES = ("float32", "bfloat16", "float16")
FACTS = "trimtab"
_PLACES, _VALUES = _ENDS = ".places", ".values"


@dataclass(frozen=True)
class OnDisk(Delta):
    """A difference in a file, read when it is wanted."""

    stored: StoredTensor
    correction: Correction | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor."""
        return self.stored.shape

    @property
    def label(self) -> str:
        """What its numbers are stored as."""
        return self.stored.format.label

    def block(self, first: int, last: int) -> torch.Tensor:
        """Return the elements `first` to `last`, flat."""
        return self.stored.block(first, last)

    def values(self, first: int, last: int) -> Array:
        """Return the elements `first` to `last`, flat, as numbers in fp32."""
        return self.stored.values(first, last)


def read(path: str | Path) -> tuple[dict[str, Delta], VectorFacts]:
    """Return the differences in a folder, and where they come from; see `Vector.open`."""
    folder = resolve(str(path))
    there = {file.name for file in folder_files(folder)}
    deltas: dict[str, Delta] = {}
    facts = VectorFacts()
    if DENSE in there:
        file = TensorFile(folder / DENSE)
        facts = _facts(file)
        corrections = _read_corrections(TensorFile(folder / EXACT), file) if EXACT in there else {}
        deltas |= {n: OnDisk(tensor, corrections.get(n)) for n, tensor in file.tensors.items()}
    if peft_adapter.CONFIG in there:
        found = peft_adapter.read(folder)
        if twice := sorted(found.keys() & deltas.keys()):
            raise ValueError(f"{str(folder)!r} has {twice[0]} both in {DENSE} and as factors.")
        # An adapter names tied weights twice; a model's files have them once.
        measured = facts.get("tensors")
        known = found.keys() if measured is None else measured.keys()
        deltas |= {name: factor for name, factor in found.items() if name in known}
    elif DENSE not in there:
        raise ValueError(
            f"{str(folder)!r} holds no vector: neither {DENSE}, which `trimtab vector extract` "
            f"writes, nor a LoRA adapter's {peft_adapter.CONFIG}."
        )
    return deltas, facts


def _facts(file: TensorFile) -> VectorFacts:
    """Return what a file of differences says of itself; refuse one of other numbers."""
    for name, tensor in file.tensors.items():
        if not tensor.format.is_of_weights:
            raise ValueError(
                f"{str(file.path)!r}: {name} is of type {tensor.format.label}, and differences of "
                f"weights are {', '.join(DTYPES)}. Extract the vector again."
            )
    try:
        return read_facts(file.metadata.get(FACTS, "{}"))
    except ValueError as error:
        raise ValueError(f"{str(file.path)!r}: {error}. Extract the vector again.") from None


def resolve(path: str) -> Path:
    """Return the folder that `zoo:<name>`, a folder's name or a hub id stands for."""
    if folder := local_folder(path, "Vector"):
        return folder
    return hub_files.snapshot(path, None, ("*.safetensors", *DESCRIPTION), "Vector")


def stored_as(dtype: str) -> NumberFormat:
    """Return how differences are stored; ValueError for what they cannot be stored as."""
    require_choice("dtype:", dtype, DTYPES)
    return labelled(dtype)


def write(deltas: Deltas, said: VectorFacts, out: Path, dtype: str) -> Path:
    """Write differences and where they come from; see `Vector.save`."""
    kind = stored_as(dtype)
    shapes = {name: delta.shape for name, delta in deltas.items()}
    facts = said.copy()
    if facts:  # what was recorded goes on to hold, but for how the numbers are stored
        facts["dtype"], facts["rank"] = dtype, None
        if "exact" in facts:
            facts["exact"] = facts["exact"] and kind is FLOAT32
    measures: dict[str, TensorFacts] = dict(facts.get("tensors") or {})
    room = len(json.dumps(facts)) + 32 * len(shapes) + 1024
    with (
        whole_folder(out) as temporary,
        TensorWriter(temporary / DENSE, shapes, metadata_room=room) as writer,
    ):
        corrections: dict[str, Correction] = {}
        for name, delta in deltas.items():
            writer.begin()
            lost, short = 0.0, []
            for first, last in blocks(delta.shape):
                values = delta.values(first, last)
                stored = kind.narrowed(values)
                writer.write(stored)
                if kind is not FLOAT32:
                    lost += squared_norm(kind.widened(stored) - values)
                elif correction := delta.corrected(first, last):
                    short.append(correction.after(first))
            writer.keep(name, kind, delta.shape)
            if short:
                corrections[name] = Correction.joined(short)
            if lost and name in measures:  # beside what was lost before
                error = math.hypot(measures[name]["error"], math.sqrt(lost))
                measures[name] = {**measures[name], "error": to_six_digits(error)}
        if corrections:
            write_corrections(corrections, temporary)
        if measures:
            facts["tensors"] = measures
        writer.close({FACTS: json.dumps(facts)})
    return out


def write_corrections(corrections: Mapping[str, Correction], folder: Path) -> None:
    """Write what makes strength 1 exact."""
    most = {
        f"{name}{end}": each.places.shape for name, each in corrections.items() for end in _ENDS
    }
    with TensorWriter(folder / EXACT, most) as writer:
        for name, each in corrections.items():
            for end, kind, numbers in zip(_ENDS, (INT64, FLOAT32), each, strict=True):
                writer.begin()
                writer.write(numbers)
                writer.keep(f"{name}{end}", kind, numbers.shape)
        writer.close({})


def _read_corrections(file: TensorFile, dense: TensorFile) -> dict[str, Correction]:
    """Return what makes strength 1 exact, by the names of the differences in another file."""
    found = {}
    for name, tensor in dense.tensors.items():
        places, values = (file.tensors.get(f"{name}{end}") for end in _ENDS)
        if places is None and values is None:
            continue
        shapes = [each and (each.format, len(each.shape), each.numel) for each in (places, values)]
        if (
            places is None
            or values is None
            or shapes
            != [
                (INT64, 1, places.numel),
                (FLOAT32, 1, places.numel),
            ]
        ):
            raise _broken(file, f"for {name} it has no places and as many numbers")
        at = places.read()
        rising = bool((at[1:] > at[:-1]).all())
        if len(at) and not (rising and at[0] >= 0 and at[-1] < tensor.numel):
            raise _broken(file, f"the places of {name} do not rise from 0 to its {tensor.numel:,}")
        found[name] = Correction(at, values.read())
    if odd := file.tensors.keys() - {f"{name}{end}" for name in found for end in _ENDS}:
        raise _broken(file, f"it has {min(odd)}, which belongs to no tensor of {DENSE}")
    return found


def _broken(file: TensorFile, why: str) -> ValueError:
    return ValueError(f"{str(file.path)!r} is damaged: {why}. Extract the vector again.")


class VectorIdentity(TypedDict):
    """What tells two contents under one name apart."""

    content_sha256: str  # of the folder's files


class VectorProvenance(VectorIdentity, PartFacts):
    """What a run's record needs to name exactly one vector: these, and where it comes from."""

    path: str  # where it lies
    exact: bool | None  # whether strength 1 gives the aligned weights bit for bit; None: unknown
    transferred: bool | None  # whether it starts from another model; None: unknown


def identity(path: str) -> VectorIdentity:
    """Return what tells two contents under one name apart."""
    return {"content_sha256": content_sha256(resolve(path))}


def provenance(path: str, *, base: str | None) -> VectorProvenance:
    """Return what a record needs to name exactly this vector.

    Args:
        path: where it lies.
        base: hash of the model that it is added to.
    """
    _, facts = read(path)
    return {
        "path": path,
        **identity(path),
        **origin(facts),
        "exact": facts.get("exact"),
        "transferred": transferred(facts, base),
    }
