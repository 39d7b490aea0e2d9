"""Every notebook runs from top to bottom, on results that the command it names makes."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import pytest

from trimtab.cli import run_command
from trimtab.results import frames
from trimtab.results.choice import Choice

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
BY_RESULTS = {
    "threshold": ("nudging", "accuracy"),
    "strength": ("dera", "reward"),
    "vectors": ("alignment_vector", "expert"),
}
LIMIT = 12


def cells(path: Path, kind: str) -> list[dict]:
    return [c for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == kind]


def execute(path: Path, code: list[dict]) -> dict[str, Any]:
    # The cells are plain Python: one namespace runs them as a kernel would.
    namespace: dict = {}
    for cell in code:
        exec(compile("".join(cell["source"]), str(path), "exec"), namespace)
    return namespace


def command(path: Path) -> list[str]:
    """Return the words of the command that a notebook says makes its results."""
    text = "".join(cells(path, "markdown")[0]["source"])
    (block,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return shlex.split(block.replace("\\\n", " "))


def shortened(words: list[str]) -> list[str]:
    """Return a sweep's settings with three values of the dial and few samples."""
    short = []
    for word in words:
        name, _, given = word.partition("=")
        values = given.split(",")
        if len(values) > 1:
            word = f"{name}={values[0]},{values[len(values) // 2]},{values[-1]}"
        short.append(f"limit={LIMIT}" if name == "limit" else word)
    return short


@pytest.fixture(scope="session")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of every notebook's command, shortened."""
    root = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(sys, "argv", sys.argv)  # the command sets it
        for name in BY_RESULTS:
            (path,) = (path for path in NOTEBOOKS if path.stem == name)
            program, action, *settings = command(path)
            assert (program, action) == ("trimtab", "run")
            assert run_command.main([*shortened(settings), f"results={root}"]) == 0
    return root


@pytest.fixture
def figures() -> Iterator[None]:
    """Draw to memory, and leave no figure behind."""
    before = matplotlib.get_backend()
    matplotlib.use("Agg")
    yield
    plt.close("all")
    matplotlib.use(before)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    code = cells(path, "code")
    assert code
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)


@pytest.mark.slow
def test_first_steps_runs() -> None:
    (path,) = (path for path in NOTEBOOKS if path.stem == "first_steps")
    namespace = execute(path, cells(path, "code"))
    assert len(namespace["answers"]["nudging"]) == len(namespace["questions"])


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_RESULTS)
def test_a_notebook_shows_the_results_of_its_command(
    name: str, sweeps: Path, figures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, metric = BY_RESULTS[name]
    (path,) = (path for path in NOTEBOOKS if path.stem == name)
    monkeypatch.setenv("TRIMTAB_RESULTS", str(sweeps))
    before = {file: file.stat().st_mtime_ns for file in sweeps.rglob("*")}
    namespace = execute(path, cells(path, "code"))
    assert {file: file.stat().st_mtime_ns for file in sweeps.rglob("*")} == before  # read only

    runs = [run for run in frames.read([sweeps]) if run.method == method]
    dial = sorted(run.value for run in runs)
    choice = namespace["choice"]
    assert isinstance(choice, Choice)
    assert choice.metric == metric
    assert [position.value for position in choice.positions] == dial
    assert {position.score["n"] for position in choice.positions} == {LIMIT}

    drawn = [axes for number in plt.get_fignums() for axes in plt.figure(number).axes]
    frontier = {"kl from the reference"} if method == "dera" else set()
    assert {axes.get_xlabel() for axes in drawn} == {choice.best.run.dial} | frontier
    score = [run.score["value"] for run in sorted(runs, key=lambda run: run.value)]
    lines = [list(line.get_ydata()) for axes in drawn for line in axes.lines]
    assert score in lines
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()  # warnings are errors


@pytest.mark.parametrize("name", BY_RESULTS)
def test_a_notebook_without_results_says_what_makes_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = (path for path in NOTEBOOKS if path.stem == name)
    monkeypatch.setenv("TRIMTAB_RESULTS", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"nowhere: see the command above"):
        execute(path, cells(path, "code")[:1])
