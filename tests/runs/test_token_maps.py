"""Runs whose models have other vocabularies: their record, their resumption, their names."""

import json
from pathlib import Path
from typing import Any

import pytest

from trimtab import DeRa, Generation, LanguageModel
from trimtab.config import canonical
from trimtab.runs import reader
from trimtab.runs.evaluate import Job, evaluate
from trimtab.tasks import WordProblems
from trimtab.tracking.trackers import NoTracker

NO_TRACKER = NoTracker().start(run_id="", name="", job_type="", config={}, folder=Path())


class Broken(DeRa):
    """Breaks off at the second sample."""

    def answer(self, cursors: Any, prompts: Any, generation: Any) -> Any:
        completion = yield from super().answer(cursors, prompts, generation)
        if prompts.sample_id == WordProblems().samples(2)[1].id:
            raise KeyboardInterrupt
        return completion


def run(folder: Path, kind: type[DeRa] = DeRa) -> dict[str, Any]:
    method = kind(
        reference=LanguageModel(path="zoo:b-small-base", prompt="plain"),
        aligned=LanguageModel(path="zoo:a-small-chat", prompt="chat", token_map="pm-mined"),
        strength=0.6,
    )
    return evaluate(
        Job(
            task=WordProblems(),
            method=method,
            generation=Generation(max_new_tokens=12, batch_size=1, temperature=0.8, seed=4),
            limit=4,
            folder=folder,
            config={"method": {"name": "dera"}, "limit": 4},
            start_tracker=lambda: NO_TRACKER,
        )
    )


def test_a_resumed_run_is_the_same_and_says_what_the_map_loses(tmp_path: Path) -> None:
    summary = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", Broken)
    assert 0 < len((tmp_path / "cut/samples.jsonl").read_text().splitlines()) < 4
    run(tmp_path / "cut")
    whole, cut = (reader.read_samples(tmp_path / name) for name in ("whole", "cut"))
    assert sorted((r["id"], r["completion"]) for r in whole) == sorted(
        (r["id"], r["completion"]) for r in cut
    )
    lost = [record["measures"]["unmapped"] for record in whole]
    assert all(0 < each < 0.01 for each in lost)
    assert summary["metrics"]["unmapped"]["value"] == pytest.approx(sum(lost) / 4)
    models = json.loads((tmp_path / "whole/run.json").read_text())["models"]
    assert [models[role]["token_map"] for role in ("reference", "aligned")] == [None, "pm-mined"]


def test_a_model_without_a_map_is_known_as_before() -> None:
    model = {"_target_": "trimtab.models.LanguageModel", "path": "zoo:a-small-chat"}

    def known_as(**more: Any) -> str:
        return canonical.text({"base": model | more}, users=False)

    assert known_as() == known_as(token_map=None)
    assert len({known_as(token_map=kind) for kind in (None, "exact", "pm-mined")}) == 3
