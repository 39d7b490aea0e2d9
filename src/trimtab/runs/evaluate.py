"""One experiment: samples to completions to scores, recorded as they come, resumed at any point."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from rich.progress import Progress

from trimtab.decoding import Completion, Generation
from trimtab.methods import Method
from trimtab.runs import (
    dated,
    draws,
    environment,
    most_likely,
    preconditions,
    reader,
    smaller_run,
    stretches,
    verdicts,
)
from trimtab.runs.answered import Answered
from trimtab.runs.progress import Running, bars
from trimtab.runs.record_types import LaunchRecord, RunFacts, SampleRecord, Summary
from trimtab.runs.run_folder import RunFolder
from trimtab.runs.summary import summarize
from trimtab.scorers import Scorer
from trimtab.tasks import Score, Task
from trimtab.tracking.trackers import Tracker

_log = logging.getLogger(__name__)


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
        launch: how the run was asked for, to be recorded.
        day: what dated chat templates write, where the folder records none; None for today.
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
    launch: LaunchRecord = field(default_factory=LaunchRecord)
    day: date | None = None
    tracks_finished: bool = False


Watch = Callable[[SampleRecord], None]
"""Is told each sample's record, those of earlier starts included; may raise `Stopped`."""


def evaluate(job: Job, watch: Watch | None = None) -> Summary:
    """Run a method on a task and return the summary; the folder then holds the whole record.

    Samples that the folder already holds are not computed again, so the same call resumes.

    Raises:
        ValueError: if another process holds the folder, or if it was begun with other model
            weights or other data than these.
        Stopped: if `watch` says so.
    """
    with bars() as shown, _evaluation(job, shown) as answers:
        if watch:
            for line in answers.lines.values():
                watch(line)
        if answers.left:
            _answer([(job, answers)], watch)
    assert answers.summary is not None
    return answers.summary


def evaluate_together(jobs: Sequence[Job]) -> dict[Path, Summary]:
    """Run jobs that differ in their methods' dial alone, all at once; return summaries by folder.

    Each leaves what it would leave alone, but for what it cost. Jobs that cannot start, because
    another process holds the folder for instance, are left out; what is wrong with them is theirs
    to say when they are run alone.
    """
    if jobs[0].task.likelihood:  # nothing is generated, so there is nothing to share
        return {}
    begun: list[tuple[Job, Answered]] = []
    with bars() as shown, ExitStack() as stack:
        for job in jobs:
            with suppress(Exception):
                begun.append((job, stack.enter_context(_evaluation(job, shown))))
        by_day: dict[date | None, list[tuple[Job, Answered]]] = {}
        for job, answers in begun:
            if left := list(answers.left.values()):
                by_day.setdefault(left[0].day, []).append((job, answers))
        for asked_alike in by_day.values():
            _answer(asked_alike)
    return {job.folder: one.summary for job, one in begun if one.summary is not None}


