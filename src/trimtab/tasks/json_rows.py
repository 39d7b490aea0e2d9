"""Rows of JSON text, in the layouts that say for themselves which rows they hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from trimtab.tasks.columns import repeated, require_distinct, twice

_LISTS = ("examples", "data", "rows", "instances")
"""Names under which a document holds its rows, beside what it says of itself."""


def json_rows(text: str) -> list[Any]:
    """Return the rows of a JSON document, or of lines of JSON.

    A document holds its rows as a list; as an object by column, each a list of cells or, as pandas
    writes it, an object of cells by row number; as an object of rows by row number; or as a list
    named `examples` (BIG-bench), `data`, `rows` or `instances`, beside `columns` where its rows
    are lists of cells. Any other object is a row.

    Raises:
        ValueError: for text that is no JSON, objects that have a name twice, and layouts that leave
            open what a row is.
    """
    try:
        content = _parsed(text) if text.strip() else []
    except json.JSONDecodeError:
        lines = enumerate(text.split("\n"), start=1)
        rows = [_line(line, number) for number, line in lines if line.strip()]
    else:
        if isinstance(content, _Repeating):
            raise repeated(content.name)
        rows = _rows(content)
    for number, row in enumerate(rows, start=1):
        if (name := _repeated(row)) is not None:
            raise repeated(name, f"row {number}")
    return rows


class _Repeating(dict[str, Any]):
    """An object that has a name twice, of which JSON does not say which one counts."""

    def __init__(self, content: Mapping[str, Any], name: str) -> None:
        super().__init__(content)
        self.name = name


def _parsed(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    name = twice(name for name, _ in pairs)
    return dict(pairs) if name is None else _Repeating(dict(pairs), name)


def _repeated(content: Any) -> str | None:
    """Return the name that an object has twice, at any depth."""
    if isinstance(content, _Repeating):
        return content.name
    inner = content.values() if isinstance(content, dict) else content
    parts = inner if isinstance(content, (dict, list)) else ()
    return next((name for part in parts if (name := _repeated(part)) is not None), None)


def _line(line: str, number: int) -> Any:
    try:
        return _parsed(line)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"line {number}: {error.msg}. A file holds one JSON document, or one object per line."
        ) from error


def _rows(content: Any) -> list[Any]:
    if isinstance(content, list):
        return content
    if not isinstance(content, dict):
        raise ValueError("it holds no list of rows.")
    if isinstance(content.get("columns"), list) and isinstance(content.get("data"), list):
        return _named(content["columns"], content["data"])
    for name in _LISTS:
        if isinstance(content.get(name), list) and (
            name == "examples" or _all(content[name], dict)
        ):
            return _held(content, name)
    cells = list(content.values())
    if cells and _all(cells, dict):
        return _of_objects(content)
    if cells and _all(cells, list):
        return _of_lists(content)
    return [content]  # one line of .jsonl is an object too


def _held(content: dict[str, Any], name: str) -> list[Any]:
    rows: list[Any] = content[name]
    if rows and isinstance(rows[0], dict) and rows[0].keys() <= content.keys():
        raise ValueError(
            f"it may be one row, with {name!r} as a column, or the rows that {name!r} holds. "
            "Write a list of rows."
        )
    return rows


def _of_objects(content: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of an object of objects, one of whose two keys is the number of a row."""
    first = next(iter(content.values()))
    if all(map(_is_number, first)) and all(one.keys() == first.keys() for one in content.values()):
        return [{name: cells[number] for name, cells in content.items()} for number in first]
    if all(map(_is_number, content)):
        return list(content.values())
    raise ValueError(f"it holds objects named {_some(content)}. Write a list of rows.")


def _of_lists(content: dict[str, list[Any]]) -> list[dict[str, Any]]:
    if all(_all(cells, dict) for cells in content.values()):
        raise ValueError(
            f"it holds lists named {_some(content)}. Write one list of rows, in a file of its own."
        )
    lengths = {name: len(cells) for name, cells in content.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"its columns are of different lengths: {lengths}.")
    return [dict(zip(content, row, strict=True)) for row in zip(*content.values(), strict=True)]


def _named(columns: list[Any], rows: list[Any]) -> list[dict[str, Any]]:
    """Return rows that are lists of cells as rows by column."""
    names = [str(column) for column in columns]
    require_distinct(names)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, list) or len(row) != len(names):
            raise ValueError(
                f"row {number} is no list of {len(names)} cells, as there are columns."
            )
    return [dict(zip(names, row, strict=True)) for row in rows]


def _all(parts: Iterable[Any], kind: type) -> bool:
    return all(isinstance(part, kind) for part in parts)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def _some(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(map(repr, shown[:4])) + (" ..." if len(shown) > 4 else "")
