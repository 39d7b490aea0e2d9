"""Vectors in a model whose weights stay as they are, with strengths of its own for each row.

A linear layer with weights `W + sum_d lambda_d D_d` gives `x W + sum_d lambda_d (x D_d)`, and the
second part can differ from row to row of a batch. The same holds for every module whose output is
affine in its parameters: embeddings, norms, biases. Legend: R rows of a batch, D vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from trimtab.models.adapters.added_products import is_adapted
from trimtab.vectors.live.addition import Addition
from trimtab.vectors.live.module_additions import addition_of
from trimtab.vectors.live.row_strengths import RowStrengths
from trimtab.vectors.matching import listed
from trimtab.vectors.names.names_in_memory import by_names_in_memory, model_name, own_tensors
from trimtab.vectors.vector import Vector


class RowDials:
    """Vectors that each row of a batch turns for itself, while the weights stay the base's.

    It is a `trimtab.models.steering.Steering`, whose directions are the vectors.

    The output of every module that the vectors change is completed by what the difference adds
    (a forward hook). Equal to the weights turned in place up to rounding; a row whose strengths
    are 0 gets the base's numbers exactly. Vectors of low rank cost two narrow products.

    Args:
        weights: the model.
        vectors: the vectors by name.

    Raises:
        ValueError: for a vector that does not fit the model, and for tensors of modules that are
            not affine in them, such as experts in one tensor; both list the tensors.
    """

    def __init__(self, weights: nn.Module, vectors: Mapping[str, Vector]) -> None:
        if is_adapted(weights):
            raise ValueError(
                f"{model_name(weights)!r} has an adapter beside its weights, which rows with "
                "strengths of their own would pass by. Use adapter_mode=merged for it, or give it "
                "as one of the vectors."
            )
        live = own_tensors(weights)
        self.names = tuple(vectors)
        every = list(by_names_in_memory(vectors, weights).values())
        self._strengths: RowStrengths | None = None
        own = {id(tensor): name for name, tensor in live.items()}
        left = {name for deltas in every for name in deltas}
        parts: list[tuple[nn.Module, Addition]] = []
        head = weights.get_output_embeddings() if isinstance(weights, PreTrainedModel) else None
        for module in weights.modules():
            parameters = {
                n: own[id(p)] for n, p in module.named_parameters(recurse=False) if id(p) in own
            }
            changed = {n: name for n, name in parameters.items() if name in left}
            if changed:
                by_vector = {
                    parameter: [deltas.get(name) for deltas in every]
                    for parameter, name in changed.items()
                }
                parts.append((module, addition_of(module, by_vector, reads_some=module is head)))
        reached = {own[id(p)] for module, _ in parts for p in module.parameters(recurse=False)}
        if missed := sorted(left - reached):
            raise ValueError(
                f"No module of {model_name(weights)!r} has these tensors as its parameters, so "
                f"rows cannot have strengths of their own:\n{listed(missed)}\nUse per_row=false."
            )
        self._handles = [handle for module, part in parts for handle in self._follow(module, part)]

    @contextmanager
    def at(self, strengths_RD: torch.Tensor) -> Iterator[None]:
        """Give the rows of the forward passes in this block their strengths.

        Args:
            strengths_RD: `[R, D]`, on any device; the vectors in the order of `names`.
        """
        outer, self._strengths = self._strengths, RowStrengths(strengths_RD) or None
        try:
            yield
        finally:
            self._strengths = outer

    def close(self) -> None:
        """Take the vectors out of the model."""
        for handle in self._handles:
            handle.remove()

    def _follow(self, module: nn.Module, part: Addition) -> list[RemovableHandle]:
        """Complete a module's output in every pass; return what ends it."""
        kept: list[torch.Tensor] = []  # the whole input, while the module sees some rows of it

        def before(module: nn.Module, given: tuple[torch.Tensor, ...]) -> Any:
            kept.clear()
            if self._strengths is None:
                return None
            if not given:
                raise ValueError(
                    f"Rows cannot have strengths of their own in {type(module).__name__}: the "
                    "model gives it its input by name. Use per_row=false."
                )
            rows = part.rows_of_module(given[0], self._strengths)
            if rows is None:
                return None
            kept.append(given[0])
            return given[0][rows], *given[1:]

        def after(module: nn.Module, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> Any:
            if self._strengths is None:
                return None
            if kept:
                return part.put_into(out, kept.pop().to(out.device), self._strengths)
            count = len(self._strengths)
            if out.dim() < 3 or out.shape[0] not in (1, count):  # tokens of all rows, sorted anew
                raise ValueError(
                    f"Rows cannot have strengths of their own in {type(module).__name__}: it sees "
                    f"{tuple(out.shape)} for {count} rows. Use per_row=false."
                )
            if out.shape[0] != count:  # such as positions, which all rows have in common
                out = out.expand(count, *out.shape[1:]).contiguous()
            return part.add_to(out, given[0].to(out.device), self._strengths)

        # Strengths are numbers: a compiler would compile a pass for each anew.
        before, after = torch.compiler.disable(before), torch.compiler.disable(after)
        return [
            module.register_forward_pre_hook(before),
            # First of all, so that other hooks see the output of all rows.
            module.register_forward_hook(after, prepend=True),
        ]
