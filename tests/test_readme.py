"""What the README shows runs as it stands, and is as short as it should be."""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import command

from trimtab import Completion
from trimtab.runs import reader
from trimtab.vectors import extract

TEXT = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
# Those that begin with the name of the file that they are.
FILES = re.findall(r"```\w+\n# (\S+)\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.slow
def test_the_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, first, streamed, formula, second = (
        code for code in PYTHON if not code.startswith("# ")
    )
    statements = [line for line in first.splitlines() if line and not line.startswith(" ")]
    assert len(statements) < 10
    monkeypatch.chdir(tmp_path)
    for name, rank in (("expert", None), ("dpo", 16)):
        out = "brief" if name == "dpo" else name
        extract(base="zoo:a-small-sft", aligned=f"zoo:a-small-{name}", out=out, rank=rank)
    names: dict[str, object] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for code in (first, streamed, formula, second, vectors):
            exec(compile(code, "README.md", "exec"), names)
    lines = printed.getvalue().splitlines()
    answer = names["answer"]
    assert isinstance(answer, Completion)
    # By complete(), by stream_pieces(), and inside generate().
    assert lines.count(answer.text) == 3
    assert any("Leo" in line for line in lines)
    (said,) = re.findall(r"# \.\.\. (.*)", formula)
    assert any(line.endswith(said) for line in lines)
    assert any(line.startswith("guide") for line in lines)
    assert any(line.startswith("base") for line in lines)


def test_each_promise_names_the_tests_that_hold_it() -> None:
    section = TEXT.split("## What holds")[1].split("\n## ")[0]
    tests = Path(__file__).parent.rglob("test_*.py")
    known = {
        name for file in tests for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)
    }
    promises = section.split("\n- ")[1:]
    assert promises
    for promise in promises:
        named = set(re.findall(r"`(test_\w+)`", promise))
        assert named and named <= known, promise


@pytest.mark.slow
def test_the_commands_of_vectors_run(tmp_path: Path) -> None:
    section = TEXT.split("## Alignment vectors")[1].split("\n## ")[0]
    shell = "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))
    shell = shell.replace("limit=100", "limit=20").replace("--trials 20", "--trials 2")
    for line in filter(None, shell.replace("\\\n", " ").splitlines()):
        program, *arguments = shlex.split(line, comments=True)
        assert program == "trimtab"
        done = command(tmp_path, *arguments)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "vectors.png").stat().st_size > 1000
    assert (tmp_path / "moved" / "README.md").is_file()
    assert len(reader.run_folders([tmp_path / "results"])) == 3


@pytest.mark.process
@pytest.mark.parametrize(("task", "asked"), [("capitals", "France?"), ("shout", "Say hello 1")])
def test_own_tasks_run(tmp_path: Path, task: str, asked: str) -> None:
    for name, content in FILES:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, "utf-8")
    (tmp_path / "capitals.csv").write_text("question,answer\nFrance?,Paris\nItaly?,Rome\n")
    command = ["run", "--config-dir", "choices", f"task={task}", "method=guide", "limit=2"]
    subprocess.run([sys.executable, "-m", "trimtab", *command], cwd=tmp_path, check=True)
    (folder,) = reader.run_folders([tmp_path / "results"])
    first, _ = reader.read_samples(folder)
    assert first["question"].startswith(asked)
    assert set(first["scores"]) == {"accuracy"}
