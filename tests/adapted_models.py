"""Small models of several architectures with adapters by PEFT, and what PEFT makes of both."""

import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
)

from trimtab import zoo

peft: Any = __import__("pytest").importorskip("peft")

ZOO = "a-small-base"
_SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "head_dim": 16}
_HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 256}
LINEAR = ["q_proj", "o_proj", "up_proj", "down_proj"]


def _llama(rows: int, *, tied: bool = False, layers: int = 2, width: int = 32) -> PreTrainedModel:
    sizes = {**_SIZES, **_HEADS, "num_hidden_layers": layers, "hidden_size": width}
    return LlamaForCausalLM(LlamaConfig(vocab_size=rows, tie_word_embeddings=tied, **sizes))


def _gemma3(rows: int) -> PreTrainedModel:
    config = Gemma3TextConfig(vocab_size=rows, sliding_window=16, **_SIZES, **_HEADS)
    return Gemma3ForCausalLM(config)


def _gpt2(rows: int) -> PreTrainedModel:
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=rows, n_embd=32, n_layer=2, n_head=2, n_positions=256)
    )


def _opt(rows: int) -> PreTrainedModel:
    sizes = {"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = OPTConfig(
        vocab_size=rows, max_position_embeddings=256, word_embed_proj_dim=32, **sizes
    )
    return OPTForCausalLM(config)


MAKERS = {"llama": _llama, "gemma3": _gemma3, "gpt2": _gpt2, "opt": _opt}


def base_folder(folder: Path, kind: str = "llama", *, seed: int = 0, **settings: Any) -> str:
    """Save a model of drawn weights, which speaks an embedded model's tokens; return its folder."""
    torch.manual_seed(seed)
    model = MAKERS[kind](768, **settings)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((parameter.ndim == 1) + 0.2 * torch.randn_like(parameter))
    model.generation_config.eos_token_id = model.config.eos_token_id = None
    model.save_pretrained(folder)
    for file in zoo.path(ZOO).glob("tokenizer*"):
        shutil.copyfile(file, folder / file.name)
    return str(folder)


def with_adapter(
    base: str, folder: Path, *, seed: int = 1, std: float = 0.1, save: Any = None, **settings: Any
) -> PreTrainedModel:
    """Save an adapter whose factors are all drawn, and return the model that PEFT merges it into.

    Args:
        base: folder of the model.
        folder: of the adapter.
        seed: decides the factors.
        std: of their elements.
        save: whether PEFT writes frozen embeddings beside their factors.
        settings: of PEFT's LoraConfig.
    """
    given = {"r": 4, "lora_alpha": 8, "target_modules": LINEAR} | settings
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapted = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **given))
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=std)
    options = {} if save is None else {"save_embedding_layers": save}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of tied weights and of one flag for all
        adapted.save_pretrained(folder, **options)
        merged: PreTrainedModel = adapted.merge_and_unload().eval()
    return merged
