"""The header of a safetensors file: what lies where, checked before anything is read by it."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from trimtab.tensors.number_format import FORMATS, NumberFormat

_MOST = 1 << 63  # which no length of an axis reaches


class Entry(NamedTuple):
    """A tensor of a file.

    Attributes:
        format: of its elements.
        shape: its shape.
        start: the place of its first byte behind the header.
    """

    format: NumberFormat
    shape: tuple[int, ...]
    start: int


class Header(NamedTuple):
    """What a file says of itself.

    Attributes:
        entries: the tensors by name.
        metadata: the texts that lie beside them.
        size: bytes behind the header, of all tensors together.
    """

    entries: dict[str, Entry]
    metadata: dict[str, str]
    size: int

    @classmethod
    def of(cls, text: bytes) -> Header:
        """Read a header.

        Raises:
            ValueError: for one that is damaged, or leaves a byte to none or to several tensors.
        """
        try:
            said = json.loads(text, object_pairs_hook=_once)
        except RecursionError:
            raise ValueError("its header is nested too deeply") from None
        except _TwiceError:
            raise
        except ValueError:
            raise ValueError("it is cut off, or is of another kind") from None
        if not isinstance(said, dict):
            raise ValueError("it is cut off, or is of another kind")
        metadata = said.pop("__metadata__", None) or {}
        if not isinstance(metadata, dict) or not all(
            isinstance(value, str) for value in metadata.values()
        ):
            raise ValueError("its metadata are no texts by name")
        ends = {name: _entry(name, entry) for name, entry in said.items()}
        end = 0
        for name, (entry, stop) in sorted(
            ends.items(), key=lambda item: (item[1][0].start, item[1][1])
        ):
            if entry.start != end:
                what = "overlaps another tensor" if entry.start < end else "leaves a gap before it"
                raise ValueError(f"{name!r} begins at byte {entry.start:,}, which {what}")
            end = stop
        return cls({name: entry for name, (entry, _) in ends.items()}, metadata, end)


class _TwiceError(ValueError):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        (twice, *_) = (name for name in found if names.count(name) > 1)
        raise _TwiceError(f"its header names {twice!r} twice")
    return found


def _entry(name: str, said: Any) -> tuple[Entry, int]:
    """Return a tensor's entry, and the place of the byte after its last."""
    if not name.isprintable():
        raise ValueError(f"{name[:80]!r} is no name of a tensor")
    if not isinstance(said, dict) or not said.keys() >= {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"its header does not say where {name!r} lies")
    kind, shape, offsets = said["dtype"], said["shape"], said["data_offsets"]
    if not isinstance(kind, str) or kind not in FORMATS:
        raise ValueError(f"{name!r} is of type {kind!r:.40}, which is not known")
    if not (_are_lengths(shape) and _are_lengths(offsets) and len(offsets) == 2):
        raise ValueError(
            f"{name!r} lies at {offsets!r:.80} and has shape {shape!r:.80}, which are no "
            "whole numbers from 0 up"
        )
    begin, stop = offsets
    if stop - begin != math.prod(shape) * FORMATS[kind].size:
        raise ValueError(f"{name!r} has {stop - begin:,} bytes for shape {tuple(shape)}")
    return Entry(FORMATS[kind], tuple(shape), begin), stop


def _are_lengths(said: Any) -> bool:
    return isinstance(said, list) and all(type(n) is int and 0 <= n < _MOST for n in said)
