"""A report's files say what the summaries say, and nothing in them can be taken for markup."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
import zlib
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from run_folders import write_run

from trimtab import report
from trimtab.cli import main
from trimtab.report import page, payload, recipe, tables
from trimtab.report.study import studies
from trimtab.results import frames, plots
from trimtab.results.chosen_columns import chosen
from trimtab.runs import reader
from trimtab.statistics import estimates

HOSTILE = "</script><img src=x onerror=alert(1)><!-- <script> & \"quoted\" 'text' </style>"


def sweep(root: Path, *, kl: bool = True) -> list[frames.Run]:
    """Write three runs of a curve and a run without a dial."""
    for i, threshold in enumerate((0.2, 0.4, 0.8)):
        measures = {"guide_ratio": [0.01 * (i + 1), 0.02, 0.03, 0.05]}
        if kl:
            measures["kl"] = [0.5 * i, 0.5 * i + 0.25, 0.75, 1.5]
        write_run(root, [1, 1, 0, i % 2], value=threshold, measures=measures)
    write_run(root, [0, 0, 1, 0], method="base")
    return frames.read([root])


def change_files(root: Path, name: str, old: str, new: str) -> None:
    for file in root.rglob(name):
        file.write_text(file.read_text("utf-8").replace(old, new), "utf-8")


def written(root: Path, out: Path) -> dict[str, Path]:
    files = report.write(frames.read([root]), out, [root])
    return {str(file.relative_to(out)): file for file in files}


def test_csv_holds_the_summaries_unrounded(tmp_path: Path) -> None:
    runs = sweep(tmp_path)
    rows = list(csv.DictReader(io.StringIO(tables.csv(runs))))
    assert len(rows) == len(runs)
    for row in rows:
        summary = json.loads((Path(row["folder"]) / "summary.json").read_text())
        for name, estimate in summary["metrics"].items():
            numbers = [float(row[column]) for column in (name, f"{name}_low", f"{name}_high")]
            assert numbers == [estimate["value"], *estimate["ci95"]]
        assert int(row["n"]) == summary["metrics"]["accuracy"]["n"]
        assert float(row["tokens_per_second"]) == summary["cost"]["tokens_per_second"]


def test_every_markdown_row_has_the_cells_of_its_head(tmp_path: Path) -> None:
    sweep(tmp_path)
    change_files(tmp_path, "config.yaml", "zoo:base-model", "org/a|b*_c_")
    text = tables.markdown(studies(frames.read([tmp_path])))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line) for line in lines]
    assert len(lines) == 2 + 4
    assert {len(row) for row in cells} == {len(cells[0])}
    assert r"org/a\|b\*\_c\_ + guide-model" in text
    first = frames.read([tmp_path])[-1]
    low, high = first.score["ci95"]
    assert f"{first.score['value']:.3f} [{low:.3f}, {high:.3f}]" in text


def test_settings_that_differ_and_unscored_answers_are_in_the_tables(tmp_path: Path) -> None:
    sweep(tmp_path)
    assert "settings" not in tables.markdown(studies(frames.read([tmp_path])))
    folder = next(tmp_path.glob("word-problems/base/*"))
    change_files(folder, "config.yaml", "limit: 4", "limit: 4\nlimit_seed: 609")
    scorers = '{"judge": {"metrics": ["accuracy"], "scored": 4, "unscored": 2}}'
    change_files(folder, "summary.json", '"dial"', f'"scorers": {scorers}, "dial"')
    runs = frames.read([tmp_path])
    text = tables.markdown(studies(runs))
    (row,) = (line for line in text.splitlines() if line.startswith("| base "))
    assert r"| limit\_seed=609 |" in row and "| 4 (2 unscored) |" in row
    assert text.count("limit") == 1
    rows = list(csv.DictReader(io.StringIO(tables.csv(runs))))
    assert [(r["limit_seed"], r["unscored"]) for r in rows if r["method"] == "base"] == [
        ("609", "2")
    ]
    assert {r["limit_seed"] for r in rows if r["method"] != "base"} == {""}


@pytest.mark.slow
def test_comparisons_are_in_every_file(tmp_path: Path) -> None:
    runs = sweep(tmp_path / "runs")
    against = next(run for run in runs if run.method == "base")
    report.write(runs, tmp_path / "out", [tmp_path], against=against)
    compared = {
        run.folder: frames.compare(run, against) for run in runs if run.folder != against.folder
    }
    p_values = estimates.holm([one.p_value for one in compared.values()])
    rows = csv.DictReader(io.StringIO((tmp_path / "out" / "table.csv").read_text()))
    for row in rows:
        if row["method"] == "base":
            assert row["difference"] == row["p_holm"] == ""
            continue
        place = list(compared).index(Path(row["folder"]))
        paired = list(compared.values())[place]
        columns = ("difference", "difference_low", "difference_high", "p_value", "p_holm")
        expected = [paired.difference, *paired.ci95, paired.p_value, p_values[place]]
        assert [float(row[column]) for column in columns] == pytest.approx(expected)
        assert row["test"] == paired.test
    for name in ("table.md", "table.tex", "report.html"):
        text = (tmp_path / "out" / name).read_text("utf-8").replace("$-$", "-")
        for paired in compared.values():
            assert f"{paired.difference:+.3f} [{paired.ci95[0]:+.3f}" in text
        assert f"from run {against.folder.name[:6]}" in text
        assert "exact McNemar test, corrected for 3 comparisons (Holm)" in text


def test_the_page_keeps_rows_apart_that_share_an_id(tmp_path: Path) -> None:
    _, second = (write_run(tmp_path, [1, 0], value=value) for value in (0.2, 0.4))
    change_files(second, "samples.jsonl", '"target": "2"', '"target": "1002"')
    data = json.loads(zlib.decompress(b64decode(payload.encode(studies(frames.read([tmp_path]))))))
    (study,) = data["studies"]
    asked = [(name, data["texts"][target]) for name, _, target in study["samples"]]
    assert sorted(asked) == [("0", "0"), ("1", "1002"), ("1", "2")]
    assert len({row[0] for run in study["runs"] for row in run["rows"]}) == 3


def test_latex_is_balanced_and_escaped(tmp_path: Path) -> None:
    sweep(tmp_path)
    change_files(tmp_path, "config.yaml", "zoo:base-model", "a_b%c&d#e$f{g}^~x")
    text = tables.latex(studies(frames.read([tmp_path])))
    assert r"a\_b\%c\&d\#e\$f\{g\}\textasciicircum{}\textasciitilde{}x + guide-model" in text
    body = re.sub(r"\\[_%&#${}]", "", text.partition("\n")[2])  # without comment and escapes
    assert not re.search(r"[%#^~]|_(?!\d)", body.replace("$-$", ""))
    assert body.count("{") == body.count("}")
    begun, ended = (re.findall(rf"\\{word}{{(\w+)}}", body) for word in ("begin", "end"))
    assert begun == ended[::-1] == ["table", "tabular"]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    columns = len(re.search(r"\\begin{tabular}{(\w+)}", body).group(1))
    assert len(rows) == 1 + 4
    assert {row.count("&") + 1 for row in rows} == {columns}


@pytest.mark.slow
def test_figures_draw_what_there_is(tmp_path: Path) -> None:
    sweep(tmp_path)
    files = written(tmp_path, tmp_path / "out")
    drawn = {Path(name).stem for name in files if name.startswith("figures/")}
    everything = {"accuracy", "guide-ratio", "kl", "tokens-per-second", "passes-per-token"}
    assert drawn == {f"word-problems-{name}" for name in {*everything, "accuracy-by-kl"}}
    for name, file in files.items():
        if name.endswith(".svg"):
            assert ElementTree.parse(file).getroot().tag == "{http://www.w3.org/2000/svg}svg"
        if name.endswith(".png"):
            assert imread(file).ndim == 3


@pytest.mark.slow
def test_curves_along_different_dials_are_drawn_apart(tmp_path: Path) -> None:
    sweep(tmp_path, kl=False)
    for strength in (0.0, 1.0):
        write_run(tmp_path, [1, 1, 0, 1], method="dera", value=strength)
    files = written(tmp_path, tmp_path / "out")
    drawn = {Path(name).stem for name in files if name.endswith(".svg")}
    assert {f"word-problems-accuracy-by-{dial}" for dial in ("threshold", "strength")} <= drawn
    assert "word-problems-accuracy" not in drawn
    assert "| strength 1 |" in files["table.md"].read_text()
    with pytest.raises(ValueError, match="strength and threshold"):
        plots.against_dial(
            frames.curves(frames.read([tmp_path])), "accuracy", Figure().add_subplot()
        )


@pytest.mark.slow
def test_a_figure_for_a_paper_is_as_wide_as_a_column_with_letters_as_letters(
    tmp_path: Path,
) -> None:
    sweep(tmp_path)
    pdf = written(tmp_path, tmp_path / "out")["figures/word-problems-accuracy.pdf"].read_bytes()
    _, _, width, _ = map(float, re.search(rb"/MediaBox \[([^]]*)\]", pdf).group(1).split())
    assert width == pytest.approx(3.25 * 72, abs=0.1)
    assert b"/Type3" not in pdf


def test_columns_are_chosen_and_named(tmp_path: Path) -> None:
    sweep(tmp_path)
    found = studies(frames.read([tmp_path]))
    choice = chosen("method, dial, accuracy=Acc. (%), repetition")
    head = next(line for line in tables.latex(found, choice).splitlines() if "method" in line)
    assert head.strip() == r"method & threshold & Acc. (\%) \\"
    assert "| method | threshold | Acc. (%) |" in tables.markdown(found, choice)
    chosen_ratio = tables.markdown(found, chosen("guide_ratio"))
    assert re.search(r"\| \d+\.\d % \[\d+\.\d %, \d+\.\d %\] \|", chosen_ratio)
    with pytest.raises(ValueError, match=r"'accurcy' is not known\. Did you mean 'accuracy'"):
        tables.require_columns(found, chosen("accurcy"))
    with pytest.raises(ValueError, match="a name is missing"):
        chosen("method,,dial")


def test_what_no_run_has_is_not_drawn(tmp_path: Path) -> None:
    sweep(tmp_path, kl=False)
    change_files(
        tmp_path, "summary.json", '"tokens_per_second": 1234.5', '"tokens_per_second": null'
    )
    files = written(tmp_path, tmp_path / "out")
    assert {Path(name).stem for name in files if name.endswith(".svg")} == {
        "word-problems-accuracy",
        "word-problems-guide-ratio",
        "word-problems-passes-per-token",
    }
    assert "KL" not in files["table.md"].read_text()
    assert "tokens/s" not in files["table.tex"].read_text()


@pytest.mark.slow
def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    sweep(tmp_path / "runs")
    files = written(tmp_path / "runs", tmp_path / "out")
    first = {name: file.read_bytes() for name, file in files.items()}
    again = written(tmp_path / "runs", tmp_path / "out")  # over the first
    assert first == {name: file.read_bytes() for name, file in again.items()}


def test_a_curve_is_drawn_where_the_summaries_say(tmp_path: Path) -> None:
    curves = frames.curves(sweep(tmp_path))
    turned = next(curve for curve in curves if curve.dial)
    axes = Figure().add_subplot()
    plots.against_dial(curves, "accuracy", axes)
    (line,) = (line for line in axes.lines if line.get_marker() != "None")
    assert list(line.get_xdata()) == [run.value for run in turned.runs]
    assert list(line.get_ydata()) == [run.score["value"] for run in turned.runs]
    (band,) = axes.collections
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices.tolist()}
    for run in turned.runs:
        assert {(run.value, end) for end in run.score["ci95"]} <= corners
    assert axes.get_xlabel() == "threshold"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [c.name for c in curves]


def test_a_run_without_a_quantity_is_left_out_of_its_curve(tmp_path: Path) -> None:
    runs = sweep(tmp_path)
    (shared,) = (run for run in runs if run.value == 0.4)
    change_files(shared.folder, "summary.json", "1234.5", "null")
    axes = Figure().add_subplot()
    plots.against_dial(frames.curves(frames.read([tmp_path])), "tokens_per_second", axes)
    (line,) = (line for line in axes.lines if line.get_marker() != "None")
    assert list(line.get_xdata()) == [0.2, 0.8]


def test_a_frontier_is_labelled_by_the_dial(tmp_path: Path) -> None:
    curves = frames.curves(sweep(tmp_path))
    axes = Figure().add_subplot()
    plots.frontier(curves, "accuracy", axes)
    (line,) = axes.lines
    runs = next(curve for curve in curves if curve.dial).runs
    assert list(line.get_xdata()) == [run.summary["metrics"]["kl"]["value"] for run in runs]
    assert list(line.get_ydata()) == [run.score["value"] for run in runs]
    assert {text.get_text() for text in axes.texts} == {"0.2", "0.4", "0.8"}


def test_studies_are_told_apart_by_split_and_number(tmp_path: Path) -> None:
    write_run(tmp_path, [1, 0], task="my task")
    write_run(tmp_path, [1, 0], split="test")
    folder = write_run(tmp_path, [1, 0], split="validation")
    change_files(folder, "summary.json", "made by hand", "elsewhere")
    folder = write_run(tmp_path, [1, 0, 1], split="validation")
    found = studies(frames.read([tmp_path]))
    assert len(found) == 3  # the last is on the rows of the second
    assert len({study.name for study in found}) == 3
    assert sum(len(study.runs) for study in found) == 4
    assert all(re.fullmatch(r"[\w.-]+", study.name) for study in found)


def test_the_page_says_what_was_run(tmp_path: Path) -> None:
    first, second = (write_run(tmp_path, [1, 0], value=value) for value in (0.2, 0.4))
    change_files(second, "config.yaml", "seed: 0", "seed: 7")
    change_files(second, "config.yaml", "prompt: chat", "dtype: bfloat16")
    facts = {
        "git": {"commit": "0123456789", "dirty": True},
        "packages": {"trimtab": "9.8.7", "torch": "6.5.4"},
        "hardware": {"gpus": ["H200"]},
        "segments": [{"start": "2026-01-02T03:04:05", "end": None}],
    }
    (first / "run.json").write_text(json.dumps(facts))
    (study,) = studies(frames.read([tmp_path]))
    assert recipe.facts(study) == {
        "Source": ["made by hand"],
        "Split": ["validation"],
        "Samples": ["2 a run"],
        "Models": [
            "zoo:base-model, chat prompt: base",
            "zoo:guide-model, chat prompt: guide",
            "zoo:base-model, bfloat16: base",
            "zoo:guide-model, bfloat16: guide",
        ],
        "Generation": ["seed 0 or 7, temperature 1.0"],
        "Software": ["trimtab 9.8.7 at 0123456, with changes", "torch 6.5.4"],
        "Machine": ["H200"],
        "Date": ["2026-01-02"],
    }


class Elements(HTMLParser):
    """The elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))


