"""Which jobs of a multirun go together: those that differ in the dial alone share their models.

They are decoded by `runs.evaluate.evaluate_together`, and there by `Method.stream_together`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from trimtab.config import composition
from trimtab.config.working_directory import get_object
from trimtab.launch.job import place

if TYPE_CHECKING:
    from trimtab.runs.evaluate import Job

    _Maker = Callable[[DictConfig, Path, Job | None], Job]


def alike(configs: Sequence[DictConfig]) -> list[list[DictConfig]]:
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


def sharing(group: Sequence[DictConfig], make: _Maker) -> Iterator[Job]:
    """Yield the jobs of a group whose methods can decode together with the first's.

    Args:
        group: what the jobs are composed of, as `alike` gives it.
        make: makes a job of a configuration, its run folder, and the first job of the group, which
            shares with it what is loaded.
    """
    first: Job | None = None
    for cfg in group:
        folder, own = place(cfg)
        one = make(own, folder, first)
        first = first or one
        if first.method.goes_with(one.method):
            yield one
        elif one is first:
            return
