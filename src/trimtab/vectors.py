"""Arithmetic on weights: alignment vectors.

`theta = theta_base + sum_d lambda_d (theta_d - theta_base)`: Shahriar et al., arXiv 2410.19206;
task arithmetic, Ilharco et al., arXiv 2212.04089. Sums are taken in fp32 and cast once.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch

from trimtab.models.language_model import LanguageModel

Tensors = Mapping[str, torch.Tensor]


def combine(base: torch.Tensor, aligned: Sequence[tuple[torch.Tensor, float]]) -> torch.Tensor:
    """Return `base + sum_d strength_d (aligned_d - base)` in the dtype of `base`.

    Exact at the ends of the dial: all strengths 0 give `base` bit for bit, and a single strength 1
    gives that aligned tensor bit for bit, where rounding in a sum would not.
    """
    turned = [(tensor, strength) for tensor, strength in aligned if strength != 0]
    if not turned:
        return base.clone()
    if len(turned) == 1 and turned[0][1] == 1:
        return turned[0][0].to(base.dtype, copy=True)
    start = base.float()
    total = start.clone()
    for tensor, strength in turned:
        total += strength * (tensor.float() - start)
    return total.to(base.dtype)


def move(base: LanguageModel, aligned: LanguageModel, strength: float) -> LanguageModel:
    """Return a new model `strength` of the way from `base` to `aligned`; neither is changed.

    Raises:
        ValueError: if the two models' tensors do not match, listing those that differ.
    """
    base_tensors, aligned_tensors = base.weights.state_dict(), aligned.weights.state_dict()
    require_same_tensors(base_tensors, aligned_tensors, (base.path, aligned.path))
    if _shared(base_tensors) != _shared(aligned_tensors):
        raise ValueError(
            f"{base.path!r} and {aligned.path!r} tie different weights together "
            "(tie_word_embeddings in config.json); one sum cannot be both. Untie both, or neither."
        )
    weights = copy.deepcopy(base.weights)
    with torch.no_grad():
        for name, tensor in weights.state_dict().items():
            other = aligned_tensors[name].to(tensor.device)
            tensor.copy_(combine(base_tensors[name], [(other, strength)]))
    moved = copy.copy(base)
    moved.__dict__["weights"] = weights
    return moved


def _shared(tensors: Tensors) -> set[frozenset[str]]:
    """Return the groups of names that are one tensor in memory."""
    groups: dict[int, set[str]] = {}
    for name, tensor in tensors.items():
        groups.setdefault(tensor.data_ptr(), set()).add(name)
    return {frozenset(names) for names in groups.values() if len(names) > 1}


def require_same_tensors(base: Tensors, aligned: Tensors, paths: tuple[str, str]) -> None:
    """Refuse weights that do not match by name and shape, listing what differs."""
    problems = [f"{n}: only in {paths[0]}" for n in sorted(base.keys() - aligned.keys())]
    problems += [f"{n}: only in {paths[1]}" for n in sorted(aligned.keys() - base.keys())]
    problems += [
        f"{n}: {tuple(base[n].shape)} in {paths[0]}, {tuple(aligned[n].shape)} in {paths[1]}"
        for n in sorted(base.keys() & aligned.keys())
        if base[n].shape != aligned[n].shape
    ]
    if problems:
        shown = "\n  ".join(problems[:10])
        more = f"\n  and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise ValueError(
            f"The weights of {paths[0]!r} and {paths[1]!r} do not match in {len(problems)} "
            f"tensors:\n  {shown}{more}\nAn alignment vector needs two models of one architecture, "
            "one fine-tuned from the other."
        )
