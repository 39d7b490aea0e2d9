"""Every file that a run leaves, written here alone, and read by `reader`.

A run folder holds `config.yaml` (the resolved config), `run.json` (what it took to get here),
`samples.jsonl` (a line per sample, appended as produced, put in the task's order at the end) and
`summary.json` (metrics and cost). What a run goes on from, `evaluate` asks `reader` and `answered`.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import yaml
from filelock import FileLock, Timeout

from trimtab.machine import whole_files
from trimtab.runs.record_types import RunFacts, SampleRecord, Summary

_LOCK = ".lock"
_SECONDS_BETWEEN_WRITES = 1.0


class _Plain(yaml.SafeDumper):
    """Writes what is there twice out twice: readers accept no references."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class RunFolder:
    """The folder of one run, held by one process at a time; left without a trace if unused.

    Raises:
        ValueError: on entering, if another process holds the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / _LOCK)
        self._stream: IO[str] | None = None
        self._written = -math.inf
        self._made: list[Path] = []

    def __enter__(self) -> RunFolder:
        self._made = [f for f in (self.path, *self.path.parents) if not f.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(
                f"{self.path} is in use by another process that runs the same experiment. "
                "Wait for it, or stop it; then the same command goes on from where it was."
            ) from None
        try:
            _drop_torn_line(self._samples)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        if self._stream:
            self._stream.close()
        unused = {file.name for file in self.path.iterdir()} <= {_LOCK}
        if unused:
            with suppress(OSError):  # where open files cannot be deleted
                (self.path / _LOCK).unlink()
        self._lock.release()
        if unused:
            _remove_empty(self._made)

    @property
    def _samples(self) -> Path:
        return self.path / "samples.jsonl"

    def append(self, record: SampleRecord) -> None:
        """Add one sample's record; it is on its way to disk when this returns."""
        if self._stream is None:
            self._stream = self._samples.open("a", encoding="utf-8")
        self._stream.write(_line(record))
        self._stream.flush()

    def write_samples(self, records: Iterable[SampleRecord]) -> None:
        """Replace the samples: in the task's order, so that equal runs leave equal files."""
        if self._stream:
            self._stream.close()
            self._stream = None
        whole_files.write_text(self._samples, "".join(map(_line, records)))

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the resolved config."""
        whole_files.write_text(self.path / "config.yaml", _yaml(config))

    def correct_config(self, config: Mapping[str, Any]) -> None:
        """Write the resolved config of a finished run, where it is not what the folder says.

        What differs decides no answer: a setting for the record, or a file that is gone.
        """
        file = self.path / "config.yaml"
        if not file.exists() or file.read_bytes() != _yaml(config).encode():
            self.write_config(config)

    def write_facts(self, facts: RunFacts, *, at_once: bool = True) -> None:
        """Write the run's status and provenance; unless `at_once`, once a second."""
        now = time.monotonic()
        if not at_once and now - self._written < _SECONDS_BETWEEN_WRITES:
            return
        self._written = now
        if self._stream:  # the answers that the facts count are there first
            os.fsync(self._stream.fileno())
        whole_files.write_text(self.path / "run.json", json.dumps(facts, indent=2) + "\n")

    def write_summary(self, summary: Summary) -> None:
        """Write metrics and cost."""
        text = json.dumps(summary, indent=2) + "\n"
        whole_files.write_text(self.path / "summary.json", text)


def remove_if_empty(folder: Path) -> None:
    """Remove a run folder in which there is nothing, and then those of its method and task."""
    _remove_empty([folder, *folder.parents[:2]])


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, each in the next, up to the first that holds something."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _yaml(config: Mapping[str, Any]) -> str:
    return yaml.dump(dict(config), Dumper=_Plain, sort_keys=False, allow_unicode=True)


def _line(record: SampleRecord) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _drop_torn_line(file: Path) -> None:
    """Cut off a last line that a power cut or kill -9 left unfinished.

    Raises:
        ValueError: for what is no file of this folder: it would not be added to, but elsewhere.
    """
    whole = size = 0
    with suppress(FileNotFoundError), whole_files.opened(file, sys.maxsize, file.parent) as stream:
        for line in stream:
            size += len(line)
            whole += len(line) if line.endswith(b"\n") else 0
    if whole < size:
        with file.open("r+b") as stream:
            stream.truncate(whole)
