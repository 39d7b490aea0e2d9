"""The table over run folders says what their summaries say."""

import cProfile
import io
import json
import pstats
import re
from pathlib import Path

import pytest
from rich.console import Console
from run_folders import write_run

from trimtab.cli import main
from trimtab.results import frames, terminal
from trimtab.results.comparisons import comparisons
from trimtab.results.differences import differing
from trimtab.statistics import estimates


def shown(found: list[frames.Run], against: frames.Run | None = None) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(terminal.render(found, against))
    return console.export_text()


def test_rows_say_what_the_summaries_say(tmp_path: Path) -> None:
    write_run(tmp_path, [1] * 9 + [0], value=0.4)
    (run,) = frames.read([tmp_path])
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


def change(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


def test_settings_in_which_runs_differ_are_shown_and_no_others(tmp_path: Path) -> None:
    first = write_run(tmp_path, [1, 0], method="base")
    other = write_run(tmp_path, [1, 1], method="base", split="test")
    nudged = write_run(tmp_path, [0, 1], value=0.4)
    write_run(tmp_path, [0, 1], value=0.6)
    assert "settings" in shown(frames.read([tmp_path]))  # the split
    change(other, "config.yaml", "split: test", "split: validation")
    assert "settings" not in shown(frames.read([tmp_path]))
    change(other, "config.yaml", "seed: 0", "seed: 0\n  top_p: null")
    assert "settings" not in shown(frames.read([tmp_path]))  # null is as good as not there
    change(first, "config.yaml", "limit: 2", "limit: 2\nlimit_seed: 609")
    change(other, "config.yaml", "split: validation", "split: validation\n  likelihood: sum")
    change(nudged, "config.yaml", "threshold: 0.4", "threshold: 0.4\n  system: '[bold] x'")
    lines = shown(frames.read([tmp_path])).splitlines()
    rows = {line.split()[0]: line for line in lines if "base-model + guide-model" in line}
    assert len(rows) == 4
    settings = {
        place: re.findall(r"\S+=(?:\[bold\] )?\S+", rows[place.name[:6]])
        for place in (first, other, nudged)
    }
    assert settings == {
        first: ["limit_seed=609"],
        other: ["task.likelihood=sum"],
        nudged: ["method.system=[bold] x"],
    }
    (row,) = (line for line in lines if " 0.6 " in line)
    assert "=" not in row


def test_answers_that_a_judge_left_unscored_are_shown(tmp_path: Path) -> None:
    judged, ruled = (write_run(tmp_path, [1, 0, 1], method=name) for name in ("base", "guide"))
    for folder, metrics in ((judged, ["accuracy"]), (ruled, ["correct"])):
        summary = json.loads((folder / "summary.json").read_text())
        summary["scorers"] = {"judge": {"metrics": metrics, "scored": 3, "unscored": 4}}
        (folder / "summary.json").write_text(json.dumps(summary))
    first, second = frames.read([tmp_path])
    assert (first.count, second.count) == ("3 (4 unscored)", "3")
    text = shown([first, second])
    assert text.count("3 (4 unscored)") == 1
    assert list(frames.runs_table([first, second])["unscored"]) == [4, 0]


def test_no_cell_is_broken_on_a_narrow_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path, [1, 0, 1], method="base")
    write_run(tmp_path, [1, 1, 1], value=0.25, measures={"guide_ratio": [0.1] * 3})
    change(folder, "config.yaml", "seed: 0", f"seed: 0\n  a_setting_with_a_long_name: {'x' * 30}")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.argv", ["trimtab", "table", str(tmp_path), "--against", str(folder)])
    with pytest.raises(SystemExit):
        main.main()
    text = capsys.readouterr().out
    for whole in ("generation.a_setting_with_a_long_name=" + "x" * 30, "+0.333", "No room here"):
        assert whole in text
    assert "…" not in text


def test_a_table_fits_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write_run(tmp_path, [1, 0, 1] * 40, method="base")
    for value in (0.25, 0.5):
        write_run(tmp_path, [1, 1, 0] * 40, value=value, measures={"guide_ratio": [0.1] * 120})
    write_run(tmp_path, [1, 0, 0] * 40, value=0.25, split="test")
    monkeypatch.setenv("COLUMNS", "80")
    for arguments, absent in (
        ([], []),
        (["--against", first.name[:6]], ["tokens/s", "guide words", "wins"]),
    ):
        monkeypatch.setattr("sys.argv", ["trimtab", "table", str(tmp_path), *arguments])
        with pytest.raises(SystemExit):
            main.main()
        text = capsys.readouterr().out
        assert max(map(len, text.splitlines())) <= 80
        low, high = estimates.proportion(80, 120).ci95
        cells = ["nudging", "base-model +", "task.split=test", f"[{low:.3f}, {high:.3f}]", "120"]
        assert [cell for cell in cells if cell not in text] == []
        assert (f"No room here for {', '.join(absent)}." in text) == bool(absent)
        assert ("1,234" in text) == (not absent)  # or all columns are there


