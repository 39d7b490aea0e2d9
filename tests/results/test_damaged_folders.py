"""A damaged run folder is named with what is wrong; the others are read as if it were not there."""

import csv
import io
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from damaged_folders import OF_RECORDS, OF_SAMPLES, Damage
from matplotlib.figure import Figure
from run_folders import write_run

from trimtab import report
from trimtab.cli import main
from trimtab.report import tables
from trimtab.results import frames
from trimtab.results.finished import survey
from trimtab.runs import reader, run_folder
from trimtab.vectors.show import picture

Command = Callable[..., tuple[int, str, str]]

_FILE = dict.fromkeys(("run", "content", "git", "hardware", "segments"), "run.json") | {
    "config": "config.yaml"
}


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `trimtab` with arguments: exit status, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["trimtab", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main.main()
        out, err = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, out, err

    return run


def folders(root: Path, damages: dict[str, Damage]) -> tuple[list[Path], dict[str, Path]]:
    """Write two good runs and one for each damage."""
    good = [write_run(root, [1, 0, 1, 1], value=0.2), write_run(root, [0, 0, 1, 0], value=0.4)]
    hurt = {}
    for number, (name, damage) in enumerate(damages.items()):
        hurt[name] = write_run(root, [1, 0, 1, 1], value=1 + number)
        damage(hurt[name])
    return good, hurt


def test_damaged_records_are_named_and_the_others_read(tmp_path: Path, command: Command) -> None:
    good, hurt = folders(tmp_path, OF_RECORDS)
    found = survey([tmp_path])
    assert [run.folder for run in found.runs] == sorted(good)
    assert {*found.damaged} == {*hurt.values()}
    for arguments in (["table"], ["choose"], ["report", "--out", tmp_path / "out"]):
        code, out, err = command(*arguments[:1], tmp_path, *arguments[1:])
        assert (code, err) == (0, "")
        assert "0.750 [" in out and "0.250 [" in out
        assert f"Left out: {len(hurt)} damaged:" in out
        for name, folder in hurt.items():
            (line,) = (line for line in out.splitlines() if line.startswith(f"  {folder}: "))
            assert line.removeprefix(f"  {folder}: ").startswith(
                _FILE.get(name.split()[0], "summary.json")
            )


@pytest.mark.slow
def test_damaged_samples_are_named_by_those_who_read_them(tmp_path: Path, command: Command) -> None:
    good, hurt = folders(tmp_path, OF_SAMPLES)
    for arguments in (["choose"], ["report"], ["table", "--against", good[0]]):
        code, out, err = command(arguments[0], tmp_path, *arguments[1:])
        assert (code, err) == (0, "")
        assert "0.750 [" in out and "0.250 [" in out
        assert f"Left out: {len(hurt)} damaged:" in out
        assert all(f"  {folder}: samples.jsonl" in out for folder in hurt.values())


def test_python_reads_what_is_good_and_names_the_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, hurt = folders(tmp_path, OF_RECORDS | OF_SAMPLES)
    with caplog.at_level(logging.WARNING):
        runs = frames.read([tmp_path])
    assert {run.folder for run in runs} == {*good, *(hurt[name] for name in OF_SAMPLES)}
    assert all(str(hurt[name]) in caplog.text for name in OF_RECORDS)
    assert len(frames.runs_table(runs)) == len(runs)
    caplog.clear()
    table = frames.samples_table(runs)
    assert len(table) == 4 * len(good)
    assert all(str(hurt[name]) in caplog.text for name in OF_SAMPLES)
    first = next(run for run in runs if run.folder == good[0])
    for run in runs:
        if run.folder not in good:
            with pytest.raises(reader.Damaged, match=r"samples\.jsonl"):
                frames.compare(first, run)


@pytest.mark.parametrize(
    "name", sorted(OF_SAMPLES.keys() - {"a line of 100 MB"})
)  # has no end: is torn
def test_a_run_does_not_go_on_with_damaged_samples(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path, [1, 0], value=0.2)
    OF_SAMPLES[name](folder)
    with pytest.raises((ValueError, OSError)), run_folder.RunFolder(folder):
        reader.read_samples(folder)


def test_a_link_to_a_run_is_followed_and_another_named(tmp_path: Path, command: Command) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    write_run(here, [1, 0], value=0.2)
    linked = write_run(elsewhere, [1, 1], value=0.4)
    for name in (linked.name, "again"):
        (here / "word-problems" / "nudging" / name).symlink_to(linked)
    (here / "all").symlink_to(elsewhere)
    (here / "round").symlink_to(here)
    code, out, _ = command("table", here)
    assert code == 0
    assert out.count("nudging") == 2
    assert f"{here / 'all'}, {here / 'round'}" in "".join(out.splitlines()).replace("  ", " ")


def test_nothing_but_damage_is_a_message(tmp_path: Path, command: Command) -> None:
    folder = write_run(tmp_path, [1, 0], value=0.2)
    (folder / "summary.json").write_text("{}")
    code, _, err = command("table", tmp_path)
    assert code == 1
    assert f"{folder}: summary.json has no task" in err
    assert "Traceback" not in err


def test_a_draft_that_is_not_finished_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_run(tmp_path, [1, 0], value=0.2)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def full(self: Path, text: str, *_: object, **__: object) -> int:
        with self.open("w") as stream:
            stream.write(text[:9])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with run_folder.RunFolder(folder) as run:
        with pytest.raises(OSError, match="No space left"):
            run.write_summary({"x": 1})
        with pytest.raises(OSError, match="No space left"):
            run.write_samples([json.loads("{}")])
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


NAME = "$x^{\x1b[31mred\x1b]0;title\x07[bold]\ud800 =1+1 \u202e\n#"


def hostile(root: Path) -> list[Path]:
    """Write two runs whose names steer terminals, spreadsheets, LaTeX and matplotlib."""
    measures = {"accuracy_$\x1b[2J_{": [0.5, 0.25, 1, 0]}
    written = [
        write_run(root, [1, 0, 1, 1], value=value, measures=measures) for value in (0.2, 0.4)
    ]
    for folder in written:
        config = folder / "config.yaml"
        name = json.dumps(NAME.replace("\ud800", ""))  # has no place in YAML
        config.write_text(config.read_text().replace("zoo:base-model", name))
        summary = json.loads((folder / "summary.json").read_text())
        summary["task"]["source"] = NAME
        (folder / "summary.json").write_text(json.dumps(summary))
    return written


def test_names_from_files_steer_nothing(tmp_path: Path, command: Command) -> None:
    first, _ = hostile(tmp_path / "$[/bold]\x1b[31m")
    for arguments in (["table", "--against", first], ["choose"], ["report"]):
        code, out, err = command(arguments[0], tmp_path, *arguments[1:])
        assert (code, err) == (0, "")
        assert r"\x1b[31mred\x1b]0;title\x07[bold]\ud800" in out
        assert all(character.isprintable() for character in out.replace("\n", ""))
    files = {file.name: file.read_text("utf-8") for file in (tmp_path / "report").glob("table.*")}
    assert "\x1b" not in files["table.md"] + files["table.tex"]
    assert r"\textbackslash{}x1b[31mred" in files["table.tex"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.json").write_text("{}")
    (tmp_path / "other" / "summary.json").write_text('{"\x1b[31m": 1, "task": {"metric": [1]}}')
    _, out, _ = command("table", tmp_path)
    assert "\x1b" not in out and "1 damaged" in out


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_spreadsheet_is_a_formula(tmp_path: Path, start: str) -> None:
    folder = write_run(tmp_path, [1, 0], value=0.2)
    summary = json.loads((folder / "summary.json").read_text())
    estimate = {"value": -0.5, "n": 2, "ci95": None}
    summary["metrics"][f"{start}metric"] = estimate
    summary["dial"]["name"] = f"{start}cmd|' /C calc'!A0"
    (folder / "summary.json").write_text(json.dumps(summary))
    head, row = csv.reader(io.StringIO(tables.csv(frames.read([tmp_path]))))
    assert [cell for cell in [*head, *row] if cell.startswith(start) and cell != "-0.5"] == []
    (metric,) = (name for name in head if name.endswith("metric"))
    assert metric[0] in "'\\" and row[head.index(metric)] == "-0.5"


@pytest.mark.slow
def test_a_report_replaces_another_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "runs", [1, 0], value=0.2)
    write_run(tmp_path / "runs", [1, 1], value=0.4)
    out = tmp_path / "out"
    report.write(frames.read([tmp_path / "runs"]), out, [])
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    assert len(before) > 4
    write_run(tmp_path / "runs", [1, 1], value=0.6)

    def full(figure: Figure, path: Path, **_: object) -> None:
        path.write_bytes(b"x")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Figure, "savefig", full)
        with pytest.raises(OSError, match="No space left"):
            report.write(frames.read([tmp_path / "runs"]), out, [])
        drawn = tmp_path / "picture.png"
        with pytest.raises(OSError, match="No space left"):
            picture.save(Figure(), drawn)
        assert list(tmp_path.glob("*pic*")) == list(tmp_path.glob(".*")) == []
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before
    report.write(frames.read([tmp_path / "runs"]), out, [])
    assert {file: file.read_bytes() for file in before} != before


def test_long_names_are_cut_and_told_apart(tmp_path: Path) -> None:
    metrics = {"m" * 300 + end: [0.5, 0.25] for end in ("a", "b")}
    for value in (0.2, 0.4):
        write_run(tmp_path, [1, 0], value=value, task="t" * 250, metric="é" * 300, measures=metrics)
    files = report.write(frames.read([tmp_path]), tmp_path / "out", [])
    assert len({*files}) == len(files) and all(file.stat().st_size for file in files)
