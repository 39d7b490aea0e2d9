"""What vectors add to the output of linear layers and embeddings, row by row.

Legend: R rows of a batch, T tokens, D vectors, H width of the input, O of the output, K ranks of
all vectors together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from trimtab.models.adapters.added_products import into_and_out
from trimtab.tensors.delta import Delta
from trimtab.vectors.live.addition import Addition, require_alike
from trimtab.vectors.live.row_products import worth_forming, write_products
from trimtab.vectors.live.row_strengths import RowStrengths

_CHECKED = 8  # tokens


def oriented(tensor: torch.Tensor, module: nn.Module) -> torch.Tensor:
    """Return a weight as what the input is multiplied by, or looked up in: `[H, O]`."""
    return tensor.mT if isinstance(module, nn.Linear) else tensor


@dataclass(frozen=True, eq=False)
class Factors:
    """The factors of all vectors side by side, so that one narrow product serves them all."""

    into_HK: torch.Tensor
    out_KO: torch.Tensor
    whose_K: tuple[int, ...]

    @classmethod
    def of(
        cls, deltas: Sequence[Delta | None], module: nn.Module, like: torch.Tensor
    ) -> Factors | None:
        """Return the factors among a weight's differences by vector; None where there are none."""
        into, out, whose = [], [], []
        for which, delta in enumerate(deltas):
            if (factors := into_and_out(delta, module)) is not None:
                into.append(factors[0])
                out.append(factors[1])
                whose += [which] * len(factors[1])
        if not whose:
            return None
        into_HK, out_KO = torch.cat(into, dim=1), torch.cat(out, dim=0)
        return cls(into_HK.to(like).contiguous(), out_KO.to(like).contiguous(), tuple(whose))


class ProductAddition(Addition):
    """Of a linear layer, which multiplies its input, or an embedding, which looks it up.

    Subclasses may do more than that, such as scale what they look up: so on the first input the
    output is compared with what it should be.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        dense: Sequence[tuple[int, torch.Tensor]],
        factors: Factors | None,
        bias_DO: torch.Tensor | None,
        forms_sums: bool,
    ) -> None:
        self._module, self._dense, self._factors, self._bias_DO = module, dense, factors, bias_DO
        self._lookup = isinstance(module, nn.Embedding)
        self._scale = float(getattr(module, "embed_scale", 1.0)) if self._lookup else 1.0
        self._vectors = tuple(which for which, _ in dense)
        self._forms_sums = forms_sums and bool(dense)
        self._checked = False

    def rows_of_module(self, given: torch.Tensor, strengths: RowStrengths) -> list[int] | None:
        """Return the rows that no dense difference moves, where the others are many tokens."""
        if not self._checked:
            self._check(given)
        # Sums of matrices that are written in place have no gradient.
        if not self._forms_sums or torch.is_grad_enabled():
            return None
        if given.dim() != 3 or len(given) != len(strengths):
            return None
        moved, still = strengths.parted(self._vectors)
        return still if moved and worth_forming(given) else None

    def put_into(
        self, own: torch.Tensor, given: torch.Tensor, strengths: RowStrengths
    ) -> torch.Tensor:
        """Return the output of all rows, given the module's for those of `rows_of_module`."""
        moved, still = strengths.parted(self._vectors)
        out = own.new_empty(*given.shape[:2], own.shape[-1])
        write_products(out, given, self._weight_HO, [matrix for _, matrix in self._dense], moved)
        if (bias := getattr(self._module, "bias", None)) is not None:
            out += bias
        if still:
            out.index_copy_(0, torch.tensor(still, device=out.device), own)
        return self._add_narrow(out, given, strengths)

    def add_to(
        self, out: torch.Tensor, given: torch.Tensor, strengths: RowStrengths
    ) -> torch.Tensor:
        """Return `out`, `[R, T, O]`, with each row's part added; it may be written into."""
        flat = out.reshape(-1, out.shape[-1])
        for which, matrix_HO in self._dense:
            if not strengths.parted((which,))[0]:
                continue
            own = strengths.spread([which], out)[:, :, None] * self._scale
            if self._lookup:
                flat = flat + (matrix_HO[given] * own).flatten(0, 1)
            else:
                flat = flat.addmm_((given * own).flatten(0, 1), matrix_HO)
        return self._add_narrow(flat.view_as(out), given, strengths)

    def _add_narrow(
        self, out: torch.Tensor, given: torch.Tensor, strengths: RowStrengths
    ) -> torch.Tensor:
        """Add, in place, what costs little for any number of tokens: factors and biases."""
        if self._factors is not None:
            own = strengths.spread(self._factors.whose_K, out)[:, None]
            narrow = self._times(given, self._factors.into_HK) * own
            scaled = narrow * self._scale if self._lookup else narrow
            out.reshape(-1, out.shape[-1]).addmm_(scaled.flatten(0, 1), self._factors.out_KO)
        if self._bias_DO is not None:
            out += (strengths.like(out) @ self._bias_DO)[:, None]
        return out

    def _times(self, given: torch.Tensor, matrix_HK: torch.Tensor) -> torch.Tensor:
        return matrix_HK[given] if self._lookup else given @ matrix_HK

    @property
    def _weight_HO(self) -> torch.Tensor:
        weight = self._module.weight
        assert isinstance(weight, torch.Tensor)
        return oriented(weight, self._module)

    def _check(self, given: torch.Tensor) -> None:
        # Rows are padded on their left.
        some = given[..., -_CHECKED:] if self._lookup else given[..., -_CHECKED:, :].contiguous()
        bias = getattr(self._module, "bias", None)
        out = self._module.forward(some)
        expected = self._times(some.to(out.device), self._weight_HO) * self._scale
        expected = expected if bias is None else expected + bias
        self._checked = require_alike(out, expected, self._module)
