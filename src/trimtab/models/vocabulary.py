"""Whether models may be mixed token by token, and how one of another vocabulary is read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from trimtab.models.language_model import LanguageModel
from trimtab.models.token_bytes import TokenBytes
from trimtab.models.token_map import PM_MINED, PM_MINED_RAW, TokenMap


def answering(models: Mapping[str, LanguageModel]) -> str:
    """Return the role of the model whose tokens answers are made of: the first without a token map.

    One that follows others is so only where there is no other.

    Raises:
        ValueError: where there is none.
    """
    own = [role for role, model in models.items() if model.token_map is None]
    if own:
        return min(own, key=lambda role: models[role].follows)
    listed = ", ".join(f"{role} ({model.path})" for role, model in models.items())
    raise ValueError(
        f"token_map is set for {listed}, and for nobody beside whose tokens an answer could be "
        "made of. Leave it out (null), or set it for those alone that are mixed into another."
    )


def maps_onto(models: Mapping[str, LanguageModel]) -> dict[str, TokenMap]:
    """Return what models of another vocabulary than the answers' are read through, by role.

    Raises:
        ValueError: for one of which nothing maps.
    """
    mapped = {role: model for role, model in models.items() if model.token_map is not None}
    if not mapped:
        return {}
    target_role = answering(models)
    target = models[target_role]
    found = {}
    for role, model in mapped.items():
        if model.vocabulary == target.vocabulary:
            continue
        found[role] = _map(target.token_bytes, model.token_bytes, str(model.token_map))
        if "exact" not in found[role].matches:
            raise ValueError(
                f"token_map={model.token_map} of {role} ({model.path}): none of its tokens stands "
                f"for the same text as one of {target_role} ({target.path}), so nothing that it "
                "says can be heard. Take a model of a related vocabulary; nudging takes any two."
            )
    return found


@lru_cache(maxsize=8)
def _map(target: TokenBytes, other: TokenBytes, kind: str) -> TokenMap:
    return TokenMap(target, other, kind)


def require_distributions(models: Mapping[str, LanguageModel], method: str) -> None:
    """Refuse models that are read as delta models, where a method mixes distributions."""
    for role, model in models.items():
        if model.token_map == PM_MINED_RAW:
            raise ValueError(
                f"token_map={PM_MINED_RAW} of {role} ({model.path}): {method} mixes distributions, "
                "and this map gives the logits of a delta model (see CMC), which are none. "
                f"Accepted is another map, as {PM_MINED}."
            )


def require_one_vocabulary(models: Mapping[str, LanguageModel]) -> None:
    """Refuse models whose token ids mean different tokens, naming the first difference.

    Those with a token map may have other tokens, of which some must map.
    """
    maps_onto(models)
    (first_role, first), *others = (
        (role, model) for role, model in models.items() if model.token_map is None
    )
    for role, other in others:
        if other.vocabulary == first.vocabulary:
            continue
        by_id = {i: t for t, i in first.vocabulary.items()}
        other_by_id = {i: t for t, i in other.vocabulary.items()}
        i = min(i for i in by_id.keys() | other_by_id.keys() if by_id.get(i) != other_by_id.get(i))
        raise ValueError(
            f"{first_role} ({first.path}) and {role} ({other.path}) do not share a vocabulary: "
            f"token {i} is {by_id.get(i)!r} in one and {other_by_id.get(i)!r} in the other. "
            "Mixing logits or weights needs models of one tokenizer; nudging takes any two, and "
            f"logits are mixed through a token map where a model has one (token_map={PM_MINED})."
        )
