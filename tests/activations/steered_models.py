"""Models whose states are moved in tests, and how plain hooks move them."""

import functools
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import oracles
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MptConfig

from trimtab import Conversation, Generation, LanguageModel

CONFIGS = {
    "llama": LlamaConfig(
        vocab_size=768,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        eos_token_id=5,
    ),
    "gpt2": GPT2Config(
        vocab_size=768, n_embd=32, n_layer=3, n_head=4, n_positions=256, eos_token_id=5
    ),
}
CONFIGS["mpt"] = MptConfig(  # whose layers give tuples
    vocab_size=768, d_model=32, n_layers=3, n_heads=4, max_seq_len=256, eos_token_id=5
)
LAYERS = {
    "llama": "model.layers",
    "gpt2": "transformer.h",
    "mpt": "transformer.blocks",
    "zoo": "model.layers",
}
NAMES = ["Ana", "Ben", "Clara", "Hugo", "Leo"]
TOWARD = [f"Why is {name} late?" for name in NAMES] + ["Who is ill? Leo?", "Is it Ana?"]
AWAY = [f"Tell me about {name}." for name in NAMES] + ["A story, please.", "The farm."]
ASKED = {
    f"sample-{i}": Conversation(question=question)
    for i, question in enumerate(
        [
            *(
                "Why is Eva ill?",
                "Tell me about a boat.",
                "Ana has 3 pens.",
                "Is it late? Tell Ben.",
            ),
            *("Who", "The mill.", "Write about Rick.", "", "What helps? A walk.", "Is Tom in?"),
        ]
    )
}


def hand_made(path: Path) -> str:
    """Write directions of nothing in particular, and return their name."""
    prompts = {"name": "none", "prompts": 1, "sha256": ""}
    facts = {
        **{"name": "none", "identity": {}, "prompt": "plain", "dtype": "float32"},
        **{"architecture": "llama", "width": 4, "depth": 2, "layers": [0, 1], "right": [1, 1]},
        **{"toward": prompts, "away": prompts},
    }
    tensors = {name: torch.ones(2, 4) for name in ("directions", "middle")}
    save_file(tensors, path, {"trimtab": json.dumps(facts)})
    return str(path)


@functools.cache
def steered_model(kind: str, seed: int = 0) -> LanguageModel:
    """Return a tiny random model, or one of the zoo."""
    if kind == "zoo":
        name = "a-small-mixed" if seed == 0 else "a-small-sft"
        return LanguageModel(path=f"zoo:{name}", prompt="chat")
    torch.manual_seed(seed)
    weights = AutoModelForCausalLM.from_config(CONFIGS[kind])
    for parameter in weights.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.2)
    words = LanguageModel(path="zoo:a-small-base", prompt="plain").tokenizer
    return LanguageModel.of(weights, words, prompt="plain", name=f"random-{kind}-{seed}")


def layers_of(model: LanguageModel, kind: str) -> list[torch.nn.Module]:
    return list(model.weights.get_submodule(LAYERS[kind]))


def tensor_of(out: torch.Tensor | tuple) -> torch.Tensor:
    return out[0] if isinstance(out, tuple) else out


@torch.inference_mode()
def last_states(model: LanguageModel, kind: str, tokens: Sequence[int]) -> torch.Tensor:
    """Return what each layer gives at the last token, `[L, H]`, of one sequence that is alone."""
    seen = []
    with ExitStack() as hooks:
        for layer in layers_of(model, kind):
            handle = layer.register_forward_hook(
                lambda _, given, out: seen.append(tensor_of(out)[0, -1])
            )
            hooks.callback(handle.remove)
        model.weights(torch.tensor([tokens]), use_cache=False)
    return torch.stack(seen)


@contextmanager
def moved_by_hooks(
    model: LanguageModel, kind: str, shifts: dict[int, torch.Tensor]
) -> Iterator[None]:
    """Add to what some layers give, at every position."""
    with ExitStack() as hooks:
        for number, shift in shifts.items():
            handle = layers_of(model, kind)[number].register_forward_hook(
                lambda _, given, out, shift=shift: (
                    (out[0] + shift, *out[1:]) if isinstance(out, tuple) else out + shift
                )
            )
            hooks.callback(handle.remove)
        yield


def gates(model: LanguageModel, kind: str, tokens: Sequence[int], own: str, bias: float) -> list:
    """Return whether each layer is open to a prompt, by the equation."""
    file = load_file(own)
    opened = []
    for h, s, middle in zip(
        last_states(model, kind, tokens), file["directions"], file["middle"], strict=True
    ):
        b = bias * float(s @ s) / 2 - float(s @ middle)
        opened.append(float(s @ h) + b > 0)
    return opened


def answer(
    model: LanguageModel,
    kind: str,
    tokens: list[int],
    shifts: dict[int, torch.Tensor],
    generation: Generation,
    sample_id: str,
) -> list[int]:
    """Decode one token at a time, over the whole sequence each time."""
    said: list[int] = []
    while len(said) < generation.max_new_tokens:
        with torch.inference_mode(), moved_by_hooks(model, kind, shifts):
            logits_V = model.weights(torch.tensor([tokens + said]), use_cache=False).logits[0, -1]
        place = {"sample_id": sample_id, "role": "model", "position": len(said)}
        said.append(oracles.choose(logits_V[: model.vocabulary_size], generation, **place))
        if said[-1] in model.stop_tokens:
            break
    return said
