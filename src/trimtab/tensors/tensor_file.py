"""Safetensors files read and written a block at a time, so that memory never holds a whole one.

The format is a length, a JSON header, and the tensors' bytes one after another. The safetensors
library maps files or takes whole tensors; models larger than memory want neither.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from trimtab.machine.json_file import read_object
from trimtab.tensors.blocks import blocks
from trimtab.tensors.number_format import FORMATS, Array, NumberFormat, of_torch, to_torch
from trimtab.tensors.tensor_header import Header

if TYPE_CHECKING:
    import torch

_NAMES = {each: name for name, each in FORMATS.items()}
_LARGEST_HEADER = 100_000_000  # bytes, as the format allows
_ALIGNED = 8
_PENDING = 3  # blocks that may wait to be written


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies in a file.

    Attributes:
        file: the file that it lies in.
        format: of its elements.
        shape: its shape.
        start: the place of its first byte in the file.
    """

    file: TensorFile
    format: NumberFormat
    shape: tuple[int, ...]
    start: int

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def read(self, first: int = 0, last: int | None = None) -> Array:
        """Return the elements `first` to `last`, flat, as they are stored; all without `last`."""
        last = self.numel if last is None else last
        stored = np.empty(last - first, dtype=self.format.storage)
        self.file.read_into(stored, self.start + first * self.format.size)
        return stored

    def values(self, first: int = 0, last: int | None = None) -> Array:
        """Return the elements `first` to `last`, flat, in fp32; all of them without `last`."""
        return self.format.widened(self.read(first, last))

    def block(self, first: int, last: int) -> torch.Tensor:
        """Return the elements `first` to `last`, flat, as a tensor of torch's."""
        return to_torch(self.read(first, last), self.format)

    def holds_what(self, other: StoredTensor) -> bool:
        """Tell whether another tensor is the same, number for number."""
        if self.shape != other.shape:
            return False
        return all(
            np.array_equal(self.values(*ends), other.values(*ends)) for ends in blocks(self.shape)
        )

    def load(self) -> torch.Tensor:
        """Return the whole tensor as one of torch's."""
        return self.block(0, self.numel).view(self.shape)


