"""Low-rank vectors in the layout of PEFT's LoRA adapters, which vLLM reads too.

Legend: M rows, N columns of a weight, K rank.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trimtab.models.json_file import read_object
from trimtab.vectors.folder import ADAPTER
from trimtab.vectors.in_memory import LowRank
from trimtab.vectors.sources import ModelFolder
from trimtab.vectors.tensor_file import TensorFile, write_tensors

WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_LINEAR, _EMBEDDING, _TRANSPOSED = "linear", "embedding", "transposed"
# Initial factors that leave the base's weights as they are; others subtract a part from them.
_PLAIN_STARTS = (True, False, "gaussian", "eva", "orthogonal")


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

        built = model.source.skeleton()
        names = {torch.nn.Linear: _LINEAR, torch.nn.Embedding: _EMBEDDING, Conv1D: _TRANSPOSED}
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
        transposed = [module for module in modules if self.kinds[f"{module}.weight"] == _TRANSPOSED]
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
        metadata = {_TRANSPOSED: json.dumps(sorted(transposed))}
        write_tensors(folder / WEIGHTS, tensors, metadata)


def _named(module: str, kind: str, factor: LowRank) -> dict[str, torch.Tensor]:
    """Return the two factors of a module's weight as PEFT calls and shapes them."""
    left_MK, right_KN = factor.left_MK, factor.right_KN
    if kind == _LINEAR:
        return {
            f"{_PREFIX}{module}.lora_A.weight": right_KN.clone(),
            f"{_PREFIX}{module}.lora_B.weight": left_MK.clone(),
        }
    suffix, a, b = ("weight", "lora_A", "lora_B")
    if kind == _EMBEDDING:
        return {
            f"{_PREFIX}{module}.lora_embedding_A": left_MK.mT.contiguous(),
            f"{_PREFIX}{module}.lora_embedding_B": right_KN.mT.contiguous(),
        }
    return {
        f"{_PREFIX}{module}.{a}.{suffix}": left_MK.mT.contiguous(),
        f"{_PREFIX}{module}.{b}.{suffix}": right_KN.mT.contiguous(),
    }


def read(folder: Path) -> dict[str, LowRank]:
    """Return the factors of an adapter, by the names of the weights that they change.

    Raises:
        ValueError: for an adapter that is no plain LoRA, and for files that are cut off.
    """
    config = read_object(folder / ADAPTER)
    if config.get("peft_type") != "LORA":
        raise _refusal(folder, f"it is of type {config.get('peft_type')}")
    for option, plain in (("use_dora", False), ("modules_to_save", None), ("bias", "none")):
        if config.get(option, plain) not in (plain, []):
            raise _refusal(folder, f"it has {option}={config[option]!r}")
    if (start := config.get("init_lora_weights", True)) not in _PLAIN_STARTS:
        raise _refusal(folder, f"it has init_lora_weights={start!r}")
    if not (folder / WEIGHTS).is_file():
        raise ValueError(f"{str(folder)!r} has no {WEIGHTS}; other formats are not read.")
    file = TensorFile(folder / WEIGHTS)
    tensors = file.tensors
    own = file.metadata.get(_TRANSPOSED)  # of adapters written here
    found: dict[str, LowRank] = {}
    taken: set[str] = set()
    for name in tensors:
        module, _, part = name.removeprefix(_PREFIX).partition(".lora_")
        if part not in ("A.weight", "embedding_A"):
            continue
        partner = f"{_PREFIX}{module}.lora_{part.replace('A', 'B')}"
        if not name.startswith(_PREFIX) or partner not in tensors:
            raise _refusal(folder, f"{name} has no partner {partner}")
        a, b = tensors[name].load(), tensors[partner].load()
        taken |= {name, partner}
        flipped = config.get("fan_in_fan_out", False) if own is None else module in json.loads(own)
        left, right = (a.mT, b.mT) if flipped or part == "embedding_A" else (b, a)
        scale = _scale(config, module, rank=a.shape[0])
        found[f"{module}.weight"] = LowRank(left.contiguous(), right.contiguous(), scale)
    if odd := sorted(tensors.keys() - taken):
        raise _refusal(folder, f"it has {odd[0]}")
    return found


def _scale(config: Mapping[str, Any], module: str, *, rank: int) -> float:
    patterns = config.get("alpha_pattern") or {}
    own = [a for key, a in patterns.items() if re.match(rf"(.*\.)?({key})$", module)]
    alpha = own[0] if own else config.get("lora_alpha", 8)
    return float(alpha) / (rank**0.5 if config.get("use_rslora") else rank)


def _refusal(folder: Path, why: str) -> ValueError:
    return ValueError(
        f"{str(folder)!r} is no plain LoRA adapter: {why}. Merge it into its model with PEFT's "
        "merge_and_unload(), save that, and extract the vector from the two models."
    )
