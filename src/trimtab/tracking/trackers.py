"""Experiment tracking behind two methods, `log` and `finish`; it never fails a run.

Everything that a tracker is told is in the run folder too: W&B is a second place to look at it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trimtab.config import working_directory
from trimtab.config.accepted import require_choice
from trimtab.machine.network import unreachable
from trimtab.machine.redaction import redact, secrets_of

if TYPE_CHECKING:
    import wandb

_MODES = ("auto", "online", "offline")
_INIT_TIMEOUT = 30.0  # seconds; W&B may be out of reach
_FINISH_TIMEOUT = 120.0  # seconds; what is not uploaded by then stays below the run folder
_COLUMNS = ("id", "question", "completion", "prediction", "target", "stop_reason")
_ONLINE = ("online", "run", "shared")  # as WANDB_MODE may have it
_PRIVATE = ("WANDB_API_KEY", "WANDB_BASE_URL")  # in the environment
_log = logging.getLogger(__name__)
# Whether W&B did not answer in this process: nobody waits for it a second time.
_gone = threading.Event()
_opened: list[_WandbRun] = []


class Tracker(Protocol):
    """What an evaluation tells about itself while it runs."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Log running scores after `step` samples."""

    def finish(self, summary: Mapping[str, Any] | None, samples: Sequence[Mapping]) -> None:
        """Close with the summary and the samples, or with None and nothing if the run failed.

        The first call counts.
        """


