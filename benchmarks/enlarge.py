"""Larger models that compute the same: real agreement between models at a real size.

Tiny models measure Python's overhead. What is added here to a small Llama cannot change what it
says, so an enlarged embedded model keeps its answers, and its agreement with the small guide, while
every pass moves as many weights, through as many layers, as a model of that size:

- units of a feed-forward layer, and heads, whose output weights are zero;
- layers whose outputs are zero, between the others;
- dimensions of the hidden state that nothing writes to. Each norm then divides by a root mean
  square that is smaller by the square root of the factor, so its weights and its epsilon are too; a
  square of a power of two is exact in every number format.
"""

import copy

import torch
from transformers import LlamaForCausalLM, PreTrainedModel

from trimtab import LanguageModel


def widened(model: LanguageModel, parameters: int) -> LanguageModel:
    """Return a Llama model with wider feed-forward layers, of about so many parameters."""
    weights = copy.deepcopy(model.weights)
    config = weights.config
    present = weights.num_parameters()
    units = (parameters - present) // (3 * config.hidden_size * config.num_hidden_layers)
    generator = torch.Generator().manual_seed(0)
    for layer in weights.model.layers:
        mlp = layer.mlp
        for name in ("gate_proj", "up_proj"):
            old = getattr(mlp, name).weight.data
            new = torch.randn(units, old.shape[1], generator=generator) * old.std()
            getattr(mlp, name).weight = torch.nn.Parameter(torch.cat([old, new.to(old)]))
            getattr(mlp, name).out_features += units
        old = mlp.down_proj.weight.data
        mlp.down_proj.weight = torch.nn.Parameter(
            torch.cat([old, torch.zeros(old.shape[0], units).to(old)], dim=1)
        )
        mlp.down_proj.in_features += units
    config.intermediate_size += units
    return _named(weights, model)


def enlarged(
    model: LanguageModel,
    *,
    factor: int,
    layers: int,
    feed_forward: int,
    dtype: torch.dtype | None = None,
) -> LanguageModel:
    """Return a Llama model of another shape that computes what a small one computes.

    Args:
        model: the small one; the result is on its device.
        factor: of the hidden size and of the number of heads; 4, 16, 64 ...
        layers: of the result, at least as many as the small one has.
        feed_forward: units of each feed-forward layer, at least as many.
        dtype: of the result; None for that of the small one.

    Raises:
        ValueError: for a shape that the model does not fit into.
    """
    small = model.weights
    config = copy.deepcopy(small.config)
    root = round(factor**0.5)
    if root * root != factor or root & (root - 1):
        raise ValueError(f"factor={factor}: accepted are 1, 4, 16, 64 ...")
    if layers < config.num_hidden_layers or feed_forward < config.intermediate_size:
        raise ValueError(
            f"layers={layers}, feed_forward={feed_forward}: accepted are "
            f"{config.num_hidden_layers} and {config.intermediate_size} or more."
        )
    config.hidden_size *= factor
    config.num_attention_heads *= factor
    config.num_key_value_heads *= factor
    config.rms_norm_eps /= factor
    config.num_hidden_layers, config.intermediate_size = layers, feed_forward
    with torch.random.fork_rng(), torch.device(model.device_in_use):
        torch.manual_seed(0)
        large = LlamaForCausalLM._from_config(config, dtype=dtype or small.dtype)
    _take_over(large, small, root)
    large.generation_config = copy.deepcopy(small.generation_config)
    return _named(large.eval(), model)


@torch.inference_mode()
def _take_over(large: PreTrainedModel, small: PreTrainedModel, root: int) -> None:
    """Put a small model's weights into a large one, whose others then count for nothing."""
    old, new = small.model, large.model
    _put(new.embed_tokens.weight, old.embed_tokens.weight, silent=True)
    if not small.config.tie_word_embeddings:
        _put(large.lm_head.weight, small.lm_head.weight, silent=True)
    _put(new.norm.weight, old.norm.weight / root)
    count = len(new.layers)
    places = [i * count // len(old.layers) for i in range(len(old.layers))]
    for layer in new.layers:
        for written in (layer.self_attn.o_proj, layer.mlp.down_proj):
            written.weight.zero_()
    for place, layer in zip(places, old.layers, strict=True):
        into = new.layers[place]
        for name in ("input_layernorm", "post_attention_layernorm"):
            _put(getattr(into, name).weight, getattr(layer, name).weight / root)
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            own = getattr(layer.self_attn, name).weight
            _put(getattr(into.self_attn, name).weight, own)
        for name in ("gate_proj", "up_proj", "down_proj"):
            _put(getattr(into.mlp, name).weight, getattr(layer.mlp, name).weight)


def _put(into: torch.Tensor, own: torch.Tensor, *, silent: bool = False) -> None:
    """Put a tensor into the first corner of another; what is beside it stays, or is zero."""
    if silent:
        into.zero_()
    into[tuple(slice(size) for size in own.shape)] = own.to(into.dtype)


def _named(weights: PreTrainedModel, model: LanguageModel) -> LanguageModel:
    name = model.path.removeprefix("zoo:")
    return LanguageModel.of(weights, model.tokenizer, prompt=model.prompt, name=name)
