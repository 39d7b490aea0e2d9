"""The table of what was run, as CSV for programs, Markdown for notes and LaTeX for papers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from trimtab.config.accepted import require_choice
from trimtab.machine.numbers_as_text import (
    DIFFERENCE,
    estimate,
    p_value,
    percent,
    percent_interval,
)
from trimtab.machine.printable import printable
from trimtab.report.study import Study
from trimtab.results import quantities
from trimtab.results.chosen_columns import Choice
from trimtab.results.comparisons import Comparison
from trimtab.results.differences import differing, in_words
from trimtab.results.frames import Run, runs_table

_INTERVAL = "[95 % interval]"
_FITTED = r"\resizebox{\ifdim\width>\columnwidth\columnwidth\else\width\fi}{!}"
_COSTS = (quantities.SPEED, "passes")
_FORMULA = ("=", "+", "-", "@")
_COMPARED = {
    "difference": f"difference {_INTERVAL}",
    "p": "p (Holm)",
    "test": "test",
    "wins": "wins",
}
_MARKDOWN = re.compile(r"[\\`*_<>|\[\]$~&]")
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
    """A column: its name, its head, what it says of a run, and whether that is a number."""

    name: str
    title: str
    cell: Callable[[Run], str]
    numeric: bool = True
    spare: bool = False


def number_columns(study: Study) -> list[Column]:
    """Return the columns of numbers: dial, n, score with interval, guide ratio, KL and cost.

    Beside `n`, and beside a further score, stands how many answers a judge or a reward left out.
    """
    found = [
        Column(name="dial", title=study.dial, cell=partial(_dial, study)),
        Column(name="n", title="n", cell=lambda run: run.count),
    ]
    passes = quantities.passes(study.runs)
    for name in quantities.main(study.runs):
        title = quantities.label(name, short=True)
        if name == study.metric:
            title = f"{title} {_INTERVAL}"
        if name not in passes:
            cell = partial(_cell, name, name == study.metric)
            found.append(Column(name=name, title=title, cell=cell))
    if passes:
        found.append(Column(name="passes", title="passes/token", cell=_passes, numeric=False))
    if study.comparisons:
        for name, title in _COMPARED.items():
            cell = partial(_compared, study, name)
            found.append(Column(name=name, title=title, cell=cell, numeric=name != "test"))
    return found


def _compared(study: Study, name: str, run: Run) -> str:
    """Return what a column says of a run's comparison."""
    one = study.comparisons[run.folder]
    if one.paired is None or one.wins is None:
        return one.reason if name == "difference" else ""
    if name == "difference":
        return estimate(one.paired.difference, one.paired.ci95, DIFFERENCE)
    if name == "p":
        return p_value(one.p_value)
    if name == "test":
        return one.paired.test
    return f"{percent(one.wins.value, '.0f')} {percent_interval(one.wins.ci95)}"


def _dial(study: Study, run: Run) -> str:
    """Return where the dial stands, and which it is where the study has several."""
    if run.value is None:
        return ""
    return f"{run.value:g}" if study.dial == run.dial else f"{run.dial} {run.value:g}"


def _passes(run: Run) -> str:
    """Return each model's passes per token in one cell: roles differ from method to method."""
    names = quantities.passes([run])
    return ", ".join(f"{quantities.role(name)} {_cell(name, False, run)}" for name in names)


def _cell(name: str, with_interval: bool, run: Run) -> str:
    reading = quantities.read(run, name)
    if reading is None:
        return ""
    parts = [quantities.text(name, reading.value)]
    if with_interval:
        parts.append(quantities.interval_text(name, reading))
    if name != run.metric and (unscored := run.unscored(name)):  # of that one, `n` says it
        parts.append(f"({unscored} unscored)")
    return " ".join(filter(None, parts))


def csv(runs: Iterable[Run], studies: Iterable[Study] = ()) -> str:
    """Return a row per run with every number that it has, unrounded.

    What a spreadsheet would take for a formula has a `'` before it; what is not seen is escaped.

    Args:
        runs: the runs.
        studies: of these runs, with their comparisons.
    """
    found = list(runs)
    table = runs_table(found)
    compared = {
        folder: _numbers(one) for study in studies for folder, one in study.comparisons.items()
    }
    if compared:
        rows = [compared[run.folder] for run in found]
        for name in dict.fromkeys(name for row in rows for name in row):
            table[name] = [row.get(name) for row in rows]
    return (
        table.rename(columns=_no_formula).map(_no_formula).to_csv(index=False, lineterminator="\n")
    )


def _numbers(one: Comparison) -> dict[str, Any]:
    """Return all that a comparison says, by column."""
    if one.paired is None or one.wins is None:
        return {}
    low, high = one.paired.ci95 or (None, None)
    return {
        "difference": one.paired.difference,
        "difference_low": low,
        "difference_high": high,
        "p_value": one.paired.p_value,
        "p_holm": one.p_value,
        "test": one.paired.test,
        "asked_alike": one.asked_alike,
        "wins": one.wins.value,
        "wins_low": one.wins.ci95[0],
        "wins_high": one.wins.ci95[1],
    }


