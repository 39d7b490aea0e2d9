"""Which runs a command means: folders, or runs by their ids as tables print them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from trimtab.results.finished import Found, Run, short_ids, survey

DEFAULT = Path("results")
_ID = re.compile(r"[0-9a-f]{4,}")  # of a fingerprint the first digits
_NAMED = 8  # runs that a message names


def select(words: Sequence[str], *, samples: bool = False) -> tuple[Found, list[Path]]:
    """Return the runs that a command names, and the folders that they are from.

    Args:
        words: folders, whose runs are all meant; beside them, or alone, ids of runs that lie in
            them, or in `results`: these alone are meant then.
        samples: whether the records of samples are read, too, and checked.

    Raises:
        ValueError: for a word that is neither, and where there is no finished run.
    """
    roots = [Path(word) for word in words if Path(word).is_dir()] or [DEFAULT]
    ids = [word for word in words if not Path(word).is_dir()]
    for word in ids or [str(roots[0])]:
        require_word(word)
    if not roots[0].is_dir():
        raise ValueError(f"{str(DEFAULT)!r} is no folder, so nothing has such an id: name folders.")
    found = survey(roots, samples=samples)
    if not found.runs:
        left_out = found.left_out or ["0 unfinished."]
        raise ValueError(
            "\n  ".join([f"No finished run below {', '.join(map(str, roots))}, but", *left_out])
            + "\n`trimtab run` makes one, and the same command again finishes it."
        )
    if ids:
        meant = {run.folder: run for run in (by_id(word, found.runs) for word in ids)}
        found = Found(runs=list(meant.values()), damaged={})
    return found, roots


def require_word(word: str) -> None:
    """Refuse what can be neither a folder nor an id.

    Raises:
        ValueError: saying so.
    """
    if not Path(word).is_dir() and not _ID.fullmatch(word):
        raise ValueError(
            f"{word!r} is no folder. Give the root of run folders, or some, or the ids of runs as "
            "tables print them."
        )


def one(word: str, found: Sequence[Run]) -> Run:
    """Return the run that a folder or an id names.

    Args:
        word: the folder of one finished run, or an id among `found`.
        found: the runs that are shown.

    Raises:
        ValueError: for none, and for several.
    """
    if not Path(word).is_dir():
        return by_id(word, found)
    there = survey([Path(word)], samples=True)
    if not there.runs:
        why = "".join(f"\n  {line}" for line in there.left_out)
        raise ValueError(f"{word!r} is not the folder of a finished run.{why}")
    if len(there.runs) > 1:
        raise ValueError(
            f"{word!r} holds {len(there.runs)} finished runs, of which one is meant. Name it by "
            f"its id or its folder: {_named(there.runs)}."
        )
    return there.runs[0]


def by_id(word: str, runs: Sequence[Run]) -> Run:
    """Return the run whose folder's name begins with an id.

    Raises:
        ValueError: for none, and for several.
    """
    meant = [run for run in runs if run.folder.absolute().name.startswith(word)]
    if not meant:
        raise ValueError(
            f"{word!r} is no folder, and no run has it for its id. Here are {_named(runs)}."
        )
    if len(meant) > 1:
        folders = ", ".join(str(run.folder) for run in meant)
        raise ValueError(f"{word!r} is the id of {len(meant)} runs. Give its folder: {folders}.")
    return meant[0]


def _named(runs: Sequence[Run]) -> str:
    named = [
        f"{name} ({run.task}, {run.method}{'' if run.value is None else f' {run.value:g}'})"
        for name, run in zip(short_ids(runs), runs, strict=True)
    ]
    return ", ".join([*named[:_NAMED], *(["..."] if len(named) > _NAMED else [])])
