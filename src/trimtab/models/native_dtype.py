"""Which number formats a device computes in by itself, and what `dtype=auto` comes to there.

Where it has no instructions for 16 bits, every number is widened and rounded again around every
operation: answers take several times as long as in float32.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.models.source import Source

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig

AUTO = "auto"
DTYPES = (AUTO, "float32", "bfloat16", "float16")
_CPU = Path("/proc/cpuinfo")
_INSTRUCTIONS = {  # of x86 and of ARM
    "bfloat16": {"avx512_bf16", "amx_bf16", "bf16"},
    "float16": {"avx512_fp16", "amx_fp16", "asimdhp"},
}


def is_native(dtype: str, device: torch.device) -> bool:
    """Whether a device computes in a number format by itself; where nothing says so, it does not.

    Args:
        dtype: of torch, by name.
        device: that holds the weights.
    """
    if dtype not in _INSTRUCTIONS:
        return True
    if device.type == "cpu":
        return bool(_INSTRUCTIONS[dtype] & _flags(_CPU))
    if device.type == "cuda" and dtype == "bfloat16":
        import torch

        return torch.cuda.get_device_capability(device) >= (8, 0)
    return True


def chosen(stored: str, device: torch.device) -> str:
    """Return what `auto` comes to for weights that are stored in a number format."""
    return stored if is_native(stored, device) else "float32"


def stored(source: Source, config: PreTrainedConfig) -> str:
    """Return the number format of a model's weights, by name: what its files say.

    Raises:
        ValueError: where they say nothing, as of pickles with an old config.json.
    """
    if source.is_gguf:
        return source.gguf.dtype
    if config.dtype is not None:
        return str(config.dtype).removeprefix("torch.")
    from safetensors import safe_open

    for file in sorted(source.folder_with_weights.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - it is no mapping
                dtype = tensors.get_tensor(name).dtype
                if dtype.is_floating_point:
                    return str(dtype).removeprefix("torch.")
    raise ValueError(
        f"dtype=auto of {source.path!r}: neither its config.json nor a file of safetensors says "
        f"in which number format its weights are. Name one: {', '.join(DTYPES[1:])}."
    )


def remark(
    path: str, asked: str, in_use: str, device: torch.device, *, stored: str | None
) -> str | None:
    """Return what is to be said of a model's number format when it is loaded; None for nothing.

    Args:
        path: of the model.
        asked: its setting.
        in_use: the format that it has.
        device: that holds the weights.
        stored: what its files say, where `auto` was asked for.
    """
    where = "this CPU" if device.type == "cpu" else str(device)
    slow = f"{where} has no instructions for that, and is often several times as slow in it"
    if asked == AUTO and in_use != stored:
        return (
            f"{path}: dtype=auto is {in_use} here. The weights are stored as {stored}, but {slow}; "
            f"dtype={stored} keeps them as they are, in half the memory."
        )
    if asked not in (AUTO, in_use):
        return f"{path}: dtype={asked} plays no part, as its quantized layers are for {in_use}."
    if not is_native(in_use, device):
        return f"{path}: dtype={in_use}, but {slow}. dtype=float32 is faster, in twice the memory."
    return None


@functools.cache
def _flags(file: Path) -> frozenset[str]:
    """Return the instruction sets that Linux names for its CPUs; none elsewhere."""
    if not file.is_file():
        return frozenset()
    named = (line.partition(":") for line in file.read_text(errors="replace").splitlines())
    return frozenset(
        flag
        for name, _, flags in named
        if name.strip() in ("flags", "Features")
        for flag in flags.split()
    )
