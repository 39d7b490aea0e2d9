"""What tensors of a model's files become in memory, by the rules that transformers loads them by.

It renames tensors, stacks experts into one and parts what lies in one, and ties weights. All of
that moves elements and changes none, so what is right for weights is right for differences.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    PrefixChange,
    WeightConverter,
    WeightRenaming,
    dot_natural_key,
    rename_source_key,
    revert_weight_conversion,
)
from transformers.pytorch_utils import Conv1D

from trimtab.models import loading
from trimtab.models.source import Source
from trimtab.models.weight_conversion import Conversion, Tensors, converted
from trimtab.tensors.delta import Delta, Deltas
from trimtab.tensors.low_rank import OfAdapter
from trimtab.tensors.tensor_file import StoredTensor


def tied_names(weights: nn.Module) -> list[tuple[str, ...]]:
    """Return the names of a model's tensors, those of one tensor together."""
    found: dict[int, tuple[str, ...]] = {}
    for name, tensor in weights.state_dict(keep_vars=True).items():
        found[id(tensor)] = (*found.get(id(tensor), ()), name)
    return sorted(found.values())


class TensorNames:
    """The names of a model's tensors, in its files and in memory.

    Args:
        weights: the model, which may lie on the device `meta`.
        apart: names of tensors that are not tied, whatever the model's class says.
    """

    def __init__(self, weights: nn.Module, *, apart: Iterable[str] = ()) -> None:
        self._weights = weights
        self._tensors = weights.state_dict(keep_vars=True)
        lone = set(apart)
        self._first = {
            name: name if name in lone else names[0]
            for names in tied_names(weights)
            for name in names
        }
        rules = (
            get_model_conversion_mapping(weights) if isinstance(weights, PreTrainedModel) else []
        )
        self._renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
        self._converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
        self._prefix = weights.base_model_prefix if isinstance(weights, PreTrainedModel) else None

    @classmethod
    def of(cls, source: Source, tensors: Mapping[str, StoredTensor]) -> TensorNames:
        """Return the names of a model on disk; no weights are loaded, and no code of its.

        Args:
            source: the model.
            tensors: those in its files.
        """
        built = loading.skeleton(source)
        apart: set[str] = set()
        for names in tied_names(built):
            stored = [tensors[name] for name in names if name in tensors]
            # What the files hold twice, and differently, is not tied.
            if not all(stored[0].holds_what(other) for other in stored[1:]):
                apart |= set(names)
        return cls(built, apart=apart)

    def loaded(self, name: str) -> str:
        """Return the name in memory of what a file's tensor becomes, or the first of several."""
        return self._loaded(name)[0]

    def is_converted(self, name: str) -> bool:
        """Tell whether a file's tensor is put together with others, or parted."""
        return self._loaded(name)[1] is not None

    def is_ignored(self, name: str) -> bool:
        """Tell whether a file's tensor is one that the model leaves in its files, knowingly."""
        left = getattr(self._weights, "_keys_to_ignore_on_load_unexpected", None) or ()
        return self.loaded(name) not in self._tensors and any(
            re.search(each, name) for each in left
        )

    # ------------------------------------------------------------------ differences

    def in_memory(self, deltas: Deltas, *, of: str) -> dict[str, Delta]:
        """Return differences of a model's files by the names of its tensors in memory.

        Names that the model does not know stay as they are.

        Args:
            deltas: the differences.
            of: what the vector is called.

        Raises:
            ValueError: if two of them change one tensor, and differ.
        """
        found: dict[str, Delta] = {}
        origins: dict[str, str] = {}
        parts: dict[str, dict[str, str]] = {}
        for name in sorted(deltas, key=dot_natural_key):
            target, pattern = self._loaded(name)
            if pattern is not None:
                parts.setdefault(target, {})[name] = pattern
                continue
            delta = self._oriented(deltas[name], target)
            if target in found and not _alike(found[target], delta):
                raise _one_tensor(of, origins[target], name)
            found.setdefault(target, delta)
            origins.setdefault(target, name)
        for target, patterns in parts.items():
            made = self._put_together(target, patterns, deltas, of=of)
            if twice := sorted(made.keys() & found.keys()):
                raise _one_tensor(of, twice[0], min(patterns))
            found |= made
        return found

    def in_files(
        self, deltas: Deltas, stored: Mapping[str, StoredTensor], *, of: str
    ) -> dict[str, Delta]:
        """Return differences by names in memory as those of a model's files.

        Args:
            deltas: the differences.
            stored: the tensors in the files.
            of: what the vector is called.

        Raises:
            ValueError: if the files are laid out otherwise than transformers would write them.
        """
        found: dict[str, Delta] = {}
        parts: dict[str, list[str]] = {}
        reached: set[str] = set()
        for name in stored:
            target, pattern = self._loaded(name)
            if pattern is not None:
                parts.setdefault(target, []).append(name)
            elif target in deltas:
                found[name] = deltas[target]
                reached.add(target)
        for target, own in parts.items():
            empty = {name: torch.empty(stored[name].shape, device="meta") for name in own}
            whole = self._conversion(target, own)(empty)
            if any(name in deltas for name in whole):
                found |= self._parted(list(whole), own, deltas, of=of)
                reached |= whole.keys()
        return found | {name: deltas[name] for name in deltas.keys() - reached}

    # ------------------------------------------------------------------ rules

    def _loaded(self, name: str) -> tuple[str, str | None]:
        """Return the name in memory, and the pattern of the rule that converts it, if one does."""
        known = self._tensors
        target, pattern = rename_source_key(
            name, self._renamings, self._converters, self._prefix, known
        )
        if target not in known and name in known:
            target, pattern = rename_source_key(name, [], [], self._prefix, known)
        if target not in known:
            return name, None
        return self._first[target], pattern

    @cached_property
    def _shapes(self) -> dict[str, torch.Size]:
        """The shapes of all tensors by the names that transformers gives them in files."""
        empty = {name: torch.empty_like(t, device="meta") for name, t in self._tensors.items()}
        return {name: tensor.shape for name, tensor in self._reverted(empty).items()}

    @cached_property
    def _files(self) -> dict[str, dict[str, str]]:
        """Names in files, with the patterns that convert them, by what they are put together to."""
        found: dict[str, dict[str, str]] = {}
        for name in self._shapes:
            target, pattern = self._loaded(name)
            if pattern is not None:
                found.setdefault(target, {})[name] = pattern
        return found

    def _reverted(self, tensors: Tensors) -> dict[str, torch.Tensor]:
        """Return tensors as transformers would write them to files."""
        if not isinstance(self._weights, PreTrainedModel):
            return dict(tensors)
        like = copy.copy(self._weights)
        rules = get_model_conversion_mapping(self._weights, add_legacy=False)
        # What was cut off a name, if anything, is not known.
        like._weight_conversions = [rule for rule in rules if not isinstance(rule, PrefixChange)]
        return revert_weight_conversion(like, dict(tensors))

    def _conversion(self, target: str, names: Iterable[str]) -> Conversion:
        """Return the function that puts tensors of files together, or parts one."""
        patterns = {name: self._loaded(name)[1] for name in sorted(names, key=dot_natural_key)}
        (first, *_) = patterns.values()
        rule = next(rule for rule in self._converters if first in rule.source_patterns)

        def convert(tensors: Tensors) -> dict[str, torch.Tensor]:
            own = copy.deepcopy(rule)
            for name, pattern in patterns.items():
                own.add_tensor(target, name, pattern, tensors[name])
            made = own.convert(target, model=self._weights, config=self._weights.config)
            return {n: each[0] if isinstance(each, list) else each for n, each in made.items()}

        return convert

    def _oriented(self, delta: Delta, target: str) -> Delta:
        """Return an adapter's factors the way that the module has its weight."""
        if not isinstance(delta, OfAdapter) or target not in self._tensors:
            return delta
        module = self._weights.get_submodule(target.rpartition(".")[0])
        return delta.of_module(transposed=isinstance(module, Conv1D))

    def _put_together(
        self, target: str, patterns: Mapping[str, str], deltas: Deltas, *, of: str
    ) -> dict[str, Delta]:
        others = self._files.get(target, {})
        names = {**others, **patterns}
        own = {name: deltas.get(name) for name in names}
        shapes = {
            name: self._shapes[name] if delta is None else torch.Size(delta.shape)
            for name, delta in own.items()
        }
        try:
            return converted(self._conversion(target, names), own, shapes)
        except (RuntimeError, ValueError, KeyError, IndexError) as error:
            raise _no_way(of, target, list(patterns), error) from error

    def _parted(
        self, whole: list[str], names: list[str], deltas: Deltas, *, of: str
    ) -> dict[str, Delta]:
        own = {name: deltas.get(name) for name in whole}
        shapes = {name: self._tensors[name].shape for name in whole}
        try:
            made = converted(self._reverted, own, shapes)
        except (RuntimeError, ValueError, KeyError, IndexError) as error:
            raise _no_way(of, whole[0], names, error) from error
        if made.keys() != set(names):
            raise _no_way(of, whole[0], names, f"transformers writes {sorted(made)[0]}")
        return made


def _alike(one: Delta, other: Delta) -> bool:
    """Tell whether two differences are the same, number for number."""
    count = math.prod(one.shape)
    return one.shape == other.shape and bool((one.values(0, count) == other.values(0, count)).all())


def _one_tensor(of: str, name: str, other: str) -> ValueError:
    return ValueError(
        f"Vector {of!r} changes {name} and {other}, which are one tensor in this model, and "
        "changes them differently. Tied weights can be untied in the model (tie_word_embeddings in "
        "config.json); vectors of files and of models in memory are added as two, not summed first."
    )


def _no_way(of: str, target: str, names: list[str], why: Any) -> ValueError:
    return ValueError(
        f"Vector {of!r} changes {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}, which "
        f"transformers converts to {target} as it loads them, and here it cannot: {why}. Extract "
        "the vector from models saved by the same version of transformers."
    )
