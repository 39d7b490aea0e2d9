"""The command `trimtab serve`: a method behind OpenAI's API, for any client."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from trimtab.cli.output import say
from trimtab.config import composition
from trimtab.config.overrides import Source, check_command, require_parts

KEY = "TRIMTAB_API_KEY"
_READ = ("base", "guide", "draft", "method", "model", "generation", "experiment")
_NEEDED = ("fastapi", "openai", "uvicorn")


def main(arguments: Sequence[str]) -> int:
    """Serve a method until it is interrupted, and return the exit code.

    Raises:
        ConfigError: a ValueError that lists every mistake in the command.
        ValueError: for packages that are not there, a method that cannot be served, and a port that
            is taken.
    """
    options = _parser().parse_intermixed_args(arguments)
    require_parts(options.overrides, _READ, "serving")
    if absent := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise ValueError(
            f"trimtab serve needs {', '.join(absent)}: pip install 'trimtab[serve]' "
            "(in a clone: pip install -c constraints.txt -e '.[serve]')."
        )
    source = Source(further=(options.config_dir,) if options.config_dir else ())
    config = check_command(options.overrides, source)
    assert config is not None
    method, generation = composition.build(config.method), composition.build(config.generation)

    import uvicorn

    from trimtab.runs.progress import hide_those_of_libraries
    from trimtab.serve.app import application
    from trimtab.serve.dial_names import Names
    from trimtab.serve.engine import Engine

    name = options.name or type(method).__name__.lower()
    engine = Engine(method, rows=generation.batch_size, waiting=options.waiting)
    key = os.environ.get(KEY) or None
    with _listening(options.host, options.port) as sockets:
        host, port = sockets.getsockname()[:2]
        hide_those_of_libraries()
        engine.prepare()
        whom = f"who know {KEY}" if key else f"who can reach it ({KEY} would set a key)"
        rows = generation.batch_size
        say(f"{name} at http://{host}:{port}/v1, {rows} answers at a time, for all {whom}.")
        sys.stdout.flush()  # a file or a pipe shows it now
        app = application(engine, Names(name, method), generation, key=key)
        logging.getLogger("uvicorn").propagate = False
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        server.run(sockets=[sockets])
    return 0


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens, before anything is loaded.

    Raises:
        ValueError: for an address that cannot be had.
    """
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise ValueError(
            f"--host {host} --port {port}: {error.strerror or error}. Give another port, or 0 for "
            "any that is free."
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimtab serve",
        description="Serve a method to any client of OpenAI's chat API. A request may turn the "
        "method's dial, by the model's name (nudging@0.4) or in extra_body.",
        epilog="Example: trimtab serve base=a-large-base guide=a-small-chat method=nudging",
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="base, guide, method, generation and their settings, as in trimtab run; no others",
    )
    parser.add_argument("--config-dir", type=Path, help="a folder with choices of your own")
    parser.add_argument("--name", help="what clients call the model; the method's name if left out")
    parser.add_argument("--host", default="127.0.0.1", help="who can reach it; 127.0.0.1: you")
    parser.add_argument("--port", type=int, default=8000, help="8000; 0 for any that is free")
    parser.add_argument("--waiting", type=int, default=64, help="requests that may wait; 64")
    return parser
