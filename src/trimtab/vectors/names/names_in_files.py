"""What a vector changes of a model on disk, whose files may call and lay out tensors otherwise."""

from __future__ import annotations

from trimtab.tensors.delta import Deltas
from trimtab.tensors.tensor_file import StoredTensor
from trimtab.vectors.disk.model_on_disk import ModelOnDisk


def by_names_in_files(deltas: Deltas, model: ModelOnDisk, *, of: str) -> Deltas:
    """Return differences by the names of the tensors in a model's files.

    Weights that the model ties and the files hold twice change twice. transformers is asked where
    names alone do not tell; importing it takes longer than adding vectors of average size.

    Args:
        deltas: the differences.
        model: the model that they are added to.
        of: what their vector is called.

    Raises:
        ValueError: for tensors that cannot be told to be which of the model's.
    """
    stored = model.tensors
    same = {
        name: delta
        for name, delta in deltas.items()
        if name in stored and stored[name].shape == delta.shape and not delta.is_open
    }
    if len(same) == len(deltas) and not _held_twice(same, model):
        return deltas
    from trimtab.models.tensor_names import TensorNames

    names = TensorNames.of(model.source, model.tensors)
    kept = {name: delta for name, delta in same.items() if names.is_converted(name)}
    others = {name: delta for name, delta in deltas.items() if name not in kept}
    loaded = names.in_memory(others, of=of)
    left = {name: tensor for name, tensor in stored.items() if name not in kept}
    found = names.in_files(loaded, left, of=of)
    if kept and any(names.is_converted(name) for name in found):
        raise ValueError(
            f"Vector {of!r} changes {min(kept)} and others by their names in files, and some that "
            "are one tensor with them by their names in memory: vectors of files and of models in "
            "memory are added as two, not summed first."
        )
    return kept | found


def _held_twice(deltas: Deltas, model: ModelOnDisk) -> bool:
    """Tell whether the files hold a copy of what is changed, which is not: a tied head, mostly."""
    rows = model.vocabulary_size
    changed = [model.tensors[name] for name in deltas if deltas[name].shape[:1] == (rows,)]
    others = [tensor for name, tensor in model.tensors.items() if name not in deltas]
    return any(_is_copy(tensor, other) for tensor in changed for other in others)


def _is_copy(one: StoredTensor, other: StoredTensor) -> bool:
    return len(one.shape) > 1 and one.holds_what(other)
