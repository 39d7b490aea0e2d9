"""From a composed configuration to the job that it describes."""

from __future__ import annotations

import dataclasses
import functools
import os
import shlex
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from trimtab.config import composition

if TYPE_CHECKING:
    from trimtab.methods import Method
    from trimtab.runs.evaluate import Job
    from trimtab.runs.record_types import LaunchRecord
    from trimtab.scorers import Scorer


def job_of(
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
    parts = composition.relevant(cfg)
    run_id = composition.digest(parts, users=True)
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
        config=parts,
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


def _launch(cfg: DictConfig, choices: Mapping[str, str], command: str) -> LaunchRecord:
    """Return what `trimtab rerun` needs beside the config, and how the run was asked for."""
    return {
        "command": command,
        "directory": os.getcwd(),
        "choices": {name: choices[name] for name in ("task", "method")},
        "scorers": cast(dict[str, Any], OmegaConf.to_container(cfg.scorers, resolve=True)),
    }


def scorers(cfg: DictConfig) -> list[Scorer]:
    """Return who scores the answers beside the task's rule."""
    return [composition.build(node) for node in cfg.scorers.values()]


def place(cfg: DictConfig) -> tuple[Path, DictConfig]:
    """Make Hydra's runtime that of a job of a multirun.

    Args:
        cfg: what the job is composed of, Hydra's own part included.

    Returns:
        its run folder, and the configuration without Hydra's part.
    """
    HydraConfig.instance().set_config(cfg)
    root, below = (OmegaConf.select(cfg, f"hydra.sweep.{name}") for name in ("dir", "subdir"))
    folder = Path(os.path.abspath(os.path.join(str(root), str(below))))  # as Hydra spells it
    return folder, OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])


def _turned(method: Method, node: DictConfig) -> Method:
    values = {dial: node[dial] for dial in method.dials}
    return method.turned(
        {n: composition.build(v) if OmegaConf.is_config(v) else v for n, v in values.items()}
    )
