"""The command `trimtab direction`: take directions between hidden states, and look at them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from rich.table import Table
from rich.text import Text

from trimtab.cli.actions import Action, bar, run
from trimtab.cli.output import say, say_json, show
from trimtab.config import composition
from trimtab.config.composition import ConfigError
from trimtab.config.overrides import Source, check_command
from trimtab.config.wording import not_a_choice
from trimtab.machine.numbers_as_text import percent
from trimtab.machine.printable import printable

if TYPE_CHECKING:
    from trimtab.activations import PromptSet
    from trimtab.models import LanguageModel

_ABOUT = "Directions between hidden states, for method=activation_addition and inferaligner."
_WITH_SETTINGS = ("base", "toward", "away")
_JSON = "--json"


class DirectionAction(Action):
    """What can be done with directions."""

    command = "trimtab direction"


@dataclass(frozen=True, kw_only=True)
class Extract(DirectionAction):
    """Subtract a model's mean hidden states on one set of prompts from those on another.

    Args:
        base: the model that reads them, as of trimtab run; base.dtype=... and so on set it up
        toward: prompts: a .txt of lines, a .jsonl of questions, or a task (toward.split=...)
        away: prompts that the directions point from
        out: the file to write, *.safetensors
        layers: numbers of some layers, from 0, as in 2,3 [all]
        batch_size: how many prompts are read together [8]
        as_json: print what was measured for programs
    """

    usage = "base=MODEL toward=PROMPTS away=PROMPTS out=FILE [--json]"
    spelled: ClassVar[Mapping[str, str]] = {"as_json": _JSON}

    base: str
    toward: str
    away: str
    out: str
    layers: str | None = None
    batch_size: str = "8"

    @property
    def numbers(self) -> list[int] | None:
        """The layers."""
        return None if self.layers is None else _whole("layers", self.layers.split(","), "2,3")

    @property
    def together(self) -> int:
        """How many prompts are read together."""
        (number,) = _whole("batch_size", [self.batch_size], "8")
        return number


@dataclass(frozen=True, kw_only=True)
class Show(DirectionAction):
    """Say where directions come from, how long they are, and which prompts they tell apart.

    Args:
        path: a file that `trimtab direction extract` wrote
        as_json: print everything for programs
    """

    usage = "FILE [--json]"
    spelled: ClassVar[Mapping[str, str]] = {"path": "FILE", "as_json": _JSON}

    path: str

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Self:
        """Read the file's name.

        Raises:
            ConfigError: a ValueError that lists every mistake.
        """
        by = f"{cls.command} {cls.name()}:"
        flags = [argument for argument in arguments if argument.startswith("-")]
        mistakes = [not_a_choice(by, flag, (_JSON,)) for flag in flags]
        paths = [argument for argument in arguments if argument not in flags]
        if len(paths) != 1:
            mistakes.append(f"{by} FILE is {'missing' if not paths else 'one'}: {cls.usage}")
        if mistakes:
            raise ConfigError(mistakes)
        return cls(path=paths[0])


def main(arguments: Sequence[str]) -> int:
    """Run what follows `trimtab direction` on the command line, and return the exit code.

    Raises:
        ConfigError: a ValueError that lists every mistake in the command.
        ValueError: for models, prompts and files that cannot be used.
        OSError: for files that cannot be read or written.
    """
    return run(arguments, _ABOUT, {Extract: _extract, Show: _show})


def _extract(arguments: Sequence[str]) -> None:
    own, settings = [], {name: list[str]() for name in _WITH_SETTINGS}
    for argument in arguments:
        name, dot, setting = argument.partition(".")
        if dot and name in settings:
            settings[name].append(setting)
        elif argument != _JSON:
            own.append(argument)
    asked = Extract.of(own)
    layers, batch_size = asked.numbers, asked.together
    model, toward, away = _built(asked, settings)

    from trimtab.activations import extract
    from trimtab.runs.progress import hide_those_of_libraries

    hide_those_of_libraries()
    with bar("reading", "prompts") as progress:
        extract(
            model=model,
            toward=toward,
            away=away,
            out=asked.out,
            layers=layers,
            batch_size=batch_size,
            progress=progress,
        )
    _tell(asked.out, as_json=_JSON in arguments)


def _built(
    asked: Extract, settings: Mapping[str, Sequence[str]]
) -> tuple[LanguageModel, PromptSet, PromptSet]:
    """Return the model and the two sets of prompts; what is wrong with each is said at once."""
    from trimtab.cli.prompt_sets import prompt_set

    mistakes: list[str] = []
    with _noted(mistakes):
        of_base = [f"base={asked.base}", *(f"base.{setting}" for setting in settings["base"])]
        config = check_command(["method=base", *of_base], Source())
        assert config is not None
        base = composition.build(config.base)
    with _noted(mistakes):
        toward = prompt_set(asked.toward, settings["toward"], "toward")
    with _noted(mistakes):
        away = prompt_set(asked.away, settings["away"], "away")
    if mistakes:
        raise ConfigError(mistakes)
    return base, toward, away


@contextmanager
def _noted(mistakes: list[str]) -> Iterator[None]:
    """Note mistakes in place of raising them."""
    try:
        yield
    except ConfigError as error:
        mistakes += error.mistakes


def _show(arguments: Sequence[str]) -> None:
    asked = Show.of([argument for argument in arguments if argument != _JSON])
    _tell(asked.path, as_json=_JSON in arguments)


def _tell(path: str, *, as_json: bool) -> None:
    """Print where directions come from, and what was measured, layer by layer."""
    from trimtab.activations.directions import Directions, provenance

    directions, facts = Directions.open(path), provenance(path)
    lengths = directions.lengths
    if as_json:
        say_json({**facts, "lengths": lengths})
        return
    shape = f"{facts['architecture']}, {facts['depth']} layers of width {facts['width']}"
    toward, away = (
        f"{each['prompts']} prompts of {each['name']}" for each in (facts["toward"], facts["away"])
    )
    say(
        f"{path}: directions of {facts['name']} ({shape}, prompt={facts['prompt']})",
        f"  toward  {toward}",
        f"  from    {away}",
    )
    table = Table(
        "layer", "length", "of the states", "on their side", box=None, padding=(0, 2, 0, 0)
    )
    measured = zip(facts["layers"], lengths, directions.relative, facts["right"], strict=True)
    for layer, length, relative, right in measured:
        cells = str(layer), f"{length:.3g}", percent(relative), percent(right)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    show(table, wraps=False)


def _whole(name: str, texts: Sequence[str], such_as: str) -> list[int]:
    if not all(text.isascii() and text.isdecimal() for text in texts):
        given = ",".join(texts)
        raise ConfigError(
            [f"{name}={given}: accepted are whole numbers from 0 up, such as {such_as}."]
        )
    return [int(text) for text in texts]