def test_the_page_needs_nothing_else_and_takes_no_text_for_markup(tmp_path: Path) -> None:
    sweep(tmp_path)
    change_files(tmp_path, "config.yaml", "zoo:base-model", "<img src=x onerror=alert(1)>")
    change_files(tmp_path, "summary.json", "made by hand", "<b>by hand</b>")
    change_files(tmp_path, "samples.jsonl", "Well,", json.dumps(HOSTILE)[1:-1])
    elements = Elements()
    elements.feed(page.render(studies(frames.read([tmp_path])), [tmp_path]))
    tags = [tag for tag, _ in elements.found]
    assert tags.count("script") == 2 and tags.count("style") == 1
    assert not {"img", "b", "link", "iframe", "base"} & set(tags)
    for _, attributes in elements.found:
        assert not any(name.startswith("on") or name in ("src", "style") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    (policy,) = (a["content"] for _, a in elements.found if "http-equiv" in a)
    assert "default-src 'none'" in policy and "unsafe" not in policy


def test_the_command_writes_beside_the_runs_and_ends_with_the_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = sweep(tmp_path, kl=False)
    monkeypatch.setattr("sys.argv", ["trimtab", "report", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == 0
    assert reader.run_folders([tmp_path]) == [run.folder for run in runs]
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    files = [Path(line) for line in lines[lines.index(str(tmp_path / "report/table.csv")) :]]
    assert set(files) == {file for file in (tmp_path / "report").rglob("*") if file.is_file()}
    low, high = runs[0].score["ci95"]
    assert f"[{low:.3f}, {high:.3f}]" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "'nowhere' is no folder"),
        (["empty"], "No finished run below empty"),
        (["runs", "--out", "file"], "'file' is a file. Give --out a folder"),
    ],
)
def test_mistakes_are_said(monkeypatch, tmp_path, capsys, arguments, message) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("runs"), [1, 0])
    Path("empty").mkdir()
    Path("file").touch()
    monkeypatch.setattr("sys.argv", ["trimtab", "report", *arguments])
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == 1
    assert message in capsys.readouterr().err
