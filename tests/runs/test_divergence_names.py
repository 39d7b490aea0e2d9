"""A divergence along answers is called a KL only where it is one, in new runs and in old ones."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from trimtab import DeRa, Generation
from trimtab.results import frames, quantities
from trimtab.runs import divergence
from trimtab.runs.evaluate import Job, evaluate
from trimtab.runs.record_types import Summary
from trimtab.tasks import Stories
from trimtab.tracking.trackers import NoTracker

ITSELF = Generation(max_new_tokens=8, temperature=1.0)
OTHERWISE = [
    {"temperature": 0.0},
    {"temperature": 0.7},
    {"top_p": 0.95},
    {"top_k": 50},
    {"min_p": 0.1},
    {"repetition_penalty": 1.1},
]


@pytest.mark.parametrize("changed", OTHERWISE)
def test_it_is_one_of_answers_from_the_methods_own_distribution(changed: dict) -> None:
    assert divergence.is_kl(vars(ITSELF))
    assert divergence.is_kl({"temperature": 1.0})  # as recorded before the others were settings
    other = dataclasses.replace(ITSELF, **changed)
    assert not divergence.is_kl(vars(other))
    found = divergence.named({"words": 1, "kl": 2, "kl_per_token": 3, "kl_bound": 4}, vars(other))
    assert list(found.items()) == [
        ("words", 1),
        ("divergence_along", 2),
        ("divergence_along_per_token", 3),
        ("kl_bound", 4),
    ]
    assert not divergence.is_kl(None)  # greedy, where nothing is recorded


def run(folder: Path, zoo, generation: Generation) -> Summary:
    tracker = NoTracker().start(run_id="", name="", job_type="", config={}, folder=Path())
    return evaluate(
        Job(
            task=Stories(),
            method=DeRa(reference=zoo("a-small-sft"), aligned=zoo("a-small-dpo"), strength=0.5),
            generation=generation,
            limit=4,
            folder=folder,
            config={
                "method": {"_target_": "trimtab.methods.DeRa"},
                "generation": dataclasses.asdict(generation),
            },
            start_tracker=lambda: tracker,
        )
    )


@pytest.mark.parametrize("temperature", [1.0, 0.0])
def test_new_and_old_runs_are_read_alike(zoo, tmp_path: Path, temperature: float) -> None:
    generation = Generation(max_new_tokens=8, temperature=temperature)
    folder = tmp_path / "stories" / "dera" / "abc"
    metrics = run(folder, zoo, generation)["metrics"]
    name, other = ("kl", "divergence_along") if temperature else ("divergence_along", "kl")
    assert {name, f"{name}_per_token"} < metrics.keys()
    assert not {other, f"{other}_per_token"} & metrics.keys()
    (new,) = frames.read([tmp_path])
    mean = sum(new.scores(name).values()) / 4
    assert metrics[name]["value"] == pytest.approx(mean)
    assert name in quantities.main([new]) and other not in quantities.main([new])
    assert ("no KL" in quantities.label(name)) == (name != "kl")
    assert quantities.starts_at_zero(name)
    # What an early version wrote.
    file = folder / "summary.json"
    summary = json.loads(file.read_text())
    early = {x.replace("divergence_along", "kl"): y for x, y in summary["metrics"].items()}
    file.write_text(json.dumps({**summary, "metrics": early}))
    (old,) = frames.read([tmp_path])
    assert old.summary == new.summary
    assert old.scores(name) == new.scores(name)
