"""A folder without its facts, one after a power cut, and one that is finished."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from breaking_off import breaking_off

from trimtab import DeRa, Generation, LanguageModel, Plain
from trimtab.methods import Method
from trimtab.runs import reader
from trimtab.runs.evaluate import Job, evaluate
from trimtab.tasks import WordProblems
from trimtab.tracking.trackers import NoTracker

NO_TRACKER = NoTracker().start(run_id="", name="", job_type="", config={}, folder=Path())


def chat() -> LanguageModel:
    return LanguageModel(path="zoo:a-small-chat", prompt="chat")


def run(folder: Path, method: Method, **changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "task": WordProblems(),
        "method": method,
        "generation": Generation(max_new_tokens=4, batch_size=4),
        "limit": 3,
        "folder": folder,
        "config": {"method": {}},
        "start_tracker": lambda: NO_TRACKER,
    }
    return evaluate(Job(**(settings | changes)))


@pytest.mark.parametrize("content", [None, "", "{}", "[]", "nul", '{"content": 1, "segments": []}'])
def test_answers_without_their_facts_are_not_gone_on_with(
    tmp_path: Path, content: str | None
) -> None:
    run(tmp_path, Plain(model=chat()))
    (tmp_path / "run.json").unlink()
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    for unfinished in (False, True):
        if unfinished:
            (tmp_path / "summary.json").unlink()
        before = (tmp_path / "samples.jsonl").read_text()
        with pytest.raises(ValueError, match="Move the folder away") as caught:
            run(tmp_path, Plain(model=chat()))
        assert "elete" not in str(caught.value)
        assert (tmp_path / "samples.jsonl").read_text() == before
    (tmp_path / "samples.jsonl").unlink()  # nothing is left that could be mixed
    assert run(tmp_path, Plain(model=chat()))["metrics"]["accuracy"]["n"] == 3


@pytest.mark.parametrize("unfinished", [False, True])
def test_what_a_run_leaves_outlasts_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unfinished: bool
) -> None:
    synced: set[int] = set()
    sync = os.fsync

    def noted(number: int) -> None:
        synced.add(os.fstat(number).st_ino)
        sync(number)

    monkeypatch.setattr(os, "fsync", noted)
    if unfinished:
        with pytest.raises(FloatingPointError):
            run(tmp_path, breaking_off(1, FloatingPointError)(model=chat()))
    else:
        run(tmp_path, Plain(model=chat()))
    names = {file.name for file in tmp_path.iterdir() if file.stat().st_ino in synced}
    left = {"config.yaml", "run.json", "samples.jsonl"}
    assert names == (left if unfinished else left | {"summary.json"})


def test_a_finished_folder_takes_what_is_corrected_for_the_record(tmp_path: Path) -> None:
    def dera() -> DeRa:
        return DeRa(reference=chat(), aligned=chat(), strength=1.0)

    first = run(tmp_path, dera(), config={"method": {"strength": 1.0, "beta": 0.1}})
    method = dera()
    second = run(tmp_path, method, config={"method": {"strength": 1.0, "beta": 0.01}})
    assert second == first and "weights" not in vars(method.aligned)
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["method"]["beta"] == 0.01
    (tmp_path / "config.yaml").unlink()
    run(tmp_path, dera(), config={"method": {"strength": 1.0, "beta": 0.01}})
    assert reader.read_config(tmp_path)["method"]["beta"] == 0.01
