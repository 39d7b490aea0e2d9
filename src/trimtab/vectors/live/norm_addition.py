"""What vectors add to the output of norms, row by row.

Legend: R rows of a batch, T tokens, D vectors, H width of the input, O of the output, K ranks of
all vectors together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from trimtab.vectors.live.addition import Addition, refusal, require_alike
from trimtab.vectors.live.row_strengths import RowStrengths


class NormAddition(Addition):
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
        self._shift = self._checked = False
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
            raise refusal(module, sorted({*odd, *many}))

    def add_to(
        self, out: torch.Tensor, given: torch.Tensor, strengths: RowStrengths
    ) -> torch.Tensor:
        """Return `out`, `[R, T, O]`, with each row's part added."""
        strengths_RD = strengths.like(out)
        if not self._checked:
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
        self._checked = require_alike(out, expected, self._module)
