"""Runs of several seeds, taken together."""

import json
import statistics
from pathlib import Path

import pytest
from rich.console import Console
from run_folders import write_run

from trimtab.results import frames
from trimtab.results.terminal import render

SCORES = ([1, 0, 1, 1, 0, 1, 1, 0], [1, 0, 1, 0, 0, 1, 1, 1], [1, 1, 1, 1, 0, 1, 0, 0])


def text(runs: list[frames.Run]) -> str:
    console = Console(width=400)
    with console.capture() as capture:
        console.print(render(runs))
    return " ".join(capture.get().split())


def test_seeds_of_one_experiment_are_said_together(tmp_path: Path) -> None:
    for seed, scores in enumerate(SCORES):
        write_run(tmp_path, scores, value=0.4, seed=seed)
    write_run(tmp_path, SCORES[0], value=0.6)
    write_run(tmp_path, SCORES[0], method="dera", value=0.4, seed=1)
    found = frames.read([tmp_path])
    (together,) = frames.over_seeds(found)
    assert [run.config["generation"]["seed"] for run in together.runs] == [0, 1, 2]
    means = [sum(scores) / 8 for scores in SCORES]
    assert together.estimate.value == pytest.approx(sum(means) / 3)
    assert together.estimate.n == 8
    assert together.spread == pytest.approx(statistics.stdev(means))
    shown = text(found)
    assert "seeds 0, 1, 2 of one experiment. accuracy 0.625 [" in shown
    assert "over 8 samples and 3 seeds" in shown
    assert "of one experiment" not in text(frames.read([tmp_path / "word-problems" / "dera"]))


def test_other_samples_are_not_taken_together(tmp_path: Path) -> None:
    write_run(tmp_path, SCORES[0], value=0.4)
    other = write_run(tmp_path, SCORES[1], value=0.4, seed=1)
    assert len(frames.over_seeds(frames.read([tmp_path]))) == 1
    lines = (other / "samples.jsonl").read_text().splitlines()
    lines[3] = json.dumps(json.loads(lines[3]) | {"question": "What else?"})
    (other / "samples.jsonl").write_text("\n".join([*lines, ""]))
    assert frames.over_seeds(frames.read([tmp_path])) == []


def test_other_weights_under_the_same_names_are_said_and_are_no_other_seed(tmp_path: Path) -> None:
    folders = [write_run(tmp_path, s, value=0.4, seed=n) for n, s in enumerate(SCORES)]
    folders.append(write_run(tmp_path, SCORES[0], value=0.6))
    for folder, weights in zip(folders, "aaba", strict=True):
        content = {"models": {"base": {"content_sha256": weights, "commit": None}}}
        (folder / "run.json").write_text(json.dumps({"status": "finished", "content": content}))
    found = frames.read([tmp_path])
    (together,) = frames.over_seeds(found)
    assert [run.folder for run in together.runs] == folders[:2]
    shown = text(found)
    assert "Not of the same weights or code as the others" in shown
    assert f"content.code in run.json): {folders[2].name[:6]}." in shown


def test_a_copy_of_a_run_is_no_repetition(tmp_path: Path) -> None:
    for root in ("one", "other"):
        write_run(tmp_path / root, SCORES[0], value=0.4)
    found = frames.read([tmp_path])
    assert frames.over_seeds(found) == []
    write_run(tmp_path / "other", SCORES[1], value=0.4, seed=1)
    (together,) = frames.over_seeds(frames.read([tmp_path]))
    assert len(together.runs) == 2


def test_the_table_of_samples_tells_runs_apart(tmp_path: Path) -> None:
    folders = [write_run(tmp_path, s, value=0.4, seed=n) for n, s in enumerate(SCORES)]
    table = frames.samples_table(frames.read([tmp_path]))
    assert table.groupby("run")["seed"].unique().map(list).to_dict() == {
        folder.name: [number] for number, folder in enumerate(folders)
    }
    assert len(table.drop_duplicates(["run", "id"])) == len(table) == 24
