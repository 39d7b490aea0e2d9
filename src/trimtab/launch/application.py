"""What Hydra calls for each job of a run or a multirun."""

from __future__ import annotations

import json
import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from trimtab.launch import errors
from trimtab.launch.job import job_of
from trimtab.launch.sweep_groups import alike, sharing
from trimtab.machine.numbers_as_text import estimate

if TYPE_CHECKING:
    from trimtab.runs.evaluate import Job
    from trimtab.runs.record_types import Summary

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """What a job returns that failed: an error of one does not keep the others from running."""

    folder: str
    message: str


class Application:
    """What Hydra calls for each job, in this process or in a launcher's worker.

    Args:
        sweep: the name that the jobs of one multirun share; None for a single run.
    """

    def __init__(self, sweep: str | None) -> None:
        self.sweep = sweep
        self._tracebacks = errors.TRACEBACKS  # in a worker the variable is Hydra's
        # Of all jobs, however long they take and wherever they run.
        self.day = date.today()
        self.command = shlex.join(["trimtab", "run", *sys.argv[1:]])
        self._summaries: dict[tuple[Path, str], Summary] = {}

    def __call__(self, cfg: DictConfig) -> float | Failure:
        """Run one job; return its score."""
        folder = Path(HydraConfig.get().runtime.output_dir)
        try:
            summary = self._summaries.get((folder, _task(cfg))) or self._evaluate(cfg, folder)
        except Exception as error:
            errors.report(error, where=str(folder), tracebacks=self._tracebacks)
            return Failure(str(folder), errors.message(error).splitlines()[0])
        finally:
            _remove_if_empty(folder)  # Hydra makes it
        print(_result(summary), folder)
        return float(summary["metrics"][summary["task"]["metric"]]["value"])

    def _evaluate(self, cfg: DictConfig, folder: Path) -> Summary:
        from trimtab.runs.evaluate import evaluate  # imports SciPy

        return evaluate(self._job(cfg, folder))

    def _job(self, cfg: DictConfig, folder: Path, like: Job | None = None) -> Job:
        return job_of(
            cfg, folder=folder, sweep=self.sweep, like=like, day=self.day, command=self.command
        )

    def together(self, configs: Sequence[DictConfig], most: int) -> None:
        """Run those of some jobs that differ in the dial alone; called, they find their work done.

        Whatever goes wrong is left to be said by the job that it belongs to.

        Args:
            configs: what the jobs are composed of.
            most: how many are decoded at a time.
        """
        from trimtab.runs.evaluate import evaluate_together

        for group in alike(configs):
            try:
                jobs = list(sharing(group, self._job))
                parts = [jobs[i : i + most] for i in range(0, len(jobs), most)]
                summaries = {k: v for part in parts for k, v in evaluate_together(part).items()}
            except Exception as error:
                said = errors.message(error).splitlines()[0]
                _log.warning("These %d jobs go on one by one: %s", len(group), said)
            else:
                task = _task(group[0])
                self._summaries |= {(path, task): found for path, found in summaries.items()}


def _task(cfg: DictConfig) -> str:
    """Return the task's settings as text: two of one folder may differ in what they report."""
    return json.dumps(OmegaConf.to_container(cfg.task, resolve=True), sort_keys=True)


def _remove_if_empty(folder: Path) -> None:
    from trimtab.runs import run_folder

    run_folder.remove_if_empty(folder)


def _result(summary: Summary) -> str:
    """Return the task's metric, and the first that each scorer gives, with their intervals."""
    metric, metrics = summary["task"]["metric"], summary["metrics"]
    given = [scorer["metrics"] for scorer in summary.get("scorers", {}).values()]
    shown = dict.fromkeys([metric, *(names[0] for names in given if names)])
    text = ", ".join(
        f"{name} {estimate(metrics[name]['value'], metrics[name]['ci95'])}"
        for name in shown
        if name in metrics
    )
    unscored = {name: s["unscored"] for name, s in summary.get("scorers", {}).items()}
    left = "".join(f", {n} unscored ({name})" for name, n in unscored.items() if n)
    return f"{text} n={metrics[metric]['n']}{left}"
