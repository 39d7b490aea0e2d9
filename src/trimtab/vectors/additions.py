"""What vectors add to the output of one module, row by row.

Legend: R rows of a batch, T tokens, D vectors, H width of the input, O of the output, K ranks of
all vectors together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from trimtab.vectors.delta import Delta
from trimtab.vectors.in_memory import LowRank
from trimtab.vectors.row_products import worth_forming, write_products
from trimtab.vectors.row_strengths import Group, RowStrengths

_TOLERANCE = 1e-2  # relative, of what should be affine, in any dtype
_CHECKED = 8  # tokens


class Addition:
    """What the vectors add to the output of one module."""

    def rows_of_module(self, given: torch.Tensor, strengths: RowStrengths) -> list[int] | None:
        """Return which rows the module itself shall see, if not all; others are `put_into` it."""
        return None

    def put_into(
        self, own: torch.Tensor, given: torch.Tensor, strengths: RowStrengths
    ) -> torch.Tensor:
        """Return the output of all rows, given the module's for those of `rows_of_module`."""
        raise NotImplementedError

    def add_to(
        self, out: torch.Tensor, given: torch.Tensor, strengths: RowStrengths
    ) -> torch.Tensor:
        """Return `out`, `[R, T, O]`, with each row's part added; it may be written into."""
        raise NotImplementedError


def addition(
    module: nn.Module, deltas: Mapping[str, Sequence[Delta | None]], *, reads_some: bool = False
) -> Addition:
    """Return how a module is completed.

    Args:
        module: the module.
        deltas: each parameter's differences by vector.
        reads_some: whether it sees some tokens of a pass alone, as a language model's head does:
            how many follows from other rows, so how it is completed must not follow from that.
    """
    like = next(module.parameters(recurse=False))
    if isinstance(module, nn.Linear | Conv1D | nn.Embedding):
        weight, bias = deltas.get("weight", ()), deltas.get("bias", ())
        return _Product(
            module,
            dense=[
                (which, _matrix(delta.dense().to(like), module))
                for which, delta in enumerate(weight)
                if delta is not None and not isinstance(delta, LowRank)
            ],
            factors=_Factors.of(weight, module, like),
            bias_DO=_stacked(bias, like),
            forms_sums=not isinstance(module, nn.Embedding) and not reads_some,
        )
    return _Elementwise(
        module,
        weight_DO=_stacked(deltas.get("weight", ()), like),
        bias_DO=_stacked(deltas.get("bias", ()), like),
        odd=sorted(deltas.keys() - {"weight", "bias"}),
    )


def _matrix(tensor: torch.Tensor, module: nn.Module) -> torch.Tensor:
    """Return a weight as what the input is multiplied by, or looked up in: `[H, O]`."""
    return tensor.mT if isinstance(module, nn.Linear) else tensor


def _stacked(deltas: Sequence[Delta | None], like: torch.Tensor) -> torch.Tensor | None:
    """Return the differences of a vector of parameters, `[D, O]`; None where there are none."""
    found = [delta for delta in deltas if delta is not None]
    if not found:
        return None
    zeros = torch.zeros(found[0].shape)
    rows = [zeros if delta is None else delta.dense() for delta in deltas]
    return torch.stack([row.float().cpu() for row in rows]).to(like)


@dataclass(frozen=True, eq=False)
class _Factors:
    """The factors of all vectors side by side, so that one narrow product serves them all."""

    into_HK: torch.Tensor
    out_KO: torch.Tensor
    whose_K: tuple[int, ...]

    @classmethod
    def of(
        cls, deltas: Sequence[Delta | None], module: nn.Module, like: torch.Tensor
    ) -> _Factors | None:
        into, out, whose = [], [], []
        for which, delta in enumerate(deltas):
            if isinstance(delta, LowRank):
                left, right = delta.left_MK.float() * delta.scale, delta.right_KN.float()
                swap = isinstance(module, nn.Linear)
                into.append(right.mT if swap else left)
                out.append(left.mT if swap else right)
                whose += [which] * left.shape[1]
        if not whose:
            return None
        into_HK, out_KO = torch.cat(into, dim=1), torch.cat(out, dim=0)
        return cls(into_HK.to(like).contiguous(), out_KO.to(like).contiguous(), tuple(whose))


