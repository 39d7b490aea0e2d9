"""A search finds what is planted, from wherever it was interrupted, and says what went wrong."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from filelock import FileLock
from optuna.trial import TrialState
from planted import Echo, Planted

from trimtab.cli import main
from trimtab.config.overrides import Source
from trimtab.launch import dial_search, search_plan
from trimtab.results import frames
from trimtab.runs import environment, reader
from trimtab.statistics import several

TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def choices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the choices task=echo and method=planted."""
    folder = tmp_path_factory.mktemp("choices")
    for group, name, target in (("task", "echo", Echo), ("method", "planted", Planted)):
        (folder / group).mkdir()
        text = f"_target_: {target.__module__}.{target.__name__}\n"
        for setting in target.__dataclass_fields__.values():
            default = {} if setting.default is MISSING else setting.default
            text += f"{setting.name}: {json.dumps(default)}\n"
        (folder / group / f"{name}.yaml").write_text(text)
    return folder


OPTIONS: dict[str, Any] = {
    "trials": 6,
    "seed": 0,
    "step": None,
    "metric": None,
    "minimize": False,
    "pruning": True,
}
INTERVAL = "method.strength=interval(0,1)"


@pytest.fixture(scope="module", autouse=True)
def hasty() -> Iterator[None]:
    """Spare each run the question what commit it is at, which is not at issue here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "now", lambda *_: {"git": None, "own_git": []})
        yield


def search_for(choices: Path, to: Path, *arguments: str, **options: Any) -> int:
    """Search for the planted strength."""
    overrides = ["task=echo", "method=planted", INTERVAL, f"results={to}", *arguments]
    return dial_search.search(
        search_plan.read(overrides, Source(further=(choices,)), **(OPTIONS | options))
    )


@pytest.fixture
def searched(choices: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> Any:
    """Search for the planted strength; gives the study's trials, and the printed lines."""

    def run(*arguments: str, to: Path = tmp_path, **options: Any) -> tuple[list, list[str]]:
        search_for(choices, to, *arguments, **options)
        return trials_in(to), capsys.readouterr().out.splitlines()

    return run


NOISY = ("method.noise=0.3", "task.rows=40")