def test_columns_are_chosen_and_named_as_in_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loops = {"repetition": [0.25, 0.75]}
    nudged = write_run(tmp_path, [1, 0], value=0.4, measures=loops)
    write_run(tmp_path, [1, 1], method="base")

    def said(columns: str, *arguments: str) -> str:
        given = ["trimtab", "table", str(tmp_path), "--columns", columns, *arguments]
        monkeypatch.setattr("sys.argv", given)
        with pytest.raises(SystemExit):
            main.main()
        return "".join(capsys.readouterr())

    monkeypatch.setenv("COLUMNS", "200")
    text = said("method,dial=gamma,repetition=loops,accuracy")
    head = next(line for line in text.splitlines() if "method" in line)
    assert head.split() == ["run", "method", "gamma", "loops", "accuracy"]
    row = next(line for line in text.splitlines() if nudged.name[:6] in line)
    low, high = (100 * end for end in estimates.mean([0.25, 0.75]).ci95)
    assert row.split()[1:4] == ["nudging", "0.4", "50.0"]
    assert f"[{low:.1f} %, {high:.1f} %]" in row
    compared = said("accuracy", "--against", nudged.name[:6])
    assert "+0.500" in compared and "tokens/s" not in compared
    assert "'accurcy' is not known. Did you mean 'accuracy'" in said("accurcy")
    assert "two columns have the head 'x'" in said("dial=x,n=x")
    assert "two columns have the head 'run'" in said("run,n")
    assert "two columns have the head 'n'" in said("n,dial,n")


def test_one_run_of_several_is_named_by_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [write_run(tmp_path / "results", [1, 0], value=value) for value in (0.1, 0.2, 0.3)]
    monkeypatch.chdir(tmp_path)

    def said(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["trimtab", *arguments])
        with pytest.raises(SystemExit):
            main.main()
        return "".join(capsys.readouterr())

    (shown,) = re.findall(r"^ (\w{6}) +nudging", said("table", folders[1].name[:6]), re.MULTILINE)
    assert shown == folders[1].name[:6]
    assert "+0.000" in said("table", "--against", shown)
    assert " 0.3:" not in said("choose", *(folder.name[:6] for folder in folders[:2]))
    assert said("report", shown, "--out", "out").count("nudging") == 1
    assert "holds 3 finished runs, of which one is meant" in said("table", "--against", "results")
    assert "no run has it for its id. Here are" in said("table", "--against", "fffffff")
    assert "is no folder" in said("choose", "nowhere")
    write_run(tmp_path / "results" / "again", [1, 0], value=0.1)
    assert f"is the id of 2 runs. Give its folder: {folders[0].relative_to(tmp_path)}" in said(
        "table", "--against", folders[0].name[:6]
    ).replace("results/again/word-problems", "results/word-problems")


def test_unfinished_runs_are_left_out(tmp_path: Path) -> None:
    (write_run(tmp_path, [1, 0], method="base") / "summary.json").unlink()
    assert frames.read([tmp_path]) == []


def test_a_comparison_is_paired(tmp_path: Path) -> None:
    first = [1.0] * 8 + [0.0] * 2
    second = [1.0] * 2 + [0.0] * 8
    write_run(tmp_path, first)
    write_run(tmp_path, second, method="base")
    found = {run.method: run for run in frames.read([tmp_path])}
    text = shown(list(found.values()), against=found["base"])
    # Six pairs differ, all one way: the exact McNemar test gives 2 / 2^6.
    low, high = estimates.paired(dict(enumerate(first)), dict(enumerate(second))).ci95
    assert f"+0.600 [{low:+.3f}, {high:+.3f}]" in text
    assert " 0.031 " in text and "exact McNemar test, corrected for 1 comparison (Holm)" in text
    assert estimates.paired(
        dict(enumerate(first)), dict(enumerate(second))
    ).p_value == pytest.approx(2 / 2**6)


