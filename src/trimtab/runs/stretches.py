"""Stretches of work on a run: begun, ended or broken off, and kept true in `run.json`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from trimtab.machine.stopwatch import Stopwatch
from trimtab.methods import Method
from trimtab.runs.record_types import RunFacts, StretchRecord
from trimtab.runs.run_folder import RunFolder


class Stopped(Exception):
    """Whoever watches a run has seen enough; what is computed is kept."""


@contextmanager
def begun(folder: RunFolder, facts: RunFacts) -> Iterator[StretchRecord]:
    """Add a stretch of work to the run's facts, and keep its status true however it ends."""
    stretch: StretchRecord = {
        "start": _now(),
        "end": None,
        "samples": 0,
        "seconds": 0.0,
        "loading_seconds": 0.0,
        "forward_passes": {},
        "together": 1,
    }
    facts["segments"].append(stretch)
    folder.write_facts(facts)
    try:
        yield stretch
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
        stretch["end"] = _now()
        folder.write_facts(facts)


class Decoding(Stopwatch):
    """Times what a method answers in one stretch of work; what it loads for that is timed apart."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self._method = method
        self._before = method.loading.seconds

    def note(self, stretch: StretchRecord) -> None:
        """Put the times into the record of a stretch."""
        loading = self._method.loading.seconds - self._before
        stretch["seconds"] = round(self.seconds - loading, 3)
        stretch["loading_seconds"] = round(loading, 3)


def is_timed(stretches: Iterable[StretchRecord]) -> bool:
    """Whether the seconds of all stretches are of decoding alone.

    In earlier versions they ran from before the imports to the last answer.
    """
    return all("loading_seconds" in stretch for stretch in stretches)


def require_whole(facts: RunFacts) -> None:
    """Refuse stretches of work that do not say what they came to."""
    for place, stretch in enumerate(facts.get("segments", [])):
        for key in ("samples", "seconds", "forward_passes"):
            if key not in stretch:
                raise ValueError(
                    f"run.json has no segments[{place}].{key}. Move the folder away and run again."
                )


def settled(facts: RunFacts | None, done: int) -> list[StretchRecord]:
    """Return a run's earlier stretches of work; of one that was killed, samples count anew.

    Those whose answers were to be taken over, and are not there, are left out.

    Raises:
        ValueError: as `require_whole`.
    """
    if facts:
        require_whole(facts)
    earlier = facts.get("segments", []) if facts else []
    if sum(stretch["samples"] for stretch in earlier if "taken_from" in stretch) > done:
        earlier = [stretch for stretch in earlier if "taken_from" not in stretch]
    if earlier:
        earlier[-1]["samples"] = done - sum(stretch["samples"] for stretch in earlier[:-1])
    return earlier


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
