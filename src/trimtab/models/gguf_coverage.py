"""What transformers reads of a GGUF file, and what it would pass over in silence."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

# Of no effect, or said by the shapes of tensors too.
_NO_MATTER = {
    "attention.causal",
    "attention.key_length",
    "attention.value_length",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "rope.dimension_count",
    "rope.scaling.finetuned",
    "rope.scaling.type",  # refused unless it is none
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "tensor_data_layout",
    "use_parallel_residual",
}
_ROPES = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
_SAFETENSORS = "Take the model's safetensors."


def require_readable(settings: Mapping[str, Any], tensors: Collection[str]) -> None:
    """Refuse what transformers does not read, or would read as another model.

    Raises:
        ValueError: whose message goes on after the name of the file.
    """
    architecture = str(settings.get("general.architecture"))
    if _named(architecture) not in (known := _known()):
        names = sorted({name for name, _ in known.values()})
        raise ValueError(
            f"is of the architecture {architecture!r}, which transformers does not read from a "
            f"GGUF file. It reads: {', '.join(names)}. {_SAFETENSORS}"
        )
    if (parts := settings.get("split.count", 1)) > 1:
        raise ValueError(
            f"is one of {parts} parts. Join them first: llama-gguf-split --merge FIRST OUT"
        )
    scaling = settings.get(f"{architecture}.rope.scaling.type", "none")
    if scaling != "none" and _named(architecture) != "gptoss":
        raise ValueError(
            f"is made for longer texts by {architecture}.rope.scaling.type={scaling}, which "
            f"transformers does not read from a GGUF file: answers would be others. {_SAFETENSORS}"
        )
    if ropes := [name for name in _ROPES if name in tensors]:
        raise ValueError(
            f"has frequencies of its own for places in a text ({ropes[0]}), which transformers "
            f"does not read from a GGUF file: answers would be others. {_SAFETENSORS}"
        )


def unread(settings: Mapping[str, Any]) -> list[str]:
    """Return the model's settings that transformers does not read, of those that may matter."""
    architecture = str(settings["general.architecture"])
    _, read = _known()[_named(architecture)]
    if read is None:
        return []
    own = {key.removeprefix(f"{architecture}."): key for key in settings}
    return [key for name, key in own.items() if name != key and name not in {*read, *_NO_MATTER}]


def _known() -> dict[str, tuple[str, Collection[str] | None]]:
    """Return each architecture, by its plain name, with its name and the settings that are read.

    None stands for all that matter, where transformers asks for each by its name.
    """
    # Neither imports torch: what cannot be loaded is said at once.
    from transformers.integrations.ggml import GGUF_CONFIG_MAPPING
    from transformers.integrations.gguf.gguf_config_mapping import GGUF_CONFIG_ARCHS

    tables = {
        name: read
        for name, read in GGUF_CONFIG_MAPPING.items()
        if name not in ("general", "tokenizer")
    }
    found = {**tables, **dict.fromkeys(GGUF_CONFIG_ARCHS)}
    return {_named(name): (name, read) for name, read in found.items()}


def _named(architecture: str) -> str:
    """Return an architecture's name as neither llama.cpp nor transformers spells it."""
    return architecture.replace("-", "").replace("_", "")
