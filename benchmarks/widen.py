"""Wider models that compute the same: real agreement between models at a real size.

Tiny models measure Python's overhead. A feed-forward layer padded with units whose output weights
are zero is the same function at any width, so a widened embedded model keeps its answers, and its
agreement with the small guide, while every pass moves as many weights as a model of that size.
"""

import copy

import torch

from trimtab import LanguageModel


def widened(model: LanguageModel, parameters: int) -> LanguageModel:
    """Return a Llama model of about so many parameters that computes what `model` computes."""
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
    name = model.path.removeprefix("zoo:")
    return LanguageModel.of(weights, model.tokenizer, prompt=model.prompt, name=name)
