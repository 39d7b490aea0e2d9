"""The tensors of two models on disk, in pairs, and the tokens that their rows stand for."""

from __future__ import annotations

from collections.abc import Mapping

from trimtab.tensors.tensor_file import StoredTensor
from trimtab.vectors.disk.model_on_disk import ModelOnDisk
from trimtab.vectors.matching import listed, require_same_tensors

Stored = Mapping[str, StoredTensor]


def paired(
    base: ModelOnDisk, aligned: ModelOnDisk, *, shared: bool
) -> dict[str, tuple[StoredTensor, StoredTensor]]:
    """Return the tensors of both models by name, which match but for rows of the vocabulary.

    Args:
        base: the base model.
        aligned: the aligned model.
        shared: whether one of them may have tokens that the other lacks.

    Raises:
        ValueError: for tensors that do not match, listing them, and for tokenizers that number
            tokens differently.
    """
    starts: Stored = base.tensors
    ends: Stored = aligned.tensors
    if starts.keys() != ends.keys():
        starts, ends = _by_names_of_base(base, aligned)
    sizes = base.vocabulary_size, aligned.vocabulary_size
    resized = [
        name
        for name, tensor in starts.items()
        if name in ends and _only_tokens_differ(tensor.shape, ends[name].shape, sizes)
    ]
    if resized and not shared:
        shapes = [f"{n}: {starts[n].shape} and {ends[n].shape}" for n in resized]
        raise ValueError(
            f"The vocabularies of {base.name!r} and {aligned.name!r} are of different size:\n"
            f"{listed(shapes)}\nWith vocabulary=shared the tokens that both have are taken, and "
            "the others stay as they are in the base."
        )
    matched = {n: starts[n] if n in resized else tensor for n, tensor in ends.items()}
    require_same_tensors(starts, matched, (base.name, aligned.name))
    _require_same_tokens(base, aligned, resized=bool(resized))
    return {name: (tensor, ends[name]) for name, tensor in starts.items()}


def _by_names_of_base(base: ModelOnDisk, aligned: ModelOnDisk) -> tuple[Stored, Stored]:
    """Return the tensors of both by the names that they have in the base's files.

    Files may have another prefix, hold a tied head or not, and buffers that nothing loads. Tensors
    that are converted as they are loaded are not told to be which of another layout's.
    """
    from trimtab.models.tensor_names import TensorNames

    names, others = (TensorNames.of(each.source, each.tensors) for each in (base, aligned))
    starts, ends = dict(base.tensors), dict(aligned.tensors)
    loaded = {others.loaded(n): ends[n] for n in ends if not others.is_converted(n)}
    for name in base.tensors.keys() - aligned.tensors.keys():
        if names.is_ignored(name):
            del starts[name]
        elif not names.is_converted(name) and (target := names.loaded(name)) in loaded:
            ends[name] = loaded[target]
    reached = {names.loaded(name) for name in starts if name in ends}
    for name in ends.keys() - starts.keys():
        if others.is_ignored(name) or others.loaded(name) in reached:
            del ends[name]
    return starts, ends


def _only_tokens_differ(
    one: tuple[int, ...], other: tuple[int, ...], sizes: tuple[int | None, int | None]
) -> bool:
    """Tell whether two shapes have a row for each token, of two numbers of tokens."""
    return (
        one[1:] == other[1:]
        and one[:1] != other[:1]
        and (one[:1], other[:1])
        == (
            (sizes[0],),
            (sizes[1],),
        )
    )


def _require_same_tokens(base: ModelOnDisk, aligned: ModelOnDisk, *, resized: bool) -> None:
    one, other = base.vocabulary, aligned.vocabulary
    if not one or not other:
        if resized:
            raise ValueError(
                "vocabulary=shared compares tokens: both models need a tokenizer.json."
            )
        return
    odd = [(one[token], token) for token in one.keys() & other.keys() if one[token] != other[token]]
    if resized:  # in one of equal size, a token that was reserved may have got its name
        ids = {place: token for token, place in one.items()}
        odd += [(i, token) for token, i in other.items() if token not in one and i in ids]
    if odd:
        place, token = min(odd)
        raise ValueError(
            f"The tokenizers of {base.name!r} and {aligned.name!r} number tokens differently, "
            f"from id {place} on ({token!r}): their embeddings cannot be subtracted."
        )
