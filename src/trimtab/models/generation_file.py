"""What a model's own files ask of generation: where answers end, and rules of its publisher."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.config.accepted import is_whole
from trimtab.machine.json_file import read_object

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedConfig

_FILE = "generation_config.json"
_FURTHER_ENDS = ("tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id")
# Settings of generate() that change no token, or only how many there may be.
WITHOUT_EFFECT = {
    "max_length",
    "max_new_tokens",
    "eos_token_id",
    "pad_token_id",
    "bos_token_id",
    "decoder_start_token_id",
    "early_stopping",
    "length_penalty",
    "transformers_version",
    "use_cache",
    "cache_implementation",
    "cache_config",
    "max_cache_len",
    "low_memory",
    "prefill_chunk_size",
    "compile_config",
    "disable_compile",
    "continuous_batching_config",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "output_logits",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "assistant_confidence_threshold",
    "assistant_lookbehind",
    "target_lookbehind",
    "max_matching_ngram_size",
}
# How to draw is for `Generation` to say, whatever a model's files recommend.
SAMPLING = {"do_sample", "temperature", "top_k", "top_p"}
FURTHER_SAMPLING = {"min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff"}
_HOW_RETURNED = {"return_dict_in_generate", "num_return_sequences"}
_OFF = {
    "num_beams": 1,
    "num_beam_groups": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "guidance_scale": 1.0,
    "typical_p": 1.0,
    "min_length": 0,
    "min_new_tokens": 0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "diversity_penalty": 0.0,
    "penalty_alpha": 0.0,
}


def read(folder: Path) -> GenerationConfig:
    """Return a model folder's settings of generation, as transformers' generate() takes them.

    Without a generation_config.json they are those of its config.json.

    Raises:
        ValueError: for a file that cannot be read, and for ends that are no token ids.
    """
    from transformers import GenerationConfig

    file = folder / _FILE
    is_own = file.exists()
    file = file if is_own else folder / "config.json"
    make = GenerationConfig.from_dict if is_own else GenerationConfig.from_model_config
    try:
        config: GenerationConfig = make(read_object(file))
    except (TypeError, AttributeError, ValueError) as error:
        if str(file) in str(error):
            raise
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{str(file)!r} holds settings that are none: {said}") from error
    try:
        ends(config)
    except ValueError as error:
        raise ValueError(f"{str(file)!r}: {error}") from None
    return config


def of_gguf(config: PreTrainedConfig, settings: Mapping[str, Any]) -> GenerationConfig:
    """Return the settings of generation of a GGUF file, which says where answers end.

    Args:
        config: the model's, as transformers reads it from the file.
        settings: the file's own, as it may also name the ends of a turn and of a message.
    """
    from transformers import GenerationConfig

    found: GenerationConfig = GenerationConfig.from_model_config(config)
    further = {settings[key] for key in _FURTHER_ENDS if key in settings}
    found.eos_token_id = sorted(ends(found) | further)
    return found


def ends(config: GenerationConfig) -> frozenset[int]:
    """Return the ids of the tokens that end an answer.

    Raises:
        ValueError: for what is no token id.
    """
    given = config.eos_token_id
    ids = given if isinstance(given, list) else [] if given is None else [given]
    if not all(map(is_whole, ids)):
        raise ValueError(
            f"eos_token_id={given!r}: accepted are the id of a token, a list of such, or null."
        )
    return frozenset(ids)


def further(
    config: GenerationConfig, fine: Collection[str] = SAMPLING | FURTHER_SAMPLING | _HOW_RETURNED
) -> dict[str, Any]:
    """Return the settings that are on and change answers, other than those that are `fine`."""
    from transformers import GenerationConfig

    # transformers' own list of settings, so that one of tomorrow is met and not ignored.
    names = [name for name in vars(GenerationConfig()) if not name.startswith("_")]
    given = {
        n: getattr(config, n, None) for n in names if n not in fine and n not in WITHOUT_EFFECT
    }
    return {
        name: value
        for name, value in given.items()
        if value is not None and value is not False and value != _OFF.get(name)
    }
