"""Tiny random reward models on an embedded tokenizer."""

from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification, PreTrainedModel

from trimtab import zoo

CONTEXT = 96


def save(model: PreTrainedModel, folder: Path, **of_tokenizer: object) -> Path:
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(zoo.path("a-small-chat"))
    for name, value in of_tokenizer.items():
        setattr(tokenizer, name, value)
    tokenizer.save_pretrained(folder)
    return folder


def causal(folder: Path, *, padding: int | None, outputs: int = 1, context: int = CONTEXT) -> Path:
    """A Llama with a reward head, on an embedded tokenizer."""
    torch.manual_seed(3)
    tokenizer = AutoTokenizer.from_pretrained(zoo.path("a-small-chat"))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=context,
        num_labels=outputs,
        pad_token_id=padding,
        initializer_range=0.3,
    )
    return save(LlamaForSequenceClassification(config), folder)
