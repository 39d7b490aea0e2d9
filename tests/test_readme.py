"""The README's Python runs as it stands, and is as short as it should be."""

import contextlib
import io
import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_python_example_runs() -> None:
    code, *_ = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    statements = [line for line in code.splitlines() if line and not line.startswith(" ")]
    assert len(statements) < 10
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    lines = printed.getvalue().splitlines()
    assert any(line.startswith("guide") for line in lines)
    assert any(line.startswith("base") for line in lines)
