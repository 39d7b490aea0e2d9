"""What a run folder holds, read back and checked: whoever wrote it, it breaks no reader."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml

from trimtab.machine import shapes, whole_files
from trimtab.runs import record_types
from trimtab.runs.record_types import Config, RunFacts, SampleRecord, Summary, TokensRecord

_FILES = {"config.yaml", "run.json", "samples.jsonl", "summary.json"}
_FILE_BYTES, _LINE_BYTES, _DEPTH = 2**24, 2**25, 100  # more is not what a run leaves
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SAMPLE, _FACTS, _SUMMARY, _CONFIG = map(shapes.of, (SampleRecord, RunFacts, Summary, Config))
_Record = TypeVar("_Record")


class Damaged(ValueError):
    """A file of a run folder that does not hold what trimtab writes there; the message says what.

    Attributes:
        reason: the same, without the folder.
    """

    def __init__(self, file: Path, problem: str, remedy: str) -> None:
        """Say what is wrong with a `file`, and what helps."""
        self.reason = f"{file.name} {problem}"
        super().__init__(f"{file} {problem}. {remedy}")


_AGAIN = "Delete it and repeat the command: what is missing is computed again."
_AWAY = "Move the folder away and repeat the command."
_LINE = "Delete that line and repeat the command: its sample is computed again."


def read_samples(folder: Path) -> list[SampleRecord]:
    """Return the records of a run folder's samples; empty if there are none yet.

    Raises:
        Damaged: naming the first line that is none of a sample.
    """
    file = folder / "samples.jsonl"
    found: list[SampleRecord] = []
    places: dict[Any, int] = {}
    number = 0
    try:
        with whole_files.opened(file, sys.maxsize, folder) as stream:
            while line := stream.readline(_LINE_BYTES + 1):
                number += 1
                if len(line) > _LINE_BYTES:
                    raise ValueError(f"has more than {_LINE_BYTES:,} bytes")
                if line.endswith(b"\n"):  # a last line without it is still being written
                    one = _sample(line)
                    if places.setdefault(one["id"], number) != number:
                        raise ValueError(f"repeats the sample of line {places[one['id']]}")
                    found.append(one)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        where = f"line {number} " if number else ""
        raise Damaged(file, where + _problem(error, file), _LINE if number else _AWAY) from None
    return found


def read_facts(folder: Path) -> RunFacts | None:
    """Return the content of `run.json`, or None before the first start.

    Raises:
        Damaged: if it holds something else.
    """
    return _read(folder / "run.json", _facts, _AWAY)


def require_run(folder: Path) -> None:
    """Refuse a run folder without `run.json`.

    Raises:
        Damaged: if there is none.
    """
    if read_facts(folder) is None:
        raise Damaged(folder / "run.json", "is missing", _AWAY)


def read_summary(folder: Path) -> Summary | None:
    """Return the content of `summary.json`, or None while the run is not finished.

    Raises:
        Damaged: if it holds something else.
    """
    return _read(folder / "summary.json", _summary, _AGAIN)


def read_config(folder: Path) -> Config:
    """Return the resolved config of a run.

    Raises:
        Damaged: if there is none, or something else.
    """
    file = folder / "config.yaml"
    config = _read(file, _config, _AWAY)
    if config is None:
        raise Damaged(file, "is missing", _AWAY)
    return config


def _read(file: Path, parse: Callable[[bytes], _Record], remedy: str) -> _Record | None:
    try:
        with whole_files.opened(file, _FILE_BYTES, file.parent) as stream:
            return parse(stream.read())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Damaged(file, _problem(error, file), remedy) from None


def _problem(error: Exception, file: Path) -> str:
    text = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return " ".join(text.removeprefix(f"{file} ").split()).rstrip(".")


def _sample(line: bytes) -> SampleRecord:
    value = cast(SampleRecord, _parsed(line, _SAMPLE))
    if "by_token" in value:
        _require_one_length(value["by_token"])
    return value


def _require_one_length(tokens: TokensRecord) -> None:
    of_all = [tokens[name] for name in ("ids", "log_probability", "entropy", "kl")]
    if len({len(own) for own in [*of_all, *tokens["models"].values()]}) > 1:
        raise ValueError("has lists of several lengths in by_token")


def _facts(content: bytes) -> RunFacts:
    return cast(RunFacts, _parsed(content, _FACTS))


def _summary(content: bytes) -> Summary:
    value = cast(Summary, _parsed(content, _SUMMARY))
    if (metric := value["task"]["metric"]) not in value["metrics"]:
        raise ValueError(f"has no metrics.{metric}, which its task is about")
    return value


def _parsed(content: bytes, shape: shapes.Shape) -> Any:
    if not content.strip():
        raise ValueError("is empty")
    try:
        value = json.loads(content.decode())
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError as error:  # of JSON and of UTF-8
        raise ValueError(f"is damaged ({error})") from None
    shape(value)
    return value


def _config(content: bytes) -> Config:
    try:
        text = content.decode()
        _require_bounded(yaml.parse(text, Loader=_YAML))
        value = yaml.load(text, Loader=_YAML)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"is damaged ({error})") from None
    _CONFIG(value)
    record_types.settings(value)  # those of further parts
    return cast(Config, value)


def _require_bounded(events: Iterable[yaml.Event]) -> None:
    """Refuse what is small as text and large, or without end, as data."""
    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("refers to parts of itself (*name), which trimtab never writes")
        if depth > _DEPTH:
            raise ValueError("is nested too deeply")


def run_folders(roots: Iterable[Path]) -> list[Path]:
    """Return all run folders at or below some paths, sorted, each once.

    A folder that is a link is one of them where it is a run folder itself; other links to folders
    are not followed (see `links`).
    """
    found: dict[Path, Path] = {}
    for root in roots:
        for place, folders, files in os.walk(root):
            here = Path(place)
            linked = [here / name for name in folders if (here / name).is_symlink()]
            for folder in [here] * _is_run(files) + [f for f in linked if _is_run(_files(f))]:
                found.setdefault(folder.resolve(), folder)
    return sorted(found.values())


def links(roots: Iterable[Path]) -> list[Path]:
    """Return the links to folders, other than run folders, at or below some paths, sorted."""
    return sorted(
        folder
        for root in roots
        for place, folders, _ in os.walk(root)
        for folder in (Path(place) / name for name in folders)
        if folder.is_symlink() and not _is_run(_files(folder)) and not _is_trackers(folder)
    )


def _files(folder: Path) -> list[str]:
    with suppress(OSError):
        return os.listdir(folder)
    return []


def _is_run(names: Iterable[str]) -> bool:
    """Whether a folder holds a run: its facts or, where these are lost, two of its other files."""
    held = _FILES.intersection(names)
    return "run.json" in held or len(held) > 1


def _is_trackers(folder: Path) -> bool:
    return "wandb" in folder.parts  # its latest run
