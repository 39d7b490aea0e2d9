"""transformers' reading of GGUF files, without what takes it many times as long as weights do."""

from __future__ import annotations

import functools
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_MANY = 4096
_LOCK = threading.Lock()


@contextmanager
def quickly() -> Iterator[set[str]]:
    """Let transformers read settings and weights of a GGUF file in the time that these take.

    Several times over it takes each word by itself, of which it needs the number alone, as the
    tokenizer is read elsewhere (262,144 words: 10 seconds each time), and for each module it lists
    the names of all tensors anew. And no bar is shown.

    Yields:
        The names of the tensors that it has a place for, once weights are loaded; none where it
        says itself which it does not read.
    """
    import gguf
    from transformers import modeling_gguf_pytorch_utils as theirs

    placed: set[str] = set()

    def noted(*model: Any, **further: Any) -> dict[str, str]:
        places: dict[str, str] = map_of_names(*model, **further)
        placed.update(places)
        return places

    map_of_names = theirs.get_gguf_hf_weights_map
    in_place = (
        (gguf, "GGUFReader", _passing_over_words(gguf.GGUFReader)),
        (gguf, "get_tensor_name_map", functools.cache(gguf.get_tensor_name_map)),
        (theirs, "get_gguf_hf_weights_map", noted),
        (theirs, "tqdm", lambda tensors, **_: tensors),
    )
    with _LOCK:
        before = [getattr(module, name) for module, name, _ in in_place]
        try:
            for module, name, new in in_place:
                setattr(module, name, new)
            yield placed
        finally:
            for (module, name, _), old in zip(in_place, before, strict=True):
                setattr(module, name, old)


def _passing_over_words(usual: Any) -> Any:
    """Return a class of readers that take of a long list its first value alone.

    Of texts as often as the list is long: how many words there are is asked for.
    """
    from gguf import GGUFValueType

    class Reader(usual):
        def _get_field_parts(self, orig_offs: int, raw_type: int) -> tuple[int, list, list, list]:
            if raw_type == GGUFValueType.ARRAY and (count := self._whole(orig_offs + 4)) > _MANY:
                return self._long_list(orig_offs, count)
            return super()._get_field_parts(orig_offs, raw_type)

        def _long_list(self, start: int, count: int) -> tuple[int, list, list, list]:
            end = start + 12
            kind = GGUFValueType(self._get(start, "<u4")[0])
            size, parts, (value,), types = super()._get_field_parts(end, kind)
            types = [GGUFValueType.ARRAY, *types]
            if kind != GGUFValueType.STRING:
                return 12 + count * size, parts, [value], types
            for _ in range(count):
                end += 8 + self._whole(end)
            return end - start, parts, [value] * count, types

        def _whole(self, place: int) -> int:
            (number,) = struct.unpack_from("<Q", self.data.data, place)
            return int(number)

    return Reader
