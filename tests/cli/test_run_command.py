"""`trimtab run`: what its jobs receive, what they leave, and what goes wrong in one of them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from trimtab.config import composition
from trimtab.config.shared_choices import FOLDERS


@pytest.mark.slow
def test_a_long_sweep_is_decoded_a_few_values_at_a_time(trimtab, evaluations, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        sys.modules["trimtab.runs.evaluate"],
        "evaluate_together",
        lambda jobs: sizes.append(len(jobs)) or {},
    )
    sweep = ("run", "-m", "method.threshold=0.1,0.2,0.3,0.4,0.5", "limit=2")
    assert trimtab(*sweep, "hydra.launcher.together=2")[0] == 0
    assert sizes == [2, 2, 1]
    assert trimtab(*sweep)[0] == 0
    assert sizes[3:] == [5]
    code, _, said = trimtab(*sweep, "hydra.launcher.together=0")
    assert code != 0
    assert "together=0: accepted are whole numbers from 1 up" in said


def test_a_run_receives_the_experiment_and_its_folder(trimtab, evaluations):
    code, out, _ = trimtab("run", "limit=5", "method.threshold=0.3", "results=here")
    assert code == 0
    (call,) = evaluations.calls
    assert (call["limit"], call["method"].threshold) == (5, 0.3)
    assert call["method"].base.path == "zoo:a-large-base"
    assert call["generation"].batch_size == 16
    folder = call["folder"]
    assert folder.parent == Path("here/word-problems/nudging").resolve()
    assert call["config"]["method"]["base"]["path"] == "zoo:a-large-base"
    assert call["config"].keys() == {"method", "task", "generation", "limit", "limit_seed"}
    yaml.safe_dump(call["config"])  # plain data
    assert f"accuracy 0.500 [0.100, 0.900] n=2 {folder}" in out


@pytest.mark.slow
def test_the_same_experiment_has_the_same_folder_alone_and_in_a_multirun(trimtab, evaluations):
    trimtab("run", "method.threshold=0.3", "generation.batch_size=4")
    trimtab("run", "-m", "method.threshold=0.3,0.5", "limit=null")
    alone, first, second = (call["folder"].resolve() for call in evaluations.calls)
    assert alone == first != second


@pytest.mark.slow
def test_a_failing_job_neither_hides_nor_stops_the_others(trimtab, evaluations):
    evaluations.errors = {0.2: ValueError("no such weights"), 0.4: OSError("disk full")}
    code, out, err = trimtab("run", "-m", "method.threshold=0.2,0.3,0.4,0.5")
    assert code == 1
    assert len(evaluations.calls) == 4
    assert out.count("accuracy 0.500") == 2
    closing = err[err.index("2 of 4 runs failed") :]
    assert "no such weights" in closing
    assert "disk full" in closing
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["results=/dev/null/x"],
        ["hydra.shiny=3"],
        ["--config-name", "none"],
        ["-m", "results=/dev/null/x"],
    ],
)
def test_hydras_own_errors_are_messages_too(arguments, trimtab, evaluations):
    code, _, err = trimtab("run", *arguments)
    assert code in (1, 2)
    assert err.startswith("trimtab: ")
    assert "Traceback" not in err
    assert "HYDRA_FULL_ERROR" not in err + str(dict(os.environ))


class Tracker:
    """A tracker of a user's own, which notes what it is told."""

    seen: ClassVar[list] = []

    def start(self, **arguments):
        self.seen.append(arguments)
        return self


def test_the_tracker_starts_with_the_runs_settings(trimtab, evaluations, tmp_path):
    Tracker.seen.clear()
    (tmp_path / "mine" / "tracker").mkdir(parents=True)
    (tmp_path / "mine" / "tracker" / "own.yaml").write_text(f"_target_: {__name__}.Tracker\n")
    code, *_ = trimtab("run", "-cd", "mine", "tracker=own", "method.threshold=0.3")
    assert code == 0
    (started,) = Tracker.seen
    assert started["run_id"] == started["folder"].name
    assert started["job_type"] == started["config"]["method"] == "nudging"
    assert started["config"]["method.threshold"] == 0.3


def test_a_users_own_task_is_found_in_the_current_folder(trimtab, evaluations, tmp_path):
    (tmp_path / "my_things.py").write_text("def puzzles(n=3):\n    return {'n': n}\n")
    (tmp_path / "mine" / "task").mkdir(parents=True)
    (tmp_path / "mine" / "task" / "puzzles.yaml").write_text("_target_: my_things.puzzles\nn: 3\n")
    code, _, err = trimtab("run", "--config-dir", "mine", "task=puzzles", "task.n=5")
    assert (code, err) == (0, "")
    assert evaluations.calls[0]["task"] == {"n": 5}


def test_mistakes_in_a_multirun_end_before_its_first_job(trimtab, evaluations):
    code, _, err = trimtab("run", "-m", "method.threshold=0.2,-1", "generation.max_new_tokens=0")
    assert (code, evaluations.calls) == (2, [])
    assert "threshold=-1" in err
    assert "max_new_tokens=0" in err


def test_the_configuration_can_be_looked_at_unfinished(trimtab):
    code, out, _ = trimtab("run", "--cfg", "job", "base=hf")
    assert code == 0
    assert yaml.safe_load(out)["base"]["path"] == "???"


def test_help_lists_the_choices_of_every_group(trimtab):
    code, out, _ = trimtab("run", "--help")
    assert code == 0
    for group in (*FOLDERS, "method", "task", "generation", "tracker"):
        listed, *_ = re.findall(rf"^{group}: (.*(?:\n  .*)*)", out, re.MULTILINE)
        folder = composition.DIRECTORY / FOLDERS.get(group, group)
        names = sorted(file.stem for file in folder.glob("*.yaml"))
        assert listed.split() == ", ".join(names).split()


@pytest.mark.process
def test_a_real_run_leaves_its_record_and_the_same_command_finds_it(tmp_path):
    command = [sys.executable, "-m", "trimtab", "run", "method=guide", "limit=2"]
    command += ["generation.max_new_tokens=4", f"results={tmp_path}"]
    outputs = [
        subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=tmp_path, env=os.environ
        ).stdout
        for _ in range(2)
    ]
    (folder,) = (file.parent for file in tmp_path.rglob("run.json"))
    assert folder.parent == tmp_path / "word-problems" / "guide"
    assert len((folder / "samples.jsonl").read_text().splitlines()) == 2
    assert json.loads((folder / "summary.json").read_text())["metrics"]["accuracy"]["n"] == 2
    assert yaml.safe_load((folder / "config.yaml").read_text())["limit"] == 2
    assert all(str(folder) in output.replace("\n", "") for output in outputs)


def test_a_token_map_that_no_method_takes_is_a_mistake_in_the_command(trimtab, evaluations):
    maps = ("base=b-small-base", "guide.token_map=pm-mined-raw")
    code, _, said = trimtab("run", "method=ensemble", *maps)
    assert code == 2 and not evaluations.calls
    assert "method: token_map=pm-mined-raw of guide (zoo:a-small-chat): Ensemble mixes" in said
