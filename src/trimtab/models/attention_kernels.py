"""Who computes attention: transformers' plain code (`eager`), or torch's kernels (`sdpa`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.config.wording import not_a_choice

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

AUTO = "auto"
KERNELS = (AUTO, "eager", "sdpa")
_NO_MASKS = "takes no mask of ours, and rows of a batch attend by positions of their own"
_REASONS = {
    "flash_attention_2": _NO_MASKS,
    "flash_attention_3": _NO_MASKS,
    "flash_attention_4": _NO_MASKS,
    "flex_attention": "compiles a kernel for each length anew, and fails on masks of ours on a CPU",
}


def mistake(attention: str, path: str) -> str | None:
    """Return what is wrong with the setting of the model at `path`; None for nothing."""
    what = f"attention of {path}:"
    if reason := _REASONS.get(attention):
        return (
            f"{what} {attention!r} {reason}. Accepted: {', '.join(KERNELS)}. sdpa takes torch's "
            "fused kernels where they apply."
        )
    return None if attention in KERNELS else not_a_choice(what, attention, KERNELS)


def options(attention: str, config: PreTrainedConfig, path: str) -> dict[str, Any]:
    """Return what transformers' `from_pretrained` is told.

    Raises:
        ValueError: for `auto` where the model's config.json names what cannot be used here.
    """
    if attention != AUTO:
        return {"attn_implementation": attention}
    named = getattr(config, "_attn_implementation", None)
    if named is not None and named not in KERNELS:
        raise ValueError(
            f"The config.json of {path!r} names attn_implementation={named!r}, which "
            f"{_REASONS.get(named, 'is not known here')}. Set attention=sdpa or attention=eager."
        )
    return {}
