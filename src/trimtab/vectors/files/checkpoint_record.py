"""What a checkpoint that vectors were added to says of itself: `vectors.json`, and its card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypedDict

from trimtab.machine.printable import printable
from trimtab.vectors.facts import ModelFacts, PartFacts
from trimtab.vectors.provenance import described, name_of, origin
from trimtab.vectors.vector import Vector

RECORD = "vectors.json"

AddedVector = TypedDict(
    "AddedVector",
    {
        "strength": float,  # how much of it was added
        "from": PartFacts,  # where it comes from
        "transferred": bool | None,  # whether it starts from another model; None: unknown
    },
)


class CheckpointRecord(TypedDict):
    """What `vectors.json` holds: what the checkpoint is the sum of."""

    base: ModelFacts  # the model that vectors were added to
    vectors: dict[str, AddedVector]  # by name
    norm: float  # Euclidean, of what was added, as it was written
    base_norm: float  # of the base's weights


def checkpoint_record(
    base: ModelFacts,
    vectors: Mapping[str, Vector],
    strengths: Mapping[str, float],
    norms: tuple[float, float],
) -> CheckpointRecord:
    """Return what `vectors.json` holds.

    Args:
        base: the base model.
        vectors: what was added, by name.
        strengths: how much of each.
        norms: of what was added, and of the base's weights.
    """
    added: dict[str, AddedVector] = {
        name: {
            "strength": strengths[name],
            "from": origin(vector.facts),
            "transferred": vector.transferred_to(base["content_sha256"]),
        }
        for name, vector in vectors.items()
    }
    norm, base_norm = norms
    return {"base": base, "vectors": added, "norm": norm, "base_norm": base_norm}


def card(record: CheckpointRecord, command: str) -> str:
    """Return what the checkpoint's README.md says.

    Args:
        record: what the checkpoint is.
        command: what made it; empty for a call.
    """
    base, content = _code(name_of(record["base"])), str(record["base"]["content_sha256"])
    lines = [
        "# A model along alignment vectors",
        "",
        f"The weights of {base} (content {content[:12]}), moved:",
        "",
        "| vector | strength | from | to |",
        "|---|---|---|---|",
    ]
    for name, term in record["vectors"].items():
        ends = term["from"].get("base"), term["from"].get("aligned")
        start, end = (_code(name_of(each)) for each in ends)
        end = _plain(described(term["from"]) or "") or end
        lines.append(f"| {_plain(name)} | {term['strength']:g} | {start} | {end} |")
    moved = [_plain(name) for name, term in record["vectors"].items() if term["transferred"]]
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
