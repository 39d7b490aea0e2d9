"""Answers of judges on disk, so that none is paid for twice.

One small file per answer, put in place in one step: several processes may share a folder, on a
network drive too, and whatever stops a process, each file is there as a whole or not at all.
(Two processes that ask the same thing at the same moment may both pay for it.)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.machine.cache_folder import VARIABLE
from trimtab.scorers.judge_reply import Reply


@dataclass(frozen=True, kw_only=True)
class JudgeCache:
    """Replies by key, in a folder.

    Raises:
        ValueError: if nothing can be written there.
    """

    folder: Path

    def __post_init__(self) -> None:
        """Make the folder, before anything is paid for that could not be kept."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            writable = os.access(self.folder, os.W_OK | os.X_OK)
        except OSError:
            writable = False
        if not writable:
            raise ValueError(
                f"Nothing can be written to {str(self.folder)!r}, where judges' answers are kept. "
                f"Name another folder: cache=..., or the environment variable {VARIABLE}."
            )

    def get(self, key: str) -> Reply | None:
        """Return the reply kept under `key`, or None."""
        try:
            return Reply(**json.loads(self._file(key).read_text("utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None  # none, or one that a failing disk damaged: it is asked for again

    def put(self, key: str, reply: Reply) -> None:
        """Keep a reply; it is in place when this returns."""
        file = self._file(key)
        file.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=file.parent, suffix=".part", delete=False
        ) as draft:
            json.dump(dataclasses.asdict(reply), draft, ensure_ascii=False)
        Path(draft.name).replace(file)

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def cache_key(
    *, address: str, request: Mapping[str, Any], attempt: int, prefix: str | None = None
) -> str:
    """Return the hash under which the reply to the `attempt`-th asking of a request is kept.

    The endpoint's address counts, and is in the hash alone: another server may serve something
    else by the same name. So does what tells a judge from another that asks the same.
    """
    asked = {"address": address, "request": request, "attempt": attempt}
    asked |= {"prefix": prefix} if prefix else {}
    text = json.dumps(asked, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
