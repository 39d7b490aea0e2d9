"""A JSON file that somebody else wrote, read with an error that names it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_object(file: Path) -> dict[str, Any]:
    """Return what a file of one JSON object says.

    Raises:
        ValueError: for a file that is cut off or holds something else.
    """
    try:
        said = json.loads(file.read_text("utf-8-sig"))
    except ValueError as error:  # of JSON and of UTF-8
        raise ValueError(
            f"{str(file)!r} is no whole JSON file ({error}). Download or write it again."
        ) from None
    except RecursionError:
        raise ValueError(f"{str(file)!r} is nested too deeply to be read.") from None
    if not isinstance(said, dict):
        raise ValueError(f"{str(file)!r} holds no JSON object, but a {type(said).__name__}.")
    return said
