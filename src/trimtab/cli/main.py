"""The `trimtab` command: the only place that knows Hydra's runtime.

Imports here are light: shell completion and mistakes in a command should not wait for torch.
"""

import argparse
import hashlib
import io
import logging
import os
import re
import select
import signal
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import hydra
from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig

from trimtab import __version__
from trimtab.cli import listing
from trimtab.config import composition, overrides, working_directory
from trimtab.config.explained import explained
from trimtab.launch import application
from trimtab.machine.printable import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

_COMMANDS = {
    "run": "evaluate a method on a task (trimtab run --help)",
    "rerun": "repeat a run from its folder, and compare the answers",
    "search": "look for the best value of a dial (trimtab search --help)",
    "vector": "extract, show and apply alignment vectors (trimtab vector --help)",
    "lm-eval": "lm-evaluation-harness, with trimtab's methods as a model (trimtab lm-eval --help)",
    "ls": "list what can be chosen: models, methods, tasks, judges, launchers ...",
    "table": "what was run, with intervals",
    "report": "tables, figures and a page of what was run",
    "choose": "where the dial should stand, by validation runs",
}
_HYDRA = "1.3"  # whose defaults hold
_RUNS = "folders of runs, or runs by their ids as tables print them [results]"
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record), keep="\n")


def main() -> None:
    """Run the command line; a user's mistake ends with a message and no traceback."""
    for stream in (sys.stdout, sys.stderr):  # what a terminal cannot encode is shown escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler()
    handler.setFormatter(_Printable("%(message)s"))
    logging.basicConfig(handlers=[handler])
    for name in ("trimtab", "hydra"):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.getLogger("huggingface_hub").propagate = False  # it prints by itself
    # What a scheduler or W&B's agent stops is interrupted as by Ctrl-C, and says so everywhere.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        try:
            code = _dispatch(sys.argv[1:])
        finally:
            sys.stdout.flush()  # meets a reader that has left before Python's own end does
        sys.exit(code)
    except KeyboardInterrupt as interrupt:
        whole = sys.argv[1:2] == ["vector"]  # which writes a folder whole, or not at all
        after = "Nothing is left behind." if whole else "The same command resumes."
        print(f"Interrupted. {after}", file=sys.stderr)
        if interrupt.args == (signal.SIGTERM,):  # who sent it should see that it was the cause
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        sys.exit(_INTERRUPTED)
    except composition.ConfigError as error:
        count = len(error.mistakes)
        heading = f"trimtab: {count} mistake{'s' * (count > 1)} in the command"
        _say(heading, *(f"  {mistake}" for mistake in error.mistakes), file=sys.stderr)
        sys.exit(2)
    except application.FORESEEN as error:
        if not (isinstance(error, BrokenPipeError) and _reader_has_left()):
            application.report(error)
        sys.exit(1)


