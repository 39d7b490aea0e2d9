"""Stretches of work on a run: begun, ended or broken off, and kept true in `run.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from trimtab.record import RunFolder


class Stopped(Exception):
    """Whoever watches a run has seen enough; what is computed is kept."""


@contextmanager
def begun(run: RunFolder, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Add a stretch of work to the run's facts, and keep its status true however it ends."""
    segment: dict[str, Any] = {
        "start": _now(),
        "end": None,
        "samples": 0,
        "seconds": 0.0,
        "forward_passes": {},
        "together": 1,
    }
    facts["segments"].append(segment)
    run.write_run(facts)
    try:
        yield segment
        facts["status"] = "finished"
    except KeyboardInterrupt:
        facts["status"] = "interrupted"
        raise
    except Stopped:
        facts["status"] = "stopped"
        raise
    except BaseException as error:
        facts["status"] = "failed"
        facts["error"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        segment["end"] = _now()
        run.write_run(facts)


def settled(run: Mapping[str, Any] | None, done: int) -> list[dict[str, Any]]:
    """Return a run's earlier stretches of work; of one that was killed, samples count anew."""
    earlier: list[dict[str, Any]] = run["segments"] if run else []
    if earlier:
        earlier[-1]["samples"] = done - sum(segment["samples"] for segment in earlier[:-1])
    return earlier


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