def test_comparisons_are_corrected_for_their_number(tmp_path: Path) -> None:
    reference = write_run(tmp_path, [0] * 12, method="base")
    scores = {0.2: [1] * 6 + [0] * 6, 0.4: [1] * 8 + [0] * 4, 0.6: [1] * 2 + [0] * 10}
    for value, column in scores.items():
        write_run(tmp_path, column, value=value)
    other = write_run(tmp_path, [1] * 12, method="guide")
    change(other, "samples.jsonl", "What is 3 and 3?", "And this?")
    runs = frames.read([tmp_path])
    found = list(zip(runs, comparisons(runs, frames.read([reference])[0]), strict=True))
    # All pairs that differ do so one way, so exact McNemar's p is 2 / 2^n; Holm's factors are the
    # ranks from the largest.
    p_values = {run.value: one.p_value for run, one in found if one.paired}
    assert p_values == pytest.approx({0.4: 3 * 2 / 2**8, 0.2: 2 * 2 / 2**6, 0.6: 2 / 2**2})
    assert {one.reason for _, one in found if not one.paired} == {"-", "other samples"}


def test_runs_that_another_version_of_the_rule_scored_are_said(tmp_path: Path) -> None:
    folders = [write_run(tmp_path, [1, 0, 1], value=value) for value in (0.2, 0.4, 0.6)]
    assert "Not scored by the same version" not in shown(frames.read(folders))
    for folder in folders[:2]:
        summary = json.loads((folder / "summary.json").read_text())
        summary["task"]["rule"] = "readers-2"
        (folder / "summary.json").write_text(json.dumps(summary))
    text = shown(frames.read(folders))
    assert "Not scored by the same version" in text
    assert f"summary.json): {folders[2].name[:6]}." in text
    against = shown(frames.read(folders[:2]), against=frames.read(folders[2:])[0])
    assert f"summary.json): {folders[2].name[:6]}." in against


def test_other_rows_or_words_under_the_same_settings_are_said(tmp_path: Path) -> None:
    folders = [write_run(tmp_path, [1, 0, 1], value=value) for value in (0.2, 0.4, 0.6, 0.8)]
    facts = [{"data": "a"}, {"data": "a"}, {"data": "b"}, {"data": "a", "day": "2026-01-02"}]
    for folder, content in zip(folders, facts, strict=True):
        (folder / "run.json").write_text(json.dumps({"content": content}))
    names = [folder.name[:6] for folder in folders]
    text = shown(frames.read(folders))
    assert "Not of the same rows as the others" in text
    assert f"run.json): {names[2]}." in text
    against = shown(frames.read(folders), against=frames.read(folders[:1])[0])
    note = against[against.index("The same rows, but not asked in the same words") :]
    assert {name for name in names if name in note.partition(":")[2]} == {names[2], names[3]}
    (folders[2] / "run.json").write_text(json.dumps({"content": {"data": "a"}}))
    assert "Not of the same rows" not in shown(frames.read(folders))


def test_settings_that_change_no_answer_are_not_shown(tmp_path: Path) -> None:
    first, second = (write_run(tmp_path, [1, 0], method=name) for name in ("base", "guide"))
    for folder, size in ((first, 8), (second, 16)):
        own = f"_target_: trimtab.decoding.Generation\n  batch_size: {size}\n  seed: {size}"
        change(folder, "config.yaml", "seed: 0", own)
    text = shown(frames.read([tmp_path]))
    assert "generation.seed=16" in text
    assert "batch_size" not in text


def test_the_work_of_a_table_grows_in_proportion_to_its_runs(tmp_path: Path) -> None:
    calls = []
    for count in (20, 40):
        runs = [
            frames.Run(
                folder=Path(f"task/base/{number:012}"),
                config={"method": {}, "task": {f"s{i}": number for i in range(9)}},
                summary={"task": {"metric": "m", "source": ""}, "metrics": {"m": {}}},
            )
            for number in range(count)
        ]
        profile = cProfile.Profile()
        profile.runcall(lambda runs=runs: (differing(runs), frames.labels(frames.curves(runs))))
        calls.append(pstats.Stats(profile).total_calls)
    assert calls[1] < 2.2 * calls[0]


def test_other_rows_under_the_same_ids_are_other_samples(tmp_path: Path) -> None:
    first, other = (write_run(tmp_path, [1, 0, 1], method=name) for name in ("base", "guide"))
    change(other, "samples.jsonl", '"target": "2"', '"target": "1002"')
    found = frames.read([first, other])
    text = shown(found, against=found[0])
    assert "other samples" in text
    assert "%" not in text.replace("95 %", "")


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
        main.main()
    assert end.value.code == 1
    assert message in capsys.readouterr().err


def test_where_no_interval_can_be_given_the_table_says_so(tmp_path: Path) -> None:
    write_run(tmp_path, [0.7] * 12, metric="reward", value=0.2)
    write_run(tmp_path, [0.1 * n for n in range(12)], metric="reward", value=0.4)
    found = frames.read([tmp_path])
    text = " ".join(shown(found).split())
    (alike,) = (run for run in found if run.value == 0.2)
    assert "0.700 [" not in text
    assert "No interval of reward can be given" in text
    assert f"could lie: {alike.folder.name[:6]}." in text
