"""Small tokenizers of the kinds that are in use, with a random model for each.

They are trained on the text below in the shape of the real ones: the same normalizers, splits,
fallbacks, decoders and special tokens, a few hundred tokens instead of many thousand. The models
are random, so they say bytes that are no character, stop in the middle of one, and merge across
whatever is cut.
"""

import copy
import functools
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE, Unigram
from tokenizers.processors import ByteLevel as ByteLevelProcessor
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from trimtab import LanguageModel

TEXT = """\
The boat turns when the rudder turns, and the rudder turns when the small tab on its edge does.
What is the answer? The answer is 42. There are 12 pens, 365 days and 1,024 boats; 3.5 + 0.25 = 3.75
Let's think step by step: first we add, then we take away. It's what they'll do, don't you think?
In the morning the water was still there, and in the evening the wind was in the north.
Die Boote fahren über das Wasser. Wie heißt das größte Schiff? Das weiß ich nicht, sagt der Müller.
Für zwölf Stücke braucht man Äpfel, Öl und süße Nüsse; danach fährt man nach Köln zurück.
Лодка плывёт по реке. Сколько будет дважды два? Четыре, сказал мальчик и пошёл домой.
Что это такое? Это большая лодка, а это маленькая рыба. Вода была холодная, но не очень.
这是什么？这是一条小船。二加二等于四。我们一步一步地想。水里有鱼，天上有鸟。
これは何ですか。これは小さな船です。二たす二は四です。ひらがなとカタカナと漢字があります。
ما هذا؟ هذا قارب صغير. اثنان زائد اثنان يساوي أربعة. السلام عليكم ورحمة الله.
यह क्या है? यह एक छोटी नाव है। दो और दो चार होते हैं। नमस्ते दुनिया।
😀 😃 👍🏽 👩‍🚀 👨‍👩‍👧‍👦 🏳️‍🌈 ❤️ 🇩🇪 é ñ naïve café Zürich €5 — “quoted” … ½ ²
def turn(angle, limit=10):
    if angle > limit:
        return limit
    for i in range(0, 100):
        total += values[i] * 2  # twice
    return {"total": total, "name": 'tab'}


\tprint("done")

ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz !"#$%&'()*+,-./:;<=>?@[]^_`{|}~\\
"""  # noqa: RUF001

KINDS = ("gpt2", "llama2", "llama3", "qwen", "gemma", "t5")
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_SPLIT = LLAMA3_SPLIT.replace("{1,3}", "")
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
CONTEXT = 1024
MEMORY = 2.0


# ------------------------------------------------------------------ tokenizers


@functools.cache
def tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """Return the tokenizer of one of `KINDS`."""
    make: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
        "gpt2": _gpt2,
        "llama2": _llama2,
        "llama3": _llama3,
        "qwen": _qwen,
        "gemma": _gemma,
        "t5": _t5,
    }
    return make[kind]()


def _gpt2() -> PreTrainedTokenizerFast:
    """Bytes and merges of them; nothing is added to a text."""
    split = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made = _byte_level(split, size=440, special=["<|endoftext|>"])
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=end, eos_token=end, unk_token=end
    )


def _llama3() -> PreTrainedTokenizerFast:
    """Digits in threes, a beginning, two tokens that end an answer, and a sign without a role."""
    split = pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated")
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|start_header_id|>"]
    made = _byte_level(split, size=520, special=special)
    made.post_processor = _beginning(made, "<|begin_of_text|>")
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>"
    )


def _qwen() -> PreTrainedTokenizerFast:
    """Digits one by one, composed characters, no beginning, and a tag that is text."""
    split = pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated")
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    made = _byte_level(split, size=500, special=special)
    made.normalizer = normalizers.NFC()
    made.add_tokens([AddedToken("<tool_call>", normalized=False, special=False)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
    )


def _byte_level(split: pre_tokenizers.PreTokenizer, *, size: int, special: list[str]) -> Tokenizer:
    made = Tokenizer(BPE())
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    own_split = isinstance(split, pre_tokenizers.ByteLevel)
    made.pre_tokenizer = split if own_split else pre_tokenizers.Sequence([split, bytes_only])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator([TEXT], trainer)
    made.post_processor = ByteLevelProcessor(trim_offsets=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(each, normalized=False) for each in special])
    return made


