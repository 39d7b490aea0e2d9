"""Vectors in tables: where they come from, where their length lies, how alike they are."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from trimtab.machine.numbers_as_text import percent, size
from trimtab.machine.printable import printable
from trimtab.machine.table_style import styled_table
from trimtab.vectors.facts import ModelFacts
from trimtab.vectors.provenance import UNKNOWN, described, name_of
from trimtab.vectors.show.cosines import ALL
from trimtab.vectors.show.profile import Profile, axes, bases_are_known, shown_norm
from trimtab.vectors.show.shown_vector import ShownVector

_SHORT = 12  # digits of a hash
_HEADER = 10  # characters of a column's name in a line


def render(shown: Sequence[ShownVector], angles: Mapping[str, list[list[float]]] | None) -> Group:
    """Return what `trimtab vector show` prints.

    Args:
        shown: the vectors.
        angles: the cosines between them; None for one vector.
    """
    parts: list[RenderableType] = []
    for each in shown:
        parts.append(_provenance(each))
        if each.vector.deltas:
            parts += [_by_kind(each.profile), *_by_place(each.profile)]
    if angles is not None:
        parts += _cosines([each.name for each in shown], angles)
    return Group(*parts)


def _provenance(each: ShownVector) -> Text:
    facts, vector = each.vector.facts, each.vector
    exact = {True: ", exact at strength 1", False: ", not exact at strength 1", None: ""}
    rank = "" if vector.rank is None else f", factors of rank {vector.rank}"
    made_of = described(facts)
    lines = [
        f"from    {_model(facts.get('base'))}",
        f"to      {_model(facts.get('aligned'))}" if made_of is None else f"made of {made_of}",
        f"stored  {each.dtype}{rank}, {size(each.bytes)}{exact[facts.get('exact')]}",
        f"in      {each.folder}",
    ]
    if not vector.deltas:
        lines.append("Empty: the two models' weights are equal.")
    listed = "\n".join(f"  {printable(line)}" for line in lines)
    return Text.assemble(("\n" + printable(each.name), "bold"), "\n", listed)


def _model(facts: ModelFacts | None) -> str:
    if not facts:
        return UNKNOWN
    revision = f"@{facts['revision']}" if facts.get("revision") else ""
    hashes = {"content": facts.get("content_sha256"), "tokenizer": facts.get("tokenizer_sha256")}
    said = ", ".join(f"{what} {each[:_SHORT]}" for what, each in hashes.items() if each)
    return f"{name_of(facts)}{revision}  ({said})"


def _by_kind(profile: Profile) -> Table:
    table = _table("", ("kind", "parameters", "changed", "norm", "of the base's", "error"))
    for kind, sums in {**profile.by_kind(), ALL: profile.total}.items():
        cells = (
            "" if sums.parameters is None else f"{sums.parameters:,}",
            percent(sums.share),
            f"{sums.norm:.4g}",
            percent(sums.relative),
            percent(sums.error),
        )
        table.add_row(_shown(kind), *cells, style="bold" if kind == ALL else None)
    return table


def _by_place(profile: Profile) -> list[Table]:
    """Return a table of layers and kinds, unless there are no layers."""
    places = profile.by_place()
    layers, columns = axes(places)
    if not layers:
        return []
    what = "relative norm in %" if bases_are_known(places.values()) else "norm"
    table = _table(f"{what}, by layer", ("layer", *map(_broken, columns)))
    for layer in layers:
        found = (places.get((layer, kind)) for kind in columns)
        table.add_row(
            _shown(layer), *("" if each is None else f"{shown_norm(each):.3g}" for each in found)
        )
    return [table]


def _cosines(names: Sequence[str], found: Mapping[str, list[list[float]]]) -> list[Table]:
    matrix = _table("cosine", ("", *names))
    for name, row in zip(names, found[ALL], strict=True):
        matrix.add_row(_shown(name), *(f"{cosine:z.3f}" for cosine in row))
    pairs = list(itertools.combinations(range(len(names)), 2))
    by_kind = _table("cosine, by kind", ("kind", *(f"{names[i]},\n{names[j]}" for i, j in pairs)))
    for kind, cells in found.items():
        if kind != ALL:
            by_kind.add_row(_shown(kind), *(f"{cells[i][j]:z.3f}" for i, j in pairs))
    return [matrix, by_kind]


def _table(title: str, columns: Iterable[str]) -> Table:
    first, *others = columns
    table = styled_table(title, style="")
    table.add_column(_shown(first), no_wrap=True)
    for name in others:
        table.add_column(_shown(name), justify="right", no_wrap=True, vertical="bottom")
    return table


def _shown(name: str) -> str:
    """Return a name in whose signs a terminal and its markup see nothing but signs."""
    return escape(printable(name, keep="\n"))


def _broken(name: str) -> str:
    """Break a long name behind underscores and dots, as narrow columns ask for."""
    lines = [""]
    for part in name.replace("_", "_ ").replace(".", ". ").split(" "):
        if lines[-1] and len(lines[-1] + part) > _HEADER:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
