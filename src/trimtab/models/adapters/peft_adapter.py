"""A LoRA adapter read from the files that PEFT writes.

Only what adds a product of factors to a weight is read. Whatever else an adapter does is refused by
name: what is not known here may mean anything. Legend: M rows of a weight as of a linear layer, N
columns, K rank.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.config.accepted import is_number
from trimtab.machine.json_file import read_object
from trimtab.machine.printable import printable
from trimtab.models.adapters.peft_patterns import first_matches
from trimtab.models.adapters.pickled_factors import InPickle, unpickled
from trimtab.tensors.low_rank import LowRank, OfAdapter
from trimtab.tensors.tensor_file import StoredTensor, TensorFile

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PICKLED = "adapter_model.bin"
Stored = StoredTensor | InPickle
PREFIX = "base_model.model."  # of all names of tensors
TRANSPOSED = "transposed"  # the modules whose weights are, in what is written here
_SHOWN = 300  # characters of what is wrong
_OWN = ("weight", "bias")
_MOST = 1e30  # of a number that scales weights
_RANK, _ALPHA = 8, 8  # PEFT's own, where a config says nothing
# Initial factors that leave the base's weights as they are; others subtract a part from them.
_PLAIN_STARTS = (True, False, "gaussian", "eva", "orthogonal")
# What is read here, or says what was trained and how, which does not bear on the sum.
_HARMLESS = {
    *("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "fan_in_fan_out"),
    *("peft_type", "peft_version", "task_type", "base_model_name_or_path", "revision"),
    *("inference_mode", "auto_mapping", "init_lora_weights", "lora_dropout", "runtime_config"),
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
    *("eva_config", "corda_config", "loftq_config", "lora_ga_config", "qalora_group_size"),
    *("megatron_config", "megatron_core", "ensure_weight_tying", "unsloth_fixed"),
}


@dataclass(frozen=True)
class Pair:
    """The two factors of one module's difference, as they are stored.

    Attributes:
        a: `[K, N]`, what the input meets first.
        b: `[M, K]`, what comes behind it.
        scale: multiplies their product.
        looks_up: whether they are an embedding's, of a table of N rows.
    """

    a: Stored
    b: Stored
    scale: float
    looks_up: bool

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes that the weight can have: layers hold theirs one way round or the other."""
        shape = self.b.shape[0], self.a.shape[1]
        return [shape[::-1]] if self.looks_up else [shape, shape[::-1]]


def pairs(folder: Path, *, allow_pickle: bool = False) -> dict[str, Pair]:
    """Return where the factors of an adapter lie, by the module that they belong to; loads none.

    The frozen weights that PEFT writes beside the factors of an embedding or a head are the
    base's own, and no part of the difference.

    Args:
        folder: the adapter's.
        allow_pickle: read factors that are stored as a pickle, where there are no others.

    Raises:
        ValueError: for an adapter that does more than add factors, and for damaged files.
    """
    config = read_config(folder)
    tensors = _tensors(folder, allow_pickle)
    found: dict[str, tuple[Stored, Stored]] = {}
    embeddings: set[str] = set()
    taken: set[str] = set()
    for name in tensors:
        module, _, part = name.removeprefix(PREFIX).partition(".lora_")
        if part not in ("A.weight", "embedding_A"):
            continue
        partner = f"{PREFIX}{module}.lora_{part.replace('A', 'B')}"
        if not name.startswith(PREFIX) or partner not in tensors:
            raise _refusal(folder, f"{name} has no partner {partner}")
        if module in found:
            raise _refusal(folder, f"{module} has two pairs of factors")
        found[module] = tensors[name], tensors[partner]
        if part == "embedding_A":
            embeddings.add(module)
        taken |= {name, partner}
    of_base = {f"{PREFIX}{module}.base_layer.{what}" for module in found for what in _OWN}
    if odd := sorted(tensors.keys() - taken - of_base):
        raise _refusal(folder, f"it has {odd[0]}")
    scales = _scales(
        folder, config, {module: _rank(folder, module, *found[module]) for module in found}
    )
    return {
        module: Pair(*pair, scale=scales[module], looks_up=module in embeddings)
        for module, pair in found.items()
    }


def read(folder: Path, *, allow_pickle: bool = False) -> dict[str, LowRank]:
    """Return the factors of an adapter, by the names of the weights that they change.

    Args and errors are those of `pairs`.
    """
    flag = bool(read_config(folder).get("fan_in_fan_out"))
    stored = pairs(folder, allow_pickle=allow_pickle)
    own = _transposed(folder)
    found: dict[str, LowRank] = {}
    for module, pair in stored.items():
        a, b = (each.load() for each in (pair.a, pair.b))
        if pair.looks_up:
            factors = LowRank(a.mT.contiguous(), b.mT.contiguous(), pair.scale)
        elif own is not None:
            factors = OfAdapter(b, a, pair.scale).of_module(transposed=module in own)
        else:
            turned = OfAdapter(b, a, pair.scale).of_module(transposed=flag)
            factors = OfAdapter(turned.left_MK, turned.right_KN, turned.scale, transposed=flag)
        found[f"{module}.weight"] = factors
    return found


