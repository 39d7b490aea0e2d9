"""One experiment: samples to completions to scores, recorded as they come, resumed at any point."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trimtab import record, statistics
from trimtab.decoding import Generation
from trimtab.methods import Method
from trimtab.progress import running
from trimtab.tasks import Sample, Task
from trimtab.tracking import Tracker

_log = logging.getLogger(__name__)
_SECONDS_BETWEEN_LOGS = 5.0
_BOUNDS = dict.fromkeys(
    ("guide_ratio", "guide_ratio_with_ending", "guide_ratio_tokens"), (0.0, 1.0)
)
# `forward_passes` serve whole batches; `passes_per_token` is what an answer alone would take.
_NO_COST = {"forward_passes": 0, "tokens_processed": 0, "passes_per_token": 0.0}


def evaluate(
    *,
    task: Task,
    method: Method,
    generation: Generation,
    limit: int | None,
    folder: Path,
    config: Mapping[str, Any],
    start_tracker: Callable[[], Tracker],
) -> dict[str, Any]:
    """Run a method on a task and return the summary; the folder then holds the whole record.

    Samples that the folder already holds are not computed again, so the same call resumes.

    Args:
        task: what is asked, and how answers are scored.
        method: what answers.
        generation: how answers are drawn.
        limit: how many samples, from the first; None for all.
        folder: the run folder.
        config: the resolved config, to be recorded.
        start_tracker: opens the place where running scores go too; not called for a run that is
            finished or that another process works on.

    Raises:
        ValueError: if another process holds the folder, or if it was begun with other model
            weights or other data than these.
    """
    _show_one_bar_only()
    samples = {sample.id: sample for sample in task.samples(limit)}
    with record.RunFolder(folder) as run:
        content = {
            "models": {role: model.identity for role, model in method.participants.items()},
            "data": _data_hash(samples.values()),
        }
        earlier = record.read_run(folder)
        if earlier:
            _require_same(content, earlier["content"], folder)
        done = {line["id"]: line for line in record.read_samples(folder) if line["id"] in samples}
        finished = record.read_summary(folder)
        if finished and len(done) == len(samples):
            return finished

        conversations = {i: s.conversation for i, s in samples.items() if i not in done}
        method.check(conversations)
        facts = {
            "status": "running",
            "content": content,
            **record.environment(),
            "models": {role: model.provenance() for role, model in method.all_models.items()},
            "data": {"source": task.source, "samples": len(samples)},
            "seeds": {"generation": generation.seed},
            "segments": earlier["segments"] if earlier else [],
        }
        if earlier and earlier["git"] != facts["git"]:
            _log.warning("%s was begun at another commit: %s", folder, earlier["git"])
        run.write_config(config)
        passes_before, last_log = dict(method.forward_passes), time.monotonic()
        with (
            _tracked(start_tracker) as tracker,
            _segment(run, facts) as segment,
            running(task.metric, done.values(), len(samples)) as now,
        ):
            for completion in method.stream(conversations, generation):
                sample = samples[completion.id]
                score = task.score(completion.text, sample.target)
                done[sample.id] = record.sample_record(sample, completion, score)
                run.append(done[sample.id])
                now.add(done[sample.id])
                segment["samples"] += 1
                segment["seconds"] = round(now.seconds, 3)
                segment["forward_passes"] = {
                    role: passes - passes_before.get(role, 0)
                    for role, passes in method.forward_passes.items()
                }
                run.write_run(facts)
                if time.monotonic() - last_log >= _SECONDS_BETWEEN_LOGS:
                    last_log = time.monotonic()
                    tracker.log(now.metrics, now.count)
            run.put_in_order(samples)
            summary = summarize(task, method, [done[i] for i in samples], facts["segments"])
            run.write_summary(summary)
        tracker.finish(summary, [done[i] for i in samples])
        return summary


def summarize(
    task: Task,
    method: Method,
    records: Sequence[Mapping[str, Any]],
    segments: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return metrics with their intervals, and what they cost.

    Args:
        task: says which metrics are proportions.
        method: says what its dial is.
        records: one line per sample, as in `samples.jsonl`.
        segments: the stretches in which they were computed, as in `run.json`.
    """
    columns: dict[str, list[float]] = {}
    for line in records:
        ended = line["stop_reason"] in {"end", "guide", "base"}
        for name, value in {**line["scores"], **line["measures"], "ended": float(ended)}.items():
            columns.setdefault(name, []).append(value)
    proportions = task.proportions | {"ended"}
    bounds = _BOUNDS | dict(task.bounds)
    spoken = sum(sum(line["tokens"].values()) for line in records)
    seconds = sum(segment["seconds"] for segment in segments)
    models: dict[str, dict[str, float]] = {}
    for line in records:
        for role, work in line["work"].items():
            cost = models.setdefault(role, dict(_NO_COST))
            cost["tokens_processed"] += work["tokens"]
            cost["passes_per_token"] += work["passes"] / max(1, spoken)
    for segment in segments:
        for role, passes in segment["forward_passes"].items():
            models.setdefault(role, dict(_NO_COST))["forward_passes"] += passes
    for cost in models.values():
        cost["passes_per_token"] = round(cost["passes_per_token"], 4)
    return {
        "task": {"metric": task.metric, "source": task.source, "split": task.split},
        "dial": {"name": method.dial, "value": getattr(method, method.dial)}
        if method.dial
        else None,
        "metrics": {
            name: (
                statistics.summarize(values, binary=True)
                if name in proportions
                else statistics.mean(values, bounds.get(name, (-math.inf, math.inf)))
            ).to_dict()
            for name, values in columns.items()
        },
        "cost": {
            "tokens": spoken,
            "seconds": round(seconds, 3),
            "tokens_per_second": round(spoken / seconds, 1) if seconds else None,
            "models": models,
        },
    }


@contextmanager
def _tracked(start_tracker: Callable[[], Tracker]) -> Iterator[Tracker]:
    """Open the tracker, and close it as failed if the block fails."""
    tracker = start_tracker()
    try:
        yield tracker
    except BaseException:
        tracker.finish(None, [])
        raise


@contextmanager
def _segment(run: record.RunFolder, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Add a stretch of work to the run's facts, and keep its status true however it ends."""
    segment: dict[str, Any] = {
        "start": _now(),
        "end": None,
        "samples": 0,
        "seconds": 0.0,
        "forward_passes": {},
    }
    facts["segments"].append(segment)
    run.write_run(facts)
    try:
        yield segment
        facts["status"] = "finished"
    except KeyboardInterrupt:
        facts["status"] = "interrupted"
        raise
    except BaseException as error:
        facts["status"] = "failed"
        facts["error"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        segment["end"] = _now()
        run.write_run(facts)


def _require_same(now: Mapping[str, Any], then: Mapping[str, Any], folder: Path) -> None:
    """Refuse to add to a folder that was begun with other weights or rows under the same names."""
    for what in ("models", "data"):
        if now[what] != then[what]:
            raise ValueError(
                f"{folder} was begun with other {what} of the same name (compare `content` in "
                "run.json). Move the folder away, or give another results=DIR."
            )


def _data_hash(samples: Iterable[Sample]) -> str:
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(f"{sample.id}\x00{sample.conversation}\x00{sample.target}\n".encode())
    return digest.hexdigest()


def _show_one_bar_only() -> None:
    from datasets.utils.logging import disable_progress_bar as hide_datasets
    from transformers.utils.logging import disable_progress_bar as hide_transformers

    hide_datasets()
    hide_transformers()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
