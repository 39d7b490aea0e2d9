"""Low-rank vectors in the layout of PEFT's LoRA adapters, which vLLM reads too.

Legend: M rows, N columns of a weight, K rank.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from trimtab.models import loading
from trimtab.vectors.disk.tensor_file import write_tensors
from trimtab.vectors.files.sources import ModelFolder
from trimtab.vectors.files.vector_folder import ADAPTER
from trimtab.vectors.in_memory import LowRank

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
TRANSPOSED = "transposed"
_LINEAR, _EMBEDDING = "linear", "embedding"


@dataclass(frozen=True)
class Layout:
    """What kind of module each weight of a model belongs to.

    Attributes:
        kinds: the kind, by the name of the weight; weights that no adapter can carry are not there.
        tied: other names of a weight, by its name in the files.
    """

    kinds: Mapping[str, str]
    tied: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, model: ModelFolder) -> Layout:
        """Read it off the model's architecture; no weights are loaded."""
        from transformers.pytorch_utils import Conv1D

        built = loading.skeleton(model.source)
        names = {torch.nn.Linear: _LINEAR, torch.nn.Embedding: _EMBEDDING, Conv1D: TRANSPOSED}
        kinds = {
            f"{name}.weight": names[type(module)]
            for name, module in built.named_modules()
            if type(module) in names
        }
        by_identity: dict[int, list[str]] = {}
        for name, parameter in built.named_parameters(remove_duplicate=False):
            by_identity.setdefault(id(parameter), []).append(name)
        tied = {
            name: tuple(other for other in group if other != name)
            for group in by_identity.values()
            if len(group) > 1
            for name in group
        }
        return cls(kinds, tied)

    def takes(self, name: str, shape: tuple[int, ...]) -> bool:
        """Tell whether a weight can be stored as factors."""
        return len(shape) == 2 and name in self.kinds

    def write(self, found: Mapping[str, LowRank], rank: int, folder: Path, *, base: str) -> None:
        """Write factors as an adapter of scale 1.

        Weights that are tied are adapted at each of their uses. Of such models PEFT's own merging
        adds the difference once for each use, and says so; `trimtab vector apply` adds it once.
        """
        tensors: dict[str, torch.Tensor] = {}
        modules: set[str] = set()
        ranks = {}
        for name, factor in found.items():
            for own in (name, *self.tied.get(name, ())):
                module = own.removesuffix(".weight")
                modules.add(module)
                tensors |= _named(module, self.kinds[own], factor)
                if factor.left_MK.shape[1] != rank:
                    ranks[module] = factor.left_MK.shape[1]
        transposed = [module for module in modules if self.kinds[f"{module}.weight"] == TRANSPOSED]
        config = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "inference_mode": True,
            "r": rank,
            "lora_alpha": rank,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": bool(transposed),
            "target_modules": sorted(modules),
            "rank_pattern": ranks,
            "alpha_pattern": ranks,
        }
        (folder / ADAPTER).write_text(json.dumps(config, indent=2) + "\n", "utf-8")
        # PEFT has one flag for all modules, and finds out by itself for which it does not hold.
        metadata = {TRANSPOSED: json.dumps(sorted(transposed))}
        write_tensors(folder / WEIGHTS, tensors, metadata)


def _named(module: str, kind: str, factor: LowRank) -> dict[str, torch.Tensor]:
    """Return the two factors of a module's weight as PEFT calls and shapes them."""
    left_MK, right_KN = factor.left_MK, factor.right_KN
    if kind == _LINEAR:
        return {
            f"{PREFIX}{module}.lora_A.weight": right_KN.clone(),
            f"{PREFIX}{module}.lora_B.weight": left_MK.clone(),
        }
    suffix, a, b = ("weight", "lora_A", "lora_B")
    if kind == _EMBEDDING:
        return {
            f"{PREFIX}{module}.lora_embedding_A": left_MK.mT.contiguous(),
            f"{PREFIX}{module}.lora_embedding_B": right_KN.mT.contiguous(),
        }
    return {
        f"{PREFIX}{module}.{a}.{suffix}": left_MK.mT.contiguous(),
        f"{PREFIX}{module}.{b}.{suffix}": right_KN.mT.contiguous(),
    }
