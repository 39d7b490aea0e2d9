"""The command `trimtab rerun`: a run again, from its folder, compared with the first."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from trimtab.cli.output import say
from trimtab.launch import repetition


def main(arguments: Sequence[str]) -> int:
    """Repeat a run and return the exit code, which is 1 where answers differ."""
    options = _parser().parse_args(arguments)
    cfg = repetition.read(options.folder, options.overrides, trust=options.trust)
    job = repetition.job(options.folder, cfg)
    differing = repetition.differences(options.folder, job)
    say("Not as it was:" if differing else "All is as it was: versions, weights, rows and code.")
    say(*(f"  {line}" for line in differing))

    from trimtab.runs.evaluate import evaluate  # imports SciPy

    if (job.folder / "summary.json").exists():
        say(f"{job.folder} was answered before. Another results=DIR answers anew.")
    evaluate(job)
    repeated = repetition.compared(options.folder, job.folder)
    say(str(repeated))
    return 0 if repeated.identical else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimtab rerun",
        description="Repeat a run from its folder, wherever that lies now: say what is not as it "
        "was (versions, weights, rows, code), answer everything anew in a folder of its own, on "
        "the recorded day, and compare. Ends with 1 where answers differ.",
        epilog="Example: trimtab rerun copied/2d0dbc1f3a5e results=again",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of the run")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="settings to change, such as method.base.path=models/here; results=DIR is where to "
        "[reruns]",
    )
    parser.add_argument(
        "--trust", action="store_true", help="run whatever code the folder's config.yaml names"
    )
    return parser
