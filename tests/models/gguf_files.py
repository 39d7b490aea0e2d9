"""GGUF files of embedded models, written by the publisher's own writer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import zoo_model

from trimtab import zoo

gguf = pytest.importorskip("gguf", reason="the package gguf is not installed")

CONTROL, NORMAL = 3, 1


def write(
    file: Path,
    name: str = "a-small-chat",
    *,
    packing: str = "F32",
    without: str = "",
    beside: str = "",
    settings: Mapping[str, Any] | None = None,
    architecture: str = "llama",
    tokenizer: bool = True,
) -> Path:
    """Write an embedded model of the first family as llama.cpp's converter would.

    Args:
        file: the file to write.
        name: of the model.
        packing: of its matrices; those whose rows fit no block stay as they are.
        without: the name of a tensor that is left out.
        beside: the name of a tensor that no such model has.
        settings: texts and numbers to write beside the model's own.
        architecture: what the file says that it is.
        tokenizer: whether it has one.
    """
    model, folder = zoo_model(name), zoo.path(name)
    config = model.config
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    if tokenizer:
        _add_tokenizer(writer, json.loads((folder / "tokenizer.json").read_text()), model)
    for key, value in (settings or {}).items():
        writer.kv_data[0].pop(key, None)
        (writer.add_string if isinstance(value, str) else writer.add_uint32)(key, value)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    kind = gguf.GGMLQuantizationType[packing]
    for own, tensor in model.weights.state_dict().items():
        theirs = names.get_name(own, try_suffixes=(".weight",))
        if own == "lm_head.weight" or theirs == without:  # tied to the embedding
            continue
        numbers = tensor.numpy()
        if "attn_q" in theirs or "attn_k." in theirs:
            numbers = _in_pairs(numbers, config.num_attention_heads)
        fits = numbers.ndim == 2 and numbers.shape[1] % gguf.GGML_QUANT_SIZES[kind][0] == 0
        packed = gguf.quantize(numbers, kind) if fits and packing != "F32" else numbers
        writer.add_tensor(theirs, packed, raw_dtype=kind if packed is not numbers else None)
    if beside:
        writer.add_tensor(beside, np.ones(config.hidden_size, dtype=np.float32))
    return _finished(writer, file)


def _finished(writer: Any, file: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _in_pairs(numbers: np.ndarray, heads: int) -> np.ndarray:
    """Reorder the rows of queries or keys as llama.cpp rotates them: neighbours in a pair."""
    rows = numbers.reshape(heads, 2, numbers.shape[0] // heads // 2, *numbers.shape[1:])
    return np.ascontiguousarray(rows.swapaxes(1, 2).reshape(numbers.shape))


def _add_tokenizer(writer: Any, said: Mapping[str, Any], model: Any) -> None:
    vocabulary = {**said["model"]["vocab"], **{t["content"]: t["id"] for t in said["added_tokens"]}}
    special = {t["content"] for t in said["added_tokens"] if t["special"]}
    words = sorted(vocabulary, key=vocabulary.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(words)
    writer.add_token_types([CONTROL if word in special else NORMAL for word in words])
    writer.add_token_merges([" ".join(pair) for pair in said["model"]["merges"]])
    writer.add_eos_token_id(model.tokenizer.eos_token_id)
    writer.add_pad_token_id(model.tokenizer.pad_token_id)
    writer.add_add_bos_token(False)
    if model.tokenizer.chat_template:
        writer.add_chat_template(model.tokenizer.chat_template)


def write_words(file: Path, settings: Mapping[str, Any], lists: Mapping[str, list]) -> Path:
    """Write a file of a tokenizer alone, by the keys below `tokenizer.ggml`."""
    writer = gguf.GGUFWriter(file, "llama")
    for key, value in settings.items():
        add = {str: writer.add_string, bool: writer.add_bool, int: writer.add_uint32}
        add[type(value)](f"tokenizer.ggml.{key}", value)
    for key, values in lists.items():
        writer.add_array(f"tokenizer.ggml.{key}", values)
    writer.add_tensor("output_norm.weight", np.ones(8, dtype=np.float32))
    return _finished(writer, file)
