"""In which settings runs differ, beyond their method, their models and where the dial stands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trimtab.finished import Run


def differing(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return the settings in which some runs differ, for each run: values by name, as text.

    A setting of a method is compared among the runs of that method, and one of a model among those
    with the same models; all others among all. A run in which a setting is null, or not yet known,
    does not list it.
    """
    settings = [dict(_settings(run)) for run in runs]
    found = []
    for run, own in zip(runs, settings, strict=True):
        found.append(
            {
                name: _text(value)
                for name, value in own.items()
                if value is not None
                and any(
                    other.get(name) != value
                    for peer, other in zip(runs, settings, strict=True)
                    if _comparable(name, run, peer)
                )
            }
        )
    return found


def in_words(settings: Mapping[str, str]) -> list[str]:
    """Return settings as on the command line: `task.likelihood=sum`."""
    return [f"{name}={value}" for name, value in settings.items()]


def _settings(run: Run) -> Iterator[tuple[str, Any]]:
    """Yield a run's settings, by their names on the command line, that no column shows."""
    for name, value in _leaves(run.config):
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


def _comparable(name: str, run: Run, peer: Run) -> bool:
    part, *within = name.split(".")
    if part != "method":
        return True
    return run.method == peer.method and (len(within) == 1 or run.models == peer.models)


def _text(value: Any) -> str:
    plain = isinstance(value, str) and value.isprintable() and value.strip() == value != ""
    return value if plain else json.dumps(value, ensure_ascii=False)
