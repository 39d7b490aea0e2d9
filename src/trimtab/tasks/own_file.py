"""Tasks whose rows are those of a file that the user brings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trimtab.config.wording import not_a_choice
from trimtab.tasks.row import Row, sample_id
from trimtab.tasks.rows import FORMATS, packed, read_rows
from trimtab.tasks.task import Task


class OwnFile(Task):
    """A task of the rows of `path`, whose `id` names them if they have one."""

    path: str

    def __post_init__(self) -> None:
        file = Path(self.path).expanduser()
        if not file.exists():
            raise ValueError(
                f"Data file {self.path!r} does not exist. Give a local file "
                f"({', '.join(FORMATS)}) or a folder saved by datasets."
            )
        if file.is_file() and file.suffix not in FORMATS:
            problem = not_a_choice("Kind of data file:", file.suffix, FORMATS)
            raise ValueError(problem + packed(file))

    @property
    def source(self) -> str:
        """The file."""
        return str(self.path)

    def load(self) -> list[dict[str, Any]]:
        """Read the file, in the format that its name says."""
        rows = read_rows(Path(self.path).expanduser())
        named = [sample_id(row.get("id")) is not None for row in rows]
        given = [self.row(row, n).value("id") not in (None, "") for n, row in enumerate(rows)]
        if any(given) and not all(named):
            raise ValueError(
                f"Row {named.index(False) + 1} of {self.path!r} has no text or number in 'id' that "
                "could name it. Give each row an id, or none."
            )
        return rows

    def id_of(self, row: Mapping[str, Any], index: int) -> str:
        """Return the row's `id`, or its number."""
        return str(index) if sample_id(row.get("id")) is None else str(row["id"])

    def row(self, row: Mapping[str, Any], index: int) -> Row:
        """Return a row whose cells are read by kind."""
        return Row(content=row, where=f"Row {index + 1} of {self.path!r}")
