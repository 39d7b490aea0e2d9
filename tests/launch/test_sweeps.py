"""The W&B sweep files: by W&B's schema, through its agent, and against a server on loopback."""

import contextlib
import copy
import functools
import json
import os
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path

import jsonschema
import psutil
import pytest
import wandb_files
import yaml
from hydra import compose, initialize_config_dir
from sweep_server import ENTITY, PROJECT, SWEEP, SweepServer, serve
from wandb import wandb_agent

from trimtab.config import composition
from trimtab.config.overrides import Source, check_command

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "sweeps").glob("*.yaml"))
SCHEMA = json.loads((Path(__file__).parent / "wandb_sweeps" / "schema.json").read_text("utf-8"))
WANDB = Path(sys.executable).with_name("wandb")
SHORT = ["limit=4", "generation.max_new_tokens=64"]

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def read(file):
    return yaml.safe_load(file.read_text("utf-8"))


@pytest.fixture
def environment(tmp_path):
    """Variables of a machine without W&B settings, on whose PATH is this Python first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    home = {"HOME": str(tmp_path / "home"), "NETRC": str(tmp_path / "netrc")}
    return kept | home | {"PATH": path, "OMP_NUM_THREADS": "1"}


def run(command, folder, environment):
    """Run a command to its successful end, and return what it printed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def run_folders(root):
    """Return each run folder below `root` by the dial's value, with what it says of the run."""
    found = {}
    for file in root.rglob("run.json"):
        folder = file.parent
        assert json.loads(file.read_text("utf-8"))["status"] == "finished"
        recorded = read(folder / "config.yaml")
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
        assert recorded["method"][summary["dial"]["name"]] == summary["dial"]["value"]
        found[summary["dial"]["value"]] = types.SimpleNamespace(
            path=folder, config=recorded, summary=summary
        )
    return found


# ---------------------------------------------------------------------------- the schema


def violations(sweep):
    """Return what W&B's schema, and its own code around it, finds wrong with a sweep."""
    formats = jsonschema.FormatChecker(formats=())
    formats.checks("float")(lambda value: isinstance(value, float))
    formats.checks("integer")(lambda value: isinstance(value, int))
    found = jsonschema.Draft7Validator(SCHEMA, format_checker=formats).iter_errors(sweep)
    messages = [error.message for error in found]
    if "parameters" not in sweep:
        messages.append("parameters is required")
    for name, parameter in sweep.get("parameters", {}).items():
        if {"min", "max"} <= parameter.keys() and not parameter["min"] < parameter["max"]:
            messages.append(f"{name}: min is not less than max")
    return messages


def broken(file, path, value):
    """Return the sweep of a file with one entry replaced, or removed where `value` is None."""
    sweep = copy.deepcopy(read(ROOT / "sweeps" / f"{file}.yaml"))
    *parents, last = path
    node = functools.reduce(lambda node, key: node[key], parents, sweep)
    if value is None:
        del node[last]
    else:
        node[last] = value
    return sweep


BROKEN = [
    ("nudging-threshold-grid", ("method",), None),
    ("nudging-threshold-grid", ("method",), "gird"),
    ("nudging-threshold-grid", ("comand",), ["trimtab"]),
    ("nudging-threshold-grid", ("command",), "trimtab run"),
    ("nudging-threshold-grid", ("parameters",), None),
    ("nudging-threshold-grid", ("parameters",), {}),
    ("nudging-threshold-grid", ("parameters", "method.threshold"), {"value": 1, "values": [1]}),
    ("nudging-threshold-grid", ("parameters", "method.threshold", "values"), []),
    ("nudging-threshold-grid", ("parameters", "method threshold"), {"values": [1]}),
    ("nudging-threshold-bayes", ("run_cap",), 0),
    ("nudging-threshold-bayes", ("metric", "name"), None),
    ("nudging-threshold-bayes", ("metric", "goal"), "max"),
    ("nudging-threshold-bayes", ("metric", "impute"), "last"),
    ("nudging-threshold-bayes", ("early_terminate", "min_iter"), None),
    ("nudging-threshold-bayes", ("early_terminate", "type"), "median"),
    ("nudging-threshold-bayes", ("early_terminate", "eta"), 1),
    ("nudging-threshold-bayes", ("parameters", "method.threshold", "max"), None),
    ("nudging-threshold-bayes", ("parameters", "method.threshold", "max"), 0.0),
    ("nudging-threshold-bayes", ("parameters", "method.threshold", "step"), 0.1),
]


