"""Whole files: read within bounds, hashed, and written so that none is ever seen half-written."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_NOT_WAITING = getattr(os, "O_NONBLOCK", 0)  # for whoever writes into a pipe
_NAME = 60  # characters of a draft's name, at most 4 bytes each: a name has 255


def opened(file: Path, most: int, within: Path) -> IO[bytes]:
    """Open a regular file of bounded size; what would block or lead elsewhere is refused.

    Args:
        file: what is read.
        most: bytes that it may have.
        within: the folder that a link may not lead out of.

    Raises:
        FileNotFoundError: where there is none.
        ValueError: for anything but a regular file of that size within the folder.
    """
    if file.is_symlink() and not file.resolve().is_relative_to(within.resolve()):
        raise ValueError(f"{file} is a link that leads out of its folder. Put the file there.")
    return open(file, "rb", opener=functools.partial(_open_regular, most))


def _open_regular(most: int, name: str, flags: int) -> int:
    number = os.open(name, flags | _NOT_WAITING)
    found = os.fstat(number)
    regular = stat.S_ISREG(found.st_mode)
    if regular and found.st_size <= most:
        return number
    os.close(number)
    if not regular:
        raise ValueError(f"{name} is no regular file.")
    raise ValueError(f"{name} has {found.st_size:,} bytes, of which {most:,} are accepted.")


def sha256(file: Path) -> str:
    """Return the hash of a file's content."""
    status = file.stat()
    return _sha256(file, status.st_size, status.st_mtime_ns)


@functools.cache  # the jobs of a sweep ask again and again, and weights are large
def _sha256(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def replacing(file: Path, *, sync: bool = True) -> Iterator[Path]:
    """Give the path of a draft, which takes a file's place once the block has written it whole.

    Where the block fails, on a full disk for instance, the file is as it was and no draft is left.

    Args:
        file: what is written; its folder exists.
        sync: whether it must outlast a power cut as soon as it is there.
    """
    draft = file.with_name(f".part-{file.name[-_NAME:]}")
    try:
        yield draft
        if sync:
            with draft.open("rb+") as stream:
                os.fsync(stream.fileno())
        draft.replace(file)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def write_text(file: Path, text: str, *, sync: bool = True) -> None:
    """Write a file of UTF-8, whole or not at all; what has no place in UTF-8 is escaped."""
    with replacing(file, sync=sync) as draft:
        draft.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


@contextmanager
def together(folder: Path) -> Iterator[Path]:
    """Give a draft folder, whose files take their places in a folder once the block is done.

    Where the block fails, the files of the folder are as they were, and no draft is left.
    """
    draft = folder / ".part"
    shutil.rmtree(draft, ignore_errors=True)  # of a block that was killed
    draft.mkdir()
    try:
        yield draft
        for file in sorted(draft.rglob("*")):
            place = folder / file.relative_to(draft)
            if file.is_dir():
                place.mkdir(exist_ok=True)
            else:
                file.replace(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
