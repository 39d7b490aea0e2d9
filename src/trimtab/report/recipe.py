"""What was run, in words: models, settings, versions, machine and time, from a study's records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from trimtab.report.study import Study
from trimtab.results.frames import Curve
from trimtab.runs.record_types import HardwareRecord, RunFacts

_PACKAGES = ("torch", "transformers")
_COMMIT = 7  # digits of a commit


def facts(study: Study) -> dict[str, list[str]]:
    """Return what a reader wants to know first, each with its distinct answers."""
    records = [run.facts for run in study.runs]
    every = {
        "Source": [study.source],
        "Split": [run.split for run in study.runs if run.split],
        "Samples": [f"{run.score['n']} a run" for run in study.runs],
        "Models": _models(study.curves),
        "Generation": [_settings(run.config.get("generation", {}) for run in study.runs)],
        "Software": [*map(_version, records), *map(_packages, records)],
        "Machine": [_machine(machine) for facts in records if (machine := facts.get("hardware"))],
        "Date": _dates(records),
    }
    distinct = {name: [a for a in dict.fromkeys(answers) if a] for name, answers in every.items()}
    return {name: answers for name, answers in distinct.items() if answers}


def configuration(curve: Curve) -> str:
    """Return the resolved config of a curve's first run."""
    return yaml.safe_dump(dict(curve.runs[0].config), sort_keys=False, allow_unicode=True)


def _models(curves: Iterable[Curve]) -> list[str]:
    roles: dict[str, list[str]] = {}
    for curve in curves:
        for role, node in curve.runs[0].config["method"].items():
            if isinstance(node, Mapping) and "path" in node:
                prompt = f"{node['prompt']} prompt" if node.get("prompt") else None
                known = filter(None, [node["path"], prompt, node.get("dtype")])
                model = ", ".join(map(str, known))
                roles.setdefault(model, []).append(role)
    return [f"{model}: {', '.join(dict.fromkeys(having))}" for model, having in roles.items()]


def _settings(nodes: Iterable[Mapping[str, Any]]) -> str:
    """Return settings with their values, of which several runs may have several."""
    values: dict[str, list[str]] = {}
    for node in nodes:
        for name, value in node.items():
            if not name.startswith("_"):
                values.setdefault(name.replace("_", " "), []).append(str(value))
    return ", ".join(f"{name} {' or '.join(dict.fromkeys(v))}" for name, v in values.items())


def _version(facts: RunFacts) -> str:
    version = (facts.get("packages") or {}).get("trimtab")
    git = facts.get("git")
    commit = f" at {git['commit'][:_COMMIT]}{', with changes' * git['dirty']}" if git else ""
    return f"trimtab {version}{commit}" if version else ""


def _packages(facts: RunFacts) -> str:
    packages = facts.get("packages") or {}
    return ", ".join(f"{name} {packages[name]}" for name in _PACKAGES if packages.get(name))


def _machine(hardware: HardwareRecord) -> str:
    gpus = ", ".join(hardware.get("gpus") or [])
    return gpus or f"{hardware.get('cpus')} CPU cores, {hardware.get('platform')}"


def _dates(records: Iterable[RunFacts]) -> list[str]:
    days = sorted(
        time[:10]
        for facts in records
        for stretch in facts.get("segments", [])
        for time in (stretch.get("start"), stretch.get("end"))
        if time
    )
    return [" to ".join(dict.fromkeys((days[0], days[-1])))] if days else []
