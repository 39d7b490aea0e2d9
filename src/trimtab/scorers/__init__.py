"""Scorers: judges, reward models and functions that score the answers of a run."""

from trimtab.scorers.function import FunctionReward
from trimtab.scorers.judge import Judge
from trimtab.scorers.reward_model import RewardModel
from trimtab.scorers.scorer import Scorer, Verdict

__all__ = ["FunctionReward", "Judge", "RewardModel", "Scorer", "Verdict"]
