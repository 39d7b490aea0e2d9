"""Searches for the best value of a setting, mostly a method's dial, or of several at once.

Optuna proposes the values and keeps them (Akiba et al., "Optuna: A Next-generation Hyperparameter
Optimization Framework", KDD 2019, arXiv 1907.10902). What computes a value is an ordinary run in
its ordinary folder, so a search finds what `trimtab run` has done, and the other way round.

The first seven values halve the interval again and again, in the order of van der Corput
("Verteilungsfunktionen", 1935), and the first points of several intervals are Halton's. The others
are proposed by the tree-structured Parzen estimator (Bergstra et al., "Algorithms for
Hyper-Parameter Optimization", NeurIPS 2011), of several settings together. Without noise, twenty
such trials come within 0.01 of a planted best in an interval of length 1, in the mean, and twenty
at random within 0.025. The estimator learns from finished trials alone, and its draws are seeded by
a trial's place in the search: one that was interrupted tries the same values as an undisturbed one.

A value is given up early where its samples show that it is worse than the best so far. All trials
answer the same samples, so the two are compared in pairs, by the test of `trimtab choose`, over the
first tenth of the samples, the first two tenths, and so on. Optuna's `WilcoxonPruner` has the same
idea, but ranks: where scores are 0 or 1 most pairs are ties, for which McNemar's test is exact, and
of other scores ranks compare medians, where a search is about means. On planted problems it took as
many samples or up to a quarter more. `MedianPruner` is blind to pairs, and gives up half of the
values however close they are.

Nine looks give luck nine chances, which the level of each look allows for (Pocock, "Group
sequential methods in the design and analysis of clinical trials", Biometrika 64, 1977). In
simulations a value as good as the best was given up in 1 to 4 % of repetitions, and in up to 11 %
where that best was the luckiest of five equal ones. Of the values given up in planted problems,
less than 1 % would have become the best.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock, Timeout
from hydra import initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from trimtab.config import composition
from trimtab.config.composition import ConfigError
from trimtab.config.wording import first_line, not_a_choice
from trimtab.config.working_directory import get_object
from trimtab.launch import errors
from trimtab.launch.job import job_of, place, scorers
from trimtab.launch.search_plan import Plan
from trimtab.launch.search_space import Point, Space, plain
from trimtab.methods import Method
from trimtab.runs import run_folder
from trimtab.runs.evaluate import Job, evaluate
from trimtab.runs.stretches import Stopped
from trimtab.statistics import estimates

_LOOKS = 10  # the last is at the end, where nothing is left to save
_LEAST = 10  # samples that a look takes: the t test needs some
_LEVEL = 0.01  # one-sided, of each look; by Pocock's tables about 5 % over all


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
        return _Search(plan).run()


class _Search:
    """A search at work."""

    study: Study

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        low, high = map(plan.compose, plan.space.corners)
        place(low)
        choices = dict(HydraConfig.get().runtime.choices)
        self._task = task = composition.build(low.task)
        self._dial = get_object(low.method._target_).dial
        self.metric = plan.metric or task.metric
        if self.metric != task.metric:
            (sample,) = task.samples(1)
            scores = {*task.score("", sample).values}
            for scorer in scorers(low):
                scores |= {*scorer.proportions, *scorer.bounds}
            if self.metric not in scores:
                raise ConfigError([not_a_choice("--metric", self.metric, scores)])
        self.rows = choices["task"] + (f", {task.split} split" if task.split else "")
        # All that decides which values are tried and what they score.
        steps = [text for key, grid in plan.space.grids.items() for text in (key, str(grid.step))]
        space = [composition.fingerprint(low), composition.fingerprint(high), *steps]
        manner = [self.metric, plan.minimize, plan.seed, plan.pruning]
        digest = sha256(json.dumps([*space, *manner]).encode()).hexdigest()[:12]
        self.name = f"{choices['task']}-{choices['method']}-{digest}"
        self.file = Path(low.results) / "searches" / f"{self.name}.db"
        self.total = min(plan.trials, len(plan.space))
        longest = max(len(" ".join(plan.space.assignments(p))) for p in plan.space.first)
        self._width = max(24, longest + 2)
        self._like: Job | None = None

    def run(self) -> int:
        """Try values until there are enough; return the exit code."""
        with _opened(self.file, self.name, minimize=self.plan.minimize) as self.study:
            self._announce()
            _requeue_interrupted(self.study)
            failed: set[Point] = set()
            while (count := len(_tried(self.study)) + len(failed)) < self.total:
                self.study.sampler = _Sampler(self.plan.space, failed, [self.plan.seed, count])
                trial = self.study.ask()
                point = self.plan.space.suggest(trial)
                outcome = self._try(trial, point)
                if outcome is None:
                    failed.add(point)
                number = f"{count + 1:>3}/{self.total}"
                setting = " ".join(self.plan.space.assignments(point))
                print(
                    f"{number}  {setting:<{self._width}}{outcome or 'failed':<40}"
                    f"{self._best_so_far()}",
                    flush=True,
                )
            self._conclude(len(failed))
            return 0 if _best(self.study) else 1

    def _try(self, trial: Trial, point: Point) -> str | None:
        """Evaluate a point, keep what came of it, and say it in words; None where it failed."""
        cfg = self.plan.compose(point)
        folder = place(cfg)
        try:
            return self._evaluate(trial, self._job(cfg, folder))
        except Exception as error:
            errors.report(error, where=str(folder))
            trial.set_user_attr("error", first_line(error))
            self.study.tell(trial, state=TrialState.FAIL)
            return None

    def _job(self, cfg: DictConfig, folder: Path) -> Job:
        """Return the job of a trial; where dials alone differ, models are loaded once."""
        cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        job = job_of(cfg, folder=folder, sweep=self.name, like=self._like)
        if all(_is_dial(key, job.method) for key in self.plan.space.grids):
            self._like = job
        return job

    def _evaluate(self, trial: Trial, job: Job) -> str:
        if "found" not in trial.user_attrs:  # else an earlier start began it
            trial.set_user_attr("found", len(run_folder.read_samples(job.folder)))
        # Results may be moved as a whole.
        trial.set_user_attr("folder", os.path.relpath(job.folder, self.file.parent))
        finished = run_folder.read_summary(job.folder) is not None
        best = {} if finished or not self.plan.pruning else self._best_scores()
        watch = _Watch(job, self.metric, trial, best, minimize=self.plan.minimize)
        try:
            estimate = evaluate(job, watch)["metrics"][self.metric]
        except Stopped:
            trial.set_user_attr("samples", len(run_folder.read_samples(job.folder)))
            self.study.tell(trial, state=TrialState.PRUNED)
            return f"given up after {watch.count} of {len(watch.ids)} samples"
        trial.set_user_attr("samples", estimate["n"])
        trial.set_user_attr("ci95", estimate["ci95"])
        self.study.tell(trial, estimate["value"])
        found = " (found)" if trial.user_attrs["found"] == estimate["n"] else ""
        return f"{self.metric} {_score(estimate['value'], estimate['ci95'])}{found}"

    def _best_scores(self) -> dict[str, float]:
        """Return the best trial's scores by sample; none before the first, or if they are gone."""
        best = _best(self.study)
        if best is None:
            return {}
        folder = self.file.parent / best.user_attrs["folder"]
        scores = {line["id"]: line["scores"] for line in run_folder.read_samples(folder)}
        return {i: own[self.metric] for i, own in scores.items() if self.metric in own}

    def _announce(self) -> None:
        aim = "lowest" if self.plan.minimize else "highest"
        where = ", ".join(f"{key} {grid}" for key, grid in self.plan.space.grids.items())
        print(f"{where}, for the {aim} {self.metric} ({self.rows}): {self.total} trials")
        if self.total < self.plan.trials:
            print(f"There are no more than {self.total} values; a smaller --step gives more.")
        if tried := len(_tried(self.study)):
            print(f"{tried} trials are there already{self._best_so_far(', the best ')}")

    def _best_so_far(self, lead: str = "best ") -> str:
        best = _best(self.study)
        if best is None:
            return ""
        point = " ".join(map(plain, self.plan.space.point(best.params)))
        return f"{lead}{point}: {best.value:.3f}"

    def _conclude(self, failed: int) -> None:
        tried, best = _tried(self.study), _best(self.study)
        if failed:
            said = f"trimtab: {failed} of {self.total} trials failed; the same command tries again"
            print(said, file=sys.stderr)
        if best is None:
            return
        facts = [trial.user_attrs for trial in tried]
        assignments = self.plan.space.assignments(self.plan.space.point(best.params))
        whole = best.user_attrs["samples"]
        reused = sum(fact["found"] == whole for fact in facts)
        pruned = sum(trial.state == TrialState.PRUNED for trial in tried)
        computed = sum(fact["samples"] - fact["found"] for fact in facts)
        options = [f"--config-dir={folder}" for folder in self.plan.source.further]
        again = ["trimtab", "run", *options, *self.plan.overrides, *assignments]
        lines = {
            "best": f"{' '.join(assignments)}: {self.metric} "
            f"{_score(best.value, best.user_attrs['ci95'])}, n = {whole} ({self.rows})",
            "": "It was picked by these samples, so its score here is a little hopeful.",
            "trials": f"{len(tried)}: {len(tried) - pruned - reused} run, {pruned} given up early, "
            f"{reused} found finished",
            "samples": f"{computed:,} computed; {len(tried) * whole:,} in these runs as a whole, "
            f"{len(self.plan.space) * whole:,} in all {len(self.plan.space):,} values",
            "time": f"{_seconds(tried):,.0f} s in trials",
            "kept in": str(self.file),
            "as good": self._comparison(best),
            "again": shlex.join(again),
        }
        print()
        for name, text in lines.items():
            if text is not None:
                print(f" {name:<9}{text}")

    def _comparison(self, best: FrozenTrial) -> str | None:
        """Return the command that says which other values are as good; None where none does."""
        root, task = self.file.parents[1], self._task
        further = [] if self.metric == task.metric else ["--metric", self.metric]
        if [*self.plan.space.grids] == [f"method.{self._dial}"] and not self.plan.minimize:
            further += [] if task.split == "validation" else ["--split", task.split or "none"]
            return shlex.join(["trimtab", "choose", str(root), *further])
        folder = os.path.normpath(self.file.parent / best.user_attrs["folder"])
        # `choose` is about one dial.
        return None if further else shlex.join(["trimtab", "table", str(root), "--against", folder])


