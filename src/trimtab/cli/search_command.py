"""The command `trimtab search`: what it is asked, read; the search itself needs Optuna."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from trimtab.config import former
from trimtab.config.overrides import Source


def main(arguments: Sequence[str]) -> int:
    """Search for the best value of a setting, and return the exit code.

    Raises:
        ValueError: if Optuna is not installed.
    """
    options = vars(_parser().parse_intermixed_args(arguments))
    try:
        from trimtab.launch import dial_search, search_plan
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        message = "trimtab search needs Optuna: pip install 'trimtab[search]'"
        raise ValueError(message) from None
    folder = options.pop("config_dir")
    source = Source(further=(folder,) if folder else ())
    return dial_search.search(
        search_plan.read(former.as_now(options.pop("overrides")), source, **options)
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimtab search",
        description="Look for the value of one setting that scores best; nothing else varies. "
        "The same command again resumes, and more trials add to those that are there.",
        epilog="Example: trimtab search experiment=nudging-word-problems task.split=validation "
        "'method.threshold=interval(0,1)' --trials 20",
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="as in trimtab run, one of them an interval: 'method.threshold=interval(0,1)'",
    )
    parser.add_argument(
        "--trials", type=int, default=20, metavar="N", help="values to try, all in all [20]"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="decides which [0]")
    parser.add_argument(
        "--step", type=float, metavar="SIZE", help="between values [the interval's 100th part]"
    )
    parser.add_argument("--metric", metavar="NAME", help="a score [the task's own]")
    parser.add_argument("--minimize", action="store_true", help="less of it is better")
    parser.add_argument(
        "--no-pruning",
        dest="pruning",
        action="store_false",
        help="evaluate every value in full; otherwise one is given up when its samples show that "
        "it is worse than the best",
    )
    parser.add_argument(
        "-cd", "--config-dir", type=Path, metavar="DIR", help="a folder of further choices"
    )
    return parser
