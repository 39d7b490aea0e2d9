"""The commands about finished runs: `trimtab table`, `trimtab report` and `trimtab choose`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from trimtab.cli.output import say, say_json, say_left_out, show
from trimtab.config import working_directory


def table(arguments: Sequence[str]) -> int:
    """Print tables of what was run, and return the exit code."""
    parser = _parser("table")
    _may_choose_columns(parser, "beside the run's name")
    _may_compare(parser)
    options = parser.parse_args(arguments)

    from trimtab.results import selection, terminal  # imports SciPy
    from trimtab.results.chosen_columns import chosen

    columns = chosen(options.columns) if options.columns else None
    if options.against:
        selection.require_word(options.against)
    found, _ = selection.select(options.roots, samples=options.against is not None)
    against = selection.one(options.against, found.runs) if options.against else None
    show(terminal.render(found.runs, against, columns))
    say_left_out(found.left_out)
    return 0


def report(arguments: Sequence[str]) -> int:
    """Write tables, figures and a page of what was run, and return the exit code."""
    parser = _parser("report")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where to [report/ in the first FOLDER]"
    )
    _may_choose_columns(parser, "of the tables as Markdown and LaTeX")
    _may_compare(parser)
    _may_read_at_kl(parser, "mark the frontiers, and print what methods score there")
    options = parser.parse_args(arguments)

    working_directory.import_apart("matplotlib")
    from trimtab.report.write import write
    from trimtab.results import at_kl, at_kl_text, selection, terminal
    from trimtab.results.chosen_columns import chosen

    columns = chosen(options.columns) if options.columns else None
    if options.against:
        selection.require_word(options.against)
    found, roots = selection.select(options.roots, samples=True)
    against = selection.one(options.against, found.runs) if options.against else None
    out = options.out or roots[0] / "report"
    level = None if options.at_kl is None else at_kl.at_kl(found.runs, options.at_kl)
    files = write(found.runs, out, roots, columns, against, options.at_kl)
    show(terminal.render(found.runs, against))
    if level is not None:
        show(at_kl_text.render(level[0]))
        say_left_out(level[1])
    say_left_out(found.left_out)
    say(*map(str, files))
    return 0


def choose(arguments: Sequence[str]) -> int:
    """Print where dials should stand, and return the exit code."""
    from trimtab.results.choice import MARGIN

    parser = _parser("choose")
    parser.add_argument("--metric", metavar="NAME", help="a score; more is better [the task's own]")
    parser.add_argument(
        "--split", default="validation", help="choose by its runs; none: rows without a split"
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=MARGIN,
        metavar="SIZE",
        help="how far below the best the cheapest may be: it is named among values whose 95 %% "
        f"interval of the difference ends above -SIZE [{MARGIN:g}, in units of the score]",
    )
    _may_read_at_kl(
        parser, "say instead what methods score there, between the values of their dials"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)

    from trimtab.results import at_kl, at_kl_text, choice_text, selection
    from trimtab.results.choose import choose_each, on_split

    found, _ = selection.select(options.roots, samples=True)
    split = None if options.split == "none" else options.split
    if options.at_kl is not None:
        runs, others = on_split(found.runs, split)
        levels, left_out = at_kl.at_kl(runs, options.at_kl, options.metric)
        left_out += [*others, *found.left_out]
        if options.json:
            say_json({"at_kl": [one.to_dict() for one in levels], "left_out": left_out})
            return 0
        show(at_kl_text.render(levels))
        say_left_out(left_out)
        return 0
    choices, left_out = choose_each(found.runs, options.metric, split, options.margin)
    left_out += found.left_out
    if options.json:
        content = {"choices": [choice.to_dict() for choice in choices], "left_out": left_out}
        say_json(content)
        return 0
    show(choice_text.render(choices))
    say("\nThe best was picked by these samples: what it is worth is its score on other ones.")
    say_left_out(left_out)
    return 0


def _parser(verb: str) -> argparse.ArgumentParser:
    """Return a parser for what all of these commands are given: which runs."""
    parser = argparse.ArgumentParser(prog=f"trimtab {verb}")
    parser.add_argument(
        "roots",
        nargs="*",
        metavar="FOLDER|ID",
        help="folders of runs, or runs by their ids as tables print them [results]",
    )
    return parser


def _may_choose_columns(parser: argparse.ArgumentParser, which: str) -> None:
    parser.add_argument(
        "--columns",
        metavar="NAME[=HEAD],...",
        help=f"{which}: method,dial,accuracy=Acc. [the usual ones]",
    )


def _may_read_at_kl(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--at-kl", type=float, metavar="NATS", help=f"at this KL from the reference: {what}"
    )


def _may_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--against", metavar="RUN", help="compare with this run, by its id or folder, paired"
    )
