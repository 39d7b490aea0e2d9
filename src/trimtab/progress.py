"""What a run shows while it works: a bar with the running score and the speed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Record = Mapping[str, Any]


class Running:
    """Score of all samples so far; tokens and time of those done since the start."""

    def __init__(
        self, metric: str, done: Iterable[Record], bar: Progress, total: int, name: str = ""
    ) -> None:
        self._metric = metric
        values = [record["scores"][metric] for record in done]
        self._sum, self.count = sum(values), len(values)
        self._tokens = 0
        self._start = time.monotonic()
        self._bar = bar
        bar.start()
        self._task = bar.add_task(name, total=total, completed=self.count, status="loading models")

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    @property
    def metrics(self) -> dict[str, float]:
        """The mean score so far, and the speed."""
        return {
            self._metric: self._sum / self.count,
            "tokens_per_second": self._tokens / max(self.seconds, 1e-9),
        }

    def add(self, record: Record) -> None:
        """Count a sample, and show where the run stands."""
        self._sum += record["scores"][self._metric]
        self.count += 1
        self._tokens += sum(record["tokens"].values())
        score, speed = self.metrics.values()
        status = f"{self._metric} {score:.3f}  {speed:,.0f} tokens/s"
        self._bar.update(self._task, completed=self.count, status=status)


@contextmanager
def bars() -> Iterator[Progress]:
    """Show bars for the length of the block, and none of the libraries' own."""
    from datasets.utils.logging import disable_progress_bar as hide_datasets
    from transformers.utils.logging import disable_progress_bar as hide_transformers

    hide_datasets()
    hide_transformers()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(compact=True),
    )
    shown = Progress(*columns)
    try:
        yield shown
    finally:
        if shown.live.is_started:  # by the first that runs
            shown.stop()
