"""A report's files, written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trimtab.machine import whole_files
from trimtab.report import figures, page, tables
from trimtab.report.study import studies
from trimtab.results.chosen_columns import Choice
from trimtab.results.frames import Run


def write(
    runs: Sequence[Run],
    out: Path,
    roots: Sequence[Path],
    columns: Choice = None,
    against: Run | None = None,
    at_kl: float | None = None,
) -> list[Path]:
    """Write the tables, the figures and the page of some finished runs; return the files.

    Args:
        runs: the runs.
        out: the folder for the files; those of an earlier report there are written over.
        roots: the folders that the runs were read from.
        columns: of the tables as Markdown and LaTeX; None for the usual ones.
        against: a run that the others are compared with over the same samples.
        at_kl: a KL from the reference at which the frontiers are marked; None for none.

    Raises:
        ValueError: if `out` is a file; for a column that a table cannot have.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{str(out)!r} is a file. Give --out a folder, or a name that is free.")
    found = studies(runs, against)
    tables.require_columns(found, columns)
    out.mkdir(parents=True, exist_ok=True)
    with whole_files.together(out) as draft:
        texts = {
            "table.csv": tables.csv(runs, found),
            "table.md": tables.markdown(found, columns),
            "table.tex": tables.latex(found, columns),
            "report.html": page.render(found, roots),
        }
        for name, text in texts.items():
            whole_files.write_text(draft / name, text, sync=False)
        drawings = draft / "figures"
        drawings.mkdir()
        drawn = [file for study in found for file in figures.write(study, drawings, at_kl)]
    return [out / name for name in texts] + [out / file.relative_to(draft) for file in drawn]
