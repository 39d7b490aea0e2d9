"""Write a model that vectors were added to, from disk to disk, a block at a time."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from trimtab.machine.printable import printable
from trimtab.machine.whole_folder import new_folder, whole_folder
from trimtab.models.model_folder import folder_files
from trimtab.models.source import DESCRIPTION
from trimtab.vectors.blocks import blocks, squared_norm, to_six_digits
from trimtab.vectors.delta import Deltas
from trimtab.vectors.disk.model_on_disk import ModelOnDisk, total_bytes
from trimtab.vectors.disk.tensor_file import StoredTensor, TensorFile, TensorWriter
from trimtab.vectors.matching import require_fits, require_weights
from trimtab.vectors.names.names_in_files import by_names_in_files
from trimtab.vectors.number_format import Array
from trimtab.vectors.provenance import described, origin
from trimtab.vectors.vector import Vector
from trimtab.vectors.weighted_sum import Term, moved, not_finite, require_finite_strengths, terms_of

RECORD = "vectors.json"
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
        made_of = composition(identity.result(), vectors, strengths) | work.measures
        (temporary / RECORD).write_text(json.dumps(made_of, indent=2) + "\n", "utf-8")
        (temporary / "README.md").write_text(_card(made_of, command), "utf-8")
    return out


def composition(
    base: Mapping[str, Any], vectors: Mapping[str, Vector], strengths: Mapping[str, float]
) -> dict[str, Any]:
    """Return what a sum is made of, and whether a vector came from another model than this."""
    terms = {}
    for name, vector in vectors.items():
        terms[name] = {
            "strength": strengths[name],
            "from": origin(vector.facts),
            "transferred": vector.transferred_to(base["content_sha256"]),
        }
    return {"base": dict(base), "vectors": terms}


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
    def measures(self) -> dict[str, float]:
        """The Euclidean lengths of what was added, as it was written, and of the base weights."""
        lengths = {"norm": self._moved_square, "base_norm": self._base_square}
        return {what: to_six_digits(square**0.5) for what, square in lengths.items()}

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
        stored = kind.narrowed(moved(base, terms, first, last))
        moved_square = squared_norm(kind.widened(stored) - base)
        if not moved_square < math.inf:
            raise not_finite(name, base=self.base, dtype=kind.label)
        self._moved_square += moved_square
        return stored


def _card(made_of: Mapping[str, Any], command: str) -> str:
    base = made_of["base"]
    lines = [
        "# A model along alignment vectors",
        "",
        f"The weights of {_code(base['name'])} (content {base['content_sha256'][:12]}), moved:",
        "",
        "| vector | strength | from | to |",
        "|---|---|---|---|",
    ]
    for name, term in made_of["vectors"].items():
        ends = (term["from"].get(end, {}) for end in ("base", "aligned"))
        start, end = (_code(each.get("name") or "unknown") for each in ends)
        end = _plain(described(term["from"]) or "") or end
        lines.append(f"| {_plain(name)} | {term['strength']:g} | {start} | {end} |")
    moved = [_plain(name) for name, term in made_of["vectors"].items() if term["transferred"]]
    if moved:
        lines += ["", f"Extracted from another model than this base: {', '.join(moved)}."]
    lines += ["", "`theta = theta_base + sum_d strength_d (theta_d - theta_base)`, in fp32, cast "]
    lines[-1] += "once; `vectors.json` names every part."
    if command:
        lines += ["", f"Made by {_code(command)}."]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    """Return somebody's text as code, which ends where it does, also in a table."""
    inert = printable(text).replace("`", "'").replace("|", "\\|")
    return f"`{inert}`"


def _plain(text: str) -> str:
    """Return somebody's text so that nothing in it is a sign of Markdown or HTML."""
    return re.sub(r"[^\w\s.,:;+()/@-]", lambda sign: f"&#{ord(sign[0])};", printable(text))
