"""The two tokenizers: family A byte-level BPE, family B Unigram in SentencePiece's style."""

import json
import string
from collections.abc import Iterable

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

A_CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|{{ message.role }}|>{{ message.content | trim }}
{%- if message.role == 'assistant' -%}<|end|>{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}
"""

# Writes the beginning-of-sequence token that the tokenizer adds too, as many real templates do;
# has no system turn, so the system message opens the user's.
B_CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- set ns = namespace(system='') -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{%- set ns.system = message.content | trim + '\\n' -%}
{%- elif message.role == 'user' -%}
{{- '[INST] ' + ns.system + message.content | trim + ' [/INST]\\n' -}}
{%- set ns.system = '' -%}
{%- else -%}
{{- message.content | trim + eos_token -}}
{%- endif -%}
{%- endfor -%}
"""


def byte_level_bpe(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """Family A: digits one by one, no beginning-of-sequence token, ``<|end|>`` ends."""
    specials = ["<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|end|>",
        pad_token="<|pad|>",
        additional_special_tokens=specials[2:],
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )


def unigram(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """Family B: a space before the first word, byte fallback, ``<s>`` added in front."""
    specials = ["<unk>", "<s>", "</s>", "<pad>"]
    turns = ["[INST]", "[/INST]"]
    learner = Tokenizer(models.Unigram())
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("\n", "isolated"),
            pre_tokenizers.Metaspace(prepend_scheme="first"),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.UnigramTrainer(
        vocab_size=size - len(specials) - len(fallback) - len(turns),
        initial_alphabet=[*string.ascii_letters, *string.digits, *string.punctuation, "\n"],
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    pieces = json.loads(learner.to_str())["model"]["vocab"]
    vocabulary = [(piece, 0.0) for piece in (*specials, *fallback)]
    vocabulary += [(piece, score) for piece, score in pieces]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
    tokenizer.pre_tokenizer = learner.pre_tokenizer
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens([*specials, *turns])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", specials.index("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=turns,
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )


FAMILIES = {"a": (byte_level_bpe, 768), "b": (unigram, 896)}
CHAT_TEMPLATES = {"a": A_CHAT_TEMPLATE, "b": B_CHAT_TEMPLATE}
