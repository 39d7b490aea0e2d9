"""Every file that a run leaves, written here alone, and read by `recorded`.

A run folder holds `config.yaml` (the resolved config), `run.json` (what it took to get here),
`samples.jsonl` (a line per sample, appended as produced, put in the task's order at the end) and
`summary.json` (metrics and cost).
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

import yaml
from filelock import FileLock, Timeout

from trimtab.decoding import Completion
from trimtab.machine import whole_files
from trimtab.runs.recorded import (
    Damaged,
    links,
    read_config,
    read_run,
    read_samples,
    read_summary,
    require_run,
    run_folders,
)
from trimtab.runs.records import (
    GitRecord,
    RunFacts,
    SampleRecord,
    SpanRecord,
    Summary,
    TokensRecord,
)
from trimtab.tasks import Sample, Score

__all__ = [
    "Damaged",
    "RunFolder",
    "environment",
    "links",
    "read_config",
    "read_run",
    "read_samples",
    "read_summary",
    "remove_if_empty",
    "require_run",
    "run_folders",
    "sample_record",
]
_PACKAGES = (
    "trimtab",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "datasets",
    "hydra-core",
    "omegaconf",
    "numpy",
    "wandb",
)
_LOCK = ".lock"
_SECONDS_BETWEEN_WRITES = 1.0
_DECIMALS = 4  # of probabilities in traces


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

    def write_run(self, facts: RunFacts, *, at_once: bool = True) -> None:
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


def sample_record(
    sample: Sample, completion: Completion, score: Score, measures: Mapping[str, float]
) -> SampleRecord:
    """Return the line of one sample; `measures` are of how the answer behaves."""
    trace: list[SpanRecord] = [
        {
            "text": span.text,
            "speaker": span.speaker,
            "probability": None if span.probability is None else round(span.probability, _DECIMALS),
        }
        for span in completion.trace
    ]
    line: SampleRecord = {
        "id": sample.id,
        "question": sample.conversation.asked,
        "prompts": completion.prompts,
        "completion": completion.text,
        "trace": trace,
        "choices": dict(sample.choices),
        "target": sample.target,
        "also_right": list(sample.also_right),
        "prediction": score.prediction,
        "scores": dict(score.values),
        "readings": dict(score.readings),
        "likelihoods": {
            label: {how: round(value, _DECIMALS) for how, value in values.items()}
            for label, values in score.likelihoods.items()
        },
        "measures": dict(measures),
        "stop_reason": completion.stop_reason,
        "tokens": completion.tokens,
        "by_token": cast(TokensRecord, completion.by_token),
        "work": {
            role: {"passes": work.passes, "tokens": work.tokens}
            for role, work in completion.work.items()
        },
    }
    if not sample.also_right:
        del line["also_right"]
    if not completion.by_token:
        del line["by_token"]
    return line


def environment(code: Iterable[Path] = ()) -> RunFacts:
    """Return what the run depends on besides its config: code, packages, hardware.

    Args:
        code: files of the user's that it depends on; where these are in a repository, its commit
            is recorded too.
    """
    import torch

    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "git": _git(),
        "own_git": _own_git(code),
        "packages": {name: _version(name) for name in _PACKAGES},
        "hardware": {
            "platform": platform.platform(),
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpus": devices,
        },
    }


def _git() -> GitRecord | None:
    """Commit and dirty flag of the repository that this package runs from, if it is one."""
    where = Path(__file__).parent
    root = _repository(where)
    return _commit(where) if root and (root / "src" / "trimtab").is_dir() else None


def _own_git(code: Iterable[Path]) -> list[GitRecord]:
    """Commit and dirty flag of each repository that holds some code."""
    places = {file.parent for file in code}
    roots = sorted({root for place in places if (root := _repository(place))})
    return [{"folder": root.name, **found} for root in roots if (found := _commit(root))]


def _repository(folder: Path) -> Path | None:
    root = _asked_of_git(folder, "rev-parse", "--show-toplevel")
    return Path(root) if root else None


def _commit(folder: Path) -> GitRecord | None:
    commit = _asked_of_git(folder, "rev-parse", "HEAD")
    changes = _asked_of_git(folder, "status", "--porcelain")
    return {"commit": commit, "dirty": bool(changes)} if commit else None


def _asked_of_git(folder: Path, *arguments: str) -> str | None:
    """Return what git says; None where there is no git, no repository or no commit."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


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