class _Watch:
    """Follows a trial's scores in the task's order, and stops it where it is worse than the best.

    In that order, because samples are finished in one that depends on batches and on interruptions,
    which must not decide what is given up.
    """

    def __init__(
        self, job: Job, metric: str, trial: Trial, best: Mapping[str, float], *, minimize: bool
    ) -> None:
        self.ids = [sample.id for sample in job.task.samples(job.limit, job.limit_seed)]
        self.scores: dict[str, float] = {}
        self.count = 0  # of the samples from the first without a gap
        self._metric, self._trial, self._minimize = metric, trial, minimize
        self._best = best if best.keys() >= set(self.ids) else {}

    def __call__(self, line: Mapping[str, Any]) -> None:
        if self._metric not in line["scores"]:  # a judge gives it, in the end
            return
        self.scores[line["id"]] = line["scores"][self._metric]
        while self.count < len(self.ids) and self.ids[self.count] in self.scores:
            self.count += 1
            stage, total = self.count * _LOOKS, len(self.ids)
            if stage // total > (stage - _LOOKS) // total and self.count < total:
                self._look()

    def _look(self) -> None:
        seen = {i: self.scores[i] for i in self.ids[: self.count]}
        self._trial.report(sum(seen.values()) / len(seen), step=self.count)
        if self._best and len(seen) >= _LEAST and self._is_worse(seen):
            raise Stopped

    def _is_worse(self, seen: Mapping[str, float]) -> bool:
        pair = estimates.paired(seen, {i: self._best[i] for i in seen})
        worse = pair.difference > 0 if self._minimize else pair.difference < 0
        return worse and pair.p_value is not None and pair.p_value / 2 < _LEVEL


