"""The command `trimtab run`: the only place that knows Hydra's runtime."""

import argparse
import copyreg
import hashlib
import io
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import hydra
from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig

from trimtab.cli.output import say
from trimtab.config import composition, former, overrides
from trimtab.config.explained import explained
from trimtab.launch import errors
from trimtab.launch.application import Application, Failure

_HYDRA = "1.3"  # whose defaults hold


def main(arguments: Sequence[str]) -> int:
    """Run one experiment, or a multirun of several, and return the exit code.

    With `--show N` the prompts of its first samples are printed, and nothing is run.
    """
    shown, arguments = _taken(former.as_now(arguments))
    sys.argv = ["trimtab", *arguments]  # where Hydra reads them
    flags = get_args_parser().parse_args()
    looks = flags.help or flags.hydra_help or flags.info or flags.shell_completion
    source = _source(flags)
    source.offer()
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
                _one_store(),
                redirect_stdout(said if flags.help else sys.stdout),
                suppress(SystemExit),  # Hydra's own end, after its help
            ):
                show(lambda _: None)()
            if flags.help:
                _print_help(said.getvalue())
            return 0
        results = _run_jobs(flags, source)
    failures = [result for result in results if isinstance(result, Failure)]
    if failures and len(results) > 1:
        lines = [f"  {failure.folder}: {failure.message}" for failure in failures]
        heading = f"trimtab: {len(failures)} of {len(results)} runs failed"
        say(heading, *lines, file=sys.stderr)
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


def _taken(arguments: Sequence[str]) -> tuple[int, list[str]]:
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
        say(line)
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
            return [app.run(source.name, Application(None), flags.overrides).return_value]
        settings = sorted(o for o in flags.overrides if not o.lstrip("+~").startswith("hydra"))
        sweep = f"sweep-{hashlib.sha256(' '.join(settings).encode()).hexdigest()[:8]}"
        batches = app.multirun(source.name, Application(sweep), flags.overrides)
        return [job.return_value for batch in batches for job in batch]
    finally:
        GlobalHydra.instance().clear()


@contextmanager
def _hydra_raises() -> Iterator[None]:
    """Let Hydra raise its errors, which it otherwise prints, with tracebacks, and exits on."""
    before = os.environ.get(errors.FULL_ERROR)
    os.environ[errors.FULL_ERROR] = "1"
    try:
        yield
    finally:
        del os.environ[errors.FULL_ERROR]
        if before is not None:
            os.environ[errors.FULL_ERROR] = before


@contextmanager
def _one_store() -> Iterator[None]:
    """Keep Hydra's help from copying its whole store of configs anew for each group it lists."""
    copyreg.pickle(ConfigStore, lambda store: "instance")  # a name stands for what is not copied
    try:
        yield
    finally:
        del copyreg.dispatch_table[ConfigStore]


def _source(flags: argparse.Namespace) -> overrides.Source:
    """Return where configurations come from; ConfigError for a file that would not be read."""
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
