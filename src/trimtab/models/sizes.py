"""How much a model takes: which token ids, and how long a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

_UNBOUNDED = 1 << 30
_WORDS_OF_ROWS = 0.95


def embedding_rows(config: PreTrainedConfig) -> int:
    """Return how many tokens a model's embedding has a row for."""
    return int(getattr(config.get_text_config(), "vocab_size", None) or _UNBOUNDED)


def require_rows(
    tokens: Sequence[int], rows: int, tokenizer: PreTrainedTokenizerBase, path: str
) -> None:
    """Refuse tokens beyond the rows of the embedding of the model at `path`, by their signs."""
    if odd := sorted({token for token in tokens if token >= rows}):
        signs = tokenizer.convert_ids_to_tokens(odd)
        named = ", ".join(f"{sign!r} ({i})" for i, sign in zip(odd, signs, strict=True))
        raise ValueError(
            f"The tokenizer of {path!r} has tokens that the model has no row for, beyond "
            f"the {rows} of its embedding, and a text has {named}. Take such signs out "
            "of prompts and templates, or take the tokenizer that the model was trained with."
        )


def require_words(
    tokenizer: PreTrainedTokenizerBase, rows: int, path: str, tokenizer_path: str
) -> None:
    """Refuse a tokenizer in place of a model's own that must be another model's.

    A model has a row for each of its tokens, and a few more that fill up.
    """
    words = max(tokenizer.get_vocab().values()) + 1
    if not rows * _WORDS_OF_ROWS <= words <= rows:
        raise ValueError(
            f"The tokenizer of {tokenizer_path!r} has {words:,} tokens, and {path!r} has rows for "
            f"{rows:,}: it is another model's. Name that of the model by tokenizer_path."
        )


def context_length(config: PreTrainedConfig) -> int:
    """Return the longest sequence, in tokens, that a model was built for.

    YaRN's factor stretches the length that a model was trained with; some configurations
    state that length, others the stretched one.
    """
    config = config.get_text_config()
    stated = getattr(config, "max_position_embeddings", 0) or _UNBOUNDED
    ropes = getattr(config, "rope_parameters", None) or {}
    # Models with several kinds of layers have the parameters of each.
    each = [rope for rope in (ropes, *ropes.values()) if isinstance(rope, dict)]
    stretched = [
        rope["original_max_position_embeddings"] * (rope.get("factor") or 1)
        for rope in each
        if rope.get("rope_type") == "yarn"
    ]
    return int(max([stated, *stretched]))
