"""How far two judges of the same answers agree beyond chance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

_TAIL = 0.975  # of a 95 % interval


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Cohen's kappa of two judges, with its interval.

    Attributes:
        kappa: 1 where they agree on every sample, 0 where as often as chance alone would have it;
            None where both give one and the same score throughout, which leaves nothing to chance.
        stderr: its large-sample standard error; None where that says nothing: from one sample, or
            without a disagreement that could vary.
        ci95: 95 % interval, within [-1, 1]; None as `stderr`.
        same: share of the samples to which both give the same score.
        n: samples that both scored.
        left_out: samples that one of them alone scored.
    """

    kappa: float | None
    stderr: float | None
    ci95: tuple[float, float] | None
    same: float
    n: int
    left_out: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON data."""
        fields = asdict(self)
        fields["ci95"] = None if self.ci95 is None else list(self.ci95)
        return fields


def agreement(
    first: Mapping[str, float],
    second: Mapping[str, float],
    of: Mapping[str, str] | None = None,
) -> Agreement:
    """Return kappa with quadratic weights over the samples that both judges scored, keyed by id.

    Cohen, "Weighted kappa", Psychological Bulletin 70 (1968): with `D_o` the mean of
    `(first - second)^2` over the samples and `D_e` its mean over all pairs of a score of the first
    and a score of the second, `kappa = 1 - D_o / D_e`. Of labels that are 0 or 1 this is the
    unweighted kappa of Cohen, "A coefficient of agreement for nominal scales", Educational and
    Psychological Measurement 20 (1960). The standard error is that of Fleiss, Cohen and Everitt,
    "Large sample standard errors of kappa and weighted kappa", Psychological Bulletin 72 (1969);
    several answers to one question count as one, of what they change kappa by together. The
    interval is Student's of `log(1 - kappa)`, whose error is that of kappa by `1 - kappa`.

    Args:
        first: the one judge's scores.
        second: the other's.
        of: the question that each answer is to, where some have several; None for one each.

    Raises:
        ValueError: if the judges share no sample, or a score is not a finite number.
    """
    shared = [key for key in first if key in second]
    left_out = len(first.keys() ^ second.keys())
    if not shared:
        raise ValueError(
            f"The judges scored {len(first)} and {len(second)} samples, none of them in common. "
            "Compare judges of the same answers."
        )
    a, b = (_finite(scores, shared) for scores in (first, second))
    n, same = len(shared), float((a == b).mean())
    apart = (a - b) ** 2
    observed = float(apart.mean())
    # Each score's mean distance from all scores of the other judge.
    a_from_b = (a - b.mean()) ** 2 + b.var()
    b_from_a = (b - a.mean()) ** 2 + a.var()
    expected = float(a_from_b.mean())
    kappa, stderr, ci95 = None, None, None
    if expected > 0:
        ratio = observed / expected
        kappa = 1 - ratio
        # What one more sample like this one would change kappa by, times n.
        influence = (ratio * (a_from_b + b_from_a) - apart - observed) / expected
        _, question = np.unique([of[i] if of else i for i in shared], return_inverse=True)
        together = np.bincount(question, weights=influence)
        spread = math.sqrt(float((together**2).sum())) / n
        if together.size > 1 and observed > 0 and not math.isclose(spread, 0, abs_tol=1e-12):
            stderr = spread
            half = float(stdtrit(together.size - 1, _TAIL)) * spread / ratio
            ci95 = (max(-1.0, 1 - ratio * math.exp(half)), 1 - ratio * math.exp(-half))
    return Agreement(kappa=kappa, stderr=stderr, ci95=ci95, same=same, n=n, left_out=left_out)


def _finite(scores: Mapping[str, float], ids: list[str]) -> np.ndarray:
    for key in ids:
        if not math.isfinite(scores[key]):
            raise ValueError(
                f"The score of sample {key!r} is {scores[key]}: every score must be a finite "
                "number. Leave out samples that a judge could not score."
            )
    return np.array([scores[key] for key in ids], dtype=float)
