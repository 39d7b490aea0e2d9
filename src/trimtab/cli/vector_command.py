"""The command `trimtab vector`: take vectors out of models, add them to models, look at them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

from trimtab.cli import vector_arguments as read
from trimtab.cli.actions import bar, run
from trimtab.cli.output import say, say_json, show
from trimtab.config import working_directory
from trimtab.machine.numbers_as_text import percent, size

_MILLION = 1e6


def main(arguments: Sequence[str]) -> int:
    """Run what follows `trimtab vector` on the command line, and return the exit code.

    Raises:
        ConfigError: a ValueError that lists every mistake in the command.
        ValueError: for models and vectors that do not fit or are broken.
        OSError: for files that cannot be read or written.
    """
    about = "Alignment vectors: differences of weights."
    return run(arguments, about, {read.Extract: _extract, read.Apply: _apply, read.Show: _show})


def _extract(arguments: Sequence[str]) -> None:
    asked = read.Extract.of(arguments)

    from trimtab.vectors.files.extraction import extract
    from trimtab.vectors.show.shown_vector import ShownVector

    with bar("subtracting", "million weights", _MILLION) as progress:
        vector = extract(**asked.given, progress=progress)
    (shown,) = ShownVector.open({asked.out: asked.out})
    if not vector.deltas:
        say(f"{shown.name}: an empty vector, {size(shown.bytes)}: the weights are equal.")
        return
    total = shown.profile.total
    says = [
        size(shown.bytes),
        f"{percent(total.share)} of the weights change",
        f"by {percent(total.relative)} of the base's norm",
    ]
    if vector.facts["exact"]:
        says.append("exact at strength 1")
    else:
        says.append(f"of which {percent(total.error)} are lost")
    say(f"{shown.name}: vector, {', '.join(says)}")


def _apply(arguments: Sequence[str]) -> None:
    asked = read.Apply.of(arguments)

    from trimtab.vectors.files.checkpoint import apply
    from trimtab.vectors.files.checkpoint_record import RECORD, CheckpointRecord
    from trimtab.vectors.provenance import name_of
    from trimtab.vectors.vector import Vector

    vectors = {name: Vector.open(at) for name, at in asked.paths.items()}
    with bar("adding", "million weights", _MILLION) as progress:
        out = apply(
            base=asked.base,
            vectors=vectors,
            strengths=asked.strengths,
            out=asked.out,
            base_revision=asked.base_revision,
            command=shlex.join([*read.COMMAND.split(), "apply", *arguments]),
            progress=progress,
        )
    record: CheckpointRecord = json.loads((out / RECORD).read_text("utf-8"))
    moved = record["norm"] / record["base_norm"] if record["base_norm"] else 0.0
    written = size(sum(file.stat().st_size for file in out.iterdir()))
    added = " + ".join(f"{strength:g} {name}" for name, strength in asked.strengths.items())
    what = f"{asked.base} + {added}"
    say(f"{out}: model, {written}, {what}, moved by {percent(moved)} of its norm")
    for name, term in record["vectors"].items():
        if term["transferred"]:
            origin = name_of(term["from"].get("base"))
            say(f"Transfer: {name} was extracted from {origin}, which is another model.")


def _show(arguments: Sequence[str]) -> None:
    asked = read.Show.of(arguments)

    from trimtab.vectors.show.cosines import cosines
    from trimtab.vectors.show.shown_vector import ShownVector, ShowRecord
    from trimtab.vectors.show.vector_tables import render

    shown = ShownVector.open(read.named(asked.paths))
    angles = cosines([each.vector for each in shown]) if len(shown) > 1 else None
    if asked.picture is not None:
        working_directory.import_apart("matplotlib")
        from trimtab.vectors.show import picture

        picture.save(picture.draw(shown, angles), asked.picture)
    if asked.as_json:
        content: ShowRecord = {"vectors": [each.to_dict() for each in shown], "cosines": angles}
        say_json(content)
        return
    # Narrower, columns would be cut off.
    show(render(shown, angles), wraps=False)
    if asked.picture is not None:
        say(str(asked.picture))
