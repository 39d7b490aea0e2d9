"""Scorers: judges, reward models and functions that score the answers of a run.

Names are imported when they are used: a command needs one or two of them.
"""

from typing import TYPE_CHECKING

from trimtab.machine.lazy_names import lazily

if TYPE_CHECKING:
    from trimtab.scorers.function import FunctionReward
    from trimtab.scorers.judge import Judge
    from trimtab.scorers.reward_model import RewardModel
    from trimtab.scorers.scorer import Scorer, Verdict

__all__ = ["FunctionReward", "Judge", "RewardModel", "Scorer", "Verdict"]

_MODULES = {
    "trimtab.scorers.function": ("FunctionReward",),
    "trimtab.scorers.judge": ("Judge",),
    "trimtab.scorers.reward_model": ("RewardModel",),
    "trimtab.scorers.scorer": (
        "Scorer",
        "Verdict",
    ),
}
__getattr__ = lazily(__name__, {n: module for module, names in _MODULES.items() for n in names})
