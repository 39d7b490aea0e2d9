"""One experiment: samples to completions to scores, recorded as they come, resumed at any point."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import Progress

from trimtab import behaviour, multiple_choice, record, segments
from trimtab.decoding import Completion, Generation
from trimtab.methods import Method
from trimtab.progress import Running, bars
from trimtab.scorers import Scorer, verdicts
from trimtab.summary import summarize
from trimtab.tasks import Sample, Score, Task
from trimtab.tracking import Tracker

_log = logging.getLogger(__name__)
_STAGES = 50  # at which running scores are logged


@dataclass(frozen=True, kw_only=True)
class Job:
    """One experiment, ready to run.

    Args:
        task: what is asked, and how answers are scored.
        method: what answers.
        generation: how answers are drawn.
        limit: how many samples; None for all.
        limit_seed: draws them; None for the first.
        folder: the run folder.
        config: the resolved config, to be recorded.
        scorers: score the answers too, once they are all there.
        start_tracker: opens the place where running scores go too; not called for a run that is
            finished or that another process works on.
        tracks_finished: tell the tracker of a run that was finished before, too.
    """

    task: Task
    method: Method
    generation: Generation
    limit: int | None
    limit_seed: int | None = None
    folder: Path
    config: Mapping[str, Any]
    start_tracker: Callable[[], Tracker]
    scorers: Sequence[Scorer] = ()
    tracks_finished: bool = False


Watch = Callable[[Mapping[str, Any]], None]
"""Is told each sample's record, those of earlier starts included; may raise `Stopped`."""


def evaluate(job: Job, watch: Watch | None = None) -> dict[str, Any]:
    """Run a method on a task and return the summary; the folder then holds the whole record.

    Samples that the folder already holds are not computed again, so the same call resumes.

    Raises:
        ValueError: if another process holds the folder, or if it was begun with other model
            weights or other data than these.
        Stopped: if `watch` says so.
    """
    with bars() as shown, _evaluation(job, shown) as evaluation:
        if watch:
            for line in evaluation.done.values():
                watch(line)
        for completion, score in evaluation.stream():
            line = evaluation.add(completion, score)
            if watch:
                watch(line)
    assert evaluation.summary is not None
    return evaluation.summary


def evaluate_together(jobs: Sequence[Job]) -> dict[Path, dict[str, Any]]:
    """Run jobs that differ in their methods' dial alone, all at once; return summaries by folder.

    Each leaves what it would leave alone, but for what it cost. Jobs that cannot start, because
    another process holds the folder for instance, are left out; what is wrong with them is theirs
    to say when they are run alone.
    """
    if jobs[0].task.likelihood:  # nothing is generated, so there is nothing to share
        return {}
    begun: list[_Evaluation] = []
    with bars() as shown, ExitStack() as stack:
        for job in jobs:
            with suppress(Exception):
                begun.append(stack.enter_context(_evaluation(job, shown)))
        open_ = [one for one in begun if one.summary is None and one.conversations]
        for evaluation in open_:
            evaluation.share_work(len(open_))
        if open_:
            first = open_[0].job
            family = [evaluation.job.method for evaluation in open_]
            asked = [evaluation.conversations for evaluation in open_]
            for member, completion in first.method.stream_family(family, asked, first.generation):
                open_[member].add(completion, open_[member].score(completion))
    return {one.job.folder: one.summary for one in begun if one.summary is not None}


