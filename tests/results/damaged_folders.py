"""Run folders that were tampered with, cut or written by somebody else, each in its own way."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Damage = Callable[[Path], object]


def _text(name: str, content: str | bytes) -> Damage:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda folder: (folder / name).write_bytes(data)


def _json(name: str, change: Callable[[dict[str, Any]], object]) -> Damage:
    def damage(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return damage


def _line(change: Callable[[dict[str, Any]], object]) -> Damage:
    def damage(folder: Path) -> None:
        file = folder / "samples.jsonl"
        first, *others = map(json.loads, file.read_text().splitlines())
        change(first)
        file.write_text("".join(json.dumps(line) + "\n" for line in [first, *others]))

    return damage


def _instead(name: str, make: Callable[[Path], object]) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return damage


def _long(file: Path) -> None:
    with file.open("wb") as stream:
        stream.truncate(100_000_000)


_BOMB = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
_MERGES = "a: &a {k: 1}\n" + "".join(
    f"{new}: &{new}\n  <<: [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)

OF_RECORDS: dict[str, Damage] = {
    "summary empty": _text("summary.json", ""),
    "summary cut": _text("summary.json", '{"task": {"metric": "accu'),
    "summary a list": _text("summary.json", "[1, 2]"),
    "summary a number": _text("summary.json", "3"),
    "summary null": _text("summary.json", "null"),
    "summary {}": _text("summary.json", "{}"),
    "summary not UTF-8": _text("summary.json", b'{"task": "\xff\xfe"}'),
    "summary nested": _text("summary.json", "[" * 200_000),
    "summary of huge digits": _text("summary.json", "9" * 10_000),
    "summary a folder": _instead("summary.json", Path.mkdir),
    "summary a pipe": _instead("summary.json", os.mkfifo),
    "summary a device": _instead("summary.json", lambda file: file.symlink_to("/dev/zero")),
    "summary linked out": _instead("summary.json", lambda file: file.symlink_to("/etc/passwd")),
    "summary linked nowhere": _instead("summary.json", lambda file: file.symlink_to("/no/where")),
    "summary of 100 MB": _instead("summary.json", _long),
    "metrics a list": _json("summary.json", lambda s: s.update(metrics=[])),
    "metric unknown": _json("summary.json", lambda s: s["task"].update(metric="other")),
    "metric a list": _json("summary.json", lambda s: s["task"].update(metric=["accuracy"])),
    "source null": _json("summary.json", lambda s: s["task"].update(source=None)),
    "value NaN": _json("summary.json", lambda s: s["metrics"]["accuracy"].update(value=math.nan)),
    "value a text": _json("summary.json", lambda s: s["metrics"]["accuracy"].update(value="1")),
    "value huge": _json("summary.json", lambda s: s["metrics"]["accuracy"].update(value=10**400)),
    "n below 0": _json("summary.json", lambda s: s["metrics"]["accuracy"].update(n=-3)),
    "interval of one": _json("summary.json", lambda s: s["metrics"]["accuracy"].update(ci95=[0.1])),
    "interval missing": _json("summary.json", lambda s: s["metrics"]["accuracy"].pop("ci95")),
    "cost missing": _json("summary.json", lambda s: s.pop("cost")),
    "cost's models null": _json("summary.json", lambda s: s["cost"].update(models=None)),
    "speed a text": _json("summary.json", lambda s: s["cost"].update(tokens_per_second="fast")),
    "dial a number": _json("summary.json", lambda s: s.update(dial=3)),
    "dial without value": _json("summary.json", lambda s: s.update(dial={"name": "threshold"})),
    "scorers a list": _json("summary.json", lambda s: s.update(scorers=[1])),
    "run missing": _instead("run.json", lambda file: None),
    "run empty": _text("run.json", ""),
    "run a list": _text("run.json", "[]"),
    "run a pipe": _instead("run.json", os.mkfifo),
    "content a text": _text("run.json", '{"content": "x"}'),
    "git without commit": _text("run.json", '{"git": {"dirty": true}}'),
    "hardware a list": _text("run.json", '{"hardware": [1]}'),
    "segments a text": _text("run.json", '{"segments": "x"}'),
    "config missing": _instead("config.yaml", lambda file: None),
    "config empty": _text("config.yaml", ""),
    "config no YAML": _text("config.yaml", "method: [unclosed"),
    "config a text": _text("config.yaml", "just words"),
    "config without method": _text("config.yaml", "task: {}\n"),
    "config with a list for a method": _text("config.yaml", "method: [1]\n"),
    "config with numbers for names": _text("config.yaml", "method: {1: 2}\n"),
    "config with an object of Python": _text("config.yaml", "method: !!python/name:os.system ''\n"),
    "config with a date": _text("config.yaml", "method: {day: 2026-01-01}\n"),
    "config of aliases": _text("config.yaml", _BOMB + "method: {a: *i}\n"),
    "config of merges": _text("config.yaml", _MERGES + "method: *i\n"),
    "config of itself": _text("config.yaml", "method: &m {a: *m}\n"),
    "config nested": _text("config.yaml", "method: " + "[" * 100_000 + "]" * 100_000),
    "config not UTF-8": _text("config.yaml", b"method: {a: \xff}\n"),
    "config a pipe": _instead("config.yaml", os.mkfifo),
}
"""Damage that every command meets."""

OF_SAMPLES: dict[str, Damage] = {
    "samples a pipe": _instead("samples.jsonl", os.mkfifo),
    "samples a folder": _instead("samples.jsonl", Path.mkdir),
    "samples linked out": _instead("samples.jsonl", lambda file: file.symlink_to("/etc/passwd")),
    "a line of 100 MB": _instead("samples.jsonl", _long),
    "a line cut": _text("samples.jsonl", '{"id": "0", "quest\n'),
    "a line empty": _text("samples.jsonl", "\n"),
    "a line of a number": _text("samples.jsonl", "3\n"),
    "a line of {}": _text("samples.jsonl", "{}\n"),
    "a line nested": _text("samples.jsonl", '{"a":' * 50_000 + "\n"),
    "a line not UTF-8": _text("samples.jsonl", b'{"id": "\xff"}\n'),
    "an id twice": _line(lambda line: line.update(id="1")),
    "an id of a list": _line(lambda line: line.update(id=[1])),
    "scores of a text": _line(lambda line: line.update(scores={"accuracy": "1"})),
    "scores NaN": _line(lambda line: line.update(scores={"accuracy": math.nan})),
    "scores a list": _line(lambda line: line.update(scores=[1])),
    "measures missing": _line(lambda line: line.pop("measures")),
    "trace of numbers": _line(lambda line: line.update(trace=[1, 2])),
    "trace without text": _line(lambda line: line.update(trace=[{"speaker": "base"}])),
    "completion null": _line(lambda line: line.update(completion=None)),
    "tokens a number": _line(lambda line: line.update(tokens=9)),
    "prompts a list": _line(lambda line: line.update(prompts=["x"])),
    "verdicts a list": _line(lambda line: line.update(verdicts=[1])),
}
"""Damage that whoever reads samples meets."""
