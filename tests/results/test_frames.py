"""Runs read back say what their folders say, and runs that belong together are one curve."""

import json
from pathlib import Path

import pytest
from run_folders import write_run

from trimtab.results import frames, quantities
from trimtab.runs import reader, run_folder
from trimtab.statistics import estimates


def test_a_run_is_what_its_folder_says(tmp_path: Path) -> None:
    folder = write_run(tmp_path, [1.0, 0.0, 1.0], value=0.4, measures={"guide_ratio": [0.1] * 3})
    (run,) = frames.read([tmp_path])
    assert (run.folder, run.task, run.method) == (folder, "word-problems", "nudging")
    assert (run.dial, run.value) == ("threshold", 0.4)
    assert (run.split, run.metric, run.source) == ("validation", "accuracy", "made by hand")
    assert run.score == estimates.proportion(2, 3).to_dict()
    assert run.scores() == {"0": 1.0, "1": 0.0, "2": 1.0}
    assert run.scores("guide_ratio") == dict.fromkeys("012", 0.1)
    assert run.scores("ended") == dict.fromkeys("012", 1.0)  # by the guide, as the records say
    with pytest.raises(ValueError, match=r"'guide_rato'.*Did you mean 'guide_ratio'.*accuracy"):
        run.scores("guide_rato")


def test_only_finished_runs_are_read(tmp_path: Path) -> None:
    write_run(tmp_path, [1.0], value=0.2)
    (write_run(tmp_path, [1.0], value=0.4) / "summary.json").unlink()
    assert [run.value for run in frames.read([tmp_path])] == [0.2]


def test_a_summary_without_dial_and_split_is_read_as_such(tmp_path: Path) -> None:
    file = write_run(tmp_path, [1.0], value=0.2) / "summary.json"
    summary = json.loads(file.read_text())
    del summary["dial"], summary["task"]["split"]
    file.write_text(json.dumps(summary))
    (run,) = frames.read([tmp_path])
    assert (run.dial, run.value, run.split) == (None, None, None)


def test_content_tells_other_weights_and_other_rows_apart(tmp_path: Path) -> None:
    folders = [write_run(tmp_path, [1.0, 0.0], value=value) for value in (0.1, 0.2, 0.3, 0.4)]
    (folders[2] / "run.json").write_text(json.dumps({"content": {"models": {"base": "other"}}}))
    with run_folder.RunFolder(folders[3]) as run:
        run.write_samples(reader.read_samples(folders[3])[:1])
    same, same_too, other_weights, fewer_rows = (
        run.content for run in sorted(frames.read([tmp_path]), key=lambda run: run.value or 0)
    )
    assert same == same_too
    assert len({same, other_weights, fewer_rows}) == 3


def changed(folder: Path, **lines: object) -> frames.Run:
    """Change a key of a run's first sample; return the run."""
    file = folder / "samples.jsonl"
    first, *others = map(json.loads, file.read_text().splitlines())
    file.write_text("".join(json.dumps(line) + "\n" for line in [first | lines, *others]))
    (run,) = frames.read([folder])
    return run


@pytest.mark.parametrize("other", [{"target": "7"}, {"question": "?"}, {"choices": {"A": "a dog"}}])
def test_rows_that_share_an_id_alone_are_not_paired(tmp_path: Path, other: dict) -> None:
    first = write_run(tmp_path, [1, 0, 1], method="base")
    second = write_run(tmp_path, [0, 0, 1], method="guide")
    (before,), (after,) = (frames.read([folder]) for folder in (first, second))
    assert frames.compare(before, after).n == 3
    for compare in (frames.compare, frames.compare_wins):
        with pytest.raises(frames.OtherRows, match=r"1 of 3 samples are other rows.*'0' is 'What"):
            compare(before, changed(second, **other))


def test_the_same_rows_under_another_prompt_are_paired_and_known(tmp_path: Path) -> None:
    folders = [write_run(tmp_path, [1, 0], method=name) for name in ("base", "guide", "other")]
    for folder, data in zip(folders, ("one", "one", "two"), strict=True):
        (folder / "run.json").write_text(json.dumps({"content": {"data": data}}))
    first, same, prompted = frames.read(folders)
    assert frames.compare(first, prompted).n == 2
    assert frames.asked_alike(first, same)
    assert not frames.asked_alike(first, prompted)


def test_a_curve_holds_what_differs_in_the_dial_alone(tmp_path: Path) -> None:
    for value in (0.6, -0.2, 0.4):
        write_run(tmp_path, [1.0, 0.0], value=value)
    write_run(tmp_path, [1.0], value=0.4)  # fewer samples
    write_run(tmp_path, [1.0, 0.0], value=0.4, task="last-letters")
    write_run(tmp_path, [1.0, 0.0], value=0.4, split="test")
    write_run(tmp_path, [1.0, 0.0], method="base")
    found = frames.curves(frames.read([tmp_path]))
    assert sorted([run.value for run in curve.runs] for curve in found if curve.dial) == [
        [-0.2, 0.4, 0.6],
        [0.4],
        [0.4],
        [0.4],
    ]
    (plain,) = (curve for curve in found if curve.dial is None)
    assert (plain.task, plain.name) == ("word-problems", "base: base-model + guide-model")


