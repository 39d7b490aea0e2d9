"""From what Hydra composes to what is evaluated: one job, or several that share their work."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from trimtab.config import composition, user_code
from trimtab.config.working_directory import get_object
from trimtab.machine.printable import printable

if TYPE_CHECKING:
    from trimtab.methods import Method
    from trimtab.runs.evaluate import Job
    from trimtab.scorers import Scorer

FORESEEN = (ValueError, OSError, MemoryError, FloatingPointError, HydraException, YAMLError)
"""Errors whose messages speak to users; of others the traceback is shown as well."""
FULL_ERROR = "HYDRA_FULL_ERROR"
TRACEBACKS = os.environ.get(FULL_ERROR) == "1"
"""Whether the user wants them all, as in any Hydra application."""
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
        self._tracebacks = TRACEBACKS  # in a worker the variable is Hydra's
        # Of all jobs, however long they take and wherever they run.
        self.day = date.today()
        self.command = shlex.join(["trimtab", "run", *sys.argv[1:]])
        self._summaries: dict[tuple[Path, str], dict[str, Any]] = {}

    def __call__(self, cfg: DictConfig) -> float | Failure:
        """Run one job; return its score."""
        folder = Path(HydraConfig.get().runtime.output_dir)
        try:
            summary = self._summaries.get((folder, _task(cfg))) or self._evaluate(cfg, folder)
        except Exception as error:
            report(error, where=str(folder), tracebacks=self._tracebacks)
            return Failure(str(folder), _message(error).splitlines()[0])
        finally:
            _remove_if_empty(folder)  # Hydra makes it
        print(_result(summary), folder)
        return float(summary["metrics"][summary["task"]["metric"]]["value"])

    def _evaluate(self, cfg: DictConfig, folder: Path) -> dict[str, Any]:
        from trimtab.runs.evaluate import evaluate  # imports torch

        return evaluate(self._job(cfg, folder))

    def _job(self, cfg: DictConfig, folder: Path, like: Job | None = None) -> Job:
        return job(
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

        for group in _alike(configs):
            try:
                jobs = list(_family(group, self._job))
                parts = [jobs[i : i + most] for i in range(0, len(jobs), most)]
                summaries = {k: v for part in parts for k, v in evaluate_together(part).items()}
            except Exception as error:
                said = _message(error).splitlines()[0]
                _log.warning("These %d jobs go on one by one: %s", len(group), said)
            else:
                task = _task(group[0])
                self._summaries |= {(path, task): found for path, found in summaries.items()}


def job(
    cfg: DictConfig,
    *,
    folder: Path,
    sweep: str | None = None,
    like: Job | None = None,
    day: date | None = None,
    choices: Mapping[str, str] | None = None,
    command: str | None = None,
) -> Job:
    """Return the job that a composed configuration describes.

    Args:
        cfg: the configuration, with Hydra's runtime set to it.
        folder: the run folder.
        sweep: the tracker's group, where the configuration names none.
        like: a job that differs in the dial alone, with which it shares what is loaded.
        day: of dated chat templates, where the folder records none; None for today.
        choices: what was chosen of each group; None for what Hydra's runtime says.
        command: for the record; None for that of this process.
    """
    from trimtab.runs.evaluate import Job

    choices = dict(HydraConfig.get().runtime.choices if choices is None else choices)
    run_id = composition.fingerprint(cfg)
    tracker = composition.build(cfg.tracker)
    if sweep and getattr(tracker, "group", sweep) is None:
        tracker = dataclasses.replace(tracker, group=sweep)
    return Job(
        task=like.task if like else composition.build(cfg.task),
        method=_turned(like.method, cfg.method) if like else composition.build(cfg.method),
        generation=composition.build(cfg.generation),
        limit=cfg.limit,
        limit_seed=cfg.limit_seed,
        folder=folder,
        scorers=like.scorers if like else scorers(cfg),
        day=day,
        config=composition.relevant(cfg),
        launch=_launch(cfg, choices, command or shlex.join(["trimtab", *sys.argv[1:]])),
        start_tracker=functools.partial(
            tracker.start,
            run_id=run_id,
            name=f"{choices['task']}-{choices['method']}-{run_id}",
            job_type=choices["method"],
            config=composition.settings(cfg, choices),
            folder=folder,
        ),
        tracks_finished="WANDB_SWEEP_ID" in os.environ,  # an agent's trial must report its score
    )


def _launch(cfg: DictConfig, choices: Mapping[str, str], command: str) -> dict[str, Any]:
    """Return what `trimtab rerun` needs beside the config, and how the run was asked for."""
    resolved = composition.container(cfg, resolve=True)
    return {
        "command": command,
        "directory": os.getcwd(),
        "choices": {name: choices[name] for name in ("task", "method")},
        "scorers": {name: resolved[name] for name in composition.SCORERS if resolved[name]},
    }


def scorers(cfg: DictConfig) -> list[Scorer]:
    """Return who scores the answers beside the task's rule."""
    return [composition.build(cfg[name]) for name in composition.SCORERS if cfg[name] is not None]


