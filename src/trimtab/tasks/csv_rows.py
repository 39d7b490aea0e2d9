"""Rows of comma-separated text."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from trimtab.tasks.columns import require_distinct


def csv_rows(text: str, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    """Return the rows of a .csv by column; all cells are text.

    Args:
        text: the whole file.
        columns: names of the columns of a file without a header. One that has a header is told by
            the first of these names in its first line.

    Raises:
        ValueError: for another sign between the cells than commas, columns of one name, and rows
            with more or fewer cells than there are columns.
    """
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = [line for line in lines if line]
    except csv.Error as error:
        raise ValueError(f"{error}, in line {lines.line_num}.") from error
    if not rows:
        return []
    headed = not columns or columns[0] in rows[0]
    header = rows.pop(0) if headed else list(columns)
    for sign, name in (("\t", "tabs"), (";", "semicolons")):
        if len(header) == 1 and sign in header[0]:
            raise ValueError(f"its first line has {name}, and no commas. Save it with commas.")
    require_distinct(filter(None, header))  # one without a name cannot be asked for
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            more = "more" if len(row) > len(header) else "fewer"
            named = "the first line has columns" if headed else "there are columns"
            raise ValueError(
                f"row {number} has {more} cells than {named}: {len(row)}, not {len(header)} "
                f"({', '.join(header)})."
            )
    return [dict(zip(header, row, strict=True)) for row in rows]
