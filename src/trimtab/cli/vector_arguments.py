"""What follows `trimtab vector`: its actions and their settings; nothing here imports torch."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from trimtab import zoo
from trimtab.cli.actions import Action
from trimtab.config.composition import ConfigError
from trimtab.config.wording import not_a_choice

COMMAND = "trimtab vector"
_PICTURES = (".png", ".svg")


class VectorAction(Action):
    """What can be done with vectors."""

    command = COMMAND


@dataclass(frozen=True, kw_only=True)
class Extract(VectorAction):
    """Subtract a base model's weights from an aligned model's.

    Args:
        base: the model to start from: a folder of safetensors files, a hub id, or zoo:NAME
        aligned: a model fine-tuned from it
        out: the folder to write
        dtype: float32, which is exact at strength 1; bfloat16, float16 [float32]
        rank: keep factors of this rank, as a LoRA adapter that PEFT reads [all ranks]
        vocabulary: same, or shared: leave tokens alone that one model lacks [same]
        base_revision: of a model on the hub
        aligned_revision: of a model on the hub
    """

    usage = "base=MODEL aligned=MODEL out=FOLDER"

    base: str
    aligned: str
    out: str
    dtype: str | None = None
    rank: str | None = None
    vocabulary: str | None = None
    base_revision: str | None = None
    aligned_revision: str | None = None

    def __post_init__(self) -> None:
        if self.rank is not None and (not self.rank.isdecimal() or int(self.rank) < 1):
            message = f"rank={self.rank}: accepted are whole numbers from 1 up, such as 64."
            raise ConfigError([message])

    @property
    def given(self) -> dict[str, Any]:
        """The settings that are given, as the function that extracts takes them."""
        given = {key: text for key, text in dataclasses.asdict(self).items() if text is not None}
        return given if self.rank is None else {**given, "rank": int(self.rank)}


@dataclass(frozen=True, kw_only=True)
class Apply(VectorAction):
    """Add vectors to a model's weights and write an ordinary checkpoint.

    Args:
        base: the model to start from: a folder of safetensors files, a hub id, or zoo:NAME
        vector: folders of vectors or of LoRA adapters, or zoo:NAME
        strength: how much of each, or of all: 0 is the base, 1 the aligned model [1]
        out: the folder to write
        base_revision: of a model on the hub
    """

    usage = "base=MODEL vector=PATH[,PATH] strength=NUMBER[,NUMBER] out=FOLDER"

    base: str
    vector: str
    strength: str = "1"
    out: str
    base_revision: str | None = None

    def __post_init__(self) -> None:
        _ = self.strengths

    @property
    def paths(self) -> dict[str, str]:
        """The paths of the vectors, by name."""
        return named(self.vector.split(","))

    @property
    def strengths(self) -> dict[str, float]:
        """A strength for each vector: one for all, or as many as there are vectors."""
        vectors = self.paths
        try:
            numbers = [float(each) for each in self.strength.split(",")]
            if not all(map(math.isfinite, numbers)):
                raise ValueError
        except ValueError:
            message = (
                f"strength={self.strength}: accepted are finite numbers, such as 0.5 or 0.5,1."
            )
            raise ConfigError([message]) from None
        if len(numbers) == 1:
            numbers *= len(vectors)
        if len(numbers) != len(vectors):
            message = f"strength={self.strength}: {len(numbers)} numbers for {len(vectors)} vectors"
            advice = "Give one for all, or one for each."
            raise ConfigError([f"{message} ({', '.join(vectors)}). {advice}"])
        return dict(zip(vectors, numbers, strict=True))


@dataclass(frozen=True, kw_only=True)
class Show(VectorAction):
    """Say where vectors come from, what they change, and how alike they are.

    Args:
        paths: the folder of a vector or of a LoRA adapter, or zoo:NAME
        picture: draw the norms by layer and kind of module in this file: png or svg
        as_json: print everything for programs
    """

    usage = "PATH [PATH ...] [--picture FILE] [--json]"
    spelled: ClassVar[Mapping[str, str]] = {
        "paths": "PATH",
        "picture": "--picture",
        "as_json": "--json",
    }

    paths: tuple[str, ...]
    picture: Path | None = None
    as_json: bool = False

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Self:
        """Read paths and flags.

        Raises:
            ConfigError: a ValueError that lists every mistake, with the nearest valid flag.
        """
        what = f"{COMMAND} {cls.name()}:"
        flags = [name for name in cls.spelled.values() if name.startswith("-")]
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
            mistakes.append(f"{what} PATH is missing: {cls.meanings()['PATH']}.")
        if mistakes:
            raise ConfigError(mistakes)
        return cls(paths=tuple(paths), picture=picture, as_json=as_json)


def named(paths: Sequence[str]) -> dict[str, str]:
    """Return paths by the names of their folders; a number tells apart those that are alike."""
    found: dict[str, str] = {}
    for path in paths:
        if not path:
            raise ConfigError([f"vector={','.join(paths)}: one of the paths is empty."])
        name = zoo.name_in(path) or Path(path).expanduser().resolve().name
        count, unique = 1, name
        while unique in found:
            count += 1
            unique = f"{name}-{count}"
        found[unique] = path
    return found


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
