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

from trimtab.config.user_code import described, named
from trimtab.decoding import Completion, Generation
from trimtab.methods import Method
from trimtab.runs import (
    dated,
    draws,
    most_likely,
    preconditions,
    run_folder,
    smaller_run,
    stretches,
    verdicts,
)
from trimtab.runs.progress import Running, bars
from trimtab.runs.records import LaunchRecord, RunFacts, SampleRecord, StretchRecord, Summary
from trimtab.runs.rule import Rule
from trimtab.runs.smaller_run import SmallerRun
from trimtab.runs.summary import summarize
from trimtab.scorers import Scorer
from trimtab.tasks import Sample, Score, Task
from trimtab.tracking.trackers import Tracker

_log = logging.getLogger(__name__)
_STAGES = 50  # at which running scores are logged
_CHANGING = "changing"  # the rule of answers that are being scored anew


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


def evaluate_together(jobs: Sequence[Job]) -> dict[Path, Summary]:
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
        for day in dict.fromkeys(evaluation.day for evaluation in open_):
            _decode_together([evaluation for evaluation in open_ if evaluation.day == day])
    return {one.job.folder: one.summary for one in begun if one.summary is not None}


def _decode_together(open_: Sequence[_Evaluation]) -> None:
    """Answer what is left of several jobs that ask on one day."""
    for evaluation in open_:
        evaluation.share_work(len(open_), open_[0].clock)
    first = open_[0].job
    family = [evaluation.job.method for evaluation in open_]
    asked = [evaluation.conversations for evaluation in open_]
    answers = first.method.stream_together(family, asked, first.generation.once())
    for member, completion in open_[0].clock.over(answers):
        open_[member].add(completion)


