"""Directions between hidden states: what a file of them holds, and which model it fits.

Legend: N prompts, L layers, H width.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, TypedDict, cast

import numpy as np

from trimtab.config.accepted import is_whole
from trimtab.config.wording import not_a_choice
from trimtab.machine import shapes, whole_files
from trimtab.models import LanguageModel
from trimtab.tensors.number_format import Array
from trimtab.tensors.tensor_file import TensorFile

SUFFIX = ".safetensors"
_FACTS, _DIRECTIONS, _MIDDLE = "trimtab", "directions", "middle"


class PromptFacts(TypedDict):
    """A set of prompts."""

    name: str  # what it was called: a file, a task
    prompts: Annotated[int, shapes.count]  # how many
    sha256: str  # of the texts that the model read


class DirectionFacts(TypedDict):
    """Where directions come from, and what was measured of them."""

    name: str  # of the model: `zoo:<name>`, a folder, a hub id
    identity: dict[str, str | None]  # what tells its contents from others under that name
    prompt: str  # how it was asked: `chat`, `plain`
    dtype: str  # what it computed in
    architecture: str  # transformers' name for its family
    width: Annotated[int, shapes.count]  # of its hidden states
    depth: Annotated[int, shapes.count]  # how many layers it has
    layers: list[Annotated[int, shapes.whole]]  # those that there are directions of, from 0
    toward: PromptFacts  # the prompts that directions point to
    away: PromptFacts  # and from
    right: list[float]  # by layer: the share of prompts on their own side of the middle


class DirectionsIdentity(TypedDict):
    """What tells two contents under one name apart."""

    content_sha256: str  # of the file


class DirectionsProvenance(DirectionsIdentity, DirectionFacts):
    """What a run's record needs to name exactly these directions, and where they come from."""

    path: str  # where they lie


@dataclass(frozen=True)
class Directions:
    """A direction for each of some layers: the difference of two sets' mean hidden states.

    Attributes:
        directions_LH: `mean_toward - mean_away`, behind each layer, at a prompt's last token.
        middle_LH: half way between the two means.
        facts: where they come from.
    """

    directions_LH: Array
    middle_LH: Array
    facts: DirectionFacts

    @classmethod
    def open(cls, path: str | Path) -> Directions:
        """Read a file of directions.

        Raises:
            ValueError: for what is no such file, or is damaged.
        """
        file = TensorFile(existing(path))
        try:
            facts = json.loads(file.metadata.get(_FACTS, "null"))
            shapes.of(DirectionFacts)(facts)
            directions, middle = (_numbers(file, name, facts) for name in (_DIRECTIONS, _MIDDLE))
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{str(path)!r} holds no directions, or is damaged: {error}. Extract them: trimtab "
                "direction extract."
            ) from None
        return cls(directions, middle, cast(DirectionFacts, facts))

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        from safetensors.numpy import save_file

        tensors = {_DIRECTIONS: self.directions_LH, _MIDDLE: self.middle_LH}
        with whole_files.replacing(Path(path)) as draft:
            save_file(tensors, draft, {_FACTS: json.dumps(self.facts)})

    @cached_property
    def places(self) -> dict[int, int]:
        """The place of each layer among those that there are directions of."""
        return {layer: place for place, layer in enumerate(self.facts["layers"])}

    @property
    def lengths(self) -> list[float]:
        """The length of each layer's direction."""
        return [float(length) for length in np.linalg.norm(self.directions_LH, axis=-1)]

    @property
    def relative(self) -> list[float]:
        """The same in shares of the length of the point half way, by which states are as long."""
        middle = np.linalg.norm(self.middle_LH, axis=-1)
        pairs = zip(self.lengths, middle, strict=True)
        return [length / float(whole) if whole else math.inf for length, whole in pairs]

    def chosen(self, layers: Sequence[int] | None, path: str) -> list[int]:
        """Return the layers that are asked for; None asks for all.

        Raises:
            ValueError: for layers that there are no directions of, and for none.
        """
        if layers is None:
            return list(self.places)
        listed = isinstance(layers, Sequence) and all(map(is_whole, layers))
        if not listed or not layers or len(set(layers)) < len(layers):
            raise ValueError(
                f"layers={layers!r}: accepted is a list of layers, each once, such as [1,2], or "
                "null for all."
            )
        for layer in layers:
            if layer not in self.places:
                known = tuple(map(str, self.places))
                raise ValueError(not_a_choice(f"Layer of {path!r}:", str(layer), known))
        return sorted(layers)

    def require_fitting(self, model: LanguageModel, path: str) -> None:
        """Refuse a model of another family, width or depth, by what its config says.

        Args:
            model: the model; its weights are not loaded.
            path: what the directions are called.

        Raises:
            ValueError: naming both.
        """
        theirs, own = _said(self.facts), _said(shape_of(model))
        if theirs == own:
            return
        raise ValueError(
            f"{path!r} has directions of {self.facts['name']!r} ({theirs}), and {model.path!r} is "
            f"another kind of model ({own}). Take models of one family and size, or "
            "extract directions of this one."
        )

    def require_own(self, model: LanguageModel, path: str) -> None:
        """Refuse directions of another model than the one that decides by them.

        Raises:
            ValueError: naming both, and what differs.
        """
        theirs = {**self.facts["identity"], "prompt": self.facts["prompt"]}
        own = {**model.identity, "prompt": model.prompt}
        differing = sorted(n for n in theirs.keys() | own.keys() if theirs.get(n) != own.get(n))
        if differing:
            raise ValueError(
                f"{path!r} was extracted from {self.facts['name']!r}, and {model.path!r} decides "
                f"by it: they differ in {', '.join(differing)}. Extract directions of this model, "
                "asked as it is here (trimtab direction extract)."
            )


