"""A multirun leaves the same files whichever launcher runs it, and however often it is stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import command

from trimtab.runs import reader

pytestmark = pytest.mark.process

NUDGING = ["method.threshold=0,0.3,0.6,0.9", "limit=20"]
STORIES = ["experiment=dera-stories", "method.strength=0,0.5,1,1.5", "limit=20"]
EXTRA = {
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit": ["hydra/launcher=submitit_local"],
    "ray": [
        "hydra/launcher=ray",
        "+hydra.launcher.ray.init.num_cpus=2",
        "+hydra.launcher.ray.init.include_dashboard=false",
    ],
}


def sweep(root: Path, *arguments: str, launcher: str = "basic") -> subprocess.CompletedProcess:
    chosen = EXTRA.get(launcher, [f"hydra/launcher={launcher}"])
    root.mkdir(parents=True, exist_ok=True)
    words = ["run", "-m", *chosen, *arguments, "results=results"]
    if launcher not in EXTRA:  # its jobs run in the process that launches them
        return command(root, *words)
    return subprocess.run(
        [sys.executable, "-m", "trimtab", *words],
        cwd=root,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def left(root: Path) -> dict[str, object]:
    """Return what the runs below a folder left that does not depend on how they were run."""
    content: dict[str, object] = {}
    for folder in reader.run_folders([root / "results"]):
        name = str(folder.relative_to(root))
        for file in ("samples.jsonl", "config.yaml"):
            content[f"{name}/{file}"] = (folder / file).read_text()
        summary = json.loads((folder / "summary.json").read_text())
        content[f"{name}/metrics"] = summary["metrics"]
        models = summary["cost"]["models"].items()
        content[f"{name}/work"] = {
            role: (work["tokens_processed"], work["passes_per_token"]) for role, work in models
        }
        facts = json.loads((folder / "run.json").read_text())
        content[f"{name}/facts"] = facts["content"], facts["status"], facts["models"]
    return content


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory) -> dict[str, dict[str, object]]:
    """What the sweeps leave under Hydra's basic launcher."""
    content = {}
    for name, arguments in (("nudging", NUDGING), ("stories", STORIES)):
        root = tmp_path_factory.mktemp(name)
        done = sweep(root, *arguments)
        assert done.returncode == 0, done.stderr
        content[name] = left(root)
        assert len(reader.run_folders([root])) == 4
    return content


@pytest.mark.parametrize(
    ("name", "arguments"), [("nudging", NUDGING), ("stories", STORIES)], ids=["nudging", "stories"]
)
def test_the_fused_launcher_leaves_the_same_files(
    name: str, arguments: list[str], one_by_one, tmp_path: Path
) -> None:
    done = sweep(tmp_path, *arguments, launcher="fused")
    assert done.returncode == 0, done.stderr
    assert left(tmp_path) == one_by_one[name]
    facts = [reader.read_facts(folder) for folder in reader.run_folders([tmp_path])]
    assert [[segment["together"] for segment in run["segments"]] for run in facts] == [[4]] * 4


def test_jobs_that_differ_in_more_fall_into_groups(tmp_path: Path) -> None:
    grid = ["guide=a-small-chat,b-small-chat", "method.threshold=0.3,0.6", "limit=4"]
    done = sweep(tmp_path, *grid, launcher="fused")
    assert done.returncode == 0, done.stderr
    folders = reader.run_folders([tmp_path])
    assert len(folders) == 4
    for folder in folders:
        assert [s["together"] for s in reader.read_facts(folder)["segments"]] == [2]


def test_vectors_and_methods_without_a_dial_run_one_by_one(tmp_path: Path) -> None:
    done = sweep(tmp_path, "method=base,guide", "limit=3", launcher="fused")
    assert done.returncode == 0, done.stderr
    vectors = ["experiment=vector-advice", "method.strength=0,1", "limit=3"]
    done = sweep(tmp_path, *vectors, launcher="fused")
    assert done.returncode == 0, done.stderr
    folders = reader.run_folders([tmp_path])
    assert len(folders) == 4
    assert all(reader.read_facts(f)["segments"][0]["together"] == 1 for f in folders)


@pytest.mark.parametrize("launcher", ["basic", "fused", "joblib"])
def test_a_failing_job_says_its_own_error_and_stops_no_other(launcher: str, tmp_path: Path) -> None:
    # Its vocabulary is another, which shows only when both tokenizers are loaded.
    grid = ["experiment=dera-stories", "base=a-small-sft,b-small-chat", "method.strength=0.5,1.5"]
    done = sweep(tmp_path, *grid, "limit=3", launcher=launcher)
    assert done.returncode == 1
    assert "2 of 4 runs failed" in done.stderr
    closing = done.stderr[done.stderr.index("2 of 4 runs failed") :]
    assert closing.count("ocabular") == 2
    assert "Traceback" not in done.stderr
    finished = [f for f in reader.run_folders([tmp_path]) if reader.read_summary(f)]
    assert len(finished) == 2


@pytest.mark.parametrize("launcher", ["basic", "fused"])
def test_a_killed_sweep_goes_on(launcher: str, one_by_one, tmp_path: Path) -> None:
    words = ["run", "-m", f"hydra/launcher={launcher}", *NUDGING, "results=results"]
    with subprocess.Popen(
        [sys.executable, "-m", "trimtab", *words],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and len(lines(tmp_path)) < 24:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    kept = lines(tmp_path)
    assert 24 <= len(kept) < 80, "it ended before it could be killed"
    done = sweep(tmp_path, *NUDGING, launcher=launcher)
    assert done.returncode == 0, done.stderr
    assert left(tmp_path) == one_by_one["nudging"]
    assert computed(tmp_path) == 80, "a sample was computed twice"
    # Once more: nothing is done, so there is not another stretch of work.
    facts = [reader.read_facts(folder) for folder in reader.run_folders([tmp_path])]
    assert sweep(tmp_path, *NUDGING, launcher=launcher).returncode == 0
    assert [reader.read_facts(folder) for folder in reader.run_folders([tmp_path])] == facts


def computed(root: Path) -> int:
    """Return how many samples were computed in all stretches of work below a folder."""
    runs = [reader.read_facts(folder) for folder in reader.run_folders([root])]
    return sum(segment["samples"] for run in runs for segment in run["segments"])


def lines(root: Path) -> list[str]:
    """Return the whole lines of all samples below a folder."""
    files = root.rglob("samples.jsonl")
    return [line for f in files for line in f.read_text().splitlines(True) if line[-1] == "\n"]


@pytest.mark.parametrize(
    "launcher", ["joblib", "submitit", pytest.param("ray", marks=pytest.mark.ray)]
)
def test_hydras_launchers_leave_the_same_files(launcher: str, one_by_one, tmp_path: Path) -> None:
    done = sweep(tmp_path, *NUDGING, launcher=launcher)
    assert done.returncode == 0, done.stderr
    assert left(tmp_path) == one_by_one["nudging"]