@each_file
def test_a_sweep_is_what_wandb_accepts(file):
    assert violations(read(file)) == []


@pytest.mark.parametrize(("file", "path", "value"), BROKEN)
def test_a_broken_sweep_is_not(file, path, value):
    assert violations(broken(file, path, value))


# ---------------------------------------------------------------------------- the local command


def local_command(file):
    """Return the words of the command in the head of a sweep file."""
    lines = [line.removeprefix("#").strip() for line in file.read_text("utf-8").splitlines()]
    start = next(i for i, line in enumerate(lines) if line.startswith("trimtab "))
    end = next(i for i in range(start, len(lines)) if not lines[i].endswith("\\"))
    return shlex.split(" ".join(line.removesuffix("\\") for line in lines[start : end + 1]))


def agent_starts(file, value, folder):
    """Return command and variables with which W&B's agent starts a trial of the one parameter."""
    sweep = read(file)
    (parameter,) = sweep["parameters"]
    started = []

    def process(command, env, **_):
        started.append((command, env))
        return types.SimpleNamespace()

    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB")]:
            patch.delenv(name)  # left by runs of this process
        # What the agent sets for its children, in this process too.
        patch.setenv("WANDB_DIR", str(folder))
        patch.setenv("WANDB_SWEEP_ID", SWEEP)
        patch.setenv("WANDB_RUN_ID", "")
        patch.setenv("WANDB_SWEEP_PARAM_PATH", "")
        patch.setattr(wandb_agent, "AgentProcess", process)
        agent = wandb_agent.Agent(api=None, queue=None, sweep_id=SWEEP)
        agent._sweep_command = sweep["command"]
        arguments = {parameter: {"value": value}}
        agent._command_run({"run_id": "trial", "program": sweep["program"], "args": arguments})
    (only,) = started
    return only


def overrides(file, value, folder):
    """Return what a sweep gives to `trimtab run` for a value of its parameter."""
    command, _ = agent_starts(file, value, folder)
    assert command[:5] == ["/usr/bin/env", "python", "-m", "trimtab", "run"]
    return command[5:]


@pytest.mark.slow
@each_file
def test_a_sweep_runs_what_its_local_command_runs(file, tmp_path):
    sweep = read(file)
    ((parameter, choice),) = sweep["parameters"].items()
    _, command, *words = local_command(file)
    if sweep["method"] == "grid":
        assert (command, words.pop(0)) == ("run", "-m")
        swept = f"{parameter}={','.join(map(str, choice['values']))}"
        tried = choice["values"]
    else:
        assert command == "search"
        cap = words.index("--trials")
        assert int(words[cap + 1]) == sweep["run_cap"]
        del words[cap : cap + 2]
        swept = f"{parameter}=interval({choice['min']:g},{choice['max']:g})"
        tried = [choice["min"], 0.4375281, choice["max"]]
        assert "task.split=validation" in words
    words.remove(swept)
    for value in tried:
        remote, local = overrides(file, value, tmp_path), [*words, f"{parameter}={value}"]
        check_command(remote, Source())
        assert composition.fingerprint(composed(remote)) == composition.fingerprint(composed(local))
        assert sweep["metric"]["name"] == composition.build(composed(remote).task).metric


def composed(words):
    with initialize_config_dir(str(composition.DIRECTORY), version_base="1.3"):
        return compose("config", words)


# ---------------------------------------------------------------------------- runs


def assert_tells(told, folder):
    """Check that W&B was told what a run folder holds."""
    metric = folder.summary["task"]["metric"]
    estimate = folder.summary["metrics"][metric]
    task, method = folder.path.parts[-3:-1]
    assert (told.config["task"], told.config["method"]) == (task, method)
    for part in ("method", "task", "generation"):
        for key, value in folder.config[part].items():
            if not isinstance(value, dict) and key != "_target_":
                said = json.dumps(value) if isinstance(value, list) else value
                assert told.config[f"{part}.{key}"] == said
    assert told.config["limit"] == folder.config["limit"]
    assert told.exit_code == 0
    assert told.summary[metric] == estimate["value"]
    assert told.summary[f"{metric}/ci95_low"] == estimate["ci95"][0]
    assert told.summary["cost/tokens"] == folder.summary["cost"]["tokens"]
    history = {line["_step"]: line[metric] for line in told.history if metric in line}
    assert list(history) == list(range(1, estimate["n"] + 1))  # so few are logged one by one
    assert history[estimate["n"]] == pytest.approx(estimate["value"])


