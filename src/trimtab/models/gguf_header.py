"""The header of a GGUF file, read within bounds: settings, and the table of its tensors."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Container
from math import prod
from pathlib import Path
from typing import Any

_VERSIONS = (2, 3)
_LARGEST = 256 << 20  # bytes; those with the largest vocabularies have about 20 MB
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?"}
_NUMBERS |= {10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9
_LONG = 4096  # lists of more numbers are about words


class GgufHeader:
    """What a file says before its weights.

    Args:
        file: the file.
        whole: keys of lists that are wanted whole, such as words.

    Attributes:
        settings: its metadata by key; of other lists of texts, and of long ones, the length alone.
        tensors: its tensors by name, each with what it is packed in, such as F16 or Q4_K.
        end: how many bytes the file has if it is whole.

    Raises:
        ValueError: for what is no such file, or ends within its header.
    """

    def __init__(self, file: Path, whole: Container[str] = ()) -> None:
        self._whole = whole
        with file.open("rb") as stream:
            if stream.read(4) != b"GGUF":
                raise ValueError("is no GGUF file: it does not begin with GGUF.")
            self._data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        self._place = 4
        try:
            self._read()
        except struct.error:
            cut = len(self._data) < _LARGEST
            why = "ends within its header: it is cut off" if cut else "has no header that ends"
            raise ValueError(f"{why}. Download it again.") from None
        except UnicodeDecodeError:
            raise ValueError("has names that are no UTF-8. Download it again.") from None

    def _read(self) -> None:
        version = self._number("I")
        if version not in _VERSIONS:
            raise ValueError(f"is of version {version} of GGUF. Accepted: 2, 3.")
        tensors, settings = self._number("Q"), self._number("Q")
        self.settings: dict[str, Any] = {}
        for _ in range(settings):
            key = self._text()
            self.settings[key] = self._value(self._number("I"), whole=key in self._whole)
        found = [self._tensor() for _ in range(tensors)]
        self.tensors = {name: packing for name, packing, _ in found}
        alignment = self.settings.get("general.alignment", 32)
        if type(alignment) is not int or alignment < 1:
            raise ValueError(f"has general.alignment={alignment!r}. Download it again.")
        start = -(-self._place // alignment) * alignment
        self.end = start + max((end for *_, end in found), default=0)

    def _tensor(self) -> tuple[str, str, int]:
        """Return a tensor's name, its packing, and where it ends among the weights."""
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        name = self._text()
        shape = [self._number("Q") for _ in range(self._number("I"))]
        number, start = self._number("I"), self._number("Q")
        try:
            packing = GGMLQuantizationType(number)
            weights, size = GGML_QUANT_SIZES[packing]
        except (ValueError, KeyError):
            raise ValueError(
                f"holds the tensor {name!r} in packing {number}, which the package gguf does not "
                "know. Take a file in another, such as Q4_K_M or Q8_0."
            ) from None
        return name, packing.name, start + prod(shape) // weights * size

    def _value(self, kind: int, *, whole: bool) -> Any:
        if kind != _LIST:
            return self._scalar(kind)
        kind, count = self._number("I"), self._number("Q")
        if kind == _TEXT:
            if whole:
                return [self._text() for _ in range(count)]
            self._pass_over(count)
            return count
        if whole or count <= _LONG:
            return [self._scalar(kind) for _ in range(count)]
        self._skip(count * struct.calcsize(_NUMBERS.get(kind, "Q")))
        return count

    def _scalar(self, kind: int) -> Any:
        if kind == _TEXT:
            return self._text()
        if kind not in _NUMBERS:
            raise ValueError(f"has a setting of the unknown kind {kind}. Download it again.")
        return self._number(_NUMBERS[kind])

    def _pass_over(self, texts: int) -> None:
        length, data, place = struct.Struct("<Q").unpack_from, self._data, self._place
        for _ in range(texts):  # hundreds of thousands
            place += 8 + length(data, place)[0]
        self._skip(place - self._place)

    def _text(self) -> str:
        start = self._place + 8
        self._skip(self._number("Q"))
        return bytes(self._data[start : self._place]).decode()

    def _number(self, form: str) -> Any:
        (value,) = struct.unpack_from(f"<{form}", self._data, self._place)
        self._place += struct.calcsize(f"<{form}")
        return value

    def _skip(self, size: int) -> None:
        self._place += size
        if self._place > min(len(self._data), _LARGEST):
            raise struct.error
