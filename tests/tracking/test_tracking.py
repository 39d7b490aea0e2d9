import builtins
import logging
import os
import socket
import subprocess
import sys
import threading

import pytest
import wandb
import wandb_files

from trimtab.tracking import trackers
from trimtab.tracking.trackers import NoTracker, WandbTracker, flat_summary

pytestmark = pytest.mark.process  # the real client starts its service

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
    monkeypatch.setattr(trackers, "_gone", threading.Event())
    monkeypatch.setattr(trackers, "_opened", [])


def start(tracker, folder, run_id="abc123", **config):
    return tracker.start(
        run_id=run_id, name=f"run-{run_id}", job_type="nudging", config=config, folder=folder
    )


def recorded(folder):
    wandb.teardown()  # the W&B service writes on its own time
    return wandb_files.recorded(folder)


@pytest.mark.process
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
    assert [row["accuracy"] for row in found.table] == [1.0, 0.0]
    first, second = found.table
    assert (first["completion"], second["prediction"]) == ("The answer is 2.", None)


@pytest.mark.process
def test_each_job_of_a_process_is_a_run_of_its_own(tmp_path):
    for name in ("one", "two"):
        start(WandbTracker(), tmp_path / name, run_id=name, job=name).finish(SUMMARY, SAMPLES)
    for name in ("one", "two"):
        found = recorded(tmp_path / name)
        assert (found.run.run_id, found.config["job"]) == (name, name)


@pytest.mark.process
def test_runs_that_are_open_at_the_same_time_stay_apart(tmp_path):
    names = [f"job{number}" for number in range(11)]
    opened = {
        name: start(WandbTracker(mode="offline"), tmp_path / name, run_id=name, job=name)
        for name in names
    }
    for step in (1, 2, 3):
        for number, name in enumerate(names):
            opened[name].log({"accuracy": number + step / 10}, step)
    for number, name in enumerate(reversed(names)):  # the first to be opened is the last to finish
        if name == "job5":
            opened[name].finish(None, [])
        else:
            estimate = {"value": number / 10, "n": 1, "stderr": None, "ci95": None}
            opened[name].finish(
                {"metrics": {"accuracy": estimate}}, [SAMPLES[0] | {"question": name}]
            )
    for number, name in enumerate(names):
        found = recorded(tmp_path / name)
        assert (found.run.run_id, found.config["job"]) == (name, name)
        history = [
            (line["accuracy"], line["_step"]) for line in found.history if "accuracy" in line
        ]
        assert history == [(number + step / 10, step) for step in (1, 2, 3)]
        if name == "job5":
            assert (found.exit_code, found.table) == (1, [])
        else:
            assert (found.exit_code, found.summary["accuracy"]) == (0, (10 - number) / 10)
            assert [row["question"] for row in found.table] == [name]


@pytest.mark.process
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

    def __init__(self, fails="", error=None):
        self.error = error or RuntimeError("no connection")
        self.fails, self.calls, self.summary = fails, [], {}
        self.config = FakeConfig({"method.threshold": 0.9})

    def log(self, data, step=None, commit=None):
        self._call("log")

    def finish(self, exit_code):
        self._call("finish")

    def _call(self, name):
        self.calls.append(name)
        if name == self.fails:
            raise self.error


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


@pytest.mark.process
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


KEY = "0123456789" * 4


@pytest.fixture
def account(monkeypatch):
    """A key, and a client that is not patient."""
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(trackers, "_INIT_TIMEOUT", 1.0)
    monkeypatch.setattr(trackers, "_FINISH_TIMEOUT", 1.0)
    opened = []
    init = wandb.init
    monkeypatch.setattr(wandb, "init", lambda **s: (opened.append(s["mode"]), init(**s))[1])
    yield opened
    wandb.teardown()


def three_runs(mode, folder):
    for name in ("one", "two", "three"):
        run = start(WandbTracker(mode=mode), folder / name, run_id=name)
        run.log({"accuracy": 1.0}, 1)
        run.finish(SUMMARY, SAMPLES)


@pytest.mark.process
@pytest.mark.parametrize(("mode", "mute"), [("auto", False), ("online", False), ("online", True)])
def test_without_a_network_one_run_waits_at_most_and_all_are_kept_offline(
    mode, mute, tmp_path, monkeypatch, account, caplog
):
    # A port that nobody listens at, and one where what listens never answers.
    caplog.set_level(logging.INFO)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1] if mute else 9
        monkeypatch.setenv("WANDB_BASE_URL", f"http://user:s3cret-pass@127.0.0.1:{port}")
        three_runs(mode, tmp_path)
    assert account == ["online"] * mute + ["offline"] * 3
    assert caplog.text.count("cannot be used online") == 1 and caplog.text.count("wandb sync") == 4
    assert KEY not in caplog.text and "s3cret" not in caplog.text
    for name in ("one", "two", "three"):
        found = recorded(tmp_path / name)
        assert (found.run.run_id, found.summary["accuracy"]) == (name, 0.5)


@pytest.mark.process
@pytest.mark.parametrize("error", [TimeoutError("too slow"), wandb.errors.CommError("lost")])
@pytest.mark.parametrize("fails", ["log", "finish"])
def test_a_network_lost_in_mid_run_says_how_to_upload_and_keeps_what_follows(
    fails, error, tmp_path, wandb_init, monkeypatch, caplog
):
    monkeypatch.setattr(trackers, "unreachable", lambda url: None)
    calls = wandb_init(FakeRun(fails, error))
    run = start(WandbTracker(mode="online"), tmp_path / "one", run_id="one")
    run.log({"accuracy": 1.0}, 1)
    run.finish(SUMMARY, SAMPLES)
    warned = [r.message for r in caplog.records if r.levelno >= logging.WARNING]
    assert [message.count("`wandb sync /tmp/run`") for message in warned] == [1]
    start(WandbTracker(mode="online"), tmp_path / "two", run_id="two")
    assert [call["mode"] for call in calls] == ["online", "offline"]


@pytest.mark.parametrize(("stated", "passed"), [("disabled", None), ("online", "offline")])
def test_what_is_disabled_stays_so_without_a_network(
    stated, passed, tmp_path, monkeypatch, wandb_init
):
    trackers._gone.set()
    calls = wandb_init(FakeRun())
    monkeypatch.setenv("WANDB_MODE", stated)
    start(WandbTracker(), tmp_path)
    assert calls[0]["mode"] == passed


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


@pytest.mark.process
def test_no_tracker_does_not_even_import_wandb():
    code = (
        "import sys; from pathlib import Path; from trimtab.tracking.trackers import NoTracker\n"
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


def test_an_address_that_is_none_does_not_fail_a_run(monkeypatch, tmp_path, caplog) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://user:s3cret-pass@[::1")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    url = os.environ["WANDB_BASE_URL"]
    monkeypatch.setattr(WandbTracker, "_open_somehow", lambda *_: trackers.unreachable(url))
    run = WandbTracker(mode="online").start(
        run_id="i", name="n", job_type="j", config={}, folder=tmp_path
    )
    assert isinstance(run, NoTracker)
    assert "W&B failed (start: Invalid IPv6 URL)" in caplog.text
    assert "s3cret" not in caplog.text