def _reader_has_left() -> bool:
    """Whether nobody reads the output any more, as after `| head`; the rest then goes nowhere."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if not poll.poll(0):  # neither an error nor a hang-up
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _terminate(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the run is closing
    raise KeyboardInterrupt(signal.SIGTERM)


def _dispatch(arguments: Sequence[str]) -> int:
    command, rest = (arguments[0], list(arguments[1:])) if arguments else ("--help", [])
    if command == "run":  # everything after it is Hydra's
        return run(rest)
    if command == "search":
        return _search(rest)
    if command == "vector":
        from trimtab.cli.vector_command import main as vector

        return vector(rest)
    if command == "lm-eval":
        from trimtab.lm_eval.__main__ import main as harness

        return harness(rest)
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
    again = commands.add_parser(
        "rerun",
        help=_COMMANDS["rerun"],
        description="Repeat a run from its folder, wherever that lies now: say what is not as it "
        "was (versions, weights, rows, code), answer everything anew in a folder of its own, on "
        "the recorded day, and compare. Ends with 1 where answers differ.",
        epilog="Example: trimtab rerun copied/2d0dbc1f3a5e results=again",
    )
    again.add_argument("folder", type=Path, metavar="FOLDER", help="of the run")
    again.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="settings to change, such as method.base.path=models/here; results=DIR is where to "
        "[reruns]",
    )
    again.add_argument(
        "--trust", action="store_true", help="run whatever code the folder's config.yaml names"
    )
    again.set_defaults(action=_rerun)
    commands.add_parser("search", help=_COMMANDS["search"])
    commands.add_parser("vector", help=_COMMANDS["vector"])
    commands.add_parser("lm-eval", help=_COMMANDS["lm-eval"])

    ls = commands.add_parser("ls", help=_COMMANDS["ls"])
    ls.add_argument("kind", nargs="?", choices=listing.KINDS, help="list these alone")
    ls.add_argument(
        "-cd", "--config-dir", type=Path, metavar="DIR", help="a folder of further choices"
    )
    ls.set_defaults(action=_list)

    table = commands.add_parser("table", help=_COMMANDS["table"])
    table.add_argument("roots", nargs="*", metavar="FOLDER|ID", help=_RUNS)
    table.add_argument(
        "--against", metavar="RUN", help="compare with this run, by its id or folder, paired"
    )
    table.set_defaults(action=_table)

    report = commands.add_parser("report", help=_COMMANDS["report"])
    report.add_argument("roots", nargs="*", metavar="FOLDER|ID", help=_RUNS)
    report.add_argument(
        "--out", type=Path, metavar="DIR", help="where to [report/ in the first FOLDER]"
    )
    report.add_argument(
        "--columns",
        metavar="NAME[=HEAD],...",
        help="of the tables as Markdown and LaTeX: method,dial,accuracy=Acc. [the usual ones]",
    )
    report.add_argument(
        "--against", metavar="RUN", help="compare with this run, by its id or folder, paired"
    )
    report.set_defaults(action=_report_runs)

    choice = commands.add_parser("choose", help=_COMMANDS["choose"])
    choice.add_argument("roots", nargs="*", metavar="FOLDER|ID", help=_RUNS)
    choice.add_argument("--metric", metavar="NAME", help="a score; more is better [the task's own]")
    choice.add_argument(
        "--split", default="validation", help="choose by its runs; none: rows without a split"
    )
    choice.add_argument("--json", action="store_true", help="for programs")
    choice.set_defaults(action=_choose)
    return parser


# ---------------------------------------------------------------------------- run


def run(arguments: list[str]) -> int:
    """Run one experiment, or a multirun of several, and return the exit code.

    With `--show N` the prompts of its first samples are printed, and nothing is run.
    """
    shown, arguments = _taken(arguments)
    sys.argv = ["trimtab", *arguments]  # where Hydra reads them
    flags = get_args_parser().parse_args()
    looks = flags.help or flags.hydra_help or flags.info or flags.shell_completion
    source = _source(flags)
    if not looks:
        multirun = flags.multirun or any("hydra.mode=" in o for o in flags.overrides)
        first = overrides.check_command(
            flags.overrides, source, multirun=multirun, values=not flags.cfg
        )
        if shown and first is not None and not flags.cfg:
            return _preview(first, shown)
    with _hydra_raises():
        if looks or flags.cfg:
            show = hydra.main(
                version_base=_HYDRA, config_path=str(composition.DIRECTORY), config_name="config"
            )
            said = io.StringIO()
            with (
                redirect_stdout(said if flags.help else sys.stdout),
                suppress(SystemExit),  # Hydra's own end, after its help
            ):
                show(lambda _: None)()
            if flags.help:
                _print_help(said.getvalue())
            return 0
        results = _run_jobs(flags, source)
    failures = [result for result in results if isinstance(result, application.Failure)]
    if failures and len(results) > 1:
        lines = [f"  {failure.folder}: {failure.message}" for failure in failures]
        heading = f"trimtab: {len(failures)} of {len(results)} runs failed"
        _say(heading, *lines, file=sys.stderr)
    return 1 if failures else 0


def _print_help(said: str) -> None:
    """Print Hydra's help, with what each setting means."""
    before, experiment_is, rest = said.partition("== The experiment (KEY=VALUE) ==\n")
    listed, options, after = rest.partition("== Options ==\n")
    choices = (
        textwrap.fill(line, 80, subsequent_indent="  ", break_on_hyphens=False)
        if re.match(r"\w+: ", line)
        else line
        for line in before.splitlines()
    )
    print("\n".join(choices), experiment_is, explained(listed), options, after, sep="\n")