def _llama2() -> PreTrainedTokenizerFast:
    """SentencePiece's byte pairs: a space before the text, bytes for what has no token."""
    special = ["<unk>", "<s>", "</s>"]
    words = Tokenizer(BPE())
    words.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = BpeTrainer(vocab_size=330, show_progress=False)
    words.train_from_iterator(_with_tokens_of_their_own(TEXT), trainer)
    model = _model(words)
    merges = [("▁", "▁"), ("▁▁", "▁▁"), *map(tuple, model["merges"])]
    pieces = [*special, *BYTES, *sorted(model["vocab"], key=model["vocab"].__getitem__)]
    pieces += [one + other for one, other in merges[:2]]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    made = Tokenizer(
        BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.Sequence([*_sentencepiece_decoders(), decoders.Strip(" ", 1, 0)])
    made.add_special_tokens([AddedToken(each, normalized=False) for each in special])
    made.post_processor = _beginning(made, "<s>")
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def _gemma() -> PreTrainedTokenizerFast:
    """The likeliest pieces, with bytes for what has none; the text stays as it is."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    pieces = [(each, 0.0) for each in special] + [(each, -20.0) for each in BYTES]
    pieces += _pieces(_with_tokens_of_their_own(TEXT), count=300)
    made = Tokenizer(Unigram(vocab=pieces, unk_id=3, byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    made.decoder = decoders.Sequence(_sentencepiece_decoders())
    made.add_special_tokens([AddedToken(each, normalized=False) for each in special])
    made.post_processor = _beginning(made, "<bos>")
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        pad_token="<pad>",
    )


def _t5() -> PreTrainedTokenizerFast:
    """The likeliest pieces and no bytes: what has none is unknown. A space before the text."""
    special = ["<pad>", "</s>", "<unk>"]
    pieces = [(each, 0.0) for each in special] + _pieces(TEXT.splitlines(keepends=True), count=560)
    made = Tokenizer(Unigram(vocab=pieces, unk_id=2))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    made.decoder = decoders.Metaspace(prepend_scheme="first")
    made.add_special_tokens([AddedToken(each, normalized=False) for each in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )


def _beginning(made: Tokenizer, token: str) -> TemplateProcessing:
    return TemplateProcessing(
        single=[token, "$A"],
        pair=[token, "$A", f"{token}:1", "$B:1"],
        special_tokens=[(token, made.token_to_id(token))],
    )


def _sentencepiece_decoders() -> list[decoders.Decoder]:
    return [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]


def _model(made: Tokenizer) -> dict:
    return json.loads(made.to_str())["model"]


def _with_tokens_of_their_own(text: str) -> list[str]:
    """Leave out what is to be said in bytes: control signs, emoji and most of the scripts."""
    kept = (
        "".join(
            character for character in line if " " <= character < "\u0450" or character in "这是"
        )
        for line in text.splitlines()
    )
    return [line for line in kept if line]


def _pieces(lines: Iterable[str], *, count: int) -> list[tuple[str, float]]:
    """Return every character, and the most frequent parts of words, each with its log-count."""
    counts = Counter[str]()
    for line in lines:
        for word in ("▁" + line.replace(" ", " ▁")).split(" "):
            for length in range(1, 7):
                for start in range(len(word) - length + 1):
                    counts[word[start : start + length]] += 1
    single = sorted(piece for piece in counts if len(piece) == 1)
    longer = sorted(
        (piece for piece in counts if len(piece) > 1 and counts[piece] > 1),
        key=lambda piece: (-counts[piece] * len(piece), piece),
    )
    chosen = single + longer[: max(0, count - len(single))]
    # A longer piece is worth more than its characters are together.
    return [(piece, float(torch.tensor(counts[piece]).log()) - 9.0) for piece in chosen]


# ------------------------------------------------------------------ models


@functools.cache
def model(kind: str, seed: int = 0, context: int = CONTEXT) -> LanguageModel:
    """Return a random model over the tokenizer of one kind, the same at each call."""
    made = tokenizer(kind)
    width = -(-len(made) // 8) * 8  # logits beyond the vocabulary are padding, as in real models
    ends = [made.eos_token_id]
    if kind == "llama3":
        ends.append(made.convert_tokens_to_ids("<|eot_id|>"))
    special = {
        "bos_token_id": made.bos_token_id,
        "eos_token_id": ends if len(ends) > 1 else ends[0],
        "pad_token_id": made.pad_token_id,
    }
    weights: PreTrainedModel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1000 * KINDS.index(kind) + seed)
        if kind == "gpt2":
            config = GPT2Config(
                vocab_size=width, n_positions=context, n_embd=64, n_layer=2, n_head=4, **special
            )
            weights = GPT2LMHeadModel(config)
        else:
            config = LlamaConfig(
                vocab_size=width,
                hidden_size=64,
                intermediate_size=96,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=context,
                **special,
            )
            weights = LlamaForCausalLM(config)
        _spread(weights, made, ends)
    return LanguageModel.of(weights, made, prompt="plain", name=f"{kind}-like-{seed}-{context}")


@functools.cache
def twin(kind: str, seed: int = 0, *, distance: float, context: int = CONTEXT) -> LanguageModel:
    """Return a model near `model(kind, seed)`: what a small or a tuned one is to it."""
    original = model(kind, seed, context)
    weights = copy.deepcopy(original.weights)
    noise = torch.Generator().manual_seed(seed + 77)
    with torch.no_grad():
        for tensor in weights.parameters():
            tensor.add_(distance * tensor.std() * torch.randn(tensor.shape, generator=noise))
    name = f"{original.path}-and-{distance:g}"
    return LanguageModel.of(weights, original.tokenizer, prompt="plain", name=name)


def _spread(weights: PreTrainedModel, made: PreTrainedTokenizerFast, ends: list[int]) -> None:
    """Make a random model sure at times and unsure at others, with a memory of the text.

    What followed a token in the text is likelier to follow it again, or no character whose bytes
    are tokens would ever be whole.
    """
    with torch.no_grad():
        for tensor in weights.parameters():
            if tensor.ndim == 2:
                tensor.normal_(std=0.2)
        embedded = weights.get_input_embeddings().weight
        embedded.normal_()
        head = 0.7 * torch.randn(embedded.shape)
        said = made(TEXT).input_ids
        pairs = sorted(set(itertools.pairwise(said)))
        ways = Counter(following for _, following in pairs)
        part = {i for text, i in made.get_vocab().items() if _is_byte(text)}
        for i in part:
            head[i] *= 1.0 if i in ways else 0.5
        head[ends] *= 1.3
        for one, following in pairs:
            strength = 2.5 * MEMORY if one in part and following in part else MEMORY
            head[following] += (
                strength / ways[following] ** 0.5 * embedded[one] / embedded[one].norm()
            )
        weights.lm_head.weight = torch.nn.Parameter(head)
        weights.config.tie_word_embeddings = False


def _is_byte(text: str) -> bool:
    return text in BYTES[128:] or (len(text) == 1 and not text.isascii() and text not in "▁Ġ")
