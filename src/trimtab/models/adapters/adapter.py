"""A LoRA adapter on top of a model: where it lies, whether it fits, and the model that has it.

What it adds is added once to each weight, wherever that is used, whether it is merged or live: so
of tied weights it changes both uses, as in PEFT's merged model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.machine import whole_files
from trimtab.machine.printable import printable
from trimtab.models import hub_files, loading
from trimtab.models.adapters import peft_adapter
from trimtab.models.adapters.stored_base import Misfits, stored_misfits
from trimtab.models.content_hash import text_sha256
from trimtab.models.model_folder import folder_files
from trimtab.models.source import DESCRIPTION, Source, local_folder
from trimtab.models.tokenizer_file import template_in, tokens_in

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from trimtab.models.adapters.placing import Placed

MERGED, LIVE = "merged", "live"
MODES = (MERGED, LIVE)
_DENSE = "vector.safetensors"  # of a vector, of which the adapter beside it is a part


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A LoRA adapter as PEFT writes it.

    Args:
        path: a local folder, or a hub id.
        base: the model that it is put on.

    Raises:
        ValueError: for a folder without a LoRA adapter, one that does more than add products of
            factors, and one for another base, as far as the base's files say.
    """

    path: str
    base: Source

    def __post_init__(self) -> None:
        if (folder := local_folder(self.path, "Adapter")) is not None:
            self._check(folder)

    @cached_property
    def folder(self) -> Path:
        """The folder, checked; of a hub id that of the cache."""
        if (local := local_folder(self.path, "Adapter")) is not None:
            return local
        weights = [peft_adapter.WEIGHTS, *([peft_adapter.PICKLED] if self._pickles else [])]
        folder = hub_files.snapshot(self.path, None, (*weights, *DESCRIPTION), "Adapter")
        self._check(folder)
        return folder

    @cached_property
    def identity(self) -> dict[str, str | None]:
        """What tells two contents under one name apart: of the factors, and how they are added."""
        files = (self.folder / peft_adapter.CONFIG, peft_adapter.factors_file(self.folder))
        known = "".join(f"{file.name} {whole_files.sha256(file)}\n" for file in files)
        return {"adapter_sha256": text_sha256(known)}

    # ------------------------------------------------------------------ whether it fits

    def _check(self, folder: Path) -> None:
        """Refuse what is no adapter of the base, by the files of both alone."""
        there = {file.name for file in folder_files(folder)}
        if peft_adapter.CONFIG not in there:
            raise ValueError(
                f"Adapter {str(folder)!r} has no {peft_adapter.CONFIG}: it is no adapter as PEFT "
                "writes them. A vector is added by method=vectors."
            )
        if _DENSE in there:
            raise ValueError(
                f"Adapter {str(folder)!r} is part of a vector, whose other part is in {_DENSE}. "
                "Add both by method=vectors."
            )
        pairs = peft_adapter.pairs(folder, allow_pickle=self._pickles)
        if not pairs:
            raise ValueError(f"Adapter {str(folder)!r} has no factors. Download it again.")
        self._refuse(folder, stored_misfits(pairs, self.base))

    def require_fitting(self) -> None:
        """Refuse an adapter for another base, by the base's modules; loads no weights of it."""
        _ = self._fits

    @cached_property
    def _fits(self) -> bool:
        _ = self._placed()
        return True

    def _placed(self, weights: PreTrainedModel | None = None) -> list[Placed]:
        """Return what it adds to which weight of the base, which may be loaded."""
        from trimtab.models.adapters.placing import misfits, placed

        read = peft_adapter.read(self.folder, allow_pickle=self._pickles)
        for name, factors in read.items():
            if not (factors.left_MK.isfinite().all() and factors.right_KN.isfinite().all()):
                raise ValueError(
                    f"Adapter {self.path!r}: the factors of {name} hold NaN or infinite numbers. "
                    "Train or download it again."
                )
        built = loading.skeleton(self.base)
        self._refuse(self.folder, misfits(read, built, of=self.path))
        return placed(read, built, weights, of=self.path)

    def _refuse(self, folder: Path, misfits: Misfits) -> None:
        if not misfits:
            return
        said = peft_adapter.read_config(folder).get("base_model_name_or_path")
        of = f": it says that it is of {said!r}" if said else ""
        name, shapes = min(misfits.items())
        raise ValueError(
            f"Adapter {self.path!r} is for another base than {self.base.path!r}{of}. It does not "
            f"fit in {len(misfits)} weights, such as {name}: {shapes}. Give the model that "
            "it was trained on, or an adapter of this one."
        )

    def of_another_name(self) -> str | None:
        """Return what is to be said of an adapter that fits and names another base; None of none.

        Its base may have been moved or renamed since, so that is no mistake.
        """
        said = peft_adapter.read_config(self.folder).get("base_model_name_or_path")
        known = {self.base.path, str(self.base.local)}
        if not isinstance(said, str) or {Path(each).name for each in known} >= {Path(said).name}:
            return None
        return (
            f"{self.base.path}: the adapter {self.path} fits, and says that it is of "
            f"{printable(said)!r}."
        )

    def left_out(self, tokenizer: PreTrainedTokenizerBase, *, chats: bool) -> str | None:
        """Return what is to be said of a tokenizer beside the adapter, which is not read.

        Args:
            tokenizer: the model's, which is read.
            chats: whether the model is asked by that one's chat template.
        """
        differs = []
        template = template_in(self.folder) if chats else None
        if template is not None and template.strip() != str(tokenizer.chat_template).strip():
            differs.append("another chat template")
        file = self.folder / "tokenizer.json"
        known = tokenizer.get_vocab()
        own = tokens_in(file) if file.is_file() else {}
        if odd := {token for token, place in own.items() if known.get(token) != place}:
            differs.append(f"{len(odd)} tokens that the model's has not, such as {min(odd)!r}")
        if not differs:
            return None
        return (
            f"{self.base.path}: the tokenizer beside the adapter {self.path} has "
            f"{' and '.join(differs)}. The model's own is read in its place; "
            f"tokenizer_path={self.path} reads that one."
        )

    # ------------------------------------------------------------------ the model that has it

    def merge_into(self, weights: PreTrainedModel) -> None:
        """Add what the adapter adds to the base's weights, in fp32, cast once.

        Raises:
            ValueError: for weights that are quantized, or not in memory.
        """
        from trimtab.models.adapters.merged_weights import merge

        merge(self._placed(weights), weights, of=self.path)

    def beside(self, weights: PreTrainedModel) -> PreTrainedModel:
        """Return a model of the same tensors that adds the adapter's products in every pass.

        Args:
            weights: the base, which stays as it is.

        Raises:
            ValueError: for weights that belong to no linear layer and no embedding.
        """
        from trimtab.models.adapters.added_products import with_products

        return with_products(weights, self._placed(weights), of=self.path)

    @property
    def _pickles(self) -> bool:
        return self.base.allow_pickle
