"""Rows of local files: which file of a folder holds them, and what it says."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trimtab.tasks.columns import require_distinct
from trimtab.tasks.csv_rows import csv_rows
from trimtab.tasks.json_rows import json_rows

FORMATS = (".json", ".jsonl", ".csv", ".parquet")
_SAVED = {"state.json", "dataset_info.json"}  # by `Dataset.save_to_disk`
_ABOUT = {*_SAVED, "dataset_dict.json", "dataset_infos.json"}
SHARD = re.compile(r"-\d{5}-of-\d{5}(?=\.)")
_SPLITS = ("train", "validation", "valid", "val", "dev", "test")
_DEPTH = 5  # of folders that are searched


def read_rows(path: Path, columns: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the rows of a file, or of a folder saved by `datasets`.

    See `json_rows` for the layouts of JSON. Text is UTF-8, with or without a byte-order mark; cells
    of a .csv are text.

    Args:
        path: a file of one of `FORMATS`, or a folder.
        columns: of a .csv that has no line of names; see `csv_rows`.

    Raises:
        ValueError: for a file that cannot be read as what its name says it is, and columns that
            have one name.
    """
    try:
        if path.is_dir():
            rows = _saved(path)
        elif not path.is_file():
            raise ValueError("it is neither a file nor a folder.")
        elif path.suffix == ".parquet":
            rows = _parquet(path)
        elif path.suffix == ".csv":
            rows = csv_rows(_text(path), columns)
        else:
            rows = json_rows(_text(path))
    except RecursionError as error:
        raise ValueError(f"Data file {str(path)!r} is nested too deeply to be read.") from error
    except (OSError, ValueError) as error:
        kind = path.suffix or "a saved data set"
        raise ValueError(f"Data file {str(path)!r} cannot be read as {kind}: {error}") from error
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ValueError(
                f"Row {number} of {str(path)!r} is {json.dumps(row, default=str)[:40]}. "
                "Each row is an object with named columns."
            )
    return rows


def find_rows(
    path: Path,
    split: str,
    *,
    names: Sequence[str] = (),
    config: str | None = None,
    alias: str = "",
    part: re.Pattern[str] = SHARD,
) -> tuple[Path, ...]:
    """Return the file that holds a split's rows, or its shards in order.

    A file is taken as it is. In a folder, and up to five folders below it, that is the file that
    has one of `names`; else the one whose name, or else whose path, says `split`; else the only
    file, unless its path says another split. Of several, the one whose folder says no other split,
    and whose path says `config`. A folder saved by `datasets` counts as a file.

    Args:
        path: a file or folder.
        split: the split's name.
        names: what the publishers call the file, where it says no split.
        config: what tells the data set from others that are published with it.
        alias: what the publishers call the split.
        part: what tells the files apart that hold one split together.

    Raises:
        ValueError: if there is no such file or more than one; lists what there is.
    """
    if not path.exists():
        near = difflib.get_close_matches(path.name, _names(path.parent), n=1)
        hint = f" Did you mean {str(path.parent / near[0])!r}?" if near else ""
        raise ValueError(
            f"data_dir {str(path)!r} does not exist.{hint} Give a local file "
            f"({', '.join(FORMATS)}), or a folder that holds one."
        )
    if path.is_file() and path.suffix not in FORMATS:
        raise ValueError(
            f"data_dir {str(path)!r} is of no kind that is read: {', '.join(FORMATS)}."
            + packed(path)
        )
    if path.is_file() or _is_saved(path):
        return (path,)
    shards: dict[str, list[Path]] = {}
    for file in _candidates(path, _DEPTH):
        shards.setdefault(part.sub("", file.relative_to(path).as_posix()), []).append(file)
    called = [word for word in (split, alias) if word]
    named = [key for key in shards if Path(key).name.lower() in {name.lower() for name in names}]
    by_name = [key for key in shards if _says(Path(key).name, called)]
    by_path = [key for key in shards if _says(key, called)]
    others = [word for word in _SPLITS if word not in called]
    only = [key for key in shards if len(shards) == 1 and not _says(key, others)]
    found: list[str] = next(filter(None, (named, by_name, by_path, only)), [])
    if len(found) > 1:
        found = [k for k in found if not _says(Path(k).parent.as_posix(), others)] or found
    if config and len(found) > 1:
        found = [key for key in found if _says(key, [config])] or found
    if len(found) == 1:
        return tuple(sorted(shards[found[0]]))
    there = ", ".join(sorted(shards)[:12]) or f"no {', '.join(FORMATS)} file or saved data set"
    wanted = [repr(name) for name in names] + [f"a name with {word!r}" for word in called]
    what = "more than one file fits" if found else "no file fits"
    raise ValueError(
        f"data_dir {str(path)!r}: {what} split {split!r} (looked for {', '.join(wanted)}). "
        f"There: {there}{' ...' if len(shards) > 12 else ''}. Give the file itself."
    )


def packed(file: Path) -> str:
    """Return what to do about a file that is packed; nothing of others."""
    return " Unpack it first: gunzip." if file.suffix == ".gz" else ""


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def _candidates(folder: Path, depth: int) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if _is_saved(path):
                yield path
            elif depth > 1:
                yield from _candidates(path, depth - 1)
        elif path.suffix in FORMATS and path.name not in _ABOUT and path.is_file():
            yield path


def _says(name: str, words: Sequence[str]) -> bool:
    """Whether a path has one of `words` between signs that are no letters: "latest" is no test."""
    alternatives = "|".join(map(re.escape, words))
    return bool(re.search(rf"(?<![a-z])({alternatives})(?![a-z])", name, re.IGNORECASE))


def _is_saved(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _SAVED)


def _saved(folder: Path) -> list[dict[str, Any]]:
    from datasets import DatasetDict, load_from_disk

    rows = load_from_disk(str(folder))
    if isinstance(rows, DatasetDict):
        raise ValueError(f"it holds several splits; give the folder of one of: {', '.join(rows)}.")
    return list(rows)


def _parquet(file: Path) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(file).read()
        require_distinct(table.column_names)
        rows: list[dict[str, Any]] = table.to_pylist()
    except (pyarrow.ArrowException, OverflowError) as error:
        raise ValueError(str(error)) from error
    return rows


def _text(file: Path) -> str:
    content = file.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{error}, in line {line}. Save it as UTF-8.") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"line {line} has a zero byte, as UTF-16 has. Save it as UTF-8.")
    return text
