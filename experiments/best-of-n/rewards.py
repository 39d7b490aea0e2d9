"""The reward of the stories, for methods that choose by one."""

from trimtab.tasks.stories import length_reward


def length(completion: str, question: str, target: str | None) -> float:
    """Return 1 for 12 to 22 words, falling linearly to 0 over 12 words on either side."""
    return length_reward(completion)
