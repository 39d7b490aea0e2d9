"""Which search a plan comes to: what it scores, how it is called, and where it is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from trimtab.config import composition
from trimtab.config.composition import ConfigError
from trimtab.config.wording import not_a_choice
from trimtab.config.working_directory import get_object
from trimtab.launch.job import place, scorers
from trimtab.launch.search_plan import Plan
from trimtab.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Search:
    """A plan, with what its configurations say.

    Attributes:
        plan: what is searched, and how.
        task: which all trials answer.
        dial: of the method; None where it has none.
        metric: what the trials are compared by.
        rows: which samples they answer, in words.
        name: of the search; another for all that decides which values are tried and their scores.
        file: where its trials are kept.
    """

    plan: Plan
    task: Task
    dial: str | None
    metric: str
    rows: str
    name: str
    file: Path

    @property
    def total(self) -> int:
        """How many values are tried."""
        return min(self.plan.trials, len(self.plan.space))

    @classmethod
    def of(cls, plan: Plan) -> Search:
        """Return the search that a plan comes to.

        Raises:
            ConfigError: for a metric that the task does not have.
        """
        low, high = map(plan.compose, plan.space.corners)
        place(low)
        choices = dict(HydraConfig.get().runtime.choices)
        task = composition.build(low.task)
        metric = plan.metric or task.metric
        if metric != task.metric:
            _require_score(metric, task, low)
        steps = [text for key, grid in plan.space.grids.items() for text in (key, str(grid.step))]
        space = [composition.fingerprint(low), composition.fingerprint(high), *steps]
        manner = [metric, plan.minimize, plan.seed, plan.pruning]
        digest = sha256(json.dumps([*space, *manner]).encode()).hexdigest()[:12]
        name = f"{choices['task']}-{choices['method']}-{digest}"
        return cls(
            plan=plan,
            task=task,
            dial=get_object(low.method._target_).dial,
            metric=metric,
            rows=choices["task"] + (f", {task.split} split" if task.split else ""),
            name=name,
            file=Path(low.results) / "searches" / f"{name}.db",
        )


def _require_score(metric: str, task: Task, cfg: DictConfig) -> None:
    """Refuse what neither the task nor a scorer gives."""
    (sample,) = task.samples(1)
    scores = {*task.score("", sample).values}
    for scorer in scorers(cfg):
        scores |= {*scorer.proportions, *scorer.bounds}
    if metric not in scores:
        raise ConfigError([not_a_choice("--metric", metric, scores)])