def _no_formula(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def markdown(studies: Iterable[Study], choice: Choice = None) -> str:
    """Return a table per study, of the chosen columns."""
    return "\n".join(_markdown_table(study, choice) for study in studies)


def _markdown_table(study: Study, choice: Choice) -> str:
    columns = _columns(study, choice)
    rule = ["---:" if column.numeric else "---" for column in columns]
    rows = [
        [column.cell(run) if column.numeric else _marked(column.cell(run)) for column in columns]
        for run in study.runs
    ]
    lines = [[_marked(column.title) for column in columns], rule, *rows]
    title = f"## {_marked(study.task)}\n\n{_marked(study.source)}\n"
    notes = [f"\n{_marked(note)}" for note in study.notes]
    return "\n".join([title, *(f"| {' | '.join(cells)} |" for cells in lines), *notes, ""])


def _marked(text: str) -> str:
    return _MARKDOWN.sub(r"\\\g<0>", _one_line(text))


def latex(studies: Iterable[Study], choice: Choice = None) -> str:
    """Return a `table` environment per study, no wider than a column of the text.

    What a run costs is left out unless it is chosen, and a table that is still
    wider is made smaller.
    """
    needs = r"% Needs \usepackage{booktabs,graphicx}."
    return "\n".join([needs, *(_latex_table(study, choice) for study in studies)])


def _latex_table(study: Study, choice: Choice) -> str:
    columns = [c for c in _columns(study, choice) if choice or c.name not in _COSTS]
    lines = [_latex_row([_typeset(column.title) for column in columns]), r"\midrule"]
    for i, curve in enumerate(study.curves):
        lines += [r"\addlinespace"] * (i > 0)
        for run in curve.runs:
            lines.append(_latex_row([_typeset(c.cell(run), c.numeric) for c in columns]))
    body = "\n".join(f"    {line}" for line in [r"\toprule", *lines, r"\bottomrule"])
    alignment = "".join("r" if column.numeric else "l" for column in columns)
    caption = _typeset(". ".join([f"{study.task} ({study.source})", *study.notes]))
    return (
        "\\begin{table}\n"
        "  \\centering\n"
        f"  \\caption{{{caption}}}\n"
        f"  \\label{{tab:{study.name.replace('_', '-')}}}\n"
        f"  {_FITTED}{{\\begin{{tabular}}{{{alignment}}}\n"
        f"{body}\n"
        "  \\end{tabular}}\n"
        "\\end{table}\n"
    )


def _latex_row(cells: Sequence[str]) -> str:
    row = " & ".join(cells) + r" \\"
    # After the end of the row before it, either would be read as its option.
    return "{}" + row if row.startswith(("[", "*")) else row


def _typeset(text: str, numeric: bool = False) -> str:
    escaped = "".join(_LATEX.get(character, character) for character in _one_line(text))
    return escaped.replace("-", "$-$") if numeric else escaped


def require_columns(studies: Sequence[Study], choice: Choice) -> None:
    """Refuse a column that no study has.

    Raises:
        ValueError: with what a table can have.
    """
    known = {column.name for study in studies for column in _every_column(study)}
    for name, _ in choice or ():
        require_choice("--columns:", name, known)


def _columns(study: Study, choice: Choice) -> list[Column]:
    """Return the chosen columns, as far as the study has them, each number with its interval."""
    every = list(_every_column(study))
    if choice is None:
        return [column for column in every if not column.spare]
    known = {column.name: column for column in every}
    measured = set(quantities.every(study.runs))
    found = []
    for name, title in choice:
        if column := known.get(name):
            cell = partial(_cell, name, True) if name in measured else column.cell
            found.append(replace(column, cell=cell, title=column.title if title is None else title))
    return found


def _every_column(study: Study) -> Iterator[Column]:
    """Yield what a table may show; `spare` is what it shows where it is asked for alone."""
    yield Column(name="method", title="method", cell=lambda run: run.method, numeric=False)
    yield Column(name="models", title="models", cell=lambda run: run.models, numeric=False)
    own = differing(study.runs)
    settings = {run.folder: ", ".join(in_words(s)) for run, s in zip(study.runs, own, strict=True)}
    yield Column(
        name="settings",
        title="settings",
        cell=lambda run: settings[run.folder],
        numeric=False,
        spare=not any(settings.values()),
    )
    shown = number_columns(study)
    yield from shown
    for name in quantities.every(study.runs):
        if name not in {column.name for column in shown}:
            title = quantities.label(name, short=True)
            yield Column(name=name, title=title, cell=partial(_cell, name, True), spare=True)


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
