"""How weights are held in memory: as plain numbers, or packed as transformers computes on them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from trimtab.models.source import Source

UNPACKED = "none"
QUANTIZATIONS = (UNPACKED, "gguf")


def check_quantization(quantization: str, source: Source) -> None:
    """Refuse a way of holding weights that the model, or this machine, cannot have.

    Raises:
        ValueError: that says why, and what to choose.
    """
    if quantization != "gguf":
        return
    what = f"quantization={quantization!r} of {source.path!r}"
    if not source.is_gguf:
        raise ValueError(f"{what}: the model is no GGUF file. Use quantization=none.")
    if source.local is not None:
        # It imports no torch: what cannot be loaded is said at once.
        from transformers.integrations.gguf.gguf_config_mapping import GGUF_CONFIG_ARCHS

        architecture = source.gguf.settings["general.architecture"]
        if architecture not in GGUF_CONFIG_ARCHS:
            raise ValueError(
                f"{what}: transformers computes on packed weights of the architectures "
                f"{', '.join(GGUF_CONFIG_ARCHS)} alone, and this file is of {architecture!r}. Use "
                "quantization=none, which unpacks them."
            )
    if find_spec("kernels") is None:
        raise ValueError(
            f"{what}: transformers computes on packed weights by the package kernels, which is not "
            "installed: pip install kernels. Or use quantization=none, which unpacks them."
        )
    if not source.trust_remote_code:
        raise ValueError(
            f"{what} downloads and runs compiled code from the hub (ggml-org/ggml-quantization). "
            "Set trust_remote_code=true if you trust who wrote it, or use quantization=none."
        )


def quantization_config(quantization: str, source: Source) -> Any:
    """Return transformers' configuration for it; None for what needs none."""
    if not source.is_gguf:
        return None
    from transformers import GgufConfig

    return GgufConfig(dequantize=quantization == "none")
