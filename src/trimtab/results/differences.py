"""In which settings runs differ, beyond their method, their models and where the dial stands."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trimtab.config.composition import effective
from trimtab.results.finished import Run


def differing(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return the settings in which some runs differ, for each run: values by name, as text.

    A setting of a method is compared among the runs of that method, and one of a model among those
    with the same models; all others among all. A run in which a setting is null, or not yet known,
    does not list it, and settings that change no answer are left out.
    """
    settings = [dict(_settings(run)) for run in runs]
    groups = [_groups(run) for run in runs]
    alike: Counter[Any] = Counter()  # how many runs have a setting's value, and how many could
    for own, group in zip(settings, groups, strict=True):
        alike.update(group)
        alike.update((name, group[_level(name)], _hashable(own[name])) for name in own)
    return [
        {
            name: _text(value)
            for name, value in own.items()
            if value is not None
            and alike[name, peers := group[_level(name)], _hashable(value)] < alike[peers]
        }
        for own, group in zip(settings, groups, strict=True)
    ]


def in_words(settings: Mapping[str, str]) -> list[str]:
    """Return settings as on the command line: `task.likelihood=sum`."""
    return [f"{name}={value}" for name, value in settings.items()]


def _settings(run: Run) -> Iterator[tuple[str, Any]]:
    """Yield a run's settings, by their names on the command line, that no column shows."""
    for name, value in _leaves(effective(run.config)):
        part, *within = name.split(".")
        is_model = part == "method" and within[1:] == ["path"] and within[0] != "draft"
        if not is_model and name != f"method.{run.dial}":
            yield name, value


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _groups(run: Run) -> tuple[tuple[str, ...], ...]:
    """Return whom a run shares settings with: all, those of its method, those of its models too."""
    return (), (run.method,), (run.method, run.models)


def _level(name: str) -> int:
    """Return which group of runs has a setting: its place in `_groups`."""
    part, *within = name.split(".")
    return min(len(within), 2) if part == "method" else 0


def _hashable(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    if isinstance(value, Mapping):
        return tuple((name, _hashable(child)) for name, child in sorted(value.items()))
    return value


def _text(value: Any) -> str:
    plain = isinstance(value, str) and value.isprintable() and value.strip() == value != ""
    return value if plain else json.dumps(value, ensure_ascii=False)