@pytest.mark.process
def test_a_multirun_is_a_run_for_each_job(tmp_path, environment):
    command = [sys.executable, "-m", "trimtab", "run", "-m", "method.threshold=0.2,0.5,0.9", *SHORT]
    command += ["tracker=wandb", "tracker.mode=offline", f"results={tmp_path}"]
    printed = run(command, tmp_path, environment)
    folders = run_folders(tmp_path)
    assert folders.keys() == {0.2, 0.5, 0.9}
    for folder in folders.values():
        told = wandb_files.recorded(folder.path)
        assert_tells(told, folder)
        assert told.run.run_id == folder.path.name
        lines = (folder.path / "samples.jsonl").read_text("utf-8").splitlines()
        scores = {sample["id"]: sample["scores"]["accuracy"] for sample in map(json.loads, lines)}
        assert {row["id"]: row["accuracy"] for row in told.table} == scores
        assert f"W&B: offline; wandb sync {folder.path}" in printed


@pytest.mark.process
@each_file
def test_a_trial_of_the_agent_runs_and_finishes(file, tmp_path, environment):
    ((parameter, choice),) = read(file)["parameters"].items()
    value = choice["values"][1] if "values" in choice else 0.4375281
    command, variables = agent_starts(file, value, tmp_path)
    given = {name: text for name, text in variables.items() if name.startswith("WANDB_")}
    command += [*SHORT, "tracker.mode=offline", f"results={tmp_path / 'results'}"]
    run(command, tmp_path, environment | given)
    ((dial, folder),) = run_folders(tmp_path / "results").items()
    told = wandb_files.recorded(folder.path)
    assert_tells(told, folder)
    assert dial == told.config[parameter] == value
    assert (told.run.run_id, told.run.sweep_id) == ("trial", SWEEP)
    assert read(file)["metric"]["name"] in told.summary


@contextlib.contextmanager
def all_ends(address):
    """Let no process outlive the block; its processes are those that were given the address."""
    try:
        yield
    finally:
        _, alive = psutil.wait_procs(talking_to(address), timeout=30)
        for process in alive:
            process.kill()
    assert not alive


def talking_to(address):
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it has ended, or is another user's
            if process.environ().get("WANDB_BASE_URL") == address:
                found.append(process)
    return found


@pytest.mark.process
def test_wandb_sweep_and_wandb_agent_complete_a_sweep(tmp_path, environment):
    sweep = read(ROOT / "sweeps" / "nudging-threshold-grid.yaml")
    sweep["command"] += [*SHORT, "results=here"]
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep), "utf-8")
    path = f"{ENTITY}/{PROJECT}/{SWEEP}"
    server = SweepServer([{"method.threshold": 0.2}, {"method.threshold": 0.9}])
    with serve(server) as address, all_ends(address):
        # What is meant for another host comes here too, through the proxy, and names that host.
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        environment |= dict.fromkeys(names, address)
        environment |= dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1")
        environment |= {"WANDB_BASE_URL": address, "WANDB_API_KEY": "0" * 40}
        printed = run([WANDB, "sweep", "sweep.yaml"], tmp_path, environment)
        assert f"wandb agent {path}" in re.sub(r"\x1b\[\d+m", "", printed)
        run([WANDB, "agent", path], tmp_path, environment)
    assert server.sweep == sweep
    assert all(target.startswith("/") for target in server.requests)
    folders = run_folders(tmp_path / "here")
    assert folders.keys() == {0.2, 0.9}
    assert server.runs.keys() == {"trial0", "trial1"}
    for told in (types.SimpleNamespace(**run) for run in server.runs.values()):
        assert_tells(told, folders[told.config["method.threshold"]])
        assert told.sweep == SWEEP