def place(cfg: DictConfig) -> Path:
    """Make Hydra's runtime that of a job of a multirun, and return its run folder."""
    HydraConfig.instance().set_config(cfg)
    root, below = (OmegaConf.select(cfg, f"hydra.sweep.{name}") for name in ("dir", "subdir"))
    return Path(os.path.abspath(os.path.join(str(root), str(below))))  # as Hydra spells it


def report(error: Exception, *, where: str = "", tracebacks: bool = TRACEBACKS) -> None:
    """Print a user's mistake as a message; a traceback is for what we did not foresee.

    Of an error in code of the user's own, its last line there is told.
    """
    is_users = isinstance(error, FORESEEN) or user_code.place(error)
    if tracebacks or not is_users:
        traceback.print_exception(error)
    location = f" in {where}" if where and where not in str(error) else ""
    text = f"trimtab: error{location}: {_message(error)}"
    print(printable(text, keep="\n"), file=sys.stderr)
    if not tracebacks and not isinstance(error, FORESEEN) and is_users:
        print(f"{FULL_ERROR}=1 shows the whole traceback.", file=sys.stderr)


def _message(error: Exception) -> str:
    """Return what an error says, and where in the user's own code, if there, it came about."""
    if not isinstance(error, FORESEEN):
        return user_code.described(error)
    at = user_code.place(error)
    text = str(error) or type(error).__name__
    return f"{text} ({at})" if at else text


def _task(cfg: DictConfig) -> str:
    """Return the task's settings as text: two of one folder may differ in what they report."""
    return json.dumps(composition.container(cfg, resolve=True)["task"], sort_keys=True)


def _remove_if_empty(folder: Path) -> None:
    from trimtab.runs import run_folder

    run_folder.remove_if_empty(folder)


def _result(summary: Mapping[str, Any]) -> str:
    """Return the task's metric, and the first that each scorer gives, with their intervals."""
    metric, metrics = summary["task"]["metric"], summary["metrics"]
    given = [scorer["metrics"] for scorer in summary.get("scorers", {}).values()]
    shown = dict.fromkeys([metric, *(names[0] for names in given if names)])
    text = ", ".join(_estimate(name, metrics[name]) for name in shown if name in metrics)
    unscored = {name: s["unscored"] for name, s in summary.get("scorers", {}).items()}
    left = "".join(f", {n} unscored ({name})" for name, n in unscored.items() if n)
    return f"{text} n={metrics[metric]['n']}{left}"


def _estimate(name: str, estimate: Mapping[str, Any]) -> str:
    interval = " [{:.3f}, {:.3f}]".format(*estimate["ci95"]) if estimate["ci95"] else ""
    return f"{name} {estimate['value']:.3f}{interval}"


def _alike(configs: Sequence[DictConfig]) -> list[list[DictConfig]]:
    """Group jobs that differ in the dial alone; a job that is alone in that is left out."""
    groups: dict[str, list[DictConfig]] = {}
    for cfg in configs:
        content = composition.container(cfg, resolve=True)
        method = get_object(content["method"]["_target_"])
        if getattr(method, "dial", None) is not None:
            for dial in (method.dial, *getattr(method, "further_dials", ())):
                content["method"].pop(dial, None)
            groups.setdefault(json.dumps(content, sort_keys=True), []).append(cfg)
    return [group for group in groups.values() if len(group) > 1]


def _turned(method: Method, node: DictConfig) -> Method:
    values = {dial: node[dial] for dial in method.dials}
    return method.turned(
        {n: OmegaConf.to_object(v) if OmegaConf.is_config(v) else v for n, v in values.items()}
    )


def _family(group: Sequence[DictConfig], make: Callable[..., Job]) -> Iterator[Job]:
    """Yield the jobs of a group, if their methods can decode together."""
    first: Job | None = None
    for cfg in group:
        folder = place(cfg)
        task_cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        one = make(task_cfg, folder, first)
        first = first or one
        if not first.method.goes_with(first.method):
            return
        yield one