@pytest.fixture(scope="module")
def undisturbed(choices: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a search of nine trials that nothing came in the way of."""
    results = tmp_path_factory.mktemp("undisturbed")
    assert search_for(choices, results, *NOISY, trials=9) == 0
    return results


def trials_in(results: Path) -> list[optuna.trial.FrozenTrial]:
    """Return the trials that were not interrupted, of the one search below `results`."""
    (file,) = (results / "searches").glob("*.db")
    storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
    try:
        (name,) = optuna.get_all_study_names(storage)
        trials = optuna.load_study(study_name=name, storage=storage).trials
    finally:
        storage.remove_session()
        storage.engine.dispose()
    return [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]


def tried(trials: list) -> list[tuple]:
    """Return what was tried and what came of it."""
    return [(trial.params["method.strength"], trial.state, trial.value) for trial in trials]


def runs_in(results: Path) -> dict[float, Path]:
    """Return the run folders by strength."""
    folders = reader.run_folders([results])
    return {reader.read_config(folder)["method"]["strength"]: folder for folder in folders}


def best_of(trials: list) -> optuna.trial.FrozenTrial:
    return max((t for t in trials if t.state == TrialState.COMPLETE), key=lambda t: t.value)


@pytest.mark.slow
def test_a_planted_best_is_found_and_better_than_by_chance(searched: Any) -> None:
    trials, _ = searched("method.peak=0.68", "method.noise=0.005", trials=16)
    values = [trial.params["method.strength"] for trial in trials]
    assert len(set(values)) == 16, "no value twice"
    by_chance = np.abs(np.random.default_rng(0).random((1000, 16)) - 0.68).min(axis=1)
    miss = abs(best_of(trials).params["method.strength"] - 0.68)
    assert miss < by_chance.mean()


BOTH = ("+method.others.one=interval(-1,1)", "+method.others.two=interval(-1,1)")


@pytest.mark.slow
def test_a_planted_best_of_three_settings_is_found_and_better_than_by_chance(
    searched: Any, tmp_path: Path
) -> None:
    trials, lines = searched(*BOTH, trials=60, pruning=False)
    best = best_of(trials)
    assert best.value > 0.8  # of 0.9
    assert len({tuple(trial.params.values()) for trial in trials}) == 60
    # What 60 points at random come to, in the mean over many repetitions.
    draws = np.random.default_rng(0).uniform([0, -1, -1], 1, size=(500, 60, 3))
    values = 0.9 - ((draws - [0.3, -0.3, -0.3]) ** 2) @ np.array([2, 1, 1])
    assert best.value > values.max(axis=1).mean()
    said = f"method.strength={best.params['method.strength']:g} +method.others.one="
    assert any(line.startswith(" best ") and said in line for line in lines)
    assert any("60: 60 run" in line for line in lines)
    # And the printed command finds that run again.
    again = lines[-1].split("trimtab run ")[1].split()
    assert any(argument.startswith("+method.others.two=") for argument in again)


@pytest.mark.parametrize("intervals, command", [((), "choose"), (BOTH, "table")])
@pytest.mark.slow
def test_a_search_ends_with_a_command_that_compares_its_values(
    searched: Any, intervals: tuple[str, ...], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trials, lines = searched(*intervals, trials=3, pruning=False)
    (said,) = (line for line in lines if line.startswith(" as good "))
    program, *arguments = shlex.split(said.removeprefix(" as good "))
    assert (program, arguments[0]) == ("trimtab", command)
    assert main.dispatch(arguments) == 0
    compared = capsys.readouterr().out
    assert all(f"{trial.value:.3f}" in compared for trial in trials)


@pytest.mark.slow
def test_a_search_over_several_settings_resumes_as_undisturbed(
    searched: Any, tmp_path: Path
) -> None:
    whole = searched(*BOTH, *NOISY, to=tmp_path / "whole", trials=22)[0]
    searched(*BOTH, *NOISY, to=tmp_path / "parts", trials=9)
    parts = searched(*BOTH, *NOISY, to=tmp_path / "parts", trials=22)[0]
    assert [(t.params, t.value) for t in parts] == [(t.params, t.value) for t in whole]


@pytest.mark.slow
def test_the_same_seed_tries_the_same_in_parts_too(
    searched: Any, undisturbed: Path, tmp_path: Path
) -> None:
    searched(*NOISY, trials=3)
    trials, lines = searched(*NOISY, trials=9)
    assert tried(trials) == tried(trials_in(undisturbed))
    assert "3 trials are there already" in lines[1]


@pytest.mark.slow
def test_another_seed_tries_others_after_halving_the_interval(
    searched: Any, undisturbed: Path
) -> None:
    trials, _ = searched(*NOISY, seed=1, trials=9)
    first, other = tried(trials_in(undisturbed)), tried(trials)
    assert [value for value, *_ in first[:7]] == [0.5, 0.25, 0.75, 0.12, 0.62, 0.37, 0.87]
    assert other[:7] == first[:7]
    assert other[7:] != first[7:]


@pytest.mark.slow
def test_the_lowest_loss_is_where_the_highest_reward_is(searched: Any, undisturbed: Path) -> None:
    lowest, lines = searched(*NOISY, metric="loss", minimize=True, trials=9)
    highest = tried(trials_in(undisturbed))
    assert tried(lowest) == [(value, state, -score) for value, state, score in highest]
    assert "lowest loss" in lines[0]


@pytest.mark.process
def test_killed_and_resumed_equals_undisturbed(
    searched: Any, undisturbed: Path, choices: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "trimtab", "search", "task=echo", "method=planted", INTERVAL]
    command += [f"results={tmp_path}", *NOISY, "--trials", "5", "--config-dir", str(choices)]
    environment = os.environ | {"PYTHONPATH": str(TESTS), "PLANTED_SECONDS": "0.02"}
    for samples in (5, 55):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while sum(map(samples_in, tmp_path.rglob("samples.jsonl"))) < samples:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (begun,) = (folder for folder in reader.run_folders([tmp_path]) if not finished(folder))

    resumed, _ = searched(*NOISY, trials=5)
    assert tried(resumed) == tried(trials_in(undisturbed))[:5]
    assert {state for _, state, _ in tried(resumed)} == {TrialState.COMPLETE, TrialState.PRUNED}
    for value, folder in runs_in(tmp_path).items():
        computed = sum(segment["samples"] for segment in reader.read_facts(folder)["segments"])
        assert computed == samples_in(folder / "samples.jsonl"), "nothing is computed twice"
        assert finished(folder) == finished(runs_in(undisturbed)[value])
    assert len(reader.read_facts(begun)["segments"]) == 2


def samples_in(file: Path) -> int:
    return file.read_text().count("\n")


def finished(folder: Path) -> bool:
    return reader.read_summary(folder) is not None


@pytest.mark.slow
def test_what_is_worse_is_given_up_and_never_the_best(searched: Any, tmp_path: Path) -> None:
    planted: dict[str, Any] = {"binary": True, "noise": 0.8, "peak": 0.3}
    settings = [f"method.{name}={value}" for name, value in planted.items()]
    trials, lines = searched(*settings, "task.rows=120", trials=9)
    given_up = [t.params["method.strength"] for t in trials if t.state == TrialState.PRUNED]
    assert 0.87 in given_up
    for value in given_up:
        method = Planted(strength=value, **planted)
        assert np.mean([method.score(sample) for sample in range(120)]) < best_of(trials).value
        folder = runs_in(tmp_path)[value]
        assert reader.read_facts(folder)["status"] == "stopped"
        assert 0 < samples_in(folder / "samples.jsonl") < 120
    computed = sum(map(samples_in, tmp_path.rglob("samples.jsonl")))
    assert any(f"{computed:,} computed; {9 * 120:,} in these runs" in line for line in lines)


@pytest.mark.slow
def test_without_pruning_every_value_is_evaluated_in_full(searched: Any) -> None:
    trials, _ = searched("method.binary=true", "method.noise=0.8", pruning=False, trials=3)
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}


@pytest.mark.slow
def test_a_finished_search_says_what_it_found_and_computes_nothing(
    searched: Any, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = shutil.copytree(undisturbed, tmp_path / "moved")
    monkeypatch.setattr(dial_search, "evaluate", None)
    trials, lines = searched(*NOISY, to=results, trials=9)
    assert tried(trials) == tried(trials_in(undisturbed))
    best = best_of(trials)
    (line,) = (line for line in lines if line.startswith(" best"))
    assert f"method.strength={best.params['method.strength']}: reward {best.value:.3f} [" in line
    assert "n = 40 (echo, validation split)" in line
    # What the values that were evaluated in full come to where each tenth is left to be judged by.
    whole = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    scores = [frames.read([runs_in(results)[t.params["method.strength"]]])[0] for t in whole]
    found = several.held_out([run.scores() for run in scores])
    assert any(f"on others reward {found.value:.3f} [" in line for line in lines)


@pytest.mark.slow
def test_runs_that_are_there_are_found_and_may_be_finished(
    searched: Any, choices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(strength: float) -> None:
        arguments = ["task=echo", "method=planted", f"method.strength={strength}"]
        arguments += ["method.noise=0.1", f"results={tmp_path}", "-cd", str(choices)]
        monkeypatch.setattr(sys, "argv", ["trimtab", "run", *arguments])
        with pytest.raises(SystemExit, match="0"):
            main.main()

    run(0.5)
    before = (runs_in(tmp_path)[0.5] / "run.json").read_bytes()
    trials, lines = searched("method.noise=0.1", trials=3)
    assert (runs_in(tmp_path)[0.5] / "run.json").read_bytes() == before
    assert any("method.strength=0.5 " in line and "(found)" in line for line in lines)
    assert any("1 found finished" in line for line in lines)
    (value,) = (t.params["method.strength"] for t in trials if t.state == TrialState.PRUNED)
    run(value)
    assert finished(runs_in(tmp_path)[value])


@pytest.mark.slow
def test_a_failure_is_told_and_the_others_go_on(
    searched: Any, capsys: pytest.CaptureFixture
) -> None:
    plan = ("method.fails_above=0.7", "task.rows=2")
    trials, lines = searched(*plan, trials=4)
    assert [trial.params["method.strength"] for trial in trials] == [0.5, 0.25, 0.12]
    assert any("method.strength=0.75" in line and "failed" in line for line in lines)


@pytest.mark.slow
def test_where_all_fail_the_search_fails_and_is_made_up_for_later(
    searched: Any, undisturbed: Path, choices: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setenv("PLANTED_FAILS", "yes")
    code = search_for(choices, tmp_path, *NOISY, trials=2)
    error = capsys.readouterr().err
    assert code == 1
    assert error.count("the weights are gone") == 2
    assert "2 of 2 trials failed" in error
    assert "Traceback" not in error
    monkeypatch.delenv("PLANTED_FAILS")
    mended, _ = searched(*NOISY, trials=2)
    assert tried(mended) == tried(trials_in(undisturbed))[:2]


def test_one_process_at_a_time(searched: Any, undisturbed: Path) -> None:
    (file,) = (undisturbed / "searches").glob("*.db")
    with (
        FileLock(file.with_suffix(".lock")),
        pytest.raises(ValueError, match="in use by another process"),
    ):
        searched(*NOISY, to=undisturbed, trials=9)


@pytest.mark.slow
def test_no_more_trials_than_values(searched: Any) -> None:
    trials, lines = searched("task.rows=2", step=0.5, trials=20)
    assert sorted(t.params["method.strength"] for t in trials) == [0, 0.5, 1]
    assert "no more than 3 values" in lines[1]


def test_a_study_is_beside_the_runs_and_not_taken_for_one(undisturbed: Path) -> None:
    assert {path.name for path in undisturbed.iterdir()} == {"searches", "echo"}
    assert len(reader.run_folders([undisturbed])) == 9


def test_models_are_loaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    load, loaded = transformers.AutoModelForCausalLM.from_pretrained, []

    def count(path: Any, *rest: Any, **options: Any) -> Any:
        loaded.append(Path(path).name)
        return load(path, *rest, **options)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", count)
    overrides = ["base=a-small-base", "limit=2", "generation.max_new_tokens=4"]
    overrides += ["method.threshold=interval(0,1)", f"results={tmp_path}"]
    assert (
        dial_search.search(search_plan.read(overrides, Source(), **(OPTIONS | {"trials": 3}))) == 0
    )
    assert sorted(loaded) == ["a-small-base", "a-small-chat"]
    assert len(runs_of_nudging(tmp_path)) == 3


def runs_of_nudging(results: Path) -> list[Path]:
    return list((results / "word-problems" / "nudging").iterdir())
