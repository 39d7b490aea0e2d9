"""Strengths for every requested mixture of levels, chosen by validation runs, judged by test runs.

    python experiments/vector-domains/choose_strengths.py RESULTS

A setting's worth for a request is the share as requested in its worst domain. The grid's runs, in
RESULTS/grid, serve all requests; a table says what the chosen settings reach on the test questions.
"""

import itertools
import subprocess
import sys
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from trimtab.results import frames
from trimtab.results.frames import Run
from trimtab.tasks.advice import LEVELS
from trimtab.tasks.domain_advice import DOMAINS

Request = tuple[str, ...]
"""A level for each domain."""


def worth(run: Run, request: Request) -> float:
    """Return the share as requested in the worst domain."""
    pairs = zip(request, DOMAINS, strict=True)
    return min(run.summary["metrics"][f"{level}_{domain}"]["value"] for level, domain in pairs)


def strengths(run: Run) -> tuple[float, ...]:
    """Return a run's strengths, domain by domain."""
    return tuple(run.config["method"]["strengths"][domain] for domain in DOMAINS)


def tested(settings: set[tuple[float, ...]], root: Path) -> dict[tuple[float, ...], Run]:
    """Run settings on the test questions, in one batch if the grid is whole; return the runs."""
    command = ["trimtab", "run", "experiment=vector-domains", "generation.batch_size=50"]
    for setting in sorted(settings):
        given = [f"method.strengths.{d}={s:g}" for d, s in zip(DOMAINS, setting, strict=True)]
        subprocess.run([*command, *given, f"results={root}"], check=True, stdout=subprocess.DEVNULL)
    return {strengths(run): run for run in frames.read([root])}


def main() -> None:
    """Choose, judge, and print the table."""
    root = Path(sys.argv[1])
    grid = frames.read([root / "grid"])
    requests = list(itertools.product(LEVELS, repeat=len(DOMAINS)))
    chosen = {request: max(grid, key=lambda run: worth(run, request)) for request in requests}
    judged = tested({strengths(run) for run in chosen.values()}, root / "chosen")
    table = Table(title=f"{len(grid)} settings tried for all requests", box=SIMPLE_HEAD)
    for column in (*DOMAINS, "strengths", "worst, validation", *(f"{d}, test" for d in DOMAINS)):
        table.add_column(column)
    reached = corners = 0
    for request, run in chosen.items():
        test = judged[strengths(run)].summary["metrics"]
        shares = [test[f"{level}_{d}"] for level, d in zip(request, DOMAINS, strict=True)]
        if "generic" not in request:
            corners += 1
            reached += min(share["value"] for share in shares) >= 0.7
        table.add_row(
            *request,
            " ".join(f"{s:g}" for s in strengths(run)),
            f"{worth(run, request):.2f}",
            *("{:.2f} [{:.2f}, {:.2f}]".format(s["value"], *s["ci95"]) for s in shares),
        )
    Console(width=160).print(table)
    print(f"{reached} of {corners} requests for avoidance or expertise reached on 70 % or more.")


if __name__ == "__main__":
    main()
