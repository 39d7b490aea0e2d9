"""A folder that appears under its name once it is whole, or not at all."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

_LOCK = ".lock"
_PREFIX = ".trimtab-part-"  # of folders in the making
_JUST_BEGUN = 60.0  # seconds in which one may not be locked yet
_log = logging.getLogger(__name__)


def new_folder(out: str | Path) -> Path:
    """Return the full path of a folder that can be written, before any work is done for it.

    Raises:
        ValueError: if there is something already, or if there can be none of that name.
    """
    full = Path(os.path.abspath(Path(out).expanduser()))
    try:
        if os.path.lexists(full) and (not _is_folder(full) or any(full.iterdir())):
            raise ValueError(
                f"out={str(full)!r} is there already. Give another name, or move it away."
            )
        full.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:  # a name that is too long, a file on the way there
        raise ValueError(f"out={str(full)!r} cannot be written: {error.strerror}.") from None
    above = next(folder for folder in full.parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise ValueError(
            f"out={str(full)!r} cannot be written: nothing can be made in {str(above)!r}."
        )
    return full


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


@contextmanager
def whole_folder(out: Path, *, size: int = 0) -> Iterator[Path]:
    """Yield an empty folder beside `out`, which becomes `out` when the block ends well.

    What processes left there that were killed is removed.

    Args:
        out: the final name.
        size: bytes that will be written, where that is known.

    Raises:
        ValueError: if `out` holds something already.
        OSError: if the disk has no room, then or later; nothing is left behind.
    """
    out = new_folder(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(out.parent)
    free = shutil.disk_usage(out.parent).free
    if size > free:
        raise OSError(errno.ENOSPC, f"{size:,} bytes are needed, {free:,} are free", str(out))
    temporary = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=out.parent))
    try:
        with FileLock(temporary / _LOCK):
            yield temporary
            (temporary / _LOCK).unlink()
            temporary.chmod(0o777 & ~_umask())
            os.replace(temporary, out)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(error.errno, "the disk is full; nothing is kept", str(out)) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove_leftovers(parent: Path) -> None:
    for left in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, Timeout):  # its process works, or is another user's
            if _is_ours(left) and time.time() - left.stat().st_mtime > _JUST_BEGUN:
                with FileLock(left / _LOCK, timeout=0):
                    shutil.rmtree(left)
                _log.info("%s, which a process that was killed left, is removed.", left)


def _is_ours(folder: Path) -> bool:
    """Tell what is made here from what merely has such a name; links are never followed."""
    lock = folder / _LOCK
    return _is_folder(folder) and lock.is_file() and not lock.is_symlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
