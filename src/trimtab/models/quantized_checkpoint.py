"""Checkpoints whose files hold fewer bits already: which they are, and what reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.models.installed import require_installed

READERS: Mapping[str, tuple[str, ...]] = {
    "awq": ("gptqmodel", "accelerate"),
    "bitsandbytes": ("bitsandbytes", "accelerate"),
    "compressed-tensors": ("compressed-tensors", "accelerate"),
    "gptq": ("gptqmodel", "optimum"),
    "torchao": ("torchao", "accelerate"),
}
"""The packages that compute on them as they are, by the name in config.json."""
WIDENED = ("fp8", "mxfp4")
"""Those that are unpacked when they are loaded: what computes on them is code from the hub."""


def method_in(config: Mapping[str, Any]) -> str | None:
    """Return how a checkpoint is quantized, as its config.json says; None if it is not."""
    own = config.get("quantization_config")
    if isinstance(own, Mapping):
        by_bits = own.get("load_in_4bit") or own.get("load_in_8bit")
        return "bitsandbytes" if by_bits else str(own.get("quant_method"))
    text = config.get("text_config")
    return method_in(text) if isinstance(text, Mapping) else None


def is_by_column(config: Mapping[str, Any]) -> bool:
    """Whether bitsandbytes' 8 bits hold it, which compute some columns of all rows otherwise."""
    own = config.get("quantization_config") or {}
    return bool(own.get("load_in_8bit")) and own.get("llm_int8_threshold", 6.0) > 0


def check(config: Mapping[str, Any], path: str, *, wanted: str | None) -> None:
    """Refuse a quantized checkpoint that cannot be loaded here, or is to be quantized again.

    Args:
        config: what its config.json holds.
        path: of the model.
        wanted: what its weights shall be brought into; None to leave them as they are.

    Raises:
        ValueError: that names the method, and what to install or choose.
    """
    method = method_in(config)
    if method is None:
        return
    what = f"{path!r} is quantized already (by {method}, as its config.json says)"
    if wanted is not None:
        raise ValueError(
            f"quantization={wanted}: {what}. Use quantization=none to load it as it is, or the "
            "checkpoint that it was made from."
        )
    if method in READERS:
        require_installed(READERS[method], f"{what} and")
    elif method not in WIDENED:
        raise ValueError(
            f"{what}. Accepted: {', '.join(sorted([*READERS, *WIDENED]))}. Take the checkpoint "
            "that it was made from; quantization=int8 or nf4 brings its weights into fewer bits."
        )


def widening(config: Mapping[str, Any]) -> Any:
    """Return transformers' configuration that unpacks a checkpoint; None for what needs none."""
    from transformers import FineGrainedFP8Config, Mxfp4Config

    kinds = {"fp8": FineGrainedFP8Config, "mxfp4": Mxfp4Config}
    method = method_in(config)
    return kinds[method](dequantize=True) if method in WIDENED else None
