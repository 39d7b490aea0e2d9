"""A datastore's folder: its one file, what that says of itself, and which model it is for.

datastore.safetensors   `keys` [S, H], last hidden states, and `values` [S], the tokens after them

Legend: S entries, H width of hidden states.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from trimtab.machine import shapes, whole_files
from trimtab.machine.printable import printable
from trimtab.machine.whole_folder import whole_folder
from trimtab.models import LanguageModel
from trimtab.models.content_hash import vocabulary_sha256
from trimtab.tensors.number_format import INT64
from trimtab.tensors.tensor_file import StoredTensor, TensorFile, write_tensors

if TYPE_CHECKING:
    import torch

FILE, _FACTS = "datastore.safetensors", "trimtab"
ALL, FIRST = POSITIONS = ("all", "first")
"""Which tokens of the examples' answers there are: all, with the end, or the first of each."""
_COMMAND = "trimtab datastore base=MODEL task=TASK --out FOLDER"


class ExampleFacts(TypedDict):
    """Exactly which examples a datastore is made of."""

    source: str  # where they come from
    answers: str  # where their answers do
    samples: int  # how many there are
    sha256: str  # of their prompts and answers


class StoreFacts(TypedDict):
    """Where a datastore comes from."""

    path: str  # of the model whose states these are
    model: dict[str, str | None]  # what tells it from others; see `told_by`
    examples: ExampleFacts  # what followed its states
    positions: str  # all or first


def told_by(model: LanguageModel) -> dict[str, str | None]:
    """Return what decides a model's states; loads no weights."""
    own = {
        "dtype": model.dtype_in_use,
        "quantization": model.quantization,
        "tokenizer_sha256": vocabulary_sha256(model.vocabulary),
    }
    return {**model.identity, **own}


@dataclass(frozen=True)
class StoreFile:
    """A datastore on disk; its tensors are read when they are wanted.

    Args:
        path: the folder.

    Raises:
        ValueError: for a folder without one, for one that is damaged or empty.
    """

    path: str

    def __post_init__(self) -> None:
        if not self._file.is_file():
            raise ValueError(f"store={self.path!r} holds no {FILE}. Build one: {_COMMAND}.")
        keys, values = self.keys, self.values
        if len(keys.shape) != 2 or values.format is not INT64 or values.shape != keys.shape[:1]:
            raise self._damaged("keys and values do not go together")
        if self.entries == 0:
            raise ValueError(
                f"store={self.path!r} is empty: nothing follows anything. Build it of some "
                f"examples: {_COMMAND}."
            )
        _ = self.facts

    @cached_property
    def _file(self) -> Path:
        return Path(self.path).expanduser() / FILE

    @cached_property
    def _tensors(self) -> TensorFile:
        return TensorFile(self._file)

    def _tensor(self, name: str) -> StoredTensor:
        if name not in self._tensors.tensors:
            raise self._damaged(f"it has no {name}")
        return self._tensors.tensors[name]

    def _damaged(self, why: str) -> ValueError:
        return ValueError(f"{str(self._file)!r} is no datastore: {why}. Build it again.")

    @property
    def keys(self) -> StoredTensor:
        """The states `[S, H]`."""
        return self._tensor("keys")

    @property
    def values(self) -> StoredTensor:
        """The tokens `[S]`."""
        return self._tensor("values")

    @property
    def entries(self) -> int:
        """How many there are."""
        return self.values.numel

    @property
    def width(self) -> int:
        """How many numbers a state has."""
        return self.keys.shape[1]

    @cached_property
    def facts(self) -> StoreFacts:
        """What the file says of itself."""
        try:
            facts = json.loads(self._tensors.metadata.get(_FACTS, ""))
            shapes.of(StoreFacts)(facts)
        except RecursionError:
            raise self._damaged("what it says of itself is nested too deeply") from None
        except ValueError as error:  # of JSON, and of other shapes
            raise self._damaged(f"what it says of itself {printable(str(error))}") from None
        return cast(StoreFacts, facts)

    @property
    def size(self) -> int:
        """Bytes of its file."""
        return self._file.stat().st_size

    @property
    def sha256(self) -> str:
        """The hash of its content."""
        return whole_files.sha256(self._file)

    def require_of(self, model: LanguageModel) -> None:
        """Refuse another model than the one whose states these are; loads no weights."""
        here, there = told_by(model), self.facts["model"]
        differing = [name for name in {**there, **here} if here.get(name) != there.get(name)]
        if self.width != model.config.get_text_config().hidden_size:
            differing.append("hidden_size")
        if differing:
            raise ValueError(
                f"store={self.path!r} was built with {self.facts['path']!r}, and {model.path!r} is "
                f"another in {', '.join(differing)}: its states say nothing there. Build one for "
                f"this model: {_COMMAND}."
            )


def write(
    out: Path, keys_SH: torch.Tensor, values_S: torch.Tensor, facts: Mapping[str, object]
) -> StoreFile:
    """Write a datastore and return it; the folder appears once it is whole."""
    size = keys_SH.nbytes + values_S.nbytes
    with whole_folder(out, size=size) as temporary:
        tensors = {"keys": keys_SH, "values": values_S}
        write_tensors(temporary / FILE, tensors, {_FACTS: json.dumps(facts)})
    return StoreFile(str(out))