class _Evaluation:
    """A job at work: what is asked, what is done."""

    def __init__(self, job: Job, samples: Mapping[str, Sample], run: record.RunFolder) -> None:
        self.job = job
        self.run = run
        self.samples = samples
        lines = record.read_samples(run.path)
        self.done = {line["id"]: line for line in lines if line["id"] in samples}
        finished = record.read_summary(run.path)
        self._scorers_before = (finished or {}).get("scorers", {})
        if len(self.done) < len(samples) or verdicts.missing(finished or {}, job.scorers):
            finished = None
        self.summary = finished
        self.conversations = {i: s.conversation for i, s in samples.items() if i not in self.done}
        self.facts: dict[str, Any] = {}
        self._passes_before = dict(job.method.forward_passes)

    def start(self, tracker: Tracker, segment: dict[str, Any], now: Running) -> None:
        self._tracker, self._segment, self._now = tracker, segment, now

    def share_work(self, jobs: int) -> None:
        """Note how many jobs this stretch of work is for."""
        self._segment["together"] = jobs

    def stream(self) -> Iterator[tuple[Completion, Score]]:
        """Answer what is not answered yet."""
        if self.summary is not None or not self.conversations:
            return
        method, generation = self.job.method, self.job.generation
        if by := self.job.task.likelihood:
            samples = {i: self.samples[i] for i in self.conversations}
            yield from multiple_choice.answer(method, samples, generation, by)
        else:
            for completion in method.stream(self.conversations, generation):
                yield completion, self.score(completion)

    def score(self, completion: Completion) -> Score:
        """Score an answer by the task's rule."""
        return self.job.task.score(completion.text, self.samples[completion.id])

    def add(self, completion: Completion, score: Score) -> dict[str, Any]:
        """Keep a completion and its score, and return its record."""
        sample = self.samples[completion.id]
        measures = completion.measures | self._behaviour(completion, sample, score)
        line = record.sample_record(sample, completion, score, measures)
        self.run.append(line)
        self.done[sample.id] = line
        self._now.add(line)
        self._segment["samples"] += 1
        self._segment["seconds"] = round(self._now.seconds, 3)
        self._segment["forward_passes"] = {
            role: passes - self._passes_before.get(role, 0)
            for role, passes in self.job.method.forward_passes.items()
        }
        self.run.write_run(self.facts, at_once=False)
        # At the same samples in every run, so that a sweep can compare runs at the same stage.
        stage, total = len(self.done) * _STAGES, len(self.samples)
        if stage // total > (stage - _STAGES) // total:
            self._tracker.log(self._now.metrics, self._now.count)
        return line

    def _behaviour(self, completion: Completion, sample: Sample, score: Score) -> dict[str, float]:
        task = self.job.task
        if task.likelihood:
            return {}
        right = "accuracy"  # of the tasks that have a right answer
        if sample.target is None or right not in score.values:
            return behaviour.measures(completion.text)
        return behaviour.measures(
            completion.text, lambda text: task.score(text, sample).values[right] == 1
        )

    def finish(self) -> dict[str, Any]:
        """Let the scorers score, put the record in order, and return its summary."""
        lines = [self.done[i] for i in self.samples]
        try:
            for scorer in self.job.scorers:
                verdicts.add(lines, scorer, self._now.follow(scorer.name, len(lines)))
        finally:
            self.run.write_samples(lines)
        scorers = verdicts.describe(lines, self.job.scorers, self._scorers_before)
        task, method = self.job.task, self.job.method
        self.summary = summarize(task, method, lines, self.facts["segments"], scorers)
        self.run.write_summary(self.summary)
        return self.summary


@contextmanager
def _evaluation(job: Job, bars: Progress) -> Iterator[_Evaluation]:
    """Open a job's folder for a stretch of work, and close it whatever happens."""
    task, method = job.task, job.method
    samples = {sample.id: sample for sample in task.samples(job.limit, job.limit_seed)}
    _require_metric(job, next(iter(samples.values())))
    with record.RunFolder(job.folder) as run:
        content = {
            "models": {role: model.identity for role, model in method.participants.items()},
            "data": _data_hash(samples.values()),
        }
        earlier = record.read_run(job.folder)
        if earlier:
            _require_same(content, earlier["content"], job.folder)
        evaluation = _Evaluation(job, samples, run)
        if evaluation.summary is not None:
            if job.tracks_finished:
                job.start_tracker().finish(evaluation.summary, list(evaluation.done.values()))
            yield evaluation
            return
        method.check(evaluation.conversations)
        for scorer in job.scorers:
            scorer.check()
        facts = evaluation.facts
        facts |= {
            "status": "running",
            "content": content,
            **record.environment(),
            "models": {role: model.provenance() for role, model in method.all_models.items()},
            "data": {
                "source": task.source,
                "revision": task.revision_in_use,
                "samples": len(samples),
            },
            "seeds": {"generation": job.generation.seed},
            "segments": segments.settled(earlier, len(evaluation.done)),
        }
        if earlier and earlier["git"] != facts["git"]:
            _log.warning("%s was begun at another commit: %s", job.folder, earlier["git"])
        run.write_config(job.config)
        now = Running(task.metric, evaluation.done.values(), bars, len(samples), _dial(method))
        with _tracked(job.start_tracker) as tracker:
            with segments.begun(run, facts) as segment:
                evaluation.start(tracker, segment, now)
                yield evaluation
                summary = evaluation.finish()
            tracker.finish(summary, [evaluation.done[i] for i in samples])


def _require_metric(job: Job, sample: Sample) -> None:
    """Refuse a task whose metric nobody gives."""
    task = job.task
    given = {*task.score("", sample).values}
    for scorer in job.scorers:
        given |= {*scorer.proportions, *scorer.bounds}
    if task.metric in given:
        return
    what = f"{task.source}: nothing gives its metric {task.metric!r}, but"
    known = f"{what} {', '.join(sorted(given)) or 'no other'}."
    if task.judged is None:
        raise ValueError(f"{known} Let the task's score() give it.")
    raise ValueError(
        f"{known} A judge does: add judge={task.judged}, which needs an OpenAI-compatible endpoint."
    )


def _dial(method: Method) -> str:
    return f"{method.dial} {method.value:g}" if method.dial else ""


@contextmanager
def _tracked(start_tracker: Callable[[], Tracker]) -> Iterator[Tracker]:
    """Open the tracker, and close it as failed if the block fails."""
    tracker = start_tracker()
    try:
        yield tracker
    except BaseException:
        tracker.finish(None, [])
        raise


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
