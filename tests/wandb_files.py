"""Reads what W&B's client writes without a connection."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2 as pb

_BLOCK, _HEADER, _LOG_HEADER = 32768, 7, 7
_WHOLE, _LAST = 1, 4


@dataclass
class Recorded:
    """One offline run."""

    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    table: list[dict[str, Any]] = field(default_factory=list)


def recorded(folder: Path) -> Recorded:
    """Return the one offline run that `folder` holds."""
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    return read(file)


def read(file: Path) -> Recorded:
    """Return the run that a file of W&B's client holds."""
    found = Recorded()
    for record in _records(file.read_bytes()):
        if record.HasField("run"):
            found.run = record.run
            found.config |= {i.key: json.loads(i.value_json) for i in record.run.config.update}
        for item in record.config.update:
            found.config[item.key] = json.loads(item.value_json)
        if record.HasField("history"):
            found.history.append({_key(i): json.loads(i.value_json) for i in record.history.item})
        for item in record.summary.update:
            found.summary[_key(item)] = json.loads(item.value_json)
        if record.HasField("exit"):
            found.exit_code = record.exit.exit_code
    for path in file.parent.glob("files/media/table/*.json"):
        table = json.loads(path.read_text("utf-8"))
        found.table = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    return found


def _key(item: Any) -> str:
    return item.key or item.nested_key[0]


def _records(log: bytes) -> Iterator[Any]:
    """Yield the records of a `.wandb` file: a log in LevelDB's format behind a header."""
    position, data = _LOG_HEADER, b""
    while position < len(log):
        left = _BLOCK - position % _BLOCK
        if left < _HEADER:
            position += left
            continue
        _, size, kind = struct.unpack_from("<IHB", log, position)
        data += log[position + _HEADER : position + _HEADER + size]
        position += _HEADER + size
        if kind in (_WHOLE, _LAST):
            record = pb.Record()
            record.ParseFromString(data)
            yield record
            data = b""
