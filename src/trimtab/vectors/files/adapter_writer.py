"""A LoRA adapter in the making, in the layout of PEFT's, which vLLM reads too.

Legend: M rows, N columns of a weight, K rank.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from trimtab.models import loading
from trimtab.models.adapters.peft_adapter import CONFIG, PREFIX, TRANSPOSED, WEIGHTS
from trimtab.models.tensor_names import tied_names
from trimtab.tensors.blocks import blocks, squared_norm
from trimtab.tensors.low_rank import LowRank
from trimtab.tensors.number_format import Array
from trimtab.tensors.tensor_file import write_tensors
from trimtab.vectors.disk.model_on_disk import ModelOnDisk
from trimtab.vectors.files.truncated_svd import factors

_LINEAR, _EMBEDDING = "linear", "embedding"
_KINDS = {nn.Linear: _LINEAR, nn.Embedding: _EMBEDDING, Conv1D: TRANSPOSED}


class AdapterWriter:
    """The differences of those matrices of a model that PEFT can adapt, as factors of low rank.

    Args:
        model: the base model.
        rank: of the factors.
        dtype: of the factors, such as `float32`.
    """

    def __init__(self, model: ModelOnDisk, rank: int, dtype: str) -> None:
        self._modules = _Modules.of(model)
        self._rank, self._dtype = rank, getattr(torch, dtype)
        self._factors: dict[str, LowRank] = {}

    def takes(self, name: str, shape: tuple[int, ...]) -> bool:
        """Tell whether a weight can be stored as factors."""
        return len(shape) == 2 and name in self._modules.kinds

    def add(self, name: str, delta_MN: Array) -> float:
        """Take a matrix, and return the squared norm of what is lost of it."""
        found = self._factors[name] = factors(torch.from_numpy(delta_MN), self._rank, self._dtype)
        flat = delta_MN.reshape(-1)
        return sum(
            squared_norm(flat[first:last] - found.values(first, last))
            for first, last in blocks(found.shape)
        )

    def write(self, folder: Path, *, base: str) -> None:
        """Write an adapter of scale 1, unless there is nothing in it.

        Weights that are tied are adapted at each of their uses. Of such models PEFT's own merging
        adds the difference once for each use, and says so; `trimtab vector apply` adds it once.

        Args:
            folder: where to.
            base: the model that it is an adapter of.
        """
        if not self._factors:
            return
        tensors: dict[str, torch.Tensor] = {}
        modules: set[str] = set()
        ranks = {}
        kinds = self._modules.kinds
        for name, factor in self._factors.items():
            for own in (name, *self._modules.tied.get(name, ())):
                module = own.removesuffix(".weight")
                modules.add(module)
                tensors |= _named(module, kinds[own], factor)
                if factor.rank != self._rank:
                    ranks[module] = factor.rank
        transposed = [module for module in modules if kinds[f"{module}.weight"] == TRANSPOSED]
        config = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "inference_mode": True,
            "r": self._rank,
            "lora_alpha": self._rank,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": bool(transposed),
            "target_modules": sorted(modules),
            "rank_pattern": ranks,
            "alpha_pattern": ranks,
        }
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", "utf-8")
        # PEFT has one flag for all modules, and finds out by itself for which it does not hold.
        metadata = {TRANSPOSED: json.dumps(sorted(transposed))}
        write_tensors(folder / WEIGHTS, tensors, metadata)


@dataclass(frozen=True)
class _Modules:
    """What kind of module each weight of a model belongs to.

    Attributes:
        kinds: the kind, by the name of the weight; weights that no adapter can carry are not there.
        tied: other names of a weight, by its name in the files.
    """

    kinds: Mapping[str, str]
    tied: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, model: ModelOnDisk) -> _Modules:
        """Read it off the model's architecture; no weights are loaded."""
        built = loading.skeleton(model.source)
        kinds = {
            f"{name}.weight": _KINDS[type(module)]
            for name, module in built.named_modules()
            if type(module) in _KINDS
        }
        tied = {
            name: tuple(other for other in names if other != name)
            for names in tied_names(built)
            if len(names) > 1
            for name in names
        }
        return cls(kinds, tied)


def _named(module: str, kind: str, factor: LowRank) -> dict[str, torch.Tensor]:
    """Return the two factors of a module's weight as PEFT calls and shapes them."""
    left_MK, right_KN = factor.left_MK, factor.right_KN
    if kind == _LINEAR:
        return {
            f"{PREFIX}{module}.lora_A.weight": right_KN.clone(),
            f"{PREFIX}{module}.lora_B.weight": left_MK.clone(),
        }
    a, b = ("embedding_A", "embedding_B") if kind == _EMBEDDING else ("A.weight", "B.weight")
    return {
        f"{PREFIX}{module}.lora_{a}": left_MK.mT.contiguous(),
        f"{PREFIX}{module}.lora_{b}": right_KN.mT.contiguous(),
    }
