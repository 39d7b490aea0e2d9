"""Directions from two sets of prompts: the difference of a model's mean hidden states.

Legend: N prompts, L layers, H width.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trimtab.activations.directions import (
    SUFFIX,
    DirectionFacts,
    Directions,
    PromptFacts,
    require_uncompiled,
    separations,
    shape_of,
)
from trimtab.config.accepted import require_whole
from trimtab.models import Conversation, LanguageModel
from trimtab.models.content_hash import text_sha256
from trimtab.tensors.number_format import Array

if TYPE_CHECKING:
    from trimtab.models.session import Session


class PromptSet(NamedTuple):
    """Some prompts.

    Attributes:
        name: what they are called: a file, a task.
        asked: what is asked, which the model renders in its own way; a string is a conversation of
            only a question.
    """

    name: str
    asked: Sequence[str | Conversation]


class _Read(NamedTuple):
    facts: PromptFacts
    tokens: list[list[int]]


def extract(
    *,
    model: LanguageModel,
    toward: PromptSet,
    away: PromptSet,
    out: str | Path,
    layers: Sequence[int] | None = None,
    batch_size: int = 8,
    progress: Callable[[int, int], None] | None = None,
) -> Directions:
    """Write the directions between two sets of prompts to a file, and return them.

    Behind each layer, `mean_i h(toward_i) - mean_j h(away_j)` over the hidden states at the last
    token of each prompt: Wang et al., "InferAligner", arXiv 2401.11206. Means are taken in fp64.
    Each prompt is read once, and nothing is kept of an extraction that was interrupted.

    Args:
        model: the model that reads the prompts, rendered in its way.
        toward: prompts that directions point to.
        away: prompts that they point from.
        out: the file to write, `*.safetensors`.
        layers: numbers of the layers, from 0; None for all.
        batch_size: how many prompts are read together.
        progress: called with how many prompts were just read, and how many there are in all.

    Raises:
        ValueError: before weights load, for an empty set, prompts that the model cannot hold, and
            layers that it lacks; for an architecture without one list of decoder layers; and for
            sets that the model does not tell apart.
    """
    file = _new(out)
    require_uncompiled(model)
    require_whole("batch_size", batch_size, 1)
    depth = shape_of(model)["depth"]
    numbers = _layers(layers, depth, model)
    sets = [_read(model, each) for each in (toward, away)]
    model.require_loadable()

    from trimtab.models.hidden_states import HiddenStates
    from trimtab.models.session import Session

    session = Session(model, batch_size, hidden=HiddenStates(model.weights, numbers))
    total = sum(len(each.tokens) for each in sets)

    def read(count: int) -> None:
        if progress is not None:
            progress(count, total)

    states = [_states(session, each.tokens, batch_size, read) for each in sets]
    means = [each_NLH.mean(axis=0, dtype=np.float64) for each_NLH in states]
    directions_LH, middle_LH = means[0] - means[1], (means[0] + means[1]) / 2
    lengths_L = np.linalg.norm(directions_LH, axis=-1)
    if not np.isfinite(lengths_L).all():
        raise ValueError(
            f"{model.path!r} gave hidden states that are not finite: its weights are damaged, or "
            "the dtype overflows (try dtype=float32)."
        )
    if not lengths_L.all():
        raise ValueError(
            f"{toward.name} and {away.name}: the mean hidden states of both are the same behind "
            f"layer {numbers[int(lengths_L.argmin())]} of {model.path!r}. Give sets of prompts "
            "that differ, in their last tokens or before."
        )
    facts: DirectionFacts = {
        "name": model.path,
        "identity": dict(model.identity),
        "prompt": model.prompt,
        "dtype": model.dtype_in_use,
        **shape_of(model),
        "layers": numbers,
        "toward": sets[0].facts,
        "away": sets[1].facts,
        "right": _right(states[0], states[1], directions_LH, middle_LH),
    }
    found = Directions(directions_LH.astype(np.float32), middle_LH.astype(np.float32), facts)
    file.parent.mkdir(parents=True, exist_ok=True)
    found.save(file)
    return found


def _right(
    toward_NLH: Array, away_NLH: Array, directions_LH: Array, middle_LH: Array
) -> list[float]:
    """Return, by layer, the share of prompts that lie on their own side of the middle."""
    here = separations(toward_NLH, directions_LH, middle_LH) > 0
    there = separations(away_NLH, directions_LH, middle_LH) <= 0
    return [float(share) for share in np.concatenate([here, there]).mean(axis=0)]


def _new(out: str | Path) -> Path:
    file = Path(out).expanduser()
    if file.suffix != SUFFIX:
        raise ValueError(f"out={str(out)!r}: accepted is the name of a {SUFFIX} file.")
    if file.exists() or file.is_symlink():
        raise ValueError(f"out={str(out)!r} is there already. Give another name, or move it away.")
    above = next(folder for folder in file.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise ValueError(
            f"out={str(out)!r} cannot be written: nothing can be made in {str(above)!r}."
        )
    return file


def _layers(layers: Sequence[int] | None, depth: int, model: LanguageModel) -> list[int]:
    if layers is None:
        return list(range(depth))
    if not isinstance(layers, Sequence):
        raise ValueError(f"layers={layers!r}: accepted is a list, such as [1,2], or None for all.")
    for layer in layers:
        require_whole("layers", layer, 0)
    if not layers or len(set(layers)) < len(layers) or max(layers) >= depth:
        raise ValueError(
            f"layers={list(layers)!r}: accepted are some of the layers 0 to {depth - 1} of "
            f"{model.path!r}, each once."
        )
    return sorted(layers)


def _read(model: LanguageModel, prompts: PromptSet) -> _Read:
    """Render a set of prompts, and refuse what cannot be read."""
    if not prompts.asked or isinstance(prompts.asked, str):
        raise ValueError(f"{prompts.name} holds no list of prompts. Give some.")
    asked = (Conversation(question=p) if isinstance(p, str) else p for p in prompts.asked)
    texts = [model.render(conversation) for conversation in asked]
    tokens = [model.encode(text) for text in texts]
    for number, own in enumerate(tokens, start=1):
        model.require_rows(own)
        if not 0 < len(own) <= model.context_length:
            raise ValueError(
                f"Prompt {number} of {prompts.name} has {len(own)} tokens, and {model.path!r} "
                f"holds from 1 to {model.context_length}."
            )
    digest = text_sha256("".join(f"{text_sha256(text)}\n" for text in texts))
    facts: PromptFacts = {"name": prompts.name, "prompts": len(texts), "sha256": digest}
    return _Read(facts, tokens)


def _states(
    session: Session, tokens: Sequence[list[int]], rows: int, read: Callable[[int], None]
) -> Array:
    """Return the hidden states at the last token of each prompt, `[N, L, H]`."""
    found: list[Array] = []
    for start in range(0, len(tokens), rows):
        own = tokens[start : start + rows]
        slots = range(len(own))
        session.read(slots, own, [1] * len(own), opening=slots, looked_at=slots)
        found += [session.seen[slot].numpy() for slot in slots]
        read(len(own))
    return np.stack(found)
