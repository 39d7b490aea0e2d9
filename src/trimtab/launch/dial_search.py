"""Searches for the best value of a setting, mostly a method's dial, or of several at once.

What computes a value is an ordinary run in its ordinary folder, so a search finds what
`trimtab run` has done, and the other way round. Which values are tried is said in `search_study`,
and when one is given up early in `search_pruning`.
"""

from __future__ import annotations

import os
from pathlib import Path

import optuna
from hydra import initialize_config_dir
from omegaconf import DictConfig
from optuna import Study
from optuna.trial import Trial, TrialState

from trimtab.config.wording import first_line
from trimtab.launch import errors, search_report
from trimtab.launch.job import job_of, place
from trimtab.launch.search_identity import Search
from trimtab.launch.search_plan import Plan
from trimtab.launch.search_pruning import PairedWatch
from trimtab.launch.search_space import Point
from trimtab.launch.search_study import (
    Sampler,
    best_of,
    facts_of,
    note,
    opened,
    requeue_interrupted,
    tried,
)
from trimtab.machine.numbers_as_text import estimate
from trimtab.methods import Method
from trimtab.runs import reader
from trimtab.runs.evaluate import Job, evaluate
from trimtab.runs.stretches import Stopped


def search(plan: Plan) -> int:
    """Try values until there are as many as the plan says, tell the best, return the exit code.

    The same plan again goes on from where it was: trials are kept below the results, in
    `searches/`. One that was interrupted comes first, with its value; its run resumes. Failed ones
    do not count, so that they are made up for once their cause is mended.

    Raises:
        ConfigError: for a metric that the task does not have.
        ValueError: while another process is at the same search.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with initialize_config_dir(str(plan.source.directory.absolute()), version_base="1.3"):
        one = Search.of(plan)
        with opened(one.file, one.name, minimize=plan.minimize) as study:
            return _Trials(one, study).run()


class _Trials:
    """A search at work."""

    def __init__(self, search: Search, study: Study) -> None:
        self.search, self.plan, self.study = search, search.plan, study
        self._like: Job | None = None

    def run(self) -> int:
        """Try values until there are enough; return the exit code."""
        search_report.announce(self.search, self.study)
        requeue_interrupted(self.study)
        failed: set[Point] = set()
        while (count := len(tried(self.study)) + len(failed)) < self.search.total:
            self.study.sampler = Sampler(self.plan.space, failed, [self.plan.seed, count])
            trial = self.study.ask()
            point = self.plan.space.suggest(trial)
            outcome = self._try(trial, point)
            if outcome is None:
                failed.add(point)
            search_report.tell_trial(self.search, self.study, count + 1, point, outcome)
        search_report.conclude(self.search, self.study, len(failed))
        return 0 if best_of(self.study) else 1

    def _try(self, trial: Trial, point: Point) -> str | None:
        """Evaluate a point, keep what came of it, and say it in words; None where it failed."""
        folder, cfg = place(self.plan.compose(point))
        try:
            return self._evaluate(trial, self._job(cfg, folder))
        except Exception as error:
            errors.report(error, where=str(folder))
            note(trial, error=first_line(error))
            self.study.tell(trial, state=TrialState.FAIL)
            return None

    def _job(self, cfg: DictConfig, folder: Path) -> Job:
        """Return the job of a trial; where dials alone differ, models are loaded once."""
        job = job_of(cfg, folder=folder, sweep=self.search.name, like=self._like)
        if all(_is_dial(key, job.method) for key in self.plan.space.grids):
            self._like = job
        return job

    def _evaluate(self, trial: Trial, job: Job) -> str:
        if "found" not in facts_of(trial):  # else an earlier start began it
            note(trial, found=len(reader.read_samples(job.folder)))
        # Results may be moved as a whole.
        note(trial, folder=os.path.relpath(job.folder, self.search.file.parent))
        finished = reader.read_summary(job.folder) is not None
        best = {} if finished or not self.plan.pruning else self._best_scores()
        watch = PairedWatch(job, self.search.metric, trial, best, minimize=self.plan.minimize)
        try:
            found = evaluate(job, watch)["metrics"][self.search.metric]
        except Stopped:
            note(trial, samples=len(reader.read_samples(job.folder)))
            self.study.tell(trial, state=TrialState.PRUNED)
            return f"given up after {watch.count} of {len(watch.ids)} samples"
        note(trial, samples=found["n"], ci95=found["ci95"])
        self.study.tell(trial, found["value"])
        before = " (found)" if facts_of(trial)["found"] == found["n"] else ""
        return f"{self.search.metric} {estimate(found['value'], found['ci95'])}{before}"

    def _best_scores(self) -> dict[str, float]:
        """Return the best trial's scores by sample; none before the first, or if they are gone."""
        best = best_of(self.study)
        if best is None:
            return {}
        folder = self.search.file.parent / facts_of(best)["folder"]
        metric = self.search.metric
        lines = reader.read_samples(folder)
        return {line["id"]: line["scores"][metric] for line in lines if metric in line["scores"]}


def _is_dial(key: str, method: Method) -> bool:
    group, _, field = key.partition(".")
    return group == "method" and field.split(".")[0] in method.dials
