import builtins
import json
import logging
import os
import struct
import subprocess
import sys
import types

import pytest
import wandb
from wandb.proto import wandb_internal_pb2 as pb

from trimtab.tracking import NoTracker, WandbTracker, flat_summary

SUMMARY = {
    "metrics": {"accuracy": {"value": 0.5, "n": 2, "stderr": 0.35, "ci95": [0.1, 0.9]}},
    "cost": {"seconds": 1.5, "models": {"base": {"forward_passes": 3}}},
}
SAMPLES = [
    {
        "id": "a",
        "question": "1+1?",
        "completion": "The answer is 2.",
        "prediction": "2",
        "target": "2",
        "scores": {"accuracy": 1.0},
        "measures": {"guide_ratio": 0.1},
        "stop_reason": "guide",
    },
    {
        "id": "b",
        "question": "1+2?",
        "completion": "?",
        "prediction": None,
        "target": "3",
        "scores": {"accuracy": 0.0},
        "stop_reason": "length",
    },
]


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    """A machine without W&B settings, whatever the one that runs the tests has."""
    for name in [name for name in os.environ if name.startswith("WANDB")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def start(tracker, folder, run_id="abc123", **config):
    return tracker.start(
        run_id=run_id, name=f"run-{run_id}", job_type="nudging", config=config, folder=folder
    )


def records(log):
    """Yield the records of a `.wandb` file, a LevelDB log behind a header of 7 bytes."""
    position, data = 7, b""
    while position < len(log):
        left = 32768 - position % 32768  # what remains of the block
        if left < 7:
            position += left
            continue
        _, size, kind = struct.unpack_from("<IHB", log, position)
        data += log[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (1, 4):  # whole, or the last part
            record = pb.Record()
            record.ParseFromString(data)
            yield record
            data = b""


def recorded(folder):
    """Return config, history, summary and exit code from the run's offline log."""
    wandb.teardown()  # the W&B service writes on its own time
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    found = types.SimpleNamespace(config={}, history=[], summary={}, exit_code=None, run=None)
    for record in records(file.read_bytes()):
        if record.HasField("run"):
            found.run = record.run
            found.config |= {i.key: json.loads(i.value_json) for i in record.run.config.update}
        for item in record.config.update:
            found.config[item.key] = json.loads(item.value_json)
        if record.HasField("history"):
            keys = {
                (i.key or i.nested_key[0]): json.loads(i.value_json) for i in record.history.item
            }
            found.history.append(keys)
        for item in record.summary.update:
            found.summary[item.key or item.nested_key[0]] = json.loads(item.value_json)
        if record.HasField("exit"):
            found.exit_code = record.exit.exit_code
    return found


def test_a_run_tells_wandb_everything_and_stays_in_its_folder(tmp_path):
    run = start(WandbTracker(group="g"), tmp_path, method="nudging", **{"method.threshold": 0.4})
    run.log({"accuracy": 1.0}, 1)
    run.log({"accuracy": 0.5}, 2)
    run.finish(SUMMARY, SAMPLES)
    found = recorded(tmp_path)
    assert (found.run.run_id, found.run.run_group, found.run.job_type) == ("abc123", "g", "nudging")
    assert found.config["method"] == "nudging"
    assert found.config["method.threshold"] == 0.4
    assert [line["accuracy"] for line in found.history if "accuracy" in line] == [1.0, 0.5]
    assert found.summary["accuracy"] == 0.5
    assert found.summary["accuracy/ci95_low"] == 0.1
    assert found.exit_code == 0
    (table,) = tmp_path.glob("wandb/offline-run-*/files/media/table/*.json")
    table = json.loads(table.read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [row["accuracy"] for row in rows] == [1.0, 0.0]
    assert (rows[0]["completion"], rows[1]["prediction"]) == ("The answer is 2.", None)


def test_each_job_of_a_process_is_a_run_of_its_own(tmp_path):
    for name in ("one", "two"):
        start(WandbTracker(), tmp_path / name, run_id=name, job=name).finish(SUMMARY, SAMPLES)
    for name in ("one", "two"):
        found = recorded(tmp_path / name)
        assert (found.run.run_id, found.config["job"]) == (name, name)


def test_a_run_that_failed_is_marked(tmp_path):
    run = start(WandbTracker(), tmp_path)
    run.finish(None, [])
    run.finish(SUMMARY, SAMPLES)  # the first call counts
    assert recorded(tmp_path).exit_code == 1


class FakeConfig(dict):
    """A config in which a sweep has set the threshold."""

    def update(self, new, **_):
        assert "method.threshold" not in new, "locked by the sweep"
        super().update(new)


class FakeRun:
    """A run whose named method fails."""

    url = "https://example.org/run"
    dir = "/tmp/run/files"

    def __init__(self, fails=""):
        self.fails, self.calls, self.summary = fails, [], {}
        self.config = FakeConfig({"method.threshold": 0.9})

    def log(self, data, step=None):
        self._call("log")

    def finish(self, exit_code):
        self._call("finish")

    def _call(self, name):
        self.calls.append(name)
        if name == self.fails:
            raise RuntimeError("no connection")


@pytest.fixture
def wandb_init(monkeypatch):
    calls = []

    def install(run):
        def init(**settings):
            calls.append(settings)
            if isinstance(run, Exception):
                raise run
            return run

        monkeypatch.setattr(wandb, "init", init)
        return calls

    return install


def test_within_a_sweep_the_agent_decides_id_project_and_swept_keys(
    tmp_path, monkeypatch, wandb_init
):
    run = FakeRun()
    calls = wandb_init(run)
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    start(WandbTracker(), tmp_path, **{"method.threshold": 0.4, "limit": 5})
    assert not {"id", "project", "resume"} & calls[0].keys()
    assert run.config == {"method.threshold": 0.9, "limit": 5}


@pytest.mark.parametrize(
    ("mode", "environment", "passed"),
    [
        ("auto", {}, "offline"),
        ("auto", {"WANDB_MODE": "disabled"}, None),
        ("offline", {"WANDB_MODE": "online"}, "offline"),
    ],
)
def test_without_a_key_nothing_goes_online(
    mode, environment, passed, tmp_path, monkeypatch, wandb_init
):
    calls = wandb_init(FakeRun())
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    start(WandbTracker(mode=mode), tmp_path)
    assert calls[0]["mode"] == passed
    assert (calls[0]["id"], calls[0]["resume"]) == ("abc123", "allow")


@pytest.mark.parametrize("fails", ["log", "finish"])
def test_wandb_failing_costs_one_warning(fails, tmp_path, caplog, wandb_init):
    wandb_init(FakeRun(fails))
    with caplog.at_level(logging.WARNING):
        run = start(WandbTracker(), tmp_path)
        run.log({"accuracy": 1.0}, 1)
        run.log({"accuracy": 1.0}, 2)
        run.finish(SUMMARY, SAMPLES)
    assert [record.message.count("no connection") for record in caplog.records] == [1]


def test_wandb_failing_to_start_costs_one_warning(tmp_path, caplog, wandb_init):
    wandb_init(OSError("disk full"))
    with caplog.at_level(logging.WARNING):
        assert start(WandbTracker(), tmp_path) == NoTracker()
    assert "disk full" in caplog.text


def test_wandb_may_be_missing(tmp_path, caplog, monkeypatch):
    real = builtins.__import__

    def without_wandb(name, *rest):
        if name == "wandb":
            raise ImportError("No module named 'wandb'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_wandb)
    with caplog.at_level(logging.WARNING):
        run = start(WandbTracker(), tmp_path)
    run.finish(SUMMARY, SAMPLES)
    assert "No module named 'wandb'" in caplog.text


def test_no_tracker_does_not_even_import_wandb():
    code = (
        "import sys; from pathlib import Path; from trimtab.tracking import NoTracker\n"
        "run = NoTracker().start(run_id='', name='', job_type='', config={}, folder=Path())\n"
        "run.log({}, 1); run.finish({}, [])\n"
        "assert 'wandb' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="offline"):
        WandbTracker(mode="ofline")


def test_summaries_are_flat_numbers():
    flat = flat_summary(SUMMARY)
    assert flat == {
        "accuracy": 0.5,
        "accuracy/n": 2,
        "accuracy/stderr": 0.35,
        "accuracy/ci95_low": 0.1,
        "accuracy/ci95_high": 0.9,
        "cost/seconds": 1.5,
    }
    alone = {"metrics": {"reward": {"value": 0.5, "n": 1, "stderr": None, "ci95": None}}}
    assert flat_summary(alone)["reward/ci95_low"] is None