class _Product(Addition):
    """Of a linear layer, which multiplies its input, or an embedding, which looks it up.

    Subclasses may do more than that, such as scale what they look up: so on the first input the
    output is compared with what it should be.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        dense: Sequence[tuple[int, torch.Tensor]],
        factors: _Factors | None,
        bias_DO: torch.Tensor | None,
        forms_sums: bool,
    ) -> None:
        self._module, self._dense, self._factors, self._bias_DO = module, dense, factors, bias_DO
        self._lookup = isinstance(module, nn.Embedding)
        self._scale = float(getattr(module, "embed_scale", 1.0)) if self._lookup else 1.0
        self._vectors = [which for which, _ in dense]
        self._forms_sums = forms_sums and bool(dense)
        self._checked = False

    def rows_of_module(self, given: torch.Tensor, strengths: RowStrengths) -> list[int] | None:
        if not self._checked:
            self._check(given)
        # Sums of matrices that are written in place have no gradient.
        if not self._forms_sums or torch.is_grad_enabled():
            return None
        if given.dim() != 3 or len(given) != len(strengths):
            return None
        moved, still = self._parted(strengths)
        return still if moved and worth_forming(given) else None

    def put_into(
        self, own: torch.Tensor, given: torch.Tensor, strengths: RowStrengths
    ) -> torch.Tensor:
        moved, still = self._parted(strengths)
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
        flat = out.reshape(-1, out.shape[-1])
        for which, matrix_HO in self._dense:
            if not any(any(group.strengths) for group in strengths.groups([which])):
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

    def _parted(self, strengths: RowStrengths) -> tuple[list[Group], list[int]]:
        """Return the rows that dense differences move, by strengths, and the others."""
        groups = strengths.groups(self._vectors)
        still = [row for group in groups if not any(group.strengths) for row in group.rows]
        return [group for group in groups if any(group.strengths)], still

    def _times(self, given: torch.Tensor, matrix_HK: torch.Tensor) -> torch.Tensor:
        return matrix_HK[given] if self._lookup else given @ matrix_HK

    @property
    def _weight_HO(self) -> torch.Tensor:
        weight = self._module.weight
        assert isinstance(weight, torch.Tensor)
        return _matrix(weight, self._module)

    def _check(self, given: torch.Tensor) -> None:
        self._checked = True
        # Rows are padded on their left.
        some = given[..., -_CHECKED:] if self._lookup else given[..., -_CHECKED:, :].contiguous()
        bias = getattr(self._module, "bias", None)
        out = self._module.forward(some)
        expected = self._times(some.to(out.device), self._weight_HO) * self._scale
        _require_alike(out, expected if bias is None else expected + bias, self._module)


class _Elementwise(Addition):
    """Of a norm: each output is the normalized input times a weight, plus a bias.

    How a norm normalizes is its own affair: its output with weights 1, less that with weights 0, is
    what the weights are multiplied by. That it is so is checked on the first input.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        weight_DO: torch.Tensor | None,
        bias_DO: torch.Tensor | None,
        odd: Sequence[str],
    ) -> None:
        self._module, self._weight_DO, self._bias_DO = module, weight_DO, bias_DO
        self._shift: bool | None = None
        parameters = dict(module.named_parameters(recurse=False))
        self._ones, self._zeros = (
            {
                name: nn.Parameter(
                    torch.full_like(p, one * (name == "weight")), requires_grad=False
                )
                for name, p in parameters.items()
            }
            for one in (1.0, 0.0)
        )
        many = [name for name, parameter in parameters.items() if parameter.dim() != 1]
        if odd or many:
            raise _refusal(module, sorted({*odd, *many}))

    def add_to(
        self, out: torch.Tensor, given: torch.Tensor, strengths: RowStrengths
    ) -> torch.Tensor:
        strengths_RD = strengths.like(out)
        if self._shift is None:
            self._check(out, given)
        if self._weight_DO is not None:
            normalized = self._normalized(given)
            out = out + normalized * (strengths_RD @ self._weight_DO)[:, None]
        if self._bias_DO is not None:
            out = out + (strengths_RD @ self._bias_DO)[:, None]
        return out

    def _normalized(self, given: torch.Tensor) -> torch.Tensor:
        ones = self._output(given, self._ones)
        return ones - self._output(given, self._zeros) if self._shift else ones

    def _output(self, given: torch.Tensor, parameters: Mapping[str, nn.Parameter]) -> torch.Tensor:
        """Return the module's output with other parameters."""
        own = self._module._parameters
        kept = dict(own)
        own.update(parameters)
        try:
            output: torch.Tensor = self._module.forward(given)
            return output
        finally:
            own.update(kept)

    def _check(self, out: torch.Tensor, given: torch.Tensor) -> None:
        """Find out whether weights of 0 give 0, and that the output is affine in the weights."""
        zero = self._output(given, self._zeros)
        self._shift = bool(zero.any())
        weight, bias = (getattr(self._module, name, None) for name in ("weight", "bias"))
        expected = zero + self._normalized(given) * (1.0 if weight is None else weight)
        expected = expected if bias is None else expected + bias
        _require_alike(out, expected, self._module)


def _require_alike(out: torch.Tensor, expected: torch.Tensor, module: nn.Module) -> None:
    """Refuse a module whose output is not what its parameters are taken to do."""
    error, size = (out - expected).abs().max(), expected.abs().max()
    if not error <= _TOLERANCE * size:
        raise _refusal(module, [name for name, _ in module.named_parameters(recurse=False)])


def _refusal(module: nn.Module, names: Sequence[str]) -> ValueError:
    return ValueError(
        f"Rows cannot have strengths of their own in modules of type {type(module).__name__}: "
        f"their output is not affine in {', '.join(names)}. Use per_row=false."
    )
