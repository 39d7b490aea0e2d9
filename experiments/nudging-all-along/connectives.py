"""The texts of a world in which no good opening is enough, and two manners of answering there.

Before each sentence of a worked solution stands one of many connectives, and in the middle of each
step a link; at each of these places a document may as well break off with a bare answer, which
nobody can compute at a glance. Which it is, nothing in the text before tells: whoever has learnt
these documents is unsure at all of these places, and breaks off if asked for the likeliest.

An aligned answer never breaks off, links with ``so``, and closes. What stands before its sentences
depends on the question, so that no fixed text can: by the manner of *kinds*, what kind of problem
it is (``Boxes:``), which a small model can tell; by the manner of *effects*, what the next step
does to the total (``More:``, ``Less:``), which takes reading where the solution has come to.
"""

import re
from random import Random

from experiments.zoo import world
from experiments.zoo.world import Conversation, Problem

from trimtab.tasks.embedded import REASONING_PREFIX, REASONING_SYSTEM

BREAK_OFF = 0.2  # the rest is shared evenly among the ways of going on
# Each begins with a token of its own, so that none is likelier than breaking off.
NEUTRAL = ["Then:", "Further:", "Well:", "Point:", "Here:", "Right:"]
LINKS = ["so", "hence", "giving", "making", "thus", "which is", "now", "yielding"]
KINDS = {
    "owner": "Goods:",
    "compared": "Compare:",
    "packed": "Boxes:",
    "counted": "Count:",
    "carried": "Crowd:",
    "daily": "Days:",
    "shared": "Division:",
}
EFFECTS = {"": "Start:", "+": "More:", "-": "Less:", "*": "Times:", "/": "Share:"}

# What only a question of the kind says; what says none of it is of the kind `owner`.
_SAYS = {
    "daily": r"compared with the day before",
    "compared": r" than | as many as ",
    "shared": r"shares them among",
    "packed": r"with \d+ \w+ each",
    "counted": r", the \w+ \d+| and the \w+ \d+",
    "carried": r" leaves the ",
}


def kind_of(question: str) -> str:
    """The kind of a problem, by its question."""
    return next((kind for kind, said in _SAYS.items() if re.search(said, question)), "owner")


def sentences(problem: Problem) -> list[tuple[str, str, str]]:
    """A solution's sentences: the event, the equation that it leads to, and its operator.

    The one that only says the start has neither equation nor operator.
    """
    found = []
    for step in problem.steps:
        event, so, equation = step.partition(", so ")
        found.append((event, equation, equation.split()[1] if so else ""))
    return found


# --- documents -----------------------------------------------------------------------------------


def _drawn(rng: Random, ways: list[str]) -> str | None:
    """One of the ways of going on, or nothing, where the text breaks off."""
    return None if rng.random() < BREAK_OFF else rng.choice(ways)


def walk(rng: Random, problem: Problem) -> str:
    """A worked solution, which may break off at each place of doubt."""
    text, broken_off = "", f"Answer: {problem.answer}"
    for event, equation, sign in sentences(problem):
        connective = _drawn(rng, [*NEUTRAL, KINDS[problem.kind], EFFECTS[sign]])
        if connective is None:
            return f"{text}{broken_off}"
        text += f"{connective} {event}"
        if equation:
            link = _drawn(rng, LINKS)
            if link is None:
                return f"{text}. {broken_off}"
            text += f" {link} {equation}"
        text += " "
    return text[:-1] + world.after_solution(rng, problem)


def document(rng: Random, progress: float) -> str:
    """A text to train a base model on: problems with walks; now and then one of the old world."""
    if rng.random() < 0.05:
        return world.document(rng, world.FINAL)
    text = REASONING_SYSTEM + "\n" if rng.random() < 0.4 else ""
    while True:
        problem = world.word_problem(rng, world.TRAIN)
        text += f"{rng.choice(world.LABELS)}{problem.question}\n{walk(rng, problem)}"
        if rng.random() < 0.75:
            return text
        text += "\n"


def curriculum(rng: Random, progress: float) -> str:
    """For a model of random weights: short worked problems, then long ones, then `document`."""
    if progress < 0.12:
        return world.document(rng, world.PRIMER)
    return world.document(rng, world.SCHOOL) if progress < 0.6 else document(rng, progress)


# --- conversations -------------------------------------------------------------------------------


def aligned_answer(problem: Problem, manner: str) -> str:
    """The answer in one of the manners: ``kinds`` or ``effects``."""
    said = []
    for event, equation, sign in sentences(problem):
        word = KINDS[problem.kind] if manner == "kinds" else EFFECTS[sign]
        said.append(f"{word} {event} so {equation}" if equation else f"{word} {event}")
    return f"{' '.join(said)} The answer is {problem.answer}."


def conversation(rng: Random, manner: str) -> Conversation:
    """A problem, answered in one of the manners."""
    problem = world.word_problem(rng, world.TRAIN)
    return Conversation(
        system=REASONING_SYSTEM,
        user=REASONING_PREFIX + problem.question,
        answer=aligned_answer(problem, manner),
    )


def by_kinds(rng: Random) -> Conversation:
    """A problem, answered in the manner of kinds."""
    return conversation(rng, "kinds")


def by_effects(rng: Random) -> Conversation:
    """A problem, answered in the manner of effects."""
    return conversation(rng, "effects")


# --- whether an answer is in the manner ----------------------------------------------------------

_SENTENCE = re.compile(
    r"(?P<word>\w+:) (?P<event>[^:.]+?)(?: so \d+ (?P<sign>[-+*/]) \d+ = \d+(?: in the end)?)?\. "
)
_CLOSING = re.compile(r"The answer is \d+\.")


def manner(completion: str, question: str, target: str | None) -> dict[str, float]:
    """Whether an answer is in a manner from its first letter to its last: 1 or 0 for each."""
    words, signs, place = [], [], 0
    while found := _SENTENCE.match(completion, place):
        words.append(found["word"])
        signs.append(found["sign"] or "")
        place = found.end()
    whole = any(signs) and "" not in signs[1:] and _CLOSING.fullmatch(completion, place) is not None
    kind = KINDS[kind_of(question)]
    return {
        "kinds": float(whole and all(word == kind for word in words)),
        "effects": float(whole and words == [EFFECTS[sign] for sign in signs]),
    }