@contextmanager
def _evaluation(job: Job, shown: Progress) -> Iterator[Answered]:
    """Evaluate a job in nine steps; the block is the seventh, in which it is answered."""
    task, method, generation = job.task, job.method, job.generation

    # 1. What is asked: each sample as often as it is to be answered, by ids of their own.
    preconditions.require_task(task)
    preconditions.require_apart(job.scorers)
    preconditions.require_drawn(task, generation)
    rows = {sample.id: sample for sample in task.samples(job.limit, job.limit_seed)}
    wanted = draws.of_samples(rows.values(), generation.draws)
    samples = {i: dataclasses.replace(draw.sample, id=i) for i, draw in wanted.items()}

    # 2. The folder is opened, and no other process works in it until the end.
    with RunFolder(job.folder) as folder:
        # 3. What is there: answers, the facts that they were begun with, a summary.
        lines, finished = (
            reader.read_samples(job.folder),
            reader.read_summary(job.folder),
        )
        earlier = _begun_with(job.folder, required=bool(lines or finished))
        day = dated.day_of(method, earlier, job.day)
        asked = dated.asked_on(samples, day)
        several = wanted if generation.draws > 1 else {}
        answers = Answered(folder, task, method, asked, lines, several)
        if finished and _is_whole(finished, answers, earlier, job):
            answers.summary = finished
        preconditions.say_what_has_no_tokens(answers.lines, generation, job.folder)

        # 4. Whether this may go on from there, or begin: all mistakes are found here.
        if answers.summary is None:
            example = answers.rule.score("", next(iter(samples.values())))
            preconditions.require_metric(task, job.scorers, example)
            if task.likelihood:
                method.weigh({}, {})  # says whether it could be asked
            for scorer in job.scorers:
                scorer.check()
        content = preconditions.content(method, rows.values(), generation, job.config, day)
        renderer = environment.renderer()
        if answers.summary is not None and earlier and earlier.get("renderer") == renderer:
            prompts = earlier["prompts"]  # the same files, by the same code: no tokenizer is needed
        else:
            prompts = preconditions.prompts(method, asked)
        if earlier:
            preconditions.require_same(content, earlier["content"], job.folder)
            preconditions.say_what_no_file_holds(method, task, job.folder)
            preconditions.require_asked(answers.lines, samples, job.folder)
            if earlier.get("prompts", prompts) != prompts:
                raise preconditions.begun_with_other("prompts", job.folder)

        # 5. A run that is finished stays as it is.
        if answers.summary is not None:
            folder.correct_config(job.config)
            if job.tracks_finished:
                job.start_tracker().finish(answers.summary, answers.in_order)
            yield answers
            return

        # 6. What is begun is written down, with what earlier runs leave to it.
        method.check(answers.left)
        answers.score_again(earlier)
        facts: RunFacts = {
            "status": "running",
            "content": content,
            "prompts": prompts,
            "renderer": renderer,
            "launch": job.launch,
            **environment.now(preconditions.code(method, generation, job.config)),
            "models": method.provenance(),
            "data": {
                "source": task.source,
                "revision": task.revision_in_use,
                "samples": len(samples),
            },
            "rule": answers.rule.identity,
            "seeds": {"generation": generation.seed},
            "experiment": smaller_run.experiment(job.config),
            "segments": stretches.settled(earlier, len(answers.lines)),
        }
        smaller = None
        if not answers.lines:
            smaller = smaller_run.find(
                job.folder, facts, asked, method, by_token=generation.token_records
            )
        if smaller:
            answers.take_over(smaller)
            facts["segments"] = [*smaller.stretches]
        if earlier and earlier.get("git") != facts["git"]:
            _log.warning("%s was begun at another commit: %s", job.folder, earlier.get("git"))
        folder.write_config(job.config)
        bar = Running(task.metric, answers.lines.values(), shown, len(samples), _dial(method))
        with _tracked(job.start_tracker) as tracker:
            with stretches.begun(folder, facts) as stretch:
                if smaller:
                    folder.write_samples(answers.lines.values())

                # 7. Answers come, and each is kept.
                answers.begin(facts, stretch, tracker, bar)
                yield answers

                # 8. The scorers score them, and all that there is becomes a summary.
                try:
                    for number, scorer in enumerate(job.scorers):
                        seen = bar.follow(scorer.name, len(samples))
                        beside = [one.name for one in job.scorers[:number]]
                        verdicts.add(answers.in_order, scorer, seen, beside)
                except BaseException:
                    if not finished:  # else its summary is of the verdicts that are there
                        folder.write_samples(answers.in_order)
                    raise
                folder.write_samples(answers.in_order)
                known = finished.get("scorers", {}) if finished else {}
                scorers = verdicts.describe(answers.in_order, job.scorers, known)
                rule, worked = answers.rule.identity, facts["segments"]
                answers.summary = summarize(
                    task, method, job.generation, answers.in_order, worked, scorers, rule
                )
                folder.write_summary(answers.summary)

            # 9. Facts, tracker and folder are closed, as they are if anything above fails.
            tracker.finish(answers.summary, answers.in_order)


def _answer(work: Sequence[tuple[Job, Answered]], watch: Watch | None = None) -> None:
    """Answer what is left of a job, or at once of several that ask on one day, and keep it."""
    clock = work[0][1].clock
    for _, answers in work:
        answers.share(len(work), clock)
    for answers, completion, score in clock.over(_given(work)):
        line = answers.add(completion, score)
        if watch:
            watch(line)


def _given(
    work: Sequence[tuple[Job, Answered]],
) -> Iterator[tuple[Answered, Completion, Score | None]]:
    """Yield what methods answer as it comes, with its score where it is found by one."""
    job, first = work[0]
    method, generation = job.method, job.generation
    if by := job.task.likelihood:
        samples = {sample_id: first.samples[sample_id] for sample_id in first.left}
        for completion, score in most_likely.answer(method, samples, generation, by):
            yield first, completion, score
    elif len(work) == 1:
        for completion in method.stream(first.left, generation.once()):
            yield first, completion, None
    else:
        methods, left = [job.method for job, _ in work], [answers.left for _, answers in work]
        for place, completion in method.stream_together(methods, left, generation.once()):
            yield work[place][1], completion, None


def _is_whole(summary: Summary, answers: Answered, earlier: RunFacts | None, job: Job) -> bool:
    """Whether a summary is of all samples, by the rule, the metric and the scorers of now."""
    rule = answers.rule.identity
    return (
        not answers.left
        and (summary["task"]["metric"], summary["task"].get("rule")) == (job.task.metric, rule)
        and (earlier or {}).get("rule") == rule  # by which the lines are
        and not verdicts.missing(summary, job.scorers)
    )


def _begun_with(folder: Path, *, required: bool) -> RunFacts | None:
    """Return what a folder was begun with; None where nothing was answered that could be mixed."""
    try:
        facts = reader.read_facts(folder)
        preconditions.require_facts(facts, folder)
        if facts:
            stretches.require_whole(facts)
    except ValueError:
        if required:
            raise
        return None
    return facts


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