def factors_file(folder: Path) -> Path:
    """Return the file that an adapter's factors are in: one of safetensors before a pickle."""
    safe, pickled = folder / WEIGHTS, folder / PICKLED
    return pickled if pickled.is_file() and not safe.is_file() else safe


def _tensors(folder: Path, allow_pickle: bool) -> Mapping[str, Stored]:
    file = factors_file(folder)
    if not file.is_file():
        raise ValueError(f"{str(folder)!r} has no {WEIGHTS}; other formats are not read.")
    if file.name == WEIGHTS:
        return TensorFile(file).tensors
    if not allow_pickle:
        raise ValueError(
            f"{str(folder)!r} has no {WEIGHTS}, but factors stored as a pickle ({PICKLED}), which "
            "can run code when it is read. Save them as safetensors (save_pretrained of PEFT); a "
            "model reads them with allow_pickle=true; set that if you trust who made them."
        )
    return unpickled(file)


def read_config(folder: Path) -> dict[str, Any]:
    """Return an adapter's settings; refuse those that do more than add factors."""
    config = read_object(folder / CONFIG)
    if config.get("peft_type") != "LORA":
        raise _refusal(folder, f"it is of type {config.get('peft_type')}")
    if (start := config.get("init_lora_weights", True)) not in _PLAIN_STARTS:
        raise _refusal(folder, f"it has init_lora_weights={start!r}")
    for option in ("use_rslora", "fan_in_fan_out"):
        if not isinstance(config.get(option, False), bool):
            raise _refusal(folder, f"it has {option}={config[option]!r}")
    for option, value in config.items():
        if option not in _HARMLESS and value and (option, value) != ("bias", "none"):
            raise _refusal(folder, f"it has {option}={value!r}")
    return config


def _rank(folder: Path, module: str, a: Stored, b: Stored) -> int:
    """Return the rank of two factors, `[K, N]` and `[M, K]`."""
    fits = len(a.shape) == len(b.shape) == 2 and a.shape[0] == b.shape[1] > 0
    if not fits or not (a.format.is_of_weights and b.format.is_of_weights):
        said = " and ".join(f"{each.format.label} {each.shape}" for each in (a, b))
        raise _refusal(folder, f"the factors of {module} are {said}")
    return a.shape[0]


def _scales(folder: Path, config: Mapping[str, Any], ranks: Mapping[str, int]) -> dict[str, float]:
    """Return what each module's product is multiplied by."""
    said = {
        what: _for_each(folder, config, ranks, what, f"{prefix}_pattern", own)
        for what, prefix, own in (("r", "rank", _RANK), ("lora_alpha", "alpha", _ALPHA))
    }
    for module, rank in ranks.items():
        if said["r"][module] != rank:
            raise _refusal(
                folder,
                f"the factors of {module} are of rank {rank}, and {CONFIG} says "
                f"{said['r'][module]:g}",
            )
    by_root = bool(config.get("use_rslora"))
    return {
        module: said["lora_alpha"][module] / (rank**0.5 if by_root else rank)
        for module, rank in ranks.items()
    }


def _for_each(
    folder: Path,
    config: Mapping[str, Any],
    modules: Mapping[str, int],
    what: str,
    patterns: str,
    otherwise: float,
) -> dict[str, float]:
    """Return a number for each module: that of the first pattern that matches its name, or one."""
    own = config.get(patterns) or {}
    if not isinstance(own, Mapping):
        raise _refusal(folder, f"it has {patterns}={own!r}")
    for key, value in {what: config.get(what, otherwise), **own}.items():
        if not is_number(value) or not -_MOST < value < _MOST:
            raise _refusal(folder, f"it has {key}={value!r}, which is no number that scales")
    matched = first_matches(list(own), list(modules), what=f"{patterns} of {str(folder)!r}")
    return {
        module: float(config.get(what, otherwise) if key is None else own[key])
        for module, key in matched.items()
    }


def _transposed(folder: Path) -> list[str] | None:
    """Return the modules of transposed weights, of adapters that were written here."""
    file = folder / WEIGHTS
    if not file.is_file() or (said := TensorFile(file).metadata.get(TRANSPOSED)) is None:
        return None
    try:
        own = json.loads(said)
    except (ValueError, RecursionError):
        own = None
    if not isinstance(own, list):
        raise _refusal(folder, f"its metadata say {TRANSPOSED}={said!r}")
    return own


def _refusal(folder: Path, why: str) -> ValueError:
    return ValueError(
        f"{str(folder)!r} is no plain LoRA adapter: {printable(why[:_SHOWN])}. Merge it into its "
        "model with PEFT's merge_and_unload() and save that: it is a model of its own then, and a "
        "vector can be extracted from the two."
    )