def _taken(arguments: list[str]) -> tuple[int, list[str]]:
    """Take our own option out of those that are Hydra's: how many prompts are to be shown."""
    parser = argparse.ArgumentParser(prog="trimtab run", add_help=False, allow_abbrev=False)
    parser.add_argument("--show", type=int, metavar="N")
    options, rest = parser.parse_known_args(arguments)
    if options.show is not None and options.show < 1:
        raise composition.ConfigError(
            [f"--show {options.show}: accepted are whole numbers from 1 up."]
        )
    return options.show or 0, rest


def _preview(first: DictConfig, count: int) -> int:
    from trimtab.launch.preview import Preview  # imports transformers

    for line in Preview.of(first).lines(count):
        print(line)
    return 0


def _run_jobs(flags: argparse.Namespace, source: overrides.Source) -> list[Any]:
    """Return what each job gives back; `hydra.main` keeps that to itself."""
    version.setbase(_HYDRA)
    search_path = create_config_search_path(str(source.directory.absolute()))
    for folder in source.further:
        search_path.prepend(
            "command-line", f"file://{folder.absolute()}", SearchPathQuery(provider="schema")
        )
    app = Hydra.create_main_hydra2("trimtab", search_path)
    try:
        mode = app.get_mode(source.name, flags.overrides)
        if not flags.multirun and mode != RunMode.MULTIRUN:
            return [
                app.run(source.name, application.Application(None), flags.overrides).return_value
            ]
        settings = sorted(o for o in flags.overrides if not o.lstrip("+~").startswith("hydra"))
        sweep = f"sweep-{hashlib.sha256(' '.join(settings).encode()).hexdigest()[:8]}"
        batches = app.multirun(source.name, application.Application(sweep), flags.overrides)
        return [job.return_value for batch in batches for job in batch]
    finally:
        GlobalHydra.instance().clear()


@contextmanager
def _hydra_raises() -> Iterator[None]:
    """Let Hydra raise its errors, which it otherwise prints, with tracebacks, and exits on."""
    before = os.environ.get(application.FULL_ERROR)
    os.environ[application.FULL_ERROR] = "1"
    try:
        yield
    finally:
        del os.environ[application.FULL_ERROR]
        if before is not None:
            os.environ[application.FULL_ERROR] = before


def _source(flags: argparse.Namespace) -> overrides.Source:
    name = flags.config_name or "config"
    given = Path(flags.config_dir or flags.config_path or ".") / f"{name}.yaml"
    shadowed = flags.config_dir and (composition.DIRECTORY / given.name).is_file()
    if (flags.config_dir or flags.config_path) and given.is_file():
        if (given.parent / "run.json").exists():
            raise composition.ConfigError(
                [f"{given} is the record of a run. `trimtab rerun {given.parent}` repeats it."]
            )
        if shadowed:
            raise composition.ConfigError(
                [
                    f"{given} would not be read: {given.name} is this package's own file. Give "
                    "yours another name, as in --config-name mine."
                ]
            )
    return overrides.Source(
        directory=Path(flags.config_path or composition.DIRECTORY),
        name=name,
        further=(Path(flags.config_dir),) if flags.config_dir else (),
    )


def _complete(arguments: list[str]) -> int:
    """Answer the shell: Hydra completes what follows `run`, and knows nothing of commands."""
    if any(argument.startswith("query=") for argument in arguments):
        program, _, rest = os.environ["COMP_LINE"].partition(" ")
        command, complete, settings = rest.partition(" ")
        if not complete:
            print(*_COMMANDS)
            return 0
        if command not in ("run", "search"):
            return 0
        os.environ["COMP_LINE"] = f"{program} {settings}"
    return run(arguments)


