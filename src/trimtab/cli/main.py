"""The `trimtab` command: which verb is asked for, and how it ends.

A verb is a module, imported when it is asked for: shell completion and mistakes in a command
should not wait for torch.
"""

import argparse
import io
import logging
import os
import select
import signal
import sys
from collections.abc import Sequence

from trimtab import __version__
from trimtab.cli.output import PrintableFormatter, say
from trimtab.config.composition import ConfigError
from trimtab.launch import errors

_VERBS = {
    "run": "evaluate a method on a task (trimtab run --help)",
    "rerun": "repeat a run from its folder, and compare the answers",
    "search": "look for the best value of a dial (trimtab search --help)",
    "vector": "extract, show and apply alignment vectors (trimtab vector --help)",
    "token-map": "how the tokens of two vocabularies map to each other",
    "direction": "extract and show directions of hidden states (trimtab direction --help)",
    "datastore": "build what method=rtd looks up (trimtab datastore --help)",
    "serve": "a method behind OpenAI's chat API (trimtab serve --help)",
    "lm-eval": "lm-evaluation-harness, with trimtab's methods as a model (trimtab lm-eval --help)",
    "ls": "list what can be chosen: models, methods, tasks, scorers, launchers ...",
    "table": "what was run, with intervals",
    "report": "tables, figures and a page of what was run",
    "choose": "where the dial should stand, by validation runs",
}
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main() -> None:
    """Run the command line; a user's mistake ends with a message and no traceback."""
    for stream in (sys.stdout, sys.stderr):  # what a terminal cannot encode is shown escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(message)s"))
    logging.basicConfig(handlers=[handler])
    for name in ("trimtab", "hydra"):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.getLogger("huggingface_hub").propagate = False  # it prints by itself
    # What a scheduler or W&B's agent stops is interrupted as by Ctrl-C, and says so everywhere.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        try:
            code = dispatch(sys.argv[1:])
        finally:
            sys.stdout.flush()  # meets a reader that has left before Python's own end does
        sys.exit(code)
    except KeyboardInterrupt as interrupt:
        verb = "".join(sys.argv[1:2])
        whole = verb in ("vector", "direction", "datastore", "serve")  # all or nothing is written
        after = "Nothing is left behind." if whole else "The same command resumes."
        print(f"Interrupted. {after}", file=sys.stderr)
        if interrupt.args == (signal.SIGTERM,):  # who sent it should see that it was the cause
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        sys.exit(_INTERRUPTED)
    except ConfigError as error:
        count = len(error.mistakes)
        heading = f"trimtab: {count} mistake{'s' * (count > 1)} in the command"
        say(heading, *(f"  {mistake}" for mistake in error.mistakes), file=sys.stderr)
        sys.exit(2)
    except errors.FORESEEN as error:
        if not (isinstance(error, BrokenPipeError) and _reader_has_left()):
            errors.report(error)
        sys.exit(1)


def dispatch(arguments: Sequence[str]) -> int:
    """Run the verb that a command line begins with, and return the exit code."""
    command, rest = (arguments[0], list(arguments[1:])) if arguments else ("--help", [])
    match command:
        case "run":
            from trimtab.cli.run_command import main as verb
        case "rerun":
            from trimtab.cli.rerun_command import main as verb
        case "search":
            from trimtab.cli.search_command import main as verb
        case "vector":
            from trimtab.cli.vector_command import main as verb
        case "token-map":
            from trimtab.cli.token_map_command import main as verb
        case "direction":
            from trimtab.cli.direction_command import main as verb
        case "datastore":
            from trimtab.cli.datastore_command import main as verb
        case "serve":
            from trimtab.cli.serve_command import main as verb
        case "lm-eval":
            from trimtab.lm_eval.__main__ import main as verb
        case "ls":
            from trimtab.cli.ls_command import main as verb
        case "table":
            from trimtab.cli.results_commands import table as verb
        case "report":
            from trimtab.cli.results_commands import report as verb
        case "choose":
            from trimtab.cli.results_commands import choose as verb
        case "-sc" | "--shell-completion":
            return _complete(arguments)
        case _:
            _parser().parse_args([command])  # prints what is asked for, or what is wrong
            raise AssertionError(command)
    return verb(rest)


def _parser() -> argparse.ArgumentParser:
    """Return what reads a command line that begins with no verb."""
    parser = argparse.ArgumentParser(
        prog="trimtab", description="Align language models at inference time."
    )
    parser.add_argument("--version", action="version", version=f"trimtab {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, summary in _VERBS.items():
        verbs.add_parser(name, help=summary)
    return parser


def _complete(arguments: Sequence[str]) -> int:
    """Answer the shell: Hydra completes what follows `run`, and knows nothing of verbs."""
    from trimtab.cli.run_command import main as run

    if any(argument.startswith("query=") for argument in arguments):
        program, _, rest = os.environ["COMP_LINE"].partition(" ")
        verb, complete, settings = rest.partition(" ")
        if not complete:
            print(*_VERBS)
            return 0
        if verb not in ("run", "search"):
            return 0
        os.environ["COMP_LINE"] = f"{program} {settings}"
    return run(arguments)


def _terminate(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the run is closing
    raise KeyboardInterrupt(signal.SIGTERM)


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
