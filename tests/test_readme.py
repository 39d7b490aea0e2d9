"""What the README shows runs as it stands, and is as short as it should be."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab import record

TEXT = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
# Those that begin with the name of the file that they are.
FILES = re.findall(r"```\w+\n# (\S+)\n(.*?)```", TEXT, re.DOTALL)


def test_the_python_examples_run() -> None:
    first, second = (code for code in PYTHON if not code.startswith("# "))
    statements = [line for line in first.splitlines() if line and not line.startswith(" ")]
    assert len(statements) < 10
    names: dict[str, object] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for code in (first, second):
            exec(compile(code, "README.md", "exec"), names)
    lines = printed.getvalue().splitlines()
    assert any(line.startswith("guide") for line in lines)
    assert any(line.startswith("base") for line in lines)


@pytest.mark.parametrize(("task", "asked"), [("capitals", "France?"), ("shout", "Say hello 1")])
def test_own_tasks_run(tmp_path: Path, task: str, asked: str) -> None:
    for name, content in FILES:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, "utf-8")
    (tmp_path / "capitals.csv").write_text("question,answer\nFrance?,Paris\nItaly?,Rome\n")
    command = ["run", "--config-dir", "choices", f"task={task}", "method=guide", "limit=2"]
    subprocess.run([sys.executable, "-m", "trimtab", *command], cwd=tmp_path, check=True)
    (folder,) = record.run_folders([tmp_path / "results"])
    first, _ = record.read_samples(folder)
    assert first["question"].startswith(asked)
    assert set(first["scores"]) == {"accuracy"}
