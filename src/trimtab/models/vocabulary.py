"""Whether models may be mixed token by token."""

from __future__ import annotations

from collections.abc import Mapping

from trimtab.models.language_model import LanguageModel


def require_one_vocabulary(models: Mapping[str, LanguageModel]) -> None:
    """Refuse models whose token ids mean different tokens, naming the first difference."""
    (first_role, first), *others = models.items()
    for role, other in others:
        if other.vocabulary == first.vocabulary:
            continue
        by_id = {i: t for t, i in first.vocabulary.items()}
        other_by_id = {i: t for t, i in other.vocabulary.items()}
        i = min(i for i in by_id.keys() | other_by_id.keys() if by_id.get(i) != other_by_id.get(i))
        raise ValueError(
            f"{first_role} ({first.path}) and {role} ({other.path}) do not share a vocabulary: "
            f"token {i} is {by_id.get(i)!r} in one and {other_by_id.get(i)!r} in the other. "
            "Mixing logits or weights needs models of one tokenizer; nudging takes any two."
        )
