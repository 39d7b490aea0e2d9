"""The table over run folders says what their summaries say."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from run_folders import write_run

from trimtab import cli, results, statistics, table


def shown(found: list[results.Run], against: results.Run | None = None) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table.render(found, against))
    return console.export_text()


def test_rows_say_what_the_summaries_say(tmp_path: Path) -> None:
    write_run(tmp_path, [1] * 9 + [0], value=0.4)
    (run,) = results.read([tmp_path])
    assert (run.task, run.method, run.models, run.value) == (
        "word-problems",
        "nudging",
        "base-model + guide-model",
        0.4,
    )
    text = shown([run])
    low, high = run.score["ci95"]
    assert f"0.900 [{low:.3f}, {high:.3f}]" in text
    assert "1,234" in text or "1,235" in text


def test_unfinished_runs_are_left_out(tmp_path: Path) -> None:
    (write_run(tmp_path, [1, 0], method="base") / "summary.json").unlink()
    assert results.read([tmp_path]) == []


def test_a_comparison_is_paired(tmp_path: Path) -> None:
    first = [1.0] * 8 + [0.0] * 2
    second = [1.0] * 2 + [0.0] * 8
    write_run(tmp_path, first)
    write_run(tmp_path, second, method="base")
    found = {run.method: run for run in results.read([tmp_path])}
    text = shown(list(found.values()), against=found["base"])
    # Six pairs differ, all one way: the exact McNemar test gives 2 / 2^6.
    assert "+0.600, p = 0.031" in text
    assert statistics.paired(
        dict(enumerate(first)), dict(enumerate(second))
    ).p_value == pytest.approx(2 / 2**6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "'nowhere' is no folder"),
        (["."], "No finished run below ."),
        ([".", "--against", "nowhere"], "'nowhere' is no folder"),
    ],
)
def test_what_is_missing_is_said(monkeypatch, tmp_path, capsys, arguments, message) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["trimtab", "table", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert message in capsys.readouterr().err
