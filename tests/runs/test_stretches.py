"""What a run's seconds count, on a clock that moves with what is done."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import LlamaForCausalLM

from trimtab import Generation, LanguageModel, Nudging, Plain
from trimtab.decoding.speaking import Speaking
from trimtab.machine import stopwatch
from trimtab.runs import reader
from trimtab.runs.evaluate import Job, evaluate, evaluate_together
from trimtab.runs.stretches import Stopped
from trimtab.scorers import FunctionReward
from trimtab.tasks import Sample, WordProblems
from trimtab.tracking.trackers import NoTracker, Tracker


class Clock:
    """Stands still until it is moved."""

    now = 0.0

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A forward pass takes a second; loading, scoring and tracking take a thousand."""
    clock = Clock()
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def slowly(kind: type, name: str, seconds: float) -> None:
        real = getattr(kind, name)

        @functools.wraps(real)
        def slow(*given: Any, **named: Any) -> Any:
            clock.wait(seconds)
            return real(*given, **named)

        monkeypatch.setattr(kind, name, slow)

    slowly(LlamaForCausalLM, "forward", 1)
    slowly(Speaking, "__init__", 1000)
    slowly(WordProblems, "score", 1000)
    slowly(FunctionReward, "score", 1000)
    slowly(NoTracker, "start", 1000)
    slowly(NoTracker, "log", 1000)
    return clock


def job(folder: Path, method: Nudging | Plain, **changes: Any) -> Job:
    def start() -> Tracker:
        return NoTracker().start(run_id="", name="", job_type="", config={}, folder=folder)

    settings: dict[str, Any] = {
        "task": WordProblems(),
        "method": method,
        "generation": Generation(max_new_tokens=16, batch_size=4),
        "limit": 6,
        "folder": folder,
        "config": {},
        "start_tracker": start,
        "scorers": [FunctionReward(function=lambda completion, question, target: 1.0)],
    }
    return Job(**settings | changes)


def stop_after(count: int) -> Callable[[Mapping[str, Any]], None]:
    seen: list[object] = []

    def watch(line: Mapping[str, Any]) -> None:
        seen.append(line)
        if len(seen) == count:
            raise Stopped

    return watch


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("way", ["alone", "resumed", "together"])
def test_seconds_are_those_of_decoding_alone(
    way: str, tmp_path: Path, zoo: Callable[[str], LanguageModel]
) -> None:
    nudging = Nudging(base=zoo("a-large-base"), guide=zoo("a-small-chat"), threshold=0.4)
    one = job(tmp_path / "0.4", nudging)
    if way == "together":
        other = job(tmp_path / "0.6", nudging.at(0.6))
        cost = evaluate_together([one, other])[one.folder]["cost"]
    elif way == "resumed":
        with pytest.raises(Stopped):
            evaluate(one, watch=stop_after(3))
        cost = evaluate(one)["cost"]
    else:
        cost = evaluate(one)["cost"]
    passes = sum(work["forward_passes"] for work in cost["models"].values())
    assert cost["seconds"] == passes > 0
    assert cost["seconds_count"] == "decoding"
    stretches = reader.read_facts(one.folder)["segments"]
    assert [s["loading_seconds"] for s in stretches] == [1000] * (2 if way == "resumed" else 1)
    shared = way == "together"
    assert cost["tokens_per_second"] == (None if shared else round(cost["tokens"] / passes, 1))


@pytest.mark.usefixtures("clock")
def test_equal_work_has_one_speed_however_often_a_process_has_done_it(
    tmp_path: Path, zoo: Callable[[str], LanguageModel]
) -> None:
    plain = Plain(model=zoo("a-small-chat"))
    costs = [evaluate(job(tmp_path / name, plain))["cost"] for name in ("one", "two")]
    assert costs[0] == costs[1]


@pytest.mark.usefixtures("clock")
def test_likelihoods_are_timed_alike(tmp_path: Path, zoo: Callable[[str], LanguageModel]) -> None:
    class Choose(WordProblems):
        likelihood = "sum"

        def samples(self, limit: int | None = None, seed: int | None = None) -> list[Sample]:
            problems = super().samples(limit, seed)
            return [dataclasses.replace(p, choices={str(p.target): "a", "": "b"}) for p in problems]

    cost = evaluate(job(tmp_path, Plain(model=zoo("a-small-chat")), task=Choose()))["cost"]
    assert cost["seconds"] == cost["models"]["model"]["forward_passes"] > 0


@pytest.mark.usefixtures("clock")
def test_a_run_that_an_earlier_version_timed_has_no_speed(
    tmp_path: Path, zoo: Callable[[str], LanguageModel]
) -> None:
    one = job(tmp_path, Plain(model=zoo("a-small-chat")))
    with pytest.raises(Stopped):
        evaluate(one, watch=stop_after(2))
    facts = json.loads((tmp_path / "run.json").read_text())
    del facts["segments"][0]["loading_seconds"]  # its seconds ran from before the imports
    (tmp_path / "run.json").write_text(json.dumps(facts))
    cost = evaluate(one)["cost"]
    assert cost["tokens_per_second"] is None and "loading" in cost["seconds_count"]


def test_what_is_done_with_results_is_not_counted() -> None:
    clock, watch = Clock(), stopwatch.Stopwatch()

    def work() -> Iterator[int]:
        for number in range(3):
            clock.wait(2)
            yield number
        clock.wait(1)
        raise ValueError("broken")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(ValueError, match="broken"):
        patch.setattr(stopwatch, "time", SimpleNamespace(monotonic=lambda: clock.now))
        for _ in watch.over(work()):
            clock.wait(100)
    assert watch.seconds == 7
