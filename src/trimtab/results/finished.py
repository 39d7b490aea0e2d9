"""A finished run, and all that are found below some folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from trimtab.config.wording import not_a_choice
from trimtab.models.source import name_of
from trimtab.runs import divergence, draws, reader
from trimtab.runs.measures import ended
from trimtab.runs.record_types import (
    Config,
    DialRecord,
    EstimateRecord,
    RunFacts,
    SampleRecord,
    Summary,
)

_SHORT = 6  # digits of a fingerprint that tell runs apart at a glance
Row = tuple[str | None, str | None, Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One finished run.

    Attributes:
        folder: its run folder.
        config: its resolved config.
        summary: its metrics and cost, as in `summary.json`; what an early version called a KL
            divergence and is none has its own name.
    """

    folder: Path
    config: Config
    summary: Summary

    @property
    def task(self) -> str:
        """The task's name on the command line."""
        return self.folder.absolute().parent.parent.name

    @property
    def method(self) -> str:
        """The method's name on the command line."""
        return self.folder.absolute().parent.name

    @property
    def models(self) -> str:
        """The models that have a say, and the names of vectors, joined by +."""
        method = self.config["method"]
        names = [name for role, node in method.items() if role != "draft" for name in _names(node)]
        vectors = method.get("vectors")
        return " + ".join([*names, *(vectors if isinstance(vectors, dict) else ())])

    @property
    def source(self) -> str:
        """Where the task's rows come from."""
        return self.summary["task"]["source"]

    @property
    def split(self) -> str | None:
        """The split of the task's rows; None where the task knows of none."""
        return self.summary["task"].get("split")

    @property
    def metric(self) -> str:
        """The metric that the task is about."""
        return self.summary["task"]["metric"]

    @property
    def score(self) -> EstimateRecord:
        """The task's metric: `value`, `n`, `stderr`, `ci95`."""
        return self.summary["metrics"][self.metric]

    @property
    def dial(self) -> str | None:
        """The name of the method's dial; None for a method without one."""
        return self._dial["name"] if self._dial else None

    @property
    def value(self) -> float | None:
        """Where the dial stands."""
        return self._dial["value"] if self._dial else None

    @property
    def _dial(self) -> DialRecord | None:
        return self.summary.get("dial")  # the first summaries had none

    @cached_property
    def facts(self) -> RunFacts:
        """What it took to get there, as in `run.json`."""
        return reader.read_facts(self.folder) or {}

    @property
    def data(self) -> str | None:
        """What tells other rows, or rows asked otherwise, under the same names apart."""
        return self.facts.get("content", {}).get("data")

    @property
    def makers(self) -> str:
        """What tells other weights, or code, under the same names apart; "" where none is known."""
        content = self.facts.get("content", {})
        named = {"models": content.get("models"), "code": content.get("code")}
        known = {name: found for name, found in named.items() if found}
        return json.dumps(known, sort_keys=True) if known else ""

    @property
    def day(self) -> str | None:
        """The day that its prompts tell, where they tell one."""
        return self.facts.get("content", {}).get("day")

    @cached_property
    def rows(self) -> dict[str, Row]:
        """What each sample is about, whatever was asked about it: question, target, choices."""
        return {
            draws.sample_of(line): (
                line.get("question"),
                line.get("target"),
                line.get("choices") or {},
            )
            for line in self.samples
        }

    @cached_property
    def content(self) -> str:
        """What tells runs of other weights or rows under the same names apart."""
        known = json.dumps([self.facts.get("content"), list(self.rows.items())])
        return hashlib.sha256(known.encode()).hexdigest()

    @cached_property
    def samples(self) -> list[SampleRecord]:
        """The records of its samples, in the task's order, with measures named as in `summary`."""
        lines = reader.read_samples(self.folder)
        for line in lines:
            line["measures"] = divergence.named(line["measures"], self.config.get("generation"))
        return lines

    def unscored(self, metric: str | None = None) -> int:
        """Return how many answers lack a score that a judge or a reward gives; None: the task's.

        A judge's answer may be unreadable: what it was about is then neither right nor wrong.
        """
        name = metric or self.metric
        estimate = self.summary["metrics"].get(name)
        drawn = (self.config.get("generation") or {}).get("draws") or 1
        if drawn != 1:  # then `n` counts samples, not answers
            scorers = self.summary.get("scorers", {}).values()
            return max((s["unscored"] for s in scorers if name in s["metrics"]), default=0)
        asked = [
            scorer["scored"] + scorer["unscored"]
            for scorer in self.summary.get("scorers", {}).values()
            if name in scorer["metrics"]
        ]
        return max(asked, default=0) - estimate["n"] if asked and estimate else 0

    @property
    def count(self) -> str:
        """Of how many answers its score is, and how many have none: `96 (4 unscored)`."""
        n, unscored = self.score["n"], self.unscored()
        return f"{n} ({unscored} unscored)" if unscored else str(n)

    def scores(self, metric: str | None = None) -> dict[str, float]:
        """Return a metric of the samples that have it, by their ids; None for the task's own.

        Of a sample that was drawn several times it is the mean.

        Raises:
            ValueError: for a metric that no sample has.
        """
        name = metric or self.metric
        lines = [
            (draws.sample_of(x), {**x["scores"], **x["measures"], **ended(x["stop_reason"])})
            for x in self.samples
        ]
        found = draws.by_sample((i, own[name]) for i, own in lines if name in own)
        if not found:
            raise ValueError(not_a_choice("metric", name, {n for _, own in lines for n in own}))
        return {sample_id: fmean(values) for sample_id, values in found.items()}


