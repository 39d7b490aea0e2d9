"""What a run shows while it works: a bar with the running score and the speed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trimtab.machine.numbers_as_text import score, speed
from trimtab.runs.record_types import SampleRecord

_SPEED = "tokens_per_second"


class Running:
    """Score of all samples so far; tokens of those done since the start, and the time they took.

    Attributes:
        seconds: what the answers since the start took, without all that goes on beside them.
    """

    def __init__(
        self, metric: str, done: Iterable[SampleRecord], bar: Progress, total: int, name: str = ""
    ) -> None:
        self._metric = metric
        self._sum, self.count, self._scored = 0.0, 0, 0
        for record in done:
            self._count(record)
        self._tokens = 0
        self.seconds = 0.0
        self._bar = bar
        bar.start()
        status = "loading models" if self.count < total else "answered before"
        self._task = bar.add_task(name, total=total, completed=self.count, status=status)

    @property
    def metrics(self) -> dict[str, float]:
        """The mean score so far, unless that comes at the end, and the speed, if any is said."""
        score = {self._metric: self._sum / self._scored} if self._scored else {}
        timed = self._tokens and self.seconds
        speed = {_SPEED: self._tokens / self.seconds} if timed else {}
        return score | speed

    def add(self, record: SampleRecord, seconds: float) -> None:
        """Count a sample, that came after so many seconds, and show where the run stands."""
        self._count(record)
        self.seconds = seconds
        self._tokens += sum(record["tokens"].values())
        status = "  ".join(
            f"{speed(value)} tokens/s" if name == _SPEED else f"{name} {score(value)}"
            for name, value in self.metrics.items()
        )
        self._bar.update(self._task, completed=self.count, status=status)

    def follow(self, name: str, total: int) -> Callable[[], None]:
        """Show a bar for what follows the answers; the function returned moves it on."""
        task = self._bar.add_task(name, total=total, status="")
        return lambda: self._bar.advance(task)

    def _count(self, record: SampleRecord) -> None:
        self.count += 1
        if self._metric in record["scores"]:
            self._scored += 1
            self._sum += record["scores"][self._metric]


def hide_those_of_libraries() -> None:
    """Let datasets, transformers and huggingface_hub show no bars of their own, and import none."""
    for name in ("HF_DATASETS_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(name, "1")  # which they read when they are imported
    for name in ("datasets.utils.logging", "transformers.utils.logging"):
        if loaded := sys.modules.get(name):
            loaded.disable_progress_bar()


@contextmanager
def bars() -> Iterator[Progress]:
    """Show bars for the length of the block, and none of the libraries' own."""
    hide_those_of_libraries()
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
