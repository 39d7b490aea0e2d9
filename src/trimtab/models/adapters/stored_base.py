"""What the files of a base say of an adapter's fit, in an instant and without loading anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trimtab.models.adapters.peft_adapter import Pair
from trimtab.models.source import Source
from trimtab.tensors.tensor_file import TensorFolder

Misfits = dict[str, str]
"""What an adapter is of and a model does not have so, by the names of weights."""
_LAYER = re.compile(r"(?<=\.)\d+(?=\.|$)")
# Which side of a layer is as wide as the model, where files of GGUF call it otherwise.
_FROM_WIDTH = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
_TO_WIDTH = ("o_proj", "down_proj")


def stored_misfits(pairs: Mapping[str, Pair], base: Source) -> Misfits:
    """Return the weights that an adapter is of and a base on this machine does not have so.

    What the files do not tell, such as what transformers calls otherwise in memory, the model's
    modules do (`placing`).

    Args:
        pairs: the adapter's factors, by module.
        base: the model.
    """
    if base.local is None:
        return {}
    if base.is_gguf:
        return _of_gguf(pairs, base.gguf.settings)
    if not any(base.local.glob("model*.safetensors")):
        return {}
    stored = TensorFolder(base.local).tensors
    layers = {_LAYER.sub("*", name) for name in stored}
    found: Misfits = {}
    for module, pair in pairs.items():
        name = f"{module}.weight"
        if name in stored and stored[name].shape not in pair.shapes:
            found[name] = misfit(pair.shapes[0], stored[name].shape)
        elif name not in stored and _LAYER.sub("*", name) in layers:
            found[name] = misfit(pair.shapes[0], None)
    return found


def misfit(own: tuple[int, ...], there: tuple[int, ...] | None) -> str:
    """Return what is said of a weight's shapes in an adapter and in a model; None: not there."""
    return f"{own} in the adapter, {there or 'not there'} in the model"


def _of_gguf(pairs: Mapping[str, Pair], settings: Mapping[str, Any]) -> Misfits:
    architecture = settings["general.architecture"]
    width, layers = (
        settings.get(f"{architecture}.{n}") for n in ("embedding_length", "block_count")
    )
    found: Misfits = {}
    for module, pair in pairs.items():
        (rows, columns), leaf = pair.shapes[0], module.rpartition(".")[2]
        number = _LAYER.search(module)
        if number and layers is not None and int(number[0]) >= layers:
            found[f"{module}.weight"] = misfit((rows, columns), None)
        elif leaf in _FROM_WIDTH and width not in (None, columns):
            found[f"{module}.weight"] = f"{columns} inputs in the adapter, {width} in the model"
        elif leaf in _TO_WIDTH and width not in (None, rows):
            found[f"{module}.weight"] = f"{rows} outputs in the adapter, {width} in the model"
    return found