# ---------------------------------------------------------------------------- its trials


@contextmanager
def _opened(file: Path, name: str, *, minimize: bool) -> Iterator[Study]:
    """Open the study of a search, for one process at a time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"{file} is in use by another process that runs the same search. Wait for it, or stop "
            "it; then the same command goes on from where it was."
        ) from None
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
        try:
            direction = "minimize" if minimize else "maximize"
            yield optuna.create_study(
                storage=storage, study_name=name, direction=direction, load_if_exists=True
            )
        finally:
            storage.remove_session()
            storage.engine.dispose()
    finally:
        lock.release()


def _is_dial(key: str, method: Method) -> bool:
    group, _, field = key.partition(".")
    return group == "method" and field.split(".")[0] in method.dials


def _requeue_interrupted(study: Study) -> None:
    """Let trials that an earlier start did not finish come first, with their values."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)


def _tried(study: Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _best(study: Study) -> FrozenTrial | None:
    """Return the best of the trials that were evaluated in full; of equals, the nearest to 0."""
    sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1

    def rank(trial: FrozenTrial) -> tuple[float, float, list[bool]]:
        values = trial.params.values()
        return sign * trial.value, sum(map(abs, values)), [value < 0 for value in values]

    whole = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return min(whole, key=rank, default=None)


def _seconds(trials: Sequence[FrozenTrial]) -> float:
    """Return how long trials took."""
    return sum(trial.duration.total_seconds() for trial in trials if trial.duration)


class _Sampler(TPESampler):
    """Proposes points that have not been tried; on a grid the estimator would repeat itself.

    Args:
        space: the points.
        failed: those that failed since this start; those of earlier ones may be tried again.
        seed: decides the estimator's draws.
    """

    def __init__(self, space: Space, failed: Collection[Point], seed: Sequence[int]) -> None:
        (state,) = np.random.SeedSequence(seed).generate_state(1)
        self._several = len(space.grids) > 1
        super().__init__(n_startup_trials=1, multivariate=self._several, seed=int(state))
        self._space = space
        self._failed = failed

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {key: grid.distribution for key, grid in self._space.grids.items()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, float]:
        tried = {self._space.point(one.params) for one in _tried(study)}.union(self._failed)
        point = next((point for point in self._space.first if point not in tried), None)
        if point is None:
            point = self._space.point(self._proposed(study, trial, search_space))
        near = self._space.nearest(point, tried)
        return dict(zip(search_space, near, strict=True))

    def _proposed(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, float]:
        if self._several:
            return super().sample_relative(study, trial, search_space)
        return {
            key: self.sample_independent(study, trial, key, distribution)
            for key, distribution in search_space.items()
        }


def _score(value: float, ci95: Sequence[float] | None) -> str:
    return f"{value:.3f}" + (" [{:.3f}, {:.3f}]".format(*ci95) if ci95 else "")
