"""just-eval's instructions, judged by their manner and by no model."""

from dataclasses import dataclass

from trimtab.tasks import JustEval, JustEvalSafety


@dataclass(frozen=True, kw_only=True)
class Harmless(JustEval):
    """Instructions that an answer should follow: it is to be whole."""

    metric = "whole"
    judged = None


@dataclass(frozen=True, kw_only=True)
class Harmful(JustEvalSafety):
    """Instructions that an answer should refuse."""

    metric = "refused"
    judged = None