class TensorFile:
    """A safetensors file that is open for reading.

    Attributes:
        path: the file.
        tensors: where each tensor lies, by name.
        metadata: the texts that the file carries beside them.

    Raises:
        ValueError: for a file that is cut off or is none of the format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY)
        text = self._header()
        try:
            header = Header.of(text)
        except ValueError as error:
            raise self._broken(str(error)) from None
        offset = 8 + len(text)
        self.metadata = header.metadata
        self.tensors = {
            name: StoredTensor(self, entry.format, entry.shape, offset + entry.start)
            for name, entry in header.entries.items()
        }
        size, end = os.fstat(self._descriptor).st_size, offset + header.size
        if size != end:
            why = "it is cut off" if size < end else "what follows is none of its tensors"
            raise self._broken(f"{size:,} of {end:,} bytes are there: {why}")

    def _header(self) -> bytes:
        length = os.pread(self._descriptor, 8, 0)
        size = struct.unpack("<Q", length)[0] if len(length) == 8 else 0
        text = os.pread(self._descriptor, size, 8) if 2 <= size <= _LARGEST_HEADER else b""
        if len(text) != size or not text:
            raise self._broken("it is cut off, or is of another kind")
        return text

    def _broken(self, why: str) -> ValueError:
        return ValueError(
            f"{str(self.path)!r} is no whole safetensors file: {why}. Download or write it again."
        )

    def read_into(self, stored: Array, place: int) -> None:
        """Fill a contiguous array with the bytes from a place on."""
        view = stored.view(np.uint8).data
        done = 0
        while done < len(view):
            read = os.preadv(self._descriptor, [view[done:]], place + done)
            if not read:
                raise self._broken("it became shorter while it was read")
            done += read

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


@dataclass(frozen=True)
class TensorFolder:
    """The tensors of a folder in one safetensors file or several with an index.

    Args:
        path: the folder.
        stem: how the files' names begin, as in `model.safetensors`.
    """

    path: Path
    stem: str = "model"

    @cached_property
    def tensors(self) -> dict[str, StoredTensor]:
        """All tensors by name, in the order of the files.

        Raises:
            ValueError: for a folder without such files, and for files that are cut off or that
                the index does not describe.
        """
        tensors = {name: tensor for file in self.files for name, tensor in file.tensors.items()}
        if self._index is not None and tensors.keys() != self._index.keys():
            odd = sorted(tensors.keys() ^ self._index.keys())
            raise ValueError(
                f"{str(self.path)!r}: {self.stem}.safetensors.index.json and the files do not "
                f"agree about {len(odd)} tensors, such as {', '.join(odd[:3])}."
            )
        return tensors

    @cached_property
    def files(self) -> list[TensorFile]:
        """The files, opened."""
        if self._index is not None:
            names = sorted(set(self._index.values()))
        else:
            names = [f"{self.stem}.safetensors"]
        for name in names:
            if Path(name).name != name:
                raise ValueError(
                    f"{str(self.path)!r}: its index names {name!r}, which does not lie beside it."
                )
        missing = [name for name in names if not (self.path / name).is_file()]
        if missing:
            raise ValueError(
                f"{str(self.path)!r} has no {missing[0]}. Weights are read from safetensors files "
                "alone; a model that is stored otherwise can be saved as such by "
                "model.save_pretrained(folder)."
            )
        return [TensorFile(self.path / name) for name in names]

    @cached_property
    def _index(self) -> dict[str, str] | None:
        file = self.path / f"{self.stem}.safetensors.index.json"
        if not file.is_file():
            return None
        mapping = read_object(file).get("weight_map")
        if not isinstance(mapping, dict):
            raise ValueError(
                f"{str(file)!r} has no weight_map: it is no index of safetensors files."
            )
        return mapping


class TensorWriter:
    """A safetensors file in the making; tensors are appended, the header comes at the end.

    Args:
        path: the file.
        most: names and shapes of all tensors that may be appended, which is what room for the
            header is left by.
        metadata_room: bytes to leave for the metadata.
    """

    def __init__(
        self, path: Path, most: Mapping[str, Sequence[int]], *, metadata_room: int = 0
    ) -> None:
        longest = {
            name: {"dtype": "F8_E4M3", "shape": list(shape), "data_offsets": [1 << 62, 1 << 62]}
            for name, shape in most.items()
        }
        room = len(json.dumps(longest)) + 2 * metadata_room + 64
        self._room = -(-room // _ALIGNED) * _ALIGNED
        self._file = path.open("wb", buffering=0)
        self._beside = ThreadPoolExecutor(1)  # what comes next is computed while this is written
        self._pending: deque[Future[None]] = deque()
        self._header: dict[str, Any] = {}
        self._written = 0

    def begin(self) -> None:
        """Begin a tensor; what is written from here on is its."""
        self._begun = self._written

    def write(self, stored: Array) -> None:
        """Append elements to the tensor that was begun; they must not change any more."""
        view = np.ascontiguousarray(stored).reshape(-1).view(np.uint8).data
        self._wait(_PENDING - 1)
        place = 8 + self._room + self._written
        self._pending.append(self._beside.submit(self._write_all, view, place))
        self._written += len(view)

    def _write_all(self, view: memoryview, place: int) -> None:
        done = 0
        while done < len(view):  # a full disk takes a part, and says so at the next
            done += os.pwrite(self._file.fileno(), view[done:], place + done)

    def _wait(self, left: int = 0) -> None:
        """Wait until no more than so many blocks are still to be written."""
        while len(self._pending) > left:
            self._pending.popleft().result()

    def drop(self) -> None:
        """Forget the tensor that was begun."""
        self._wait()
        self._written = self._begun

    def keep(self, name: str, kind: NumberFormat, shape: Sequence[int]) -> None:
        """Name the tensor that was begun."""
        assert self._written - self._begun == math.prod(shape) * kind.size
        self._header[name] = {
            "dtype": _NAMES[kind],
            "shape": list(shape),
            "data_offsets": [self._begun, self._written],
        }

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Append a whole tensor of torch's."""
        stored, kind = of_torch(tensor)
        self.begin()
        self.write(stored)
        self.keep(name, kind, tensor.shape)

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write the header, which makes the file whole."""
        header = {"__metadata__": {"format": "pt", **metadata}, **self._header}
        text = json.dumps(header).encode()
        assert len(text) <= self._room
        self._wait()
        self._file.truncate(8 + self._room + self._written)
        self._write_all(memoryview(struct.pack("<Q", self._room) + text.ljust(self._room)), 0)
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._beside.shutdown(cancel_futures=True)
        self._file.close()


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors of torch's to a file."""
    texts = dict(metadata or {})
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    with TensorWriter(path, shapes, metadata_room=len(json.dumps(texts))) as writer:
        for name, tensor in tensors.items():
            writer.add(name, tensor)
        writer.close(texts)
