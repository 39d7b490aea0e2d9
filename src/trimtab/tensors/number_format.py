"""The number formats of safetensors files, widened and rounded by numpy.

Importing torch takes longer than subtracting two models of average size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

Array = np.ndarray[Any, np.dtype[Any]]

_HALF = 16  # bits that bfloat16 has less than float32
_QUIET_NAN = 0x7FC0


@dataclass(frozen=True)
class NumberFormat:
    """How the elements of a tensor are stored.

    Attributes:
        label: as torch calls it, such as `bfloat16`.
        storage: what numpy reads the bytes as; bit patterns where it does not know the format.
    """

    label: str
    storage: np.dtype[Any]

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return self.storage.itemsize

    @property
    def is_of_weights(self) -> bool:
        """Tell weights from integers and one-byte floats, which mean nothing without scales."""
        return "float" in self.label and self.size > 1

    def widened(self, stored: Array) -> Array:
        """Return stored weights in fp32; themselves if they are."""
        if self.label == "bfloat16":
            bits = stored.astype(np.uint32)
            bits <<= _HALF
            return bits.view(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            return stored.astype(np.float32, copy=False)

    def narrowed(self, values: Array) -> Array:
        """Return fp32 weights as they are stored, rounded to nearest, ties to even."""
        if self.label == "bfloat16":
            bits = values.view(np.uint32)
            rounded = bits >> _HALF
            rounded &= 1
            rounded += 0x7FFF
            rounded += bits
            rounded >>= _HALF
            stored = rounded.astype(self.storage)
            if (nan := np.isnan(values)).any():  # whose bits may have run over
                stored[nan] = _QUIET_NAN
            return stored
        with np.errstate(over="ignore", invalid="ignore"):  # as torch has it
            return values.astype(self.storage, copy=False)


def _format(label: str, storage: str) -> NumberFormat:
    return NumberFormat(label, np.dtype(storage))


FORMATS = {
    "F64": _format("float64", "<f8"),
    "F32": _format("float32", "<f4"),
    "F16": _format("float16", "<f2"),
    "BF16": _format("bfloat16", "<i2"),
    "F8_E4M3": _format("float8_e4m3fn", "u1"),
    "F8_E5M2": _format("float8_e5m2", "u1"),
    "I64": _format("int64", "<i8"),
    "I32": _format("int32", "<i4"),
    "I16": _format("int16", "<i2"),
    "I8": _format("int8", "i1"),
    "U8": _format("uint8", "u1"),
    "BOOL": _format("bool", "?"),
}
FLOAT32 = FORMATS["F32"]
INT64 = FORMATS["I64"]


def labelled(label: str) -> NumberFormat:
    """Return the format that torch calls so; ValueError for others than those of safetensors."""
    for each in FORMATS.values():
        if each.label == label:
            return each
    raise ValueError(f"Numbers of type {label} have no place in safetensors files.")


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether a tensor holds its elements itself, and is not made of others as quantized ones."""
    return not hasattr(tensor, "__tensor_flatten__")  # torch's sign for these


def kind_of(tensor: torch.Tensor) -> NumberFormat:
    """Return how a tensor's elements are stored; of one made of others, by what class."""
    if not is_plain(tensor):  # whose dtype is a pretence
        return NumberFormat(type(tensor).__name__, np.dtype("u1"))
    return labelled(str(tensor.dtype).removeprefix("torch."))


def of_torch(tensor: torch.Tensor) -> tuple[Array, NumberFormat]:
    """Return the elements of a tensor as they are stored, flat, and how.

    Of a contiguous tensor on the CPU they are the tensor's own memory.
    """
    import torch

    kind = kind_of(tensor)
    octets = tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy()
    return octets.view(kind.storage), kind


def to_torch(stored: Array, kind: NumberFormat) -> torch.Tensor:
    """Return stored elements as a tensor in the same memory."""
    import torch

    return torch.from_numpy(stored).view(getattr(torch, kind.label))