class _Evaluation:
    """A job at work: what is asked, what is done."""

    def __init__(self, job: Job, samples: Mapping[str, Sample], run: run_folder.RunFolder) -> None:
        self.job = job
        self.run = run
        self.draws: Mapping[str, draws.Draw] = {}  # where there are several of a sample
        self.rule = Rule(job.task)
        lines = run_folder.read_samples(run.path)
        self.done = {line["id"]: line for line in lines if line["id"] in samples}
        finished = run_folder.read_summary(run.path)
        self.earlier = _facts(run.path, required=bool(lines or finished))
        self.day = dated.day_of(job.method, self.earlier, job.day)
        self.samples = dated.asked_on(samples, self.day)
        self._finished_before = bool(finished)
        self._scorers_before = finished.get("scorers", {}) if finished else {}
        self.summary = finished if finished and self._is_whole(finished) else None
        left = {i: sample for i, sample in self.samples.items() if i not in self.done}
        self.conversations = {i: sample.conversation for i, sample in left.items()}
        self.facts: RunFacts = {}
        self._passes_before = dict(job.method.forward_passes)
        self.clock = stretches.Decoding(job.method)

    def _is_whole(self, summary: Summary) -> bool:
        """Whether a summary is of all samples, by the rule, the metric and the scorers of now."""
        task = summary["task"]
        return (
            len(self.done) == len(self.samples)
            and (task["metric"], task.get("rule")) == (self.job.task.metric, self.rule.identity)
            and (self.earlier or {}).get("rule") == self.rule.identity  # by which the lines are
            and not verdicts.missing(summary, self.job.scorers)
        )

    def start(self, tracker: Tracker, stretch: StretchRecord, now: Running) -> None:
        self._tracker, self._stretch, self._now = tracker, stretch, now

    def share_work(self, jobs: int, clock: stretches.Decoding) -> None:
        """Note how many jobs this stretch of work is for, and what times it."""
        self._stretch["together"] = jobs
        self.clock = clock

    def score_again(self) -> None:
        """Score anew the answers that were scored by another version of the rule, or by none."""
        changed = self.earlier is not None and self.earlier.get("rule") != self.rule.identity
        old = [line for line in self.done.values() if changed or "score_error" in line]
        if not old:
            return
        self.done |= {line["id"]: self.rule.again(line, self.samples[line["id"]]) for line in old}
        if changed:  # where this ends before the facts say by which rule they are, again it is
            self.run.write_run({**(self.earlier or {}), "rule": _CHANGING})
        self.run.write_samples(self.done.values())
        _log.info(
            "%d answers of %s are scored anew by %s.score(), none is generated again.",
            len(old),
            self.run.path,
            named(type(self.job.task)),
        )

    def take_over(self, smaller: SmallerRun) -> None:
        """Go on from the answers of a run of the same experiment with a smaller limit."""
        self.done = dict(smaller.lines)
        for sample_id in self.done:
            del self.conversations[sample_id]
        self.facts["segments"] = [*smaller.stretches]
        _log.info(
            "%d answers are those of %s, which differs in its limit alone; they are not generated "
            "again.",
            len(self.done),
            smaller.folder,
        )

    def stream(self) -> Iterator[tuple[Completion, Score | None]]:
        """Answer what is not answered yet; with a score where the answer is found by one."""
        if self.summary is not None or not self.conversations:
            return
        method, generation = self.job.method, self.job.generation
        if by := self.job.task.likelihood:
            samples = {i: self.samples[i] for i in self.conversations}
            yield from self.clock.over(most_likely.answer(method, samples, generation, by))
        else:
            answers = method.stream(self.conversations, generation.once())
            for completion in self.clock.over(answers):
                yield completion, None

    def add(self, completion: Completion, score: Score | None = None) -> SampleRecord:
        """Keep a completion and its score, by the task's rule unless given; return its record.

        Where the rule fails, the answer is kept without a score, to be scored at the next start.
        """
        sample = self.samples[completion.id]
        try:
            score = score or self.rule.score(completion.text, sample)
            measures = self.rule.measures(completion.text, sample, score)
        except Exception as error:
            unscored = Score(prediction=None, values={})
            line = run_folder.sample_record(sample, completion, unscored, completion.measures)
            line["score_error"] = described(error)
            self._keep(line)
            raise
        line = run_folder.sample_record(sample, completion, score, completion.measures | measures)
        self._keep(line)
        # At the same samples in every run, so that a sweep can compare runs at the same stage.
        stage, total = len(self.done) * _STAGES, len(self.samples)
        if stage // total > (stage - _STAGES) // total:
            self._tracker.log(self._now.metrics, self._now.count)
        return line

    def _keep(self, line: SampleRecord) -> None:
        if draw := self.draws.get(line["id"]):
            line["of"], line["draw"] = draw.sample.id, draw.number
        self.run.append(line)
        self.done[line["id"]] = line
        self.clock.note(self._stretch)
        self._now.add(line, self._stretch["seconds"])
        self._stretch["samples"] += 1
        self._stretch["forward_passes"] = {
            role: passes - self._passes_before.get(role, 0)
            for role, passes in self.job.method.forward_passes.items()
        }
        self.run.write_run(self.facts, at_once=False)

    def finish(self) -> Summary:
        """Let the scorers score, put the record in order, and return its summary."""
        lines = [self.done[i] for i in self.samples]
        try:
            for scorer in self.job.scorers:
                verdicts.add(lines, scorer, self._now.follow(scorer.name, len(lines)))
        except BaseException:
            if not self._finished_before:  # else its summary is of the verdicts that are there
                self.run.write_samples(lines)
            raise
        self.run.write_samples(lines)
        scorers = verdicts.describe(lines, self.job.scorers, self._scorers_before)
        task, method = self.job.task, self.job.method
        self.summary = summarize(
            task, method, lines, self.facts["segments"], scorers, self.rule.identity
        )
        self.run.write_summary(self.summary)
        return self.summary


