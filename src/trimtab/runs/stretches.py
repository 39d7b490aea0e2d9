"""Stretches of work on a run: begun, ended or broken off, and kept true in `run.json`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from trimtab.machine.stopwatch import Stopwatch
from trimtab.methods import Method
from trimtab.runs import record_shapes
from trimtab.runs.run_folder import RunFolder


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
        "loading_seconds": 0.0,
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


class Decoding(Stopwatch):
    """Times what a method answers in one stretch of work; what it loads for that is timed apart."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self._method = method
        self._before = method.loading.seconds

    def note(self, segment: dict[str, Any]) -> None:
        """Put the times into the facts of a stretch."""
        loading = self._method.loading.seconds - self._before
        segment["seconds"] = round(self.seconds - loading, 3)
        segment["loading_seconds"] = round(loading, 3)


def is_timed(segments: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the seconds of all stretches are of decoding alone.

    In earlier versions they ran from before the imports to the last answer.
    """
    return all("loading_seconds" in segment for segment in segments)


def settled(run: Mapping[str, Any] | None, done: int) -> list[dict[str, Any]]:
    """Return a run's earlier stretches of work; of one that was killed, samples count anew.

    Those whose answers were to be taken over, and are not there, are left out.

    Raises:
        ValueError: if they do not say what a stretch is.
    """
    earlier: list[dict[str, Any]] = run.get("segments", []) if run else []
    try:
        record_shapes.stretches(earlier, "segments")
    except ValueError as error:
        raise ValueError(f"run.json {error}. Move the folder away and run again.") from None
    if sum(segment["samples"] for segment in earlier if "taken_from" in segment) > done:
        earlier = [segment for segment in earlier if "taken_from" not in segment]
    if earlier:
        earlier[-1]["samples"] = done - sum(segment["samples"] for segment in earlier[:-1])
    return earlier


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
