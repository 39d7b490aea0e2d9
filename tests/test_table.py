"""The table over run folders says what their summaries say."""

import io
import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from trimtab import cli, record, statistics, table


def run_folder(root: Path, method: str, right: list[bool], **dial: float) -> Path:
    """Write a finished run with given scores."""
    folder = root / "word-problems" / method / f"{len(list(root.rglob('run.json'))):012d}"
    folder.mkdir(parents=True)
    samples = [{"id": str(i), "scores": {"accuracy": float(r)}} for i, r in enumerate(right)]
    (folder / "samples.jsonl").write_text("".join(json.dumps(s) + "\n" for s in samples))
    (folder / "run.json").write_text("{}")
    config = {"method": {"base": {"path": "zoo:one"}, "guide": {"path": "zoo:two"}, **dial}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    score = statistics.proportion(sum(right), len(right)).to_dict()
    summary = {
        "task": {"metric": "accuracy", "source": "made by hand"},
        "metrics": {"accuracy": score},
        "cost": {"tokens_per_second": 1234.5},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def shown(found: list[table.Row], against: table.Row | None = None) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table.render(found, against))
    return console.export_text()


def test_rows_say_what_the_summaries_say(tmp_path: Path) -> None:
    run_folder(tmp_path, "nudging", [True] * 9 + [False], threshold=0.4)
    (row,) = table.rows(record.run_folders([tmp_path]))
    assert (row.task, row.method, row.models, row.dial) == (
        "word-problems",
        "nudging",
        "one + two",
        0.4,
    )
    text = shown([row])
    low, high = row.score["ci95"]
    assert f"0.900 [{low:.3f}, {high:.3f}]" in text
    assert "1,234" in text or "1,235" in text


def test_unfinished_runs_are_left_out(tmp_path: Path) -> None:
    (run_folder(tmp_path, "base", [True, False]) / "summary.json").unlink()
    assert list(table.rows(record.run_folders([tmp_path]))) == []


def test_a_comparison_is_paired(tmp_path: Path) -> None:
    first = [True] * 8 + [False] * 2
    second = [True] * 2 + [False] * 8
    run_folder(tmp_path, "nudging", first)
    run_folder(tmp_path, "base", second)
    found = {row.method: row for row in table.rows(record.run_folders([tmp_path]))}
    text = shown(list(found.values()), against=found["base"])
    # Six pairs differ, all one way: the exact McNemar test gives 2 / 2^6.
    assert "+0.600, p = 0.031" in text
    assert statistics.paired(
        dict(enumerate(map(float, first))), dict(enumerate(map(float, second)))
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
