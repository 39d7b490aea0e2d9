"""What follows a verb with actions, as in `trimtab vector extract`: settings, read and checked.

An action is a class: its fields are the settings, and its docstring is the help. Nothing here
imports torch: mistakes in a command and its help should not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from trimtab.config.composition import ConfigError
from trimtab.config.explained import arguments as documented
from trimtab.config.signature import Signature, in_words
from trimtab.config.wording import not_a_choice

_HELP = ("-h", "--help")


class Action:
    """What can be done.

    Attributes:
        command: the verb that it follows, as in `trimtab vector`.
        usage: what follows its name.
        spelled: fields that are spelled otherwise on the command line.
    """

    command: ClassVar[str]
    usage: ClassVar[str]
    spelled: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def name(cls) -> str:
        """Return its name on the command line."""
        return cls.__name__.lower()

    @classmethod
    def summary(cls) -> str:
        """Return what it does."""
        return (cls.__doc__ or "").partition("\n")[0]

    @classmethod
    def meanings(cls) -> dict[str, str]:
        """Return what each of its settings means, as they are spelled."""
        return {cls.spelled.get(name, name): text for name, text in documented(cls).items()}

    @classmethod
    def manual(cls) -> str:
        """Return its help."""
        meanings = cls.meanings()
        width = max(map(len, meanings)) + 2
        lines = [f"  {key:{width}}{meaning}" for key, meaning in meanings.items()]
        head = [f"{cls.command} {cls.name()} {cls.usage}", "", cls.summary(), ""]
        return "\n".join([*head, *lines])

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Self:
        """Read arguments `key=value`.

        Raises:
            ConfigError: a ValueError that lists every mistake, with the nearest valid key.
        """
        said = _Said(cls)
        given: dict[str, str] = {}
        torn: dict[str, str] = {}
        for argument in arguments:
            key, _, value = argument.partition("=")
            if key in given:
                torn[key] = f"{said.by} {key} is given twice: {given[key]!r} and {value!r}."
            elif not value and key in cls.meanings():
                meaning = cls.meanings()[key]
                torn[key] = f"{said.by} {key} needs a value: {key}=... ({meaning})."
            given.setdefault(key, value)
        found = Signature(cls).mistakes(given, said) | torn
        if found:
            raise ConfigError([found[key] for key in {**given, **found} if key in found])
        return cls(**given)


@dataclass(frozen=True)
class _Said:
    """What is said of an action's settings, which are `key=value`."""

    action: type[Action]

    @property
    def by(self) -> str:
        return f"{self.action.command} {self.action.name()}:"

    def misfit(self, name: str, value: Any, hint: Any) -> str:
        return f"{self.by} {name}={value!r}: accepted is {in_words(hint)}."

    def unknown(self, name: str) -> str:
        return not_a_choice(self.by, name, self.action.meanings())

    def missing(self, name: str) -> str:
        return f"{self.by} {name}=... is missing: {self.action.meanings()[name]}."


def run(
    arguments: Sequence[str],
    about: str,
    actions: Mapping[type[Action], Callable[[Sequence[str]], None]],
) -> int:
    """Run the action that arguments begin with, or print what is asked; return the exit code.

    Args:
        arguments: what follows the verb.
        about: what the verb is about, in a line.
        actions: what each of the actions runs, given what follows its name.

    Raises:
        ConfigError: a ValueError that lists every mistake in the command.
    """
    named = {action.name(): action for action in actions}
    command = next(iter(actions)).command
    name, *rest = arguments or ["--help"]
    if name in _HELP:
        print(_overview(command, about, named))
    elif name not in named:
        raise ConfigError([not_a_choice(f"{command}:", name, named)])
    elif any(argument in _HELP for argument in rest):
        print(named[name].manual())
    else:
        actions[named[name]](rest)
    return 0


def _overview(command: str, about: str, actions: Mapping[str, type[Action]]) -> str:
    """Return the help of a verb."""
    lines = [f"{command} ACTION ...", "", about]
    for name, action in actions.items():
        lines += ["", f"  {name:9}{action.summary()}"]
        lines.append(f"  {'':9}{command} {name} {action.usage}")
    return "\n".join([*lines, "", f"{command} ACTION --help names every setting."])


@contextmanager
def bar(what: str, of: str, unit: float = 1) -> Iterator[Callable[[int, int], None] | None]:
    """Show how far the work is, where somebody sits at the terminal.

    Args:
        what: what is done.
        of: what is counted, in the unit.
        unit: how many of what is reported make one.
    """
    from rich.console import Console

    if not Console().is_terminal:
        yield None
        return
    from trimtab.runs.progress import bars

    with bars() as shown:
        task = shown.add_task(what, total=None, status=of)
        shown.start()

        def progress(done: int, total: int) -> None:
            shown.update(task, advance=done / unit, total=total / unit)

        yield progress
