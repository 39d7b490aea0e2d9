"""The `trimtab` command: the only place that knows Hydra's runtime.

Imports here are light: shell completion and mistakes in a command should not wait for torch.
"""

import argparse
import functools
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from yaml import YAMLError

from trimtab import __version__, config, overrides

_KINDS = {"models": "model", "methods": "method", "tasks": "task", "experiments": "experiment"}
_COMMANDS = {
    "run": "evaluate a method on a task (trimtab run --help)",
    "ls": "list models, methods, tasks and experiments",
    "table": "what was run, with intervals",
}
_FORESEEN = (
    ValueError,
    OSError,
    MemoryError,
    FloatingPointError,
    HydraException,
    YAMLError,
)
_FULL_ERROR = "HYDRA_FULL_ERROR"
_TRACEBACKS = os.environ.get(_FULL_ERROR) == "1"  # the user's wish, as in any Hydra application
_TABLE_WIDTH = 112
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main() -> None:
    """Run the command line; a user's mistake ends with a message and no traceback."""
    # A console script does not have the current folder on its path, where a user's own
    # methods and tasks are. Last, so that no file there stands in for a library.
    sys.path.append(os.getcwd())
    logging.basicConfig(format="%(message)s")
    for name in ("trimtab", "hydra"):
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        sys.exit(_dispatch(sys.argv[1:]))
    except KeyboardInterrupt:
        print("Interrupted. The same command resumes.", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    except config.ConfigError as error:
        count = len(error.mistakes)
        print(f"trimtab: {count} mistake{'s' * (count > 1)} in the command", file=sys.stderr)
        for mistake in error.mistakes:
            print(f"  {mistake}", file=sys.stderr)
        sys.exit(2)
    except _FORESEEN as error:
        _report(error)
        sys.exit(1)


def _dispatch(arguments: Sequence[str]) -> int:
    command, rest = (arguments[0], list(arguments[1:])) if arguments else ("--help", [])
    if command == "run":  # everything after it is Hydra's
        return run(rest)
    if command in ("-sc", "--shell-completion"):
        return _complete(list(arguments))
    options = _parser().parse_args([command, *rest])
    return options.action(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimtab", description="Align language models at inference time."
    )
    parser.add_argument("--version", action="version", version=f"trimtab {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    commands.add_parser("run", help=_COMMANDS["run"])

    listing = commands.add_parser("ls", help=_COMMANDS["ls"])
    listing.add_argument("kind", nargs="?", choices=list(_KINDS), help="list these alone")
    listing.set_defaults(action=_list)

    table = commands.add_parser("table", help=_COMMANDS["table"])
    table.add_argument("roots", nargs="*", type=Path, default=[Path("results")], metavar="FOLDER")
    table.add_argument(
        "--against", type=Path, metavar="RUN", help="compare with this run's folder, paired"
    )
    table.set_defaults(action=_table)
    return parser


# ---------------------------------------------------------------------------- run


def run(arguments: list[str]) -> int:
    """Run one experiment, or a multirun of several, and return the exit code."""
    sys.argv = ["trimtab", *arguments]  # where Hydra reads them
    flags = get_args_parser().parse_args()
    if not (flags.help or flags.hydra_help or flags.info or flags.shell_completion):
        overrides.check_command(
            flags.overrides,
            _source(flags),
            multirun=flags.multirun or any("hydra.mode=" in o for o in flags.overrides),
            values=not flags.cfg,
        )
    failures: list[str] = []
    launcher = os.getpid()

    def experiment(cfg: DictConfig) -> None:
        try:
            _experiment(cfg)
        except Exception as error:
            folder = HydraConfig.get().runtime.output_dir
            _report(error, where=folder)
            if os.getpid() != launcher:  # in a launcher's worker: Hydra brings the failure back
                raise
            # Of several failures Hydra would report the first alone.
            failures.append(f"{folder}: {config.first_line(error)}")

    application = hydra.main(
        version_base="1.3", config_path=str(config.DIRECTORY), config_name="config"
    )
    with _hydra_raises():
        application(experiment)()
    if failures and flags.multirun:
        print(f"trimtab: {len(failures)} of the runs failed", file=sys.stderr)
        for failure in failures:
            print(f"  {failure}", file=sys.stderr)
    return 1 if failures else 0


@contextmanager
def _hydra_raises() -> Iterator[None]:
    """Let Hydra raise its errors, which it otherwise prints, with tracebacks, and exits on."""
    before = os.environ.get(_FULL_ERROR)
    os.environ[_FULL_ERROR] = "1"
    try:
        yield
    finally:
        del os.environ[_FULL_ERROR]
        if before is not None:
            os.environ[_FULL_ERROR] = before


def _source(flags: argparse.Namespace) -> overrides.Source:
    return overrides.Source(
        directory=Path(flags.config_path or config.DIRECTORY),
        name=flags.config_name or "config",
        further=(Path(flags.config_dir),) if flags.config_dir else (),
    )


def _experiment(cfg: DictConfig) -> None:
    from trimtab.evaluate import evaluate  # imports torch

    runtime = HydraConfig.get().runtime
    folder, choices = Path(runtime.output_dir), dict(runtime.choices)
    run_id = config.fingerprint(cfg)
    start_tracker = functools.partial(
        config.build(cfg.tracker).start,
        run_id=run_id,
        name=f"{choices['task']}-{choices['method']}-{run_id}",
        job_type=choices["method"],
        config=config.settings(cfg, choices),
        folder=folder,
    )
    summary = evaluate(
        task=config.build(cfg.task),
        method=config.build(cfg.method),
        generation=config.build(cfg.generation),
        limit=cfg.limit,
        folder=folder,
        config=config.relevant(cfg),
        start_tracker=start_tracker,
    )
    print(_result(summary), folder)


def _result(summary: Mapping[str, Any]) -> str:
    metric = summary["task"]["metric"]
    estimate = summary["metrics"][metric]
    interval = "[{:.3f}, {:.3f}]".format(*estimate["ci95"]) if estimate["ci95"] else ""
    return f"{metric} {estimate['value']:.3f} {interval} n={estimate['n']}"


def _report(error: Exception, where: str = "") -> None:
    """Print a user's mistake as a message; a traceback is for what we did not foresee."""
    if not isinstance(error, _FORESEEN) or _TRACEBACKS:
        traceback.print_exception(error)
    place = f" in {where}" if where and where not in str(error) else ""
    print(f"trimtab: error{place}: {error}", file=sys.stderr)


def _complete(arguments: list[str]) -> int:
    """Answer the shell: Hydra completes what follows `run`, and knows nothing of commands."""
    if any(argument.startswith("query=") for argument in arguments):
        program, _, rest = os.environ["COMP_LINE"].partition(" ")
        command, complete, settings = rest.partition(" ")
        if not complete:
            print(*_COMMANDS)
            return 0
        if command != "run":
            return 0
        os.environ["COMP_LINE"] = f"{program} {settings}"
    return run(arguments)


# ---------------------------------------------------------------------------- ls


def _list(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    kinds = [options.kind] if options.kind else list(_KINDS)
    for kind in kinds:
        table = Table(kind, "", box=None, padding=(0, 2, 0, 0), title_justify="left")
        for file in sorted((config.DIRECTORY / _KINDS[kind]).glob("*.yaml")):
            table.add_row(file.stem, _description(file))
        Console().print(table)
    return 0


def _description(file: Path) -> str:
    """Return the first comment of an option's file, which says what it is."""
    lines = file.read_text("utf-8").splitlines()
    comments = (line[1:].strip() for line in lines if line.startswith("#"))
    return next((text for text in comments if not text.startswith("@")), "")  # @package is Hydra's


# ---------------------------------------------------------------------------- table


def _table(options: argparse.Namespace) -> int:
    from rich.console import Console

    from trimtab import record, results, table

    for root in [*options.roots, *([options.against] if options.against else [])]:
        if not root.is_dir():
            raise ValueError(f"{str(root)!r} is no folder. Give the root of run folders, or some.")
    found = results.read(options.roots)
    if not found:
        roots = ", ".join(map(str, options.roots))
        begun = len(record.run_folders(options.roots))
        raise ValueError(
            f"No finished run below {roots}, {begun} unfinished. `trimtab run` makes one, and the "
            "same command again finishes it."
        )
    against = next(iter(results.read([options.against])), None) if options.against else None
    if options.against and against is None:
        raise ValueError(f"{str(options.against)!r} is not the folder of a finished run.")
    console = Console()
    # Narrower, the columns would break into pieces; a narrow terminal then wraps the lines.
    console.width = max(console.width, _TABLE_WIDTH)
    console.print(table.render(found, against))
    if unfinished := len(record.run_folders(options.roots)) - len(found):
        print(f"{unfinished} unfinished left out; the same command as before finishes a run.")
    return 0
