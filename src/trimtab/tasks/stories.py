"""Stories on request, with a reward for their length: the task of the embedded DeRa pair."""

from dataclasses import dataclass
from types import MappingProxyType

from trimtab.tasks.embedded import HELPFUL_PREFIX, HELPFUL_SYSTEM, Embedded
from trimtab.tasks.task import Sample, Score

FEWEST_WORDS, MOST_WORDS = 12, 22
FALL = 12


def length_reward(text: str) -> float:
    """Return 1 for 12 to 22 words, falling linearly to 0 over 12 words on either side.

    The length reward of DeRa's first experiment (arXiv 2402.02992) in small.
    """
    words = len(text.split())
    outside = max(FEWEST_WORDS - words, words - MOST_WORDS, 0)
    return max(0.0, 1 - outside / FALL)


@dataclass(frozen=True, kw_only=True)
class Stories(Embedded):
    """Stories on request, rewarded for a length of 12 to 22 words.

    Args:
        split: `test` or `validation`.
    """

    split: str = "test"
    metric = "reward"
    bounds = MappingProxyType({"reward": (0.0, 1.0)})
    rows = "stories"
    system = HELPFUL_SYSTEM
    prefix = HELPFUL_PREFIX

    def score(self, text: str, sample: Sample) -> Score:
        """Reward the length."""
        values = {"reward": length_reward(text), "words": float(len(text.split()))}
        return Score(prediction=None, values=values)
