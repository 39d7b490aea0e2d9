"""The prompts of samples, by the roles of the models that read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from trimtab.models import Conversation, LanguageModel

_SHOWN = 5


class Prompts(NamedTuple):
    """The prompts of one sample, by role.

    Attributes:
        text: as they are read.
        tokens: the same in each model's tokens.
        conversation: what they are of; None where they were given as they are.
        sample_id: the id of the answer: the sample's, with `#2` for its second draw, and so on.
    """

    text: dict[str, str]
    tokens: dict[str, list[int]]
    conversation: Conversation | None = None
    sample_id: str = ""


def require_room(prompts: Mapping[str, Prompts], models: Mapping[str, LanguageModel]) -> None:
    """Refuse prompts that fill a model's context."""
    too_long = [
        f"sample {sample_id!r}: {len(prompt.tokens[role])} tokens for {role} ({model.path}), which "
        f"holds {model.context_length}"
        for sample_id, prompt in prompts.items()
        for role, model in models.items()
        if len(prompt.tokens[role]) >= model.context_length
    ]
    if too_long:
        shown = "\n  ".join(too_long[:_SHOWN])
        more = f"\n  and {len(too_long) - _SHOWN} more" if len(too_long) > _SHOWN else ""
        raise ValueError(
            f"{len(too_long)} prompts leave no room for an answer:\n  {shown}{more}\n"
            "Leave these samples out, shorten the task's prompt, or take a model with a "
            "longer context."
        )