def _rerun(options: argparse.Namespace) -> int:
    from trimtab.launch import repetition

    cfg = repetition.read(options.folder, options.overrides, trust=options.trust)
    job = repetition.job(options.folder, cfg)
    differing = repetition.differences(options.folder, job)
    print("Not as it was:" if differing else "All is as it was: versions, weights, rows and code.")
    for line in differing:
        print(f"  {line}")

    from trimtab.runs.evaluate import evaluate  # imports torch

    if (job.folder / "summary.json").exists():
        print(f"{job.folder} was answered before. Another results=DIR answers anew.")
    evaluate(job)
    repeated = repetition.compared(options.folder, job.folder)
    print(repeated)
    return 0 if repeated.identical else 1


# ---------------------------------------------------------------------------- search


def _search(arguments: list[str]) -> int:
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
    options = vars(parser.parse_intermixed_args(arguments))

    try:
        from trimtab.launch import dial_search, search_plan
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        message = "trimtab search needs Optuna: pip install 'trimtab[search]'"
        raise ValueError(message) from None
    folder = options.pop("config_dir")
    source = overrides.Source(further=(folder,) if folder else ())
    return dial_search.search(search_plan.read(options.pop("overrides"), source, **options))


# ---------------------------------------------------------------------------- ls


def _list(options: argparse.Namespace) -> int:
    if options.config_dir:
        overrides.Source(further=(options.config_dir,))  # says if there is none
    for kind in [options.kind] if options.kind else listing.KINDS:
        _print(listing.listing(kind, options.config_dir))
    return 0


# ---------------------------------------------------------------------------- table


def _table(options: argparse.Namespace) -> int:
    from trimtab.results import selection, terminal

    if options.against:
        selection.require_word(options.against)
    found, _ = selection.select(options.roots, samples=options.against is not None)
    against = selection.one(options.against, found.runs) if options.against else None
    _print(terminal.render(found.runs, against))
    _print_left_out(found.left_out)
    return 0


def _report_runs(options: argparse.Namespace) -> int:
    working_directory.import_apart("matplotlib")
    from trimtab import report
    from trimtab.report.tables import chosen
    from trimtab.results import selection, terminal

    columns = chosen(options.columns) if options.columns else None
    if options.against:
        selection.require_word(options.against)
    found, roots = selection.select(options.roots, samples=True)
    against = selection.one(options.against, found.runs) if options.against else None
    out = options.out or roots[0] / "report"
    files = report.write(found.runs, out, roots, columns, against)
    _print(terminal.render(found.runs, against))
    _print_left_out(found.left_out)
    _say(*map(str, files))
    return 0


def _print_left_out(lines: Sequence[str]) -> None:
    _say(*(line if line.startswith(" ") else f"Left out: {line}" for line in lines))


def _print(tables: "RenderableType") -> None:
    """Print tables, no narrower than they can be; whoever is no terminal gets them as they are."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console()
    unbounded = console.options.update(max_width=sys.maxsize)
    least, whole = Measurement.get(console, unbounded, tables)
    bounded = console.is_terminal or "COLUMNS" in os.environ
    console.width = max(console.width, least) if bounded else max(console.width, whole)
    console.print(tables)


def _say(*lines: str, file: TextIO | None = None) -> None:
    """Print lines, of which none steers the terminal."""
    for line in lines:
        print(printable(line, keep="\n"), file=file)


# ---------------------------------------------------------------------------- choose


def _choose(options: argparse.Namespace) -> int:
    import json

    from trimtab.results import choose, selection

    found, _ = selection.select(options.roots, samples=True)
    split = None if options.split == "none" else options.split
    choices, left_out = choose.choose_each(found.runs, options.metric, split)
    left_out += found.left_out
    if options.json:
        content = {"choices": [choice.to_dict() for choice in choices], "left_out": left_out}
        print(json.dumps(content, indent=2, ensure_ascii=False))
        return 0
    _print(choose.render(choices))
    print("\nThe best was picked by these samples, so its own score here is a little hopeful.")
    _print_left_out(left_out)
    return 0
