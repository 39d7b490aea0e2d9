"""The table of what was run, as CSV for programs, Markdown for notes and LaTeX for papers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from trimtab import quantities
from trimtab.differences import differing, in_words
from trimtab.report.study import Study
from trimtab.results import Run, runs_table

_INTERVAL = "[95 % interval]"
_MARKDOWN = re.compile(r"[\\`*_<>|\[\]]")
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: its head, what it says of a run, and whether that is a number."""

    title: str
    cell: Callable[[Run], str]
    numeric: bool = True


def number_columns(study: Study) -> list[Column]:
    """Return the columns of numbers: dial, n, score with interval, guide ratio, KL and cost.

    Beside `n`, and beside a further score, stands how many answers a judge or a reward left out.
    """
    found = [
        Column(title=study.dial, cell=lambda run: "" if run.value is None else f"{run.value:g}"),
        Column(title="n", cell=lambda run: run.count),
    ]
    passes = quantities.passes(study.runs)
    for name in quantities.main(study.runs):
        title = quantities.label(name, short=True)
        if name == study.metric:
            title = f"{title} {_INTERVAL}"
        if name not in passes:
            found.append(Column(title=title, cell=partial(_cell, name, name == study.metric)))
    if passes:
        found.append(Column(title="passes/token", cell=_passes, numeric=False))
    return found


def _passes(run: Run) -> str:
    """Return each model's passes per token in one cell: roles differ from method to method."""
    names = quantities.passes([run])
    return ", ".join(f"{quantities.role(name)} {_cell(name, False, run)}" for name in names)


def _cell(name: str, with_interval: bool, run: Run) -> str:
    reading = quantities.read(run, name)
    if reading is None:
        return ""
    value = quantities.text(name, reading.value)
    if with_interval:
        return f"{value} {quantities.interval_text(name, reading)}".rstrip()
    unscored = run.unscored(name)
    return f"{value} ({unscored} unscored)" if unscored else value


def csv(runs: Iterable[Run]) -> str:
    """Return a row per run with every number that it has, unrounded."""
    return runs_table(runs).to_csv(index=False, lineterminator="\n")


def markdown(studies: Iterable[Study]) -> str:
    """Return a table per study."""
    return "\n".join(_markdown_table(study) for study in studies)


def _markdown_table(study: Study) -> str:
    columns = _columns(study)
    rule = ["---:" if column.numeric else "---" for column in columns]
    rows = [
        [column.cell(run) if column.numeric else _marked(column.cell(run)) for column in columns]
        for run in study.runs
    ]
    lines = [[_marked(column.title) for column in columns], rule, *rows]
    title = f"## {_marked(study.task)}\n\n{_marked(study.source)}\n"
    return "\n".join([title, *(f"| {' | '.join(cells)} |" for cells in lines), ""])


def _marked(text: str) -> str:
    return _MARKDOWN.sub(r"\\\g<0>", _one_line(text))


def latex(studies: Iterable[Study]) -> str:
    """Return a `table` environment per study, for the booktabs package."""
    return "\n".join(["% Needs \\usepackage{booktabs}.", *map(_latex_table, studies)])


def _latex_table(study: Study) -> str:
    columns = _columns(study)
    lines = [_latex_row([_typeset(column.title) for column in columns]), r"\midrule"]
    for i, curve in enumerate(study.curves):
        lines += [r"\addlinespace"] * (i > 0)
        for run in curve.runs:
            lines.append(_latex_row([_typeset(c.cell(run), c.numeric) for c in columns]))
    body = "\n".join(f"    {line}" for line in [r"\toprule", *lines, r"\bottomrule"])
    alignment = "".join("r" if column.numeric else "l" for column in columns)
    caption = _typeset(f"{study.task} ({study.source})")
    return (
        "\\begin{table}\n"
        "  \\centering\n"
        f"  \\caption{{{caption}}}\n"
        f"  \\label{{tab:{study.name.replace('_', '-')}}}\n"
        f"  \\begin{{tabular}}{{{alignment}}}\n"
        f"{body}\n"
        "  \\end{tabular}\n"
        "\\end{table}\n"
    )


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _typeset(text: str, numeric: bool = False) -> str:
    escaped = "".join(_LATEX.get(character, character) for character in _one_line(text))
    return escaped.replace("-", "$-$") if numeric else escaped


def _columns(study: Study) -> list[Column]:
    found = [
        Column(title="method", cell=lambda run: run.method, numeric=False),
        Column(title="models", cell=lambda run: run.models, numeric=False),
    ]
    own = differing(study.runs)
    settings = {run.folder: ", ".join(in_words(s)) for run, s in zip(study.runs, own, strict=True)}
    if any(settings.values()):
        found.append(Column(title="settings", cell=lambda run: settings[run.folder], numeric=False))
    return [*found, *number_columns(study)]


def _one_line(text: str) -> str:
    return " ".join(text.split())
