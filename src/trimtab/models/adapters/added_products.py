"""An adapter beside the weights of a loaded model: its products are added in every pass.

A linear layer of weights `W + B A` gives `x W + (x A) B`, and the second part costs two narrow
products. The model with the adapter has modules of its own and shares every tensor with its base,
so that both cost one model's memory. Legend: H width of the input, O of the output, K rank.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from trimtab.models.adapters.placing import Placed
from trimtab.tensors.low_rank import LowRank

# Buffers of the modules that have products: what is saved or hashed of such a model has them too.
INTO, OUT = "adapter_into", "adapter_out"
_PLAIN = (nn.Linear, Conv1D, nn.Embedding)
_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def with_products(weights: PreTrainedModel, parts: Sequence[Placed], *, of: str) -> PreTrainedModel:
    """Return a model with an adapter that shares every tensor of one without.

    Args:
        weights: the model without, which stays as it is.
        parts: what is added to which weight.
        of: what the adapter is called.

    Raises:
        ValueError: for weights that belong to no linear layer and no embedding.
    """
    tensors = itertools.chain(weights.parameters(), weights.buffers())
    adapted = copy.deepcopy(weights, {id(tensor): tensor for tensor in tensors})
    dtype = weights.dtype if weights.dtype in _DTYPES else torch.float32
    for name, delta, uses in parts:
        for use in uses:
            factors, module = into_and_out(delta, use.like), adapted.get_submodule(use.module)
            if factors is None or not _multiplies(module, use.like):
                raise ValueError(
                    f"Adapter {of!r} changes {name}, which belongs to a module of type "
                    f"{type(use.like).__name__}: adapter_mode=live adds to linear layers and "
                    "embeddings. Use adapter_mode=merged."
                )
            _add(module, *factors, dtype)
    return adapted


def is_adapted(weights: nn.Module) -> bool:
    """Whether a model has an adapter beside its weights."""
    return any(INTO in module._buffers for module in weights.modules())


def into_and_out(delta: object, module: nn.Module) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return the factors `[H, K]`, `[K, O]` that a module's input meets, in fp32.

    None for what has no factors, and for a module that does not multiply its input by its weight.
    """
    if not isinstance(delta, LowRank) or not isinstance(module, _PLAIN):
        return None
    left_MK, right_KN = delta.factors
    return (right_KN.mT, left_MK.mT) if isinstance(module, nn.Linear) else (left_MK, right_KN)


@torch.no_grad()
def _multiplies(module: nn.Module, like: nn.Module) -> bool:
    """Whether a module of a class of its own does what a plain one does, but for a scale.

    Args:
        module: the module, as it is loaded.
        like: as it is where nothing is quantized.
    """
    weight = getattr(module, "weight", None)
    if type(like) in _PLAIN or not isinstance(weight, torch.Tensor) or weight.dtype not in _DTYPES:
        return True
    if weight.is_meta:
        return True
    inputs = torch.arange(2, device=weight.device)[None]
    if isinstance(like, nn.Embedding):
        expected = weight[inputs] * _scale(module, weight.dtype)
    else:
        matrix_HO = weight.mT if isinstance(like, nn.Linear) else weight
        inputs = inputs.to(weight.dtype)[..., None].expand(1, 2, len(matrix_HO))
        bias = getattr(module, "bias", None)
        expected = inputs @ matrix_HO + (0 if bias is None else bias)
    try:
        found = module.forward(inputs)
    except (TypeError, ValueError, IndexError, RuntimeError):  # it takes something else
        return False
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-2, atol=1e-4)


def _add(
    module: nn.Module, into_HK: torch.Tensor, out_KO: torch.Tensor, dtype: torch.dtype
) -> None:
    own = next(itertools.chain(module.parameters(recurse=False), module.buffers(recurse=False)))
    place = torch.device("cpu") if own.is_meta else own.device  # which offloaded weights are not on
    for name, tensor in ((INTO, into_HK), (OUT, out_KO * _scale(module, dtype))):
        module.register_buffer(name, tensor.to(place, dtype).contiguous())
    module.register_forward_hook(_add_product)


def _scale(module: nn.Module, dtype: torch.dtype) -> float:
    """Return what an embedding multiplies by what it has looked up, rounded as it does."""
    scale = getattr(module, "embed_scale", 1.0) if isinstance(module, nn.Embedding) else 1.0
    return float(torch.as_tensor(scale, device="cpu").to(dtype))


def _add_product(module: nn.Module, given: tuple[Any, ...], out: torch.Tensor) -> torch.Tensor:
    """Complete a module's output."""
    if not given:
        raise ValueError(
            f"An adapter cannot be added to {type(module).__name__}, to which its model gives the "
            "input by name. Use adapter_mode=merged."
        )
    read = given[0].to(out.device)
    into_HK, out_KO = (getattr(module, name).to(out.device) for name in (INTO, OUT))
    looks_up = not read.is_floating_point()
    narrow = into_HK[read] if looks_up else read.to(into_HK.dtype) @ into_HK
    flat = out.reshape(-1, out.shape[-1])
    if flat.dtype == out_KO.dtype:
        return flat.addmm_(narrow.reshape(-1, narrow.shape[-1]), out_KO).view_as(out)
    return out + (narrow @ out_KO).to(out.dtype)
