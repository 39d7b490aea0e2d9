"""What all tests share: the embedded models, each loaded once; what starts and what was skipped."""

import functools
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from trimtab import LanguageModel

torch.set_num_threads(1)
# As wide wherever the tests run; those about width say theirs.
os.environ["COLUMNS"] = "160"


@functools.cache
def zoo_model(name: str) -> LanguageModel:
    """Return an embedded model, rendered as its name says (base: plain, all others: chat)."""
    prompt = "plain" if name.endswith("-base") else "chat"
    return LanguageModel(path=f"zoo:{name}", prompt=prompt)


@pytest.fixture(autouse=True)
def _modules_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forget the modules that a test has written: another may write one of the same name."""
    before = set(sys.modules)
    yield
    for name in sys.modules.keys() - before:
        module = sys.modules[name]
        # A folder of modules has no file of its own.
        file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")
        if file and Path(file).is_relative_to(tmp_path_factory.getbasetemp()):
            del sys.modules[name]


@pytest.fixture(scope="session")
def zoo():
    """The loader of embedded models, by name."""
    return zoo_model


@pytest.fixture(scope="session")
def published() -> Path:
    """The folder with the publishers' own data sets, which are not in the repository."""
    folder = os.environ.get("TRIMTAB_DATA", "")
    if not folder:
        pytest.skip("TRIMTAB_DATA names no folder with the publishers' files")
    return Path(folder)


# Those ask the machine something and return at once: a run records the commit of its code.
ASKED = ("git", "uname")


def _start(process: subprocess.Popen, command: Any, *given: Any, **named: Any) -> None:
    program = command if isinstance(command, str | os.PathLike) else command[0]
    if Path(os.fspath(program)).name not in ASKED:
        pytest.fail(f"starts {program}: mark the test with pytest.mark.process")
    _popen(process, command, *given, **named)


_popen = subprocess.Popen.__init__


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let only those tests start a process that say that they do."""
    with pytest.MonkeyPatch.context() as patch:
        marked = item.get_closest_marker("process") or item.get_closest_marker("ray")
        patch.setattr(subprocess.Popen, "__init__", _popen if marked else _start)
        return (yield)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what takes real models, or libraries of few, unless it is asked for by its mark."""
    if "real" not in config.option.markexpr:
        for item in items:
            if item.get_closest_marker("real"):
                item.add_marker(
                    pytest.mark.skip(reason="real models and libraries: make test-real")
                )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Count what was skipped, by reason."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
    )
    if reasons:
        terminalreporter.section("skipped")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count:5d}  {reason}")
