"""Thirty short prompts, of all pieces that a conversation has: many answers in little time."""

from trimtab import Conversation

_QUESTIONS = [
    "Who is late?",
    "Tell me about a boat.",
    "What is 12 + 30?",
    "Ana has 3 pens and Ben 14. How many?",
    "Is it good to walk?",
    "",
    "Write of a lake",
    "  Why?\n",
    "Köln 小?",
    "<s> is no </s>",
]
_BRIEF = "Be brief."


def _conversation(i: int) -> Conversation:
    return Conversation(
        question=_QUESTIONS[i % 10],
        system=_BRIEF if i % 3 == 1 else "",
        context="It is late.\n" if i % 4 == 2 else "",
        question_prefix="Q: " if i >= 20 else "",
        answer_start=("He", " ", "It", "1", "The ")[i % 5] if i >= 10 else "",
    )


PROMPTS = {f"short-{i}": _conversation(i) for i in range(30)}
FEW = dict(list(PROMPTS.items())[8:12])
"""Some of them, to be answered one by one."""