def short_ids(runs: Sequence[Run]) -> list[str]:
    """Return as much of each run's fingerprint as tells it from the others, six digits at least."""
    names = [run.folder.absolute().name for run in runs]
    length = next(
        size
        for size in range(_SHORT, max(map(len, [*names, "x" * _SHORT])) + 1)
        if len({name[:size] for name in names}) == len({*names})
    )
    return [name[:length] for name in names]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What lies at or below some folders.

    Attributes:
        runs: the finished ones, sorted by folder.
        unfinished: how many others there are.
        damaged: run folders that could not be read, each with what is wrong.
        links: links to folders that were not followed; a run folder may be one.
    """

    runs: Sequence[Run]
    unfinished: int = 0
    damaged: Mapping[Path, str]
    links: Sequence[Path] = ()

    @property
    def left_out(self) -> list[str]:
        """What is not among the runs, and why, a line each."""
        lines = []
        if self.unfinished:
            lines.append(
                f"{self.unfinished} unfinished; the same command as before finishes a run."
            )
        if self.damaged:
            lines.append(f"{len(self.damaged)} damaged:")
            lines += [f"  {folder}: {problem}." for folder, problem in self.damaged.items()]
        if self.links:
            names = ", ".join(map(str, self.links))
            lines.append(f"what links lead to; name them to read it too: {names}.")
        return lines


def survey(roots: Iterable[Path], *, samples: bool = False) -> Found:
    """Return what lies at or below some folders; a damaged run keeps no other from being read.

    Args:
        roots: run folders, or folders above them.
        samples: whether the records of samples are read, too, and checked.
    """
    roots = list(roots)
    runs: list[Run] = []
    damaged: dict[Path, str] = {}
    unfinished = 0
    for folder in reader.run_folders(roots):
        try:
            run = _read(folder)
            if run and samples:
                _ = run.samples
        except reader.Damaged as error:
            damaged[folder] = error.reason
        else:
            runs += [run] if run else []
            unfinished += run is None
    return Found(runs=runs, unfinished=unfinished, damaged=damaged, links=reader.links(roots))


def _read(folder: Path) -> Run | None:
    summary = reader.read_summary(folder)
    if summary is None:
        reader.require_run(folder)
        return None
    config = reader.read_config(folder)
    # Early summaries called every divergence along answers a KL divergence.
    summary["metrics"] = divergence.named(summary["metrics"], config.get("generation"))
    run = Run(folder=folder, config=config, summary=summary)
    if not run.facts:
        reader.require_run(folder)
    rule = run.facts.get("rule")
    # Where another rule has scored the answers since, the summary is of scores that are gone.
    return run if rule is None or rule == summary["task"].get("rule") else None


def _names(node: Any) -> Iterator[str]:
    """Yield what the models in a method's setting are called, however deep they are."""
    if isinstance(node, dict) and "path" in node:
        yield _name(node)
    elif isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _names(child)


def _name(model: dict[str, Any]) -> str:
    """Return a model's path, and what makes it another model than that of its path alone."""
    path = str(model["path"])
    name = name_of(path)
    if file := model.get("gguf_file"):
        name = f"{name}/{file}"
    if adapter := model.get("adapter"):
        name = f"{name} with {adapter}"
    quantization = model.get("quantization", "none")
    return name if quantization == "none" else f"{name} in {quantization}"