def require_uncompiled(model: LanguageModel) -> None:
    """Refuse a model that is compiled: it passes by the hooks that see and move hidden states."""
    if model.compile:
        raise ValueError(
            f"compile=true of {model.path!r}: what is compiled passes hooks by, which are how "
            "hidden states are seen and moved. Use compile=false."
        )


def existing(path: str | Path) -> Path:
    """Return the file that a path names; ValueError if there is none."""
    file = Path(path).expanduser()
    if file.suffix != SUFFIX or not file.is_file():
        odd = "does not exist" if not file.exists() else f"is no {SUFFIX} file"
        raise ValueError(
            f"Directions {str(path)!r}: the file {odd}. Give one that `trimtab direction extract` "
            "wrote."
        )
    return file


def identity(path: str) -> DirectionsIdentity:
    """Return what tells two contents under one name apart."""
    return {"content_sha256": whole_files.sha256(existing(path))}


def provenance(path: str) -> DirectionsProvenance:
    """Return what a record needs to name exactly these directions."""
    return {"path": path, **identity(path), **Directions.open(path).facts}


def separations(states_NLH: Array, directions_LH: Array, middle_LH: Array) -> Array:
    """Return where states lie along directions, `[N, L]`: 1 at the mean toward, -1 at that away."""
    from_middle = states_NLH.astype(np.float64) - middle_LH
    along = np.einsum("nlh,lh->nl", from_middle, directions_LH.astype(np.float64))
    return 2 * along / np.square(directions_LH, dtype=np.float64).sum(axis=-1)


class _Shape(TypedDict):
    architecture: str
    width: int
    depth: int


def shape_of(model: LanguageModel) -> _Shape:
    """Return a model's family, width and depth, as its config says; loads no weights."""
    config = model.config.get_text_config()
    return {
        "architecture": config.model_type,
        "width": config.hidden_size,
        "depth": config.num_hidden_layers,
    }


def _said(shape: _Shape | DirectionFacts) -> str:
    return f"{shape['architecture']}, {shape['depth']} layers of width {shape['width']}"


def _numbers(file: TensorFile, name: str, facts: DirectionFacts) -> Array:
    stored, shape = file.tensors.get(name), (len(facts["layers"]), facts["width"])
    if stored is None or stored.shape != shape or not stored.format.is_of_weights:
        raise ValueError(f"there is no tensor {name!r} of {list(shape)} numbers")
    values = stored.values().reshape(shape)
    if not math.isfinite(float(np.abs(values).max())):
        raise ValueError(f"{name!r} has numbers that are not finite")
    return values
