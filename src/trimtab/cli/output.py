"""How trimtab prints: tables as wide as there is room, and lines that never steer the terminal."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from trimtab.machine.printable import printable

if TYPE_CHECKING:
    from rich.console import RenderableType


class PrintableFormatter(logging.Formatter):
    """Log records as lines that steer no terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as text."""
        return printable(super().format(record), keep="\n")


def say(*lines: str, file: TextIO | None = None) -> None:
    """Print lines, of which none steers the terminal."""
    for line in lines:
        print(printable(line, keep="\n"), file=file)


def say_left_out(lines: Iterable[str]) -> None:
    """Print what a command left out, and why; a line that begins with a space goes on."""
    say(*(line if line.startswith(" ") else f"Left out: {line}" for line in lines))


def say_json(content: Any) -> None:
    """Print plain data for programs; a number that is not finite, which JSON lacks, is null."""
    print(json.dumps(_finite(content), indent=2))


def show(tables: RenderableType, *, wraps: bool = True) -> None:
    """Print tables, no narrower than they can be; whoever is no terminal gets them as they are.

    Args:
        tables: what to print.
        wraps: whether a narrow terminal gets lines in the tables' own narrow form; otherwise they
            are as wide as they are whole, and the terminal breaks them.
    """
    from rich.console import Console
    from rich.measure import Measurement

    console = Console()
    unbounded = console.options.update(max_width=sys.maxsize)
    least, whole = Measurement.get(console, unbounded, tables)
    bounded = wraps and (console.is_terminal or "COLUMNS" in os.environ)
    console.width = max(console.width, least if bounded else whole)
    console.print(tables)


def _finite(value: Any) -> Any:
    """Return content with null for numbers that are not finite, which JSON does not know."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
