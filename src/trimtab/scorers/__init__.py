"""Scorers: judges, reward models and functions that score the answers of a run."""

from trimtab.scorers.scorer import Scorer, Verdict

__all__ = ["Scorer", "Verdict"]