@contextmanager
def _evaluation(job: Job, bars: Progress) -> Iterator[_Evaluation]:
    """Open a job's folder for a stretch of work, and close it whatever happens."""
    task, method = job.task, job.method
    preconditions.require_task(task)
    questions = {sample.id: sample for sample in task.samples(job.limit, job.limit_seed)}
    wanted = draws.of_samples(questions.values(), job.generation.draws)
    samples = {i: dataclasses.replace(draw.sample, id=i) for i, draw in wanted.items()}
    if task.likelihood and job.generation.draws > 1:
        raise ValueError(
            f"generation.draws={job.generation.draws}: this task compares likelihoods, and nothing "
            "is drawn. Leave it at 1."
        )
    with run_folder.RunFolder(job.folder) as run:
        evaluation = _Evaluation(job, samples, run)
        bare = sum("by_token" not in line for line in evaluation.done.values())
        if job.generation.token_records and bare:
            _log.warning(
                "generation.token_records: %d answers of %s were given before, without records of "
                "their tokens. They stay so; in another results folder they are answered anew.",
                bare,
                job.folder,
            )
        if job.generation.draws > 1:
            evaluation.draws = wanted
        earlier = evaluation.earlier
        if evaluation.summary is None:
            first = next(iter(samples.values()))
            preconditions.require_metric(task, job.scorers, evaluation.rule.score("", first))
            if task.likelihood:
                method.weigh({}, {})  # says whether it could be asked
            for scorer in job.scorers:
                scorer.check()
        content = preconditions.content(method, questions.values(), job.generation, job.config)
        if evaluation.day:
            content["day"] = evaluation.day.isoformat()
        prompts = preconditions.prompts(method, evaluation.samples)
        if earlier:
            preconditions.require_same(content, earlier["content"], job.folder)
            preconditions.say_what_no_file_holds(method, task, job.folder)
            preconditions.require_asked(evaluation.done, samples, job.folder)
            if earlier.get("prompts", prompts) != prompts:
                raise preconditions.begun_with_other("prompts", job.folder)
        if evaluation.summary is not None:
            run.correct_config(job.config)
            if job.tracks_finished:
                job.start_tracker().finish(evaluation.summary, list(evaluation.done.values()))
            yield evaluation
            return
        method.check(evaluation.conversations)
        evaluation.score_again()
        facts = evaluation.facts
        facts |= {
            "status": "running",
            "content": content,
            "prompts": prompts,
            "launch": job.launch,
            **run_folder.environment(preconditions.code(method, job.generation, job.config)),
            "models": method.provenance(),
            "data": {
                "source": task.source,
                "revision": task.revision_in_use,
                "samples": len(samples),
            },
            "rule": evaluation.rule.identity,
            "seeds": {"generation": job.generation.seed},
            "experiment": smaller_run.experiment(job.config),
            "segments": stretches.settled(earlier, len(evaluation.done)),
        }
        smaller = (
            None
            if evaluation.done
            else smaller_run.find(
                job.folder,
                facts,
                evaluation.samples,
                method,
                by_token=job.generation.token_records,
            )
        )
        if smaller:
            evaluation.take_over(smaller)
        if earlier and earlier.get("git") != facts["git"]:
            _log.warning("%s was begun at another commit: %s", job.folder, earlier.get("git"))
        run.write_config(job.config)
        now = Running(task.metric, evaluation.done.values(), bars, len(samples), _dial(method))
        with _tracked(job.start_tracker) as tracker:
            with stretches.begun(run, facts) as stretch:
                if smaller:
                    run.write_samples(evaluation.done.values())
                evaluation.start(tracker, stretch, now)
                yield evaluation
                summary = evaluation.finish()
            tracker.finish(summary, [evaluation.done[i] for i in samples])


def _facts(folder: Path, *, required: bool) -> RunFacts | None:
    """Return what a folder was begun with; None where nothing was answered that could be mixed."""
    try:
        facts = run_folder.read_run(folder)
        preconditions.require_facts(facts, folder)
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
