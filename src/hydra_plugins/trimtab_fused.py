"""The fused launcher: jobs of a multirun that differ in the dial alone run together.

Hydra finds plugins in this namespace package alone, and imports it at each start: keep it light.
"""

from collections.abc import Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class FusedLauncher(Launcher):
    """Runs the jobs of a multirun in this process, in their order, as Hydra's basic launcher does.

    Before the first, those that differ in the dial alone are decoded together, into the folders of
    each; they then find their work done.

    Args:
        together: most values of the dial that are decoded at a time. Each takes as many rows of the
            KV cache as `generation.batch_size`, and keeps its run's files open; a prompt is read
            once for all of them.
    """

    def __init__(self, together: int = 32) -> None:
        from trimtab.config.accepted import require_whole

        require_whole("hydra.launcher.together", together, 1)
        self._most = together

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what a launch needs."""
        self._context = hydra_context
        loader: Any = _ComposedOnce(hydra_context.config_loader)
        hydra_context.config_loader = loader
        self._task_function = task_function
        self._config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs."""
        setup_globals()
        configs = []
        for number, overrides in enumerate(job_overrides, start=initial_job_idx):
            config = self._context.config_loader.load_sweep_config(self._config, list(overrides))
            with open_dict(config):
                config.hydra.job.id = config.hydra.job.num = number
            configs.append(config)
        together = getattr(self._task_function, "together", None)
        if together:
            together(configs, self._most)
        return [
            run_job(
                hydra_context=self._context,
                task_function=self._task_function,
                config=config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            for config in configs
        ]


class _ComposedOnce:
    """A config loader that hands out again what a sweeper has composed to see that it can be."""

    def __init__(self, loader: ConfigLoader) -> None:
        self._loader = loader
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        key = tuple(sweep_overrides)
        if key in self._composed:
            return self._composed.pop(key)
        self._composed[key] = self._loader.load_sweep_config(master_config, sweep_overrides)
        return self._composed[key]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
