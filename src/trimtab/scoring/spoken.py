"""What every reader reads: the answer that a model speaks, in plain characters without markup."""

from trimtab.scoring.characters import one_form
from trimtab.scoring.markup import plain
from trimtab.scoring.statements import own_answer
from trimtab.scoring.thinking import without_thinking


def spoken(text: str) -> str:
    """Return what a text answers: no thinking, no further question, no markup; see the modules."""
    return plain(own_answer(one_form(without_thinking(text)))).strip()
