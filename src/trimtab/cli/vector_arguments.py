"""What follows `trimtab vector`: its actions and their settings, read and checked.

Nothing here imports torch: mistakes in a command and its help should not wait for it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trimtab.config.composition import ConfigError
from trimtab.config.wording import not_a_choice

COMMAND = "trimtab vector"
_PICTURES = (".png", ".svg")
_MODEL = "a folder of safetensors files, a hub id, or zoo:NAME"


@dataclass(frozen=True, kw_only=True)
class Action:
    """What can be done with vectors.

    Attributes:
        summary: what it does.
        usage: what follows its name.
        settings: what each key or flag means.
        required: keys that must be given.
    """

    summary: str
    usage: str
    settings: Mapping[str, str]
    required: tuple[str, ...]


ACTIONS = {
    "extract": Action(
        summary="Subtract a base model's weights from an aligned model's.",
        usage="base=MODEL aligned=MODEL out=FOLDER",
        settings={
            "base": f"the model to start from: {_MODEL}",
            "aligned": "a model fine-tuned from it",
            "out": "the folder to write",
            "dtype": "float32, which is exact at strength 1; bfloat16, float16 [float32]",
            "rank": "keep factors of this rank, as a LoRA adapter that PEFT reads [all ranks]",
            "vocabulary": "same, or shared: leave tokens alone that one model lacks [same]",
            "base_revision": "of a model on the hub",
            "aligned_revision": "of a model on the hub",
        },
        required=("base", "aligned", "out"),
    ),
    "apply": Action(
        summary="Add vectors to a model's weights and write an ordinary checkpoint.",
        usage="base=MODEL vector=PATH[,PATH] strength=NUMBER[,NUMBER] out=FOLDER",
        settings={
            "base": f"the model to start from: {_MODEL}",
            "vector": "folders of vectors or of LoRA adapters, or zoo:NAME",
            "strength": "how much of each, or of all: 0 is the base, 1 the aligned model [1]",
            "out": "the folder to write",
            "base_revision": "of a model on the hub",
        },
        required=("base", "vector", "out"),
    ),
    "show": Action(
        summary="Say where vectors come from, what they change, and how alike they are.",
        usage="PATH [PATH ...] [--picture FILE] [--json]",
        settings={
            "PATH": "the folder of a vector or of a LoRA adapter, or zoo:NAME",
            "--picture": "draw the norms by layer and kind of module in this file: png or svg",
            "--json": "print everything for programs",
        },
        required=(),
    ),
}


def overview() -> str:
    """Return the help of the command."""
    lines = [f"{COMMAND} ACTION ...", "", "Alignment vectors: differences of weights."]
    for name, action in ACTIONS.items():
        lines += ["", f"  {name:9}{action.summary}"]
        lines.append(f"  {'':9}{COMMAND} {name} {action.usage}")
    return "\n".join([*lines, "", f"{COMMAND} ACTION --help names every setting."])


def manual(name: str) -> str:
    """Return the help of an action."""
    action = ACTIONS[name]
    width = max(map(len, action.settings)) + 2
    lines = [f"  {key:{width}}{meaning}" for key, meaning in action.settings.items()]
    return "\n".join([f"{COMMAND} {name} {action.usage}", "", action.summary, "", *lines])


def settings(name: str, arguments: Sequence[str]) -> dict[str, str]:
    """Return the values of `key=value` arguments by key.

    Raises:
        ConfigError: a ValueError that lists every mistake, with the nearest valid key.
    """
    known, what = ACTIONS[name].settings, f"{COMMAND} {name}:"
    given: dict[str, str] = {}
    mistakes = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in known:
            mistakes.append(not_a_choice(what, key, known))
        elif not value:
            mistakes.append(f"{what} {key} needs a value: {key}=... ({known[key]}).")
        elif key in given:
            mistakes.append(f"{what} {key} is given twice: {given[key]!r} and {value!r}.")
        given.setdefault(key, value)
    missing = [key for key in ACTIONS[name].required if key not in given]
    mistakes += [f"{what} {key}=... is missing: {known[key]}." for key in missing]
    if mistakes:
        raise ConfigError(mistakes)
    return given


def rank(text: str) -> int:
    """Return a rank."""
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError([f"rank={text}: accepted are whole numbers from 1 up, such as 64."])
    return int(text)


def named(paths: Sequence[str]) -> dict[str, str]:
    """Return paths by the names of their folders; a number tells apart those that are alike."""
    found: dict[str, str] = {}
    for path in paths:
        if not path:
            raise ConfigError([f"vector={','.join(paths)}: one of the paths is empty."])
        embedded = path.startswith("zoo:")
        name = path.removeprefix("zoo:") if embedded else Path(path).expanduser().resolve().name
        count, unique = 1, name
        while unique in found:
            count += 1
            unique = f"{name}-{count}"
        found[unique] = path
    return found


def strengths(text: str, vectors: Mapping[str, str]) -> dict[str, float]:
    """Return a strength for each vector: one for all, or as many as there are vectors."""
    try:
        numbers = [float(each) for each in text.split(",")]
        if not all(map(math.isfinite, numbers)):
            raise ValueError
    except ValueError:
        message = f"strength={text}: accepted are finite numbers, such as 0.5 or 0.5,1."
        raise ConfigError([message]) from None
    if len(numbers) == 1:
        numbers *= len(vectors)
    if len(numbers) != len(vectors):
        message = f"strength={text}: {len(numbers)} numbers for {len(vectors)} vectors"
        raise ConfigError([f"{message} ({', '.join(vectors)}). Give one for all, or one for each."])
    return dict(zip(vectors, numbers, strict=True))


def _cannot_be_written(file: Path) -> str | None:
    """Return why there can be no such file, before anything is computed for it."""
    try:
        is_folder = file.is_dir()
        file.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:
        return f"{error.strerror}."
    if is_folder:
        return "that is a folder."
    if not os.access(file.parent, os.W_OK):
        return f"nothing can be written in {str(file.parent)!r}."
    return None


@dataclass(frozen=True, kw_only=True)
class Showing:
    """What `show` is asked for.

    Attributes:
        paths: of the vectors.
        picture: the file to draw, if any.
        as_json: whether programs read what is printed.
    """

    paths: tuple[str, ...]
    picture: Path | None
    as_json: bool

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Showing:
        """Read the arguments of `show`; ConfigError with every mistake."""
        what = f"{COMMAND} show:"
        flags = [name for name in ACTIONS["show"].settings if name.startswith("-")]
        paths: list[str] = []
        picture, as_json, mistakes = None, False, []
        left = list(arguments)
        while left:
            argument = left.pop(0)
            flag, equals, value = argument.partition("=")
            if not flag.startswith("-"):
                paths.append(argument)
            elif flag == "--picture":
                file = value if equals or not left else left.pop(0)
                picture = Path(file)
                if picture.suffix.lower() not in _PICTURES:
                    mistakes.append(f"{what} --picture {file}: accepted are .png and .svg files.")
                elif why := _cannot_be_written(picture):
                    mistakes.append(f"{what} --picture {file}: {why}")
            elif argument == "--json":
                as_json = True
            else:
                mistakes.append(not_a_choice(what, argument, flags))
        if not paths:
            mistakes.append(f"{what} PATH is missing: {ACTIONS['show'].settings['PATH']}.")
        if mistakes:
            raise ConfigError(mistakes)
        return cls(paths=tuple(paths), picture=picture, as_json=as_json)
