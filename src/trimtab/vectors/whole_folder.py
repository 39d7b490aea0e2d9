"""A folder that appears under its name once it is whole, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(out: Path, *, size: int = 0) -> Iterator[Path]:
    """Yield an empty folder beside `out`, which becomes `out` when the block ends well.

    Args:
        out: the final name.
        size: bytes that will be written, where that is known.

    Raises:
        ValueError: if `out` holds something already.
        OSError: if the disk has no room, then or later; nothing is left behind.
    """
    out = Path(os.path.abspath(out.expanduser()))
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"out={str(out)!r} is there already. Give another name, or move it away.")
    out.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out.parent).free
    if size > free:
        raise OSError(errno.ENOSPC, f"{size:,} bytes are needed, {free:,} are free", str(out))
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        os.replace(temporary, out)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(error.errno, "the disk is full; nothing is kept", str(out)) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
