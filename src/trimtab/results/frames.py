"""Finished runs, read back: as objects, as curves along a dial, and as pandas tables."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.config.composition import digest
from trimtab.results.comparisons import (
    OtherRows,
    asked_alike,
    compare,
    compare_wins,
    require_same_rows,
)
from trimtab.results.differences import differing, in_words
from trimtab.results.finished import Run, survey
from trimtab.results.seeds import Repeated, over_seeds, seed, without_seed
from trimtab.runs.reader import Damaged
from trimtab.runs.record_types import SampleRecord

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Curve",
    "OtherRows",
    "Repeated",
    "Run",
    "asked_alike",
    "by_question",
    "compare",
    "compare_wins",
    "curves",
    "labels",
    "over_seeds",
    "read",
    "require_same_rows",
    "runs_table",
    "samples_table",
    "tokens_table",
]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Runs that differ in the dial alone, in its order."""

    runs: Sequence[Run]

    @property
    def task(self) -> str:
        """The task's name on the command line."""
        return self.runs[0].task

    @property
    def name(self) -> str:
        """Method and models."""
        return f"{self.runs[0].method}: {self.runs[0].models}"

    @property
    def dial(self) -> str | None:
        """The name of the dial; None for a single run without one."""
        return self.runs[0].dial


def read(roots: Iterable[Path]) -> list[Run]:
    """Return the finished runs at or below some folders, sorted by folder.

    Damaged run folders are left out, with a warning that names them; see `finished.survey`.
    """
    found = survey(roots)
    for folder, problem in found.damaged.items():
        _log.warning("%s is left out: %s.", folder, problem)
    return list(found.runs)


def curves(runs: Iterable[Run], *, repeated: bool = False) -> list[Curve]:
    """Return the runs as curves; each run is in one, and one without a dial is its own.

    Args:
        runs: any runs.
        repeated: whether runs that differ in their seed too are of one curve.
    """
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        key = (run.task, run.method, run.metric, _all_but_dial(run, repeated))
        groups.setdefault(key, []).append(run)
    found = [
        Curve(runs=sorted(group, key=lambda run: run.value or 0.0)) for group in groups.values()
    ]
    return sorted(found, key=_place)


def _place(curve: Curve) -> tuple[Any, ...]:
    run = curve.runs[0]
    return run.task, run.method, run.metric, run.models, run.value or 0.0, str(run.folder)


def _all_but_dial(run: Run, repeated: bool) -> str:
    config = without_seed(run.config) if repeated else run.config
    method = {name: value for name, value in config["method"].items() if name != run.dial}
    return digest({**config, "method": method})


def labels(found: Sequence[Curve]) -> list[str]:
    """Return each curve's name; where several of a task share it, with the settings that differ."""
    namesakes: dict[tuple[str, str], list[int]] = {}
    for place, curve in enumerate(found):
        namesakes.setdefault((curve.task, curve.name), []).append(place)
    named = [curve.name for curve in found]
    for places in namesakes.values():
        settings = differing([found[place].runs[0] for place in places])
        for place, own in zip(places, settings, strict=True):
            if own:
                named[place] += f" ({', '.join(in_words(own))})"
    return named


def by_question(runs: Iterable[Run]) -> list[list[Run]]:
    """Return the runs that answer one question together: a task's rows, judged by one metric."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.task, run.source, run.metric), []).append(run)
    return [group for _, group in sorted(groups.items())]


def runs_table(runs: Iterable[Run]) -> pd.DataFrame:
    """Return a row per run: what it was, each metric with its interval, and what it cost.

    A setting in which the runs on the same rows differ, such as `limit_seed`, has a column too.
    """
    import pandas as pd

    found = list(runs)
    settings = {
        run.folder: own
        for group in by_question(found)
        for run, own in zip(group, differing(group), strict=True)
    }
    rows = []
    for run in found:
        row: dict[str, Any] = {
            "task": run.task,
            "split": run.split,
            "method": run.method,
            "models": run.models,
            "dial": run.dial,
            "value": run.value,
            **settings[run.folder],
            "n": run.score["n"],
            "unscored": run.unscored(),
        }
        for name, estimate in run.summary["metrics"].items():
            low, high = estimate["ci95"] or (None, None)
            row |= {name: estimate["value"], f"{name}_low": low, f"{name}_high": high}
        cost = run.summary["cost"]
        row |= {name: cost[name] for name in ("tokens", "seconds", "tokens_per_second")}
        for role, work in cost["models"].items():
            row |= {f"{role}_{name}": value for name, value in work.items()}
        rows.append(row | {"folder": str(run.folder)})
    return pd.DataFrame(rows)


def samples_table(runs: Iterable[Run]) -> pd.DataFrame:
    """Return a row per sample and run: the dial, the seed, the answer, its scores and measures.

    `run` is the name of the run's folder.
    """
    import pandas as pd

    columns = ("id", "question", "completion", "prediction", "target", "stop_reason")
    return pd.DataFrame(
        {
            **_told_apart(run),
            **{column: line.get(column) for column in columns},
            **line["scores"],
            **line["measures"],
            "tokens": sum(line["tokens"].values()),
        }
        for run in runs
        for line in _samples(run)
    )


def tokens_table(runs: Iterable[Run]) -> pd.DataFrame:
    """Return a row per token of the answers that `generation.token_records` kept them of.

    Columns: what tells runs and samples apart, as in `samples_table`; `position` in the answer and
    the token's `token_id`, the last of them the answer's end; in nats its `log_probability` and the
    `entropy` there under the method, the `kl` from the reference model where there is one, and
    `log_probability_ROLE` under each model that was run. `.to_parquet(...)` writes them to a file.
    """
    import pandas as pd

    return pd.DataFrame(
        {
            **_told_apart(run),
            "id": line["id"],
            "position": position,
            "token_id": token,
            **{name: kept[name][position] for name in ("log_probability", "entropy", "kl")},
            **{f"log_probability_{role}": own[position] for role, own in kept["models"].items()},
        }
        for run in runs
        for line in _samples(run)
        if (kept := line.get("by_token"))
        for position, token in enumerate(kept["ids"])
    )


def _told_apart(run: Run) -> dict[str, Any]:
    """Return, by column, what tells the rows of one run from those of others."""
    return {
        "task": run.task,
        "method": run.method,
        "models": run.models,
        "dial": run.dial,
        "value": run.value,
        "run": run.folder.absolute().name,
        "seed": seed(run),
    }


def _samples(run: Run) -> list[SampleRecord]:
    """Return the records of a run's samples; of a damaged run, none."""
    try:
        return run.samples
    except Damaged as error:
        _log.warning("%s is left out: %s.", run.folder, error.reason)
        return []