@dataclass(frozen=True, kw_only=True)
class NoTracker:
    """Tracks nothing: the run folder is the record."""

    def start(
        self, *, run_id: str, name: str, job_type: str, config: Mapping[str, Any], folder: Path
    ) -> Tracker:
        """Return the tracker itself: nothing needs to be opened."""
        return self

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Do nothing."""

    def finish(self, summary: Mapping[str, Any] | None, samples: Sequence[Mapping]) -> None:
        """Do nothing."""


@dataclass(frozen=True, kw_only=True)
class WandbTracker:
    """Tracks a run with Weights & Biases.

    Args:
        project: W&B project; within a sweep, the sweep's own project counts.
        entity: W&B user or team; None for the account's default.
        group: name that groups runs in the W&B workspace.
        tags: labels of the run.
        mode: `online`, `offline` (`wandb sync` uploads later), or `auto`: online where an API key
            is configured, otherwise offline. `WANDB_MODE` decides over `auto`. Once W&B is out of
            reach, this run and those that follow it in this process are kept offline.
    """

    project: str = "trimtab"
    entity: str | None = None
    group: str | None = None
    tags: Sequence[str] = ()
    mode: str = "auto"

    def __post_init__(self) -> None:
        """Refuse unknown modes."""
        require_choice("mode", self.mode, _MODES)

    def start(
        self, *, run_id: str, name: str, job_type: str, config: Mapping[str, Any], folder: Path
    ) -> Tracker:
        """Open a W&B run, or resume the one called `run_id`; its files go to `folder`/wandb.

        Where W&B is out of reach they wait there for `wandb sync`; where it fails otherwise, the
        tracker that comes back tracks nothing.
        """
        about: dict[str, Any] = {"run_id": run_id, "name": name, "job_type": job_type}
        try:
            run = self._open_somehow(folder, about)
            # A sweep locks the keys that it sets; they have the sweep's value already.
            locked = set(run.config.keys())
            run.config.update({key: config[key] for key in config if key not in locked})
        except Exception as error:
            _warn("start", error)
            return NoTracker()
        return _WandbRun(run)

    def _open_somehow(self, folder: Path, about: Mapping[str, Any]) -> wandb.Run:
        """Open a run online, or offline where that fails: then nobody waits a second time."""
        import wandb

        mode = self._mode()
        if mode == "offline":
            return self._open(mode, folder, **about)
        reason = unreachable(str(wandb.setup().settings.base_url)) if mode else None
        if not reason:
            try:
                return self._open(mode, folder, **about)
            except Exception as error:
                if not _is_gone(error):
                    raise
                reason = _reason(error)
        _gone.set()
        _log.warning(
            "W&B cannot be used online (%s). This run and those that follow are kept offline; "
            "`wandb sync` uploads them.",
            reason,
        )
        if not _opened and wandb.run is None:
            wandb.teardown()  # which holds the run's id
        return self._open("offline", folder, **about)

    def _open(self, mode: Any, folder: Path, *, run_id: str, name: str, job_type: str) -> wandb.Run:
        import wandb

        # Within a sweep the agent decides the run's id and project.
        within_sweep = "WANDB_SWEEP_ID" in os.environ
        identity: dict[str, Any] = {}
        if not within_sweep:
            identity = {
                "project": self.project,
                "entity": self.entity,
                "id": run_id,
                "resume": "allow",
            }
        with working_directory.apart():  # whose wandb/settings may name another's host
            wandb.setup(wandb.Settings(silent=True))
        folder.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            **identity,
            name=name,
            group=self.group,
            job_type=job_type,
            tags=list(self.tags),
            dir=folder,
            mode=mode,
            # The default returns the first run of the process for each later job of a multirun.
            reinit="create_new",
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,
                init_timeout=_INIT_TIMEOUT,
                finish_timeout=_FINISH_TIMEOUT,
                finish_timeout_raises=True,
            ),
        )
        place = redact(run.url, _secrets()) if run.url else None
        _log.info("W&B: %s", place or f"offline; wandb sync {Path(run.dir).parent}")
        return run

    def _mode(self) -> Any:
        stated = os.environ.get("WANDB_MODE")
        if _gone.is_set() and (self.mode != "auto" or not stated or stated in _ONLINE):
            return "offline"
        if self.mode != "auto":
            return self.mode
        if stated:
            return None
        import wandb

        return "online" if wandb.login(prompt=False, verify=False) else "offline"


class _WandbRun:
    """An open W&B run; after its first failure it is silent."""

    def __init__(self, run: wandb.Run) -> None:
        _opened.append(self)
        self._run = run
        self._failed = False
        self._finished = False

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        if self._failed:
            return
        try:
            # At once: held back until the next step, the last score would overwrite the summary.
            self._run.log(dict(metrics), step=step, commit=True)
        except Exception as error:
            self._fail("log", error)

    def finish(self, summary: Mapping[str, Any] | None, samples: Sequence[Mapping]) -> None:
        if self._finished:
            return
        self._finished = True
        _opened.remove(self)
        try:
            if summary is not None and not self._failed:
                self._run.summary.update(flat_summary(summary))
                self._run.log({"samples": _table(samples)})
        except Exception as error:
            self._fail("finish", error)
        try:
            self._run.finish(exit_code=0 if summary is not None else 1)
        except Exception as error:
            self._fail("finish", error)

    def _fail(self, during: str, error: Exception) -> None:
        if not self._failed and _is_gone(error):
            _gone.set()
            _log.warning(
                "W&B went out of reach (%s). `wandb sync %s` uploads what it has not taken; runs "
                "that follow are kept offline.",
                _reason(error),
                Path(self._run.dir).parent,
            )
        elif not self._failed:
            _warn(during, error)
        self._failed = True


def flat_summary(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return a summary's numbers by flat names: `accuracy`, `accuracy/ci95_low`, `cost/seconds`."""
    flat: dict[str, Any] = {}
    for name, estimate in summary.get("metrics", {}).items():
        flat[name] = estimate["value"]
        flat[f"{name}/n"] = estimate["n"]
        flat[f"{name}/stderr"] = estimate["stderr"]
        low, high = estimate["ci95"] or (None, None)
        flat[f"{name}/ci95_low"], flat[f"{name}/ci95_high"] = low, high
    for name, value in summary.get("cost", {}).items():
        if isinstance(value, (int, float)):
            flat[f"cost/{name}"] = value
    return flat


def _table(samples: Sequence[Mapping]) -> wandb.Table:
    import wandb

    numbers = [{**sample["scores"], **sample.get("measures", {})} for sample in samples]
    names = list(dict.fromkeys(name for row in numbers for name in row))
    rows = [
        [_text(sample.get(column)) for column in _COLUMNS] + [row.get(name) for name in names]
        for sample, row in zip(samples, numbers, strict=True)
    ]
    return wandb.Table(columns=[*_COLUMNS, *names], data=rows)


def _text(value: Any) -> str | None:
    # A column of a W&B table has one type.
    return None if value is None else str(value)


def _warn(during: str, error: Exception) -> None:
    _log.warning(
        "W&B failed (%s: %s). The run goes on without it; its folder has everything.",
        during,
        _reason(error),
    )


def _is_gone(error: Exception) -> bool:
    """Whether W&B could not be talked to, or would not: it will not be asked again."""
    from wandb.errors import AuthenticationError, CommError

    return isinstance(error, AuthenticationError | CommError | TimeoutError)


def _reason(error: Exception) -> str:
    said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return redact(said, _secrets())


def _secrets() -> list[str]:
    """Return what no message shows of how W&B is reached: the key, and a private address."""
    key, url = (os.environ.get(name, "") for name in _PRIVATE)
    return [key, *(secrets_of(url) if "@" in url else ())]