def test_curves_of_one_name_are_labelled_by_what_differs(tmp_path: Path) -> None:
    for split, lowest in (("test", 0.1), ("validation", 0.2)):
        for value in (lowest, 0.4):  # the dial itself is no difference
            write_run(tmp_path, [1.0, 0.0], value=value, split=split)
    write_run(tmp_path, [1.0], value=0.4, task="last-letters")  # another task: no namesake
    found = frames.curves(frames.read([tmp_path]))
    name = "nudging: base-model + guide-model"
    assert {
        (curve.task, curve.runs[0].split, label)
        for curve, label in zip(found, frames.labels(found), strict=True)
    } == {
        ("last-letters", "validation", name),
        ("word-problems", "test", f"{name} (task.split=test)"),
        ("word-problems", "validation", f"{name} (task.split=validation)"),
    }


def test_the_table_of_runs_holds_every_metric_and_cost(tmp_path: Path) -> None:
    write_run(tmp_path, [1.0, 0.0], value=0.2, measures={"guide_ratio": [0.1, 0.2]})
    write_run(tmp_path, [1.0], method="base")
    runs = frames.read([tmp_path])
    table = frames.runs_table(runs).set_index("method")
    nudged = table.loc["nudging"]
    assert nudged[["task", "split", "dial", "value", "n"]].tolist() == [
        "word-problems",
        "validation",
        "threshold",
        0.2,
        2,
    ]
    low, high = estimates.mean([0.1, 0.2]).ci95
    assert nudged["guide_ratio"] == pytest.approx(0.15)
    assert nudged[["guide_ratio_low", "guide_ratio_high"]].tolist() == pytest.approx([low, high])
    assert (nudged["tokens"], nudged["base_forward_passes"]) == (18, 7)
    assert table.loc["base", ["guide_ratio", "value"]].isna().all()
    assert set(table["folder"]) == {str(run.folder) for run in runs}


def test_the_table_of_samples_has_a_row_per_sample_and_run(tmp_path: Path) -> None:
    scores = {0.2: [1.0, 0.0, 1.0], 0.4: [0.0, 0.0, 1.0]}
    for value, column in scores.items():
        write_run(tmp_path, column, value=value, measures={"guide_ratio": [0.1, 0.2, 0.3]})
    table = frames.samples_table(frames.read([tmp_path]))
    by_value = table.pivot(index="id", columns="value", values="accuracy")
    assert {value: by_value[value].tolist() for value in by_value} == scores
    first = table[(table["id"] == "2") & (table["value"] == 0.4)].iloc[0]
    assert (first["question"], first["target"], first["tokens"]) == ("What is 2 and 2?", "4", 9)
    assert first["guide_ratio"] == 0.3


def test_samples_drawn_several_times_are_paired_by_their_means(tmp_path: Path) -> None:
    once, thrice = (write_run(tmp_path, [1, 0], method=name) for name in ("base", "guide"))
    file = thrice / "samples.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    more = [
        line | {"id": f"{line['id']}#{n}", "of": line["id"], "scores": {"accuracy": n - 2}}
        for line in lines
        for n in (2, 3)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in [*lines, *more]))
    one, three = frames.read([once, thrice])
    paired = frames.compare(three, one)
    # Means of 1, 0, 1 and of 0, 0, 1, minus 1 and 0.
    assert (paired.n, paired.difference) == (2, pytest.approx((2 / 3 - 1 + 1 / 3 - 0) / 2))


def test_a_report_names_the_models_that_a_method_holds_in_a_mapping() -> None:
    method = {
        "guides": {"large": {"path": "zoo:a"}, "more": [{"path": "b"}]},
        "draft": {"path": "c"},
        "strength": 1.0,
    }
    run = frames.Run(folder=Path("task/method/f"), config={"method": method}, summary={})
    assert run.models == "a + b"


def test_models_of_one_path_that_differ_are_named_apart() -> None:
    made = {"gguf_file": None, "adapter": None, "quantization": "none"}
    method = {
        "reference": made | {"path": "zoo:a"},
        "aligned": made | {"path": "zoo:a", "adapter": "tuned/brief"},
        "guide": made | {"path": "b", "gguf_file": "q4.gguf", "quantization": "gguf"},
    }
    run = frames.Run(folder=Path("task/method/f"), config={"method": method}, summary={})
    assert run.models == "a + a with tuned/brief + b/q4.gguf in gguf"


def test_what_each_scorer_is_about_is_shown(tmp_path: Path) -> None:
    folder = write_run(tmp_path, [1, 0, 1, 1], method="base")
    summary = json.loads((folder / "summary.json").read_text())
    summary["scorers"] = {}
    for name, metrics in (("quality by a (one)", ["one_quality", "one_depth"]), ("b", ["brief"])):
        summary["scorers"][name] = {"metrics": metrics, "scored": 4, "unscored": 0}
        estimate = {"value": 2.5, "n": 4, "stderr": None, "ci95": None}
        summary["metrics"] |= dict.fromkeys(metrics, estimate)
    (folder / "summary.json").write_text(json.dumps(summary))
    names = quantities.main(frames.read([tmp_path]))
    assert names[:3] == ["accuracy", "one_quality", "brief"] and "one_depth" not in names
    assert "one_depth" in quantities.every(frames.read([tmp_path]))
