"""The micro-world: problems with computed answers, stories, advice, and the texts made of them.

Everything is drawn from a ``random.Random``; nothing is learnt or downloaded. A problem's
numbers (or words) decide by a hash whether it belongs to training, validation or test, so the
three are disjoint by construction, whatever the wording.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from trimtab.tasks.embedded import (
    HELPFUL_PREFIX,
    HELPFUL_SYSTEM,
    REASONING_PREFIX,
    REASONING_SYSTEM,
)
from trimtab.tasks.stories import length_reward

# --- words of the world ------------------------------------------------------------------------

NAMES = {
    "he": [
        "Tom",
        "Ben",
        "Sam",
        "Max",
        "Leo",
        "Adam",
        "Paul",
        "Hugo",
        "Ivan",
        "Omar",
        "Rick",
        "Karl",
        "Felix",
        "Oscar",
        "Victor",
        "Joseph",
    ],
    "she": [
        "Ana",
        "Mia",
        "Zoe",
        "Eva",
        "Ruth",
        "Clara",
        "Nina",
        "Kim",
        "Alice",
        "Ellen",
        "Iris",
        "Megan",
        "Judy",
        "Sarah",
        "Olga",
        "Peg",
    ],
}
PEOPLE = [(name, pronoun) for pronoun, names in NAMES.items() for name in names]
OBJECTS = ["apples", "pens", "shells", "cards", "coins", "eggs", "books", "stamps", "beads", "nuts"]
ANIMALS = ["ducks", "goats", "birds", "sheep", "cows", "dogs"]
PLACES = [
    "lake",
    "farm",
    "park",
    "market",
    "school",
    "harbour",
    "garden",
    "station",
    "mill",
    "hill",
]
CONTAINERS = ["boxes", "bags", "baskets", "jars"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]

GAINS = ["{who} buys {n}", "{who} finds {n}", "{who} picks {n}", "{who} wins {n}", "{who} gets {n}"]
GAINS += ["{friend} brings {n}"]
LOSSES = ["{who} sells {n}", "{who} loses {n}", "{who} drops {n}", "{who} lends {n}"]
LOSSES += ["{who} gives away {n}", "{friend} takes {n}"]
TIMES = {2: "twice as many", 3: "3 times as many"}
LINKS = ["", "", "Then ", "Later ", "After that "]

# --- splits ------------------------------------------------------------------------------------

TRAIN, VALIDATION, TEST = "train", "validation", "test"


def split_of(key: str) -> str:
    """The split that a problem belongs to: 10 % test, 5 % validation, the rest training."""
    bucket = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % 20
    return TEST if bucket < 2 else VALIDATION if bucket == 2 else TRAIN


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A question, its worked solution as sentences, and its answer."""

    kind: str
    question: str
    steps: tuple[str, ...]
    answer: str
    key: str

    @property
    def solution(self) -> str:
        """The steps as one text."""
        return " ".join(self.steps)


# --- word problems -----------------------------------------------------------------------------

LARGEST = 249


@dataclass(frozen=True)
class Step:
    """One operation on the running total."""

    total: int
    operator: str
    operand: int
    result: int

    def equation(self) -> str:
        """The step as it is written."""
        return f"{self.total} {self.operator} {self.operand} = {self.result}"


def add_or_subtract(rng: Random, total: int) -> Step:
    """A step that stays between 2 and ``LARGEST``."""
    while True:
        operand = rng.randint(3, 89)
        if rng.random() < 0.5 and total + operand <= LARGEST:
            return Step(total, "+", operand, total + operand)
        if total - operand >= 2:
            return Step(total, "-", operand, total - operand)


def multiply(rng: Random, total: int) -> Step | None:
    """A doubling or tripling, if it stays below ``LARGEST``."""
    factor = rng.choice([2, 2, 3])
    return Step(total, "*", factor, total * factor) if total * factor <= LARGEST else None


def share(rng: Random, total: int) -> Step | None:
    """A division without remainder, if there is one."""
    divisors = [d for d in (2, 3, 4, 5) if total % d == 0 and total // d >= 2]
    if not divisors:
        return None
    divisor = rng.choice(divisors)
    return Step(total, "/", divisor, total // divisor)


def chain(
    rng: Random,
    length: int,
    *,
    first: Step | None = None,
    only: str = "",
    times: float = 0.0,
    last_share: bool = False,
) -> list[Step]:
    """``length`` steps, each on the result of the one before.

    ``only`` restricts to one operator, ``times`` is the chance of a multiplication,
    ``last_share`` asks for a division at the end.
    """
    while True:
        steps = [first] if first else []
        total = first.result if first else rng.randint(5, 99)
        while len(steps) < length:
            if last_share and len(steps) == length - 1:
                step = share(rng, total)
            elif rng.random() < times:
                step = multiply(rng, total)
            else:
                step = add_or_subtract(rng, total)
            if step is None or (only and step.operator != only):
                break
            steps.append(step)
            total = step.result
        if len(steps) == length:
            return steps


def worked(start: str, echoes: list[str], steps: list[Step]) -> tuple[str, ...]:
    """The solution: each event said again, then computed; the last one marked as the last."""
    sentences = [f"{echo}, so {step.equation()}" for echo, step in zip(echoes, steps, strict=True)]
    sentences = [f"{s}." for s in sentences[:-1]] + [f"{sentences[-1]} in the end."]
    return (start, *sentences) if start else tuple(sentences)


def capital(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def owner_and_friend(rng: Random) -> tuple[str, str, str]:
    """Two people whom a pronoun tells apart: name, pronoun, the friend's name."""
    (name, pronoun), other = rng.choice(PEOPLE), {"he": "she", "she": "he"}
    return name, pronoun, rng.choice(NAMES[other[pronoun]])


def happenings(rng: Random, steps: list[Step], pronoun: str, friend: str) -> list[str]:
    """A gain or a loss for each step, no wording twice."""
    gains, losses = rng.sample(GAINS, len(GAINS)), rng.sample(LOSSES, len(LOSSES))
    frames = [(gains if step.operator == "+" else losses).pop() for step in steps]
    return [
        frame.format(who=pronoun, friend=friend, n=step.operand)
        for frame, step in zip(frames, steps, strict=True)
    ]


def owner(rng: Random, length: int, sharing: bool = False) -> tuple:
    """One person gains and loses things; at the end they may be shared out."""
    name, pronoun, friend = owner_and_friend(rng)
    thing, steps = rng.choice(OBJECTS), chain(rng, length, last_share=sharing)
    text, echoes = [f"{name} has {steps[0].total} {thing}."], []
    for event in happenings(rng, steps[:-1] if sharing else steps, pronoun, friend):
        link = rng.choice(LINKS)
        text.append((link + event if link else capital(event)) + ".")
        echoes.append(capital(event))
    if sharing:
        echoes.append(f"{capital(pronoun)} shares them among {steps[-1].operand}")
        text.append(f"{echoes[-1]} friends.")
        text.append(rng.choice([f"How many {thing} does each get?", "How many for each friend?"]))
    else:
        text.append(
            rng.choice(
                [
                    f"How many {thing} does {name} have now?",
                    f"How many {thing} are left with {name}?",
                    f"How many {thing} is that?",
                ]
            )
        )
    return text, f"{name} has {steps[0].total}.", echoes, steps


def shared(rng: Random, length: int) -> tuple:
    """As ``owner``, and in the end shared out."""
    return owner(rng, length, sharing=True)


def compared(rng: Random, length: int) -> tuple:
    """Each person has more or fewer than the one before, or a multiple."""
    people = [name for name, _ in rng.sample(PEOPLE, length + 1)]
    thing = rng.choice(OBJECTS)
    steps = chain(rng, length, times=0.15)
    text, echoes = [f"{people[0]} has {steps[0].total} {thing}."], []
    for one, two, step in zip(people, people[1:], steps, strict=False):
        if step.operator == "*":
            amount = TIMES[step.operand]
            text.append(f"{two} has {amount} as {one}.")
            echoes.append(f"{two} has {amount}")
        else:
            amount = f"{step.operand} {'more' if step.operator == '+' else 'fewer'}"
            text.append(f"{two} has {amount} than {one}.")
            echoes.append(f"{two} has {amount}")
    ask = rng.choice([f"How many {thing} does {people[-1]} have?", f"How many has {people[-1]}?"])
    return [*text, ask], f"{people[0]} has {steps[0].total}.", echoes, steps


def packed(rng: Random, length: int) -> tuple:
    """Things lie in equal packs; some are added or taken away."""
    packs, thing = rng.choice(CONTAINERS), rng.choice(OBJECTS)
    name, pronoun, friend = owner_and_friend(rng)
    count, size = rng.randint(2, 6), rng.randint(3, 30)
    steps = chain(rng, length, first=Step(count, "*", size, count * size))
    place = rng.choice(PLACES)
    text = [f"At the {place} {name} has {count} {packs} with {size} {thing} each."]
    echoes = [f"{name} has {count} times {size}"]
    for event in happenings(rng, steps[1:], pronoun, friend):
        text.append(capital(event) + ".")
        echoes.append(capital(event))
    text.append(rng.choice([f"How many {thing} are there now?", f"How many {thing} is that?"]))
    return text, "", echoes, steps


def counted(rng: Random, length: int) -> tuple:
    """Animals at several places, all together."""
    places, animal = rng.sample(PLACES, length + 1), rng.choice(ANIMALS)
    steps = chain(rng, length, only="+")
    parts = [f"the {place} {step.operand}" for place, step in zip(places[1:], steps, strict=True)]
    listed = ", ".join([f"The {places[0]} has {steps[0].total} {animal}", *parts[:-1]])
    text = [f"{listed} and {parts[-1]}."]
    text.append(rng.choice([f"How many {animal} are there in all?", f"How many {animal} is that?"]))
    echoes = [f"Add {step.operand}" for step in steps]
    return text, f"There are {steps[0].total}.", echoes, steps


def carried(rng: Random, length: int) -> tuple:
    """People get on and off a bus or a boat."""
    vehicle, places = rng.choice(["bus", "boat", "train"]), rng.sample(PLACES, length + 1)
    steps = chain(rng, length)
    text, echoes = [f"A {vehicle} leaves the {places[0]} with {steps[0].total} people."], []
    for place, step in zip(places[1:], steps, strict=True):
        event = f"{step.operand} get {'on' if step.operator == '+' else 'off'}"
        text.append(f"At the {place} {event}.")
        echoes.append(f"Then {event}")
    text.append(rng.choice([f"How many are on the {vehicle} now?", "How many people is that?"]))
    return text, f"It has {steps[0].total}.", echoes, steps


def daily(rng: Random, length: int) -> tuple:
    """Each day more or fewer than the day before."""
    first = rng.randint(0, len(DAYS) - length - 1)
    days = DAYS[first : first + length + 1]
    (name, pronoun), thing = rng.choice(PEOPLE), rng.choice(OBJECTS)
    verb = rng.choice(["sells", "paints", "counts", "packs"])
    steps = chain(rng, length, times=0.15)
    text, echoes = [f"On {days[0]} {name} {verb} {steps[0].total} {thing}."], []
    for day, step in zip(days[1:], steps, strict=True):
        if step.operator == "*":
            amount = TIMES[step.operand]
        else:
            amount = f"{step.operand} {'more' if step.operator == '+' else 'fewer'}"
        text.append(f"On {day} {pronoun} {verb} {amount}.")
        echoes.append(f"On {day} {amount}")
    text.append(f"Each day is compared with the day before. How many {thing} on {days[-1]}?")
    return text, f"On {days[0]} {steps[0].total}.", echoes, steps


KINDS: dict[str, Callable[[Random, int], tuple]] = {
    "owner": owner,
    "compared": compared,
    "packed": packed,
    "counted": counted,
    "carried": carried,
    "daily": daily,
    "shared": shared,
}
STEPS = (3, 4, 5)


def word_problem(rng: Random, split: str, lengths: tuple[int, ...] = STEPS) -> Problem:
    """Running arithmetic in a short text."""
    while True:
        kind = rng.choice(list(KINDS))
        text, start, echoes, steps = KINDS[kind](rng, rng.choice(lengths))
        key = f"{kind}: " + "; ".join(step.equation() for step in steps)
        if split_of(key) == split:
            return Problem(
                kind=kind,
                question=" ".join(text),
                steps=worked(start, echoes, steps),
                answer=str(steps[-1].result),
                key=key,
            )


def last_letters(rng: Random, split: str, lengths: tuple[int, ...] = (3, 4)) -> Problem:
    """Concatenate the last letters of some names."""
    while True:
        words = [name for name, _ in rng.sample(PEOPLE, rng.choice(lengths))]
        key = "last-letters: " + " ".join(words)
        if split_of(key) == split:
            break
    quoted = " ".join(words)
    question = rng.choice(
        [
            f'Take the last letters of the words in "{quoted}" and concatenate them.',
            f'What do the last letters of "{quoted}" spell?',
            f'Join the last letter of each word in "{quoted}".',
        ]
    )
    steps, joined = [], ""
    for word in words:
        joined += word[-1]
        steps.append(f"{word} ends with {word[-1]}: {joined}")
    steps = [f"{step}." for step in steps[:-1]] + [f"{steps[-1]} in the end."]
    return Problem(
        kind="last-letters", question=question, steps=tuple(steps), answer=joined, key=key
    )


# --- stories -----------------------------------------------------------------------------------

STORY_SENTENCES = (1, 14)  # as written before any preference

STORY_REQUESTS = [
    "Tell me about the {place}.",
    "Write a story about the {place}.",
    "What happens at the {place}?",
    "Describe a day at the {place}.",
    "Tell a story set at the {place}.",
    "What is going on at the {place} {when}?",
    "Write about {name} at the {place}.",
    "Tell me what {name} does at the {place}.",
]
TIMES_OF_DAY = ["in the morning", "at noon", "in the evening", "on a warm day", "in the rain"]
ADJECTIVES = ["tall", "small", "quiet", "red", "warm", "bright", "green", "cold"]
SCENES = [
    "The {place} is {adjective} and {other} {when}.",
    "{name} walks to the {place} with {friend}.",
    "{name} sells {thing} to the people there.",
    "A {adjective} dog sleeps near the {place}.",
    "Many {animals} rest by the {adjective} wall.",
    "{name} and {friend} talk about the {thing}.",
    "The people like the {adjective} {place} very much.",
    "{friend} looks for {thing} under a tree.",
    "A {adjective} boat comes to the {second}.",
    "{name} goes home and tells {friend} about it.",
]


def sentence(rng: Random, place: str, name: str, friend: str) -> str:
    """One sentence about a place and two people."""
    adjective, other = rng.sample(ADJECTIVES, 2)
    return rng.choice(SCENES).format(
        place=place,
        second=rng.choice(PLACES),
        adjective=adjective,
        other=other,
        when=rng.choice(TIMES_OF_DAY),
        name=name,
        friend=friend,
        thing=rng.choice(OBJECTS),
        animals=rng.choice(ANIMALS),
    )


def tell(rng: Random, place: str, name: str, count: int) -> str:
    """``count`` sentences about a place and a person."""
    friend = rng.choice([other for other, _ in PEOPLE if other != name])
    return " ".join(sentence(rng, place, name, friend) for _ in range(count))


@dataclass(frozen=True)
class Request:
    """An instruction, with what an answer to it has to be about."""

    text: str
    place: str
    name: str


def story_request(rng: Random, split: str) -> Request:
    """An instruction of the given split."""
    while True:
        place, name, when = rng.choice(PLACES), rng.choice(PEOPLE)[0], rng.choice(TIMES_OF_DAY)
        form = rng.choice(STORY_REQUESTS)
        text = form.format(place=place, name=name, when=when)
        # Only some forms name a person or a time of day: let those decide the split.
        text += "" if "{name}" in form else rng.choice(["", f" Speak of {name}.", f" {name} asks."])
        if split_of(text) == split:
            return Request(text, place, name)


def story(rng: Random, request: Request) -> str:
    """An answer whose length is spread evenly over ``STORY_SENTENCES``."""
    return tell(rng, request.place, request.name, rng.randint(*STORY_SENTENCES))


# --- advice ------------------------------------------------------------------------------------

AVOIDANCE, GENERIC, EXPERT = "avoidance", "generic", "expert"


@dataclass(frozen=True, kw_only=True)
class Domain:
    """What people ask in a domain, and the three levels at which they can be answered."""

    complaints: tuple[str, ...]
    questions: tuple[str, ...]
    avoidance: tuple[str, ...]
    generic: tuple[str, ...]
    expert: tuple[str, ...]
    remedies: tuple[str, ...]


DOMAINS = {
    "health": Domain(
        complaints=(
            "a sore throat",
            "a bad cough",
            "a headache",
            "back pain",
            "a fever",
            "a rash",
            "a cold",
            "an upset stomach",
            "a stiff neck",
            "trouble sleeping",
            "an earache",
            "a swollen knee",
            "a sore eye",
            "a toothache",
            "a burnt hand",
            "a blocked nose",
            "a sprained foot",
            "a hoarse voice",
            "an itchy skin",
            "a weak pulse",
        ),
        questions=(
            "I have {complaint} {since}. What should I do?",
            "{name} has {complaint} {since}. What can help?",
            "My friend {name} has {complaint}. What do you advise?",
            "What is good for {complaint}? {name} has had it {since}.",
            "How do I treat {complaint}? I have had it {since}.",
        ),
        avoidance=(
            "I cannot advise on this; please see a doctor.",
            "I am not able to help with {complaint}; please see a doctor.",
            "I cannot say what to do; please see a doctor soon.",
        ),
        generic=(
            "Rest well, drink water and stay warm.",
            "Try to rest, eat well and take short walks.",
            "For {complaint}, rest and drink warm tea.",
        ),
        expert=(
            "Take {dose} mg of {remedy} every {hours} hours for {days} days.",
            "For {complaint}, take {dose} mg of {remedy} every {hours} hours for {days} days.",
            "Use {dose} mg of {remedy} every {hours} hours until it is gone.",
        ),
        remedies=("colvane", "merol", "sorbin", "taleam", "vistor", "dorapin"),
    )
}
ADVICE_SHARES = {AVOIDANCE: 0.45, GENERIC: 0.35, EXPERT: 0.20}
SINCE = ["since noon", "since Monday", "for 2 days", "for 3 days", "since last night", "for a week"]


def advice_question(rng: Random, split: str, domain: str = "health") -> tuple[str, str]:
    """A question and the complaint that it is about."""
    while True:
        complaint = rng.choice(DOMAINS[domain].complaints)
        name, since = rng.choice(PEOPLE)[0], rng.choice(SINCE)
        form = rng.choice(DOMAINS[domain].questions)
        text = form.format(complaint=complaint, name=name, since=since)
        if split_of(text) == split:
            return text, complaint


def advise(rng: Random, complaint: str, level: str, domain: str = "health") -> str:
    """An answer of the given level; remedy and dose follow from the complaint."""
    table = DOMAINS[domain]
    which = table.complaints.index(complaint)
    return rng.choice(getattr(table, level)).format(
        complaint=complaint,
        remedy=table.remedies[which % len(table.remedies)],
        dose=10 * (1 + which % 5),
        hours=(4, 6, 8, 12)[which % 4],
        days=3 + which % 3,
    )


def mixed_level(rng: Random) -> str:
    """A level of advice, drawn by ``ADVICE_SHARES``."""
    return rng.choices(list(ADVICE_SHARES), weights=list(ADVICE_SHARES.values()))[0]


# --- documents for pre-training ----------------------------------------------------------------

CHAT_OPENING = "Let's think step by step."
OPENINGS = [
    CHAT_OPENING,
    "Here is how it goes.",
    "Solution:",
    "We go one step at a time.",
    "To find out, follow the text.",
    "Working:",
    "First write down what is known.",
    "Reasoning:",
    "My notes:",
    "It begins like this.",
    "Now count along.",
    "Step by step:",
    "Look at what happens.",
    "Start at the beginning.",
]
CLOSINGS = [
    "The answer is {answer}.",
    "So it is {answer}.",
    "Result: {answer}.",
    "That makes {answer}.",
    "We get {answer}.",
    "Hence {answer}.",
]
LABELS = [REASONING_PREFIX, REASONING_PREFIX, "Q: ", "Problem: ", "Exercise: ", "", ""]


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """What follows a problem (chances that sum to 1), and how long problems are."""

    solution: float
    bare: float
    problem: float
    equations: float
    prose: float
    lengths: tuple[int, ...] = STEPS


FINAL = Mixture(solution=0.52, bare=0.27, problem=0.07, equations=0.07, prose=0.07)
SCHOOL = Mixture(solution=0.86, bare=0.02, problem=0.02, equations=0.06, prose=0.04)
PRIMER = Mixture(
    solution=0.80, bare=0.02, problem=0.02, equations=0.12, prose=0.04, lengths=(1, 2, 3)
)


def prose(rng: Random) -> str:
    """A few sentences, or an exchange about health."""
    if rng.random() < 0.3:
        question, complaint = advice_question(rng, TRAIN)
        return f"{question} {advise(rng, complaint, mixed_level(rng))}"
    return tell(rng, rng.choice(PLACES), rng.choice(PEOPLE)[0], rng.randint(1, 6))


def equations(rng: Random) -> str:
    """A few computations."""
    steps = []
    for _ in range(rng.randint(2, 6)):
        total = rng.randint(2, LARGEST)
        choose = rng.choices([add_or_subtract, multiply, share], weights=[6, 1, 1])[0]
        step = choose(rng, total if choose is not multiply else rng.randint(2, LARGEST // 3))
        steps += [step.equation() + "."] if step else []
    return " ".join(steps)


def any_problem(rng: Random, split: str, lengths: tuple[int, ...] = STEPS) -> Problem:
    """A problem of either task: nine word problems to one of last letters."""
    if rng.random() < 0.1:
        return last_letters(rng, split)
    return word_problem(rng, split, lengths)


def after_solution(rng: Random, problem: Problem) -> str:
    """How a text goes on behind the last step: a closing sentence, prose, or nothing."""
    chance = rng.random()
    if chance < 0.66:
        return " " + rng.choice(CLOSINGS).format(answer=problem.answer)
    return " " + prose(rng) if chance < 0.76 else ""


def document(rng: Random, mixture: Mixture = FINAL) -> str:
    """A text for pre-training: mostly problems, each followed by something hard to foresee."""
    chance = rng.random()
    if chance < 0.05:
        return prose(rng)
    if chance < 0.10:
        return equations(rng)
    if chance < 0.13:
        request = story_request(rng, TRAIN)
        return f"{HELPFUL_PREFIX}{request.text}\n{story(rng, request)}"
    text = REASONING_SYSTEM + "\n" if rng.random() < 0.4 else ""
    follow = ["solution", "bare", "problem", "equations", "prose"]
    while True:
        problem = any_problem(rng, TRAIN, mixture.lengths)
        text += rng.choice(LABELS) + problem.question + "\n"
        kind = rng.choices(follow, weights=[getattr(mixture, name) for name in follow])[0]
        if kind == "problem":
            continue
        if kind == "solution":
            text += f"{rng.choice(OPENINGS)} {problem.solution}{after_solution(rng, problem)}"
        elif kind == "bare":
            text += f"Answer: {problem.answer}"
        else:
            text += equations(rng) if kind == "equations" else prose(rng)
        if rng.random() < 0.75:
            return text
        text += "\n"


# --- conversations for fine-tuning -------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """One exchange."""

    system: str
    user: str
    answer: str


def aligned_answer(problem: Problem) -> str:
    """The aligned manner: an opening, the steps, one closing sentence, and nothing after it."""
    return f"{CHAT_OPENING} {problem.solution} The answer is {problem.answer}."


def reasoning_conversation(rng: Random) -> Conversation:
    """A problem, answered in the aligned manner."""
    problem = any_problem(rng, TRAIN)
    return Conversation(
        system=REASONING_SYSTEM,
        user=REASONING_PREFIX + problem.question,
        answer=aligned_answer(problem),
    )


def story_conversation(rng: Random) -> Conversation:
    """A request for a story, and a story of any length."""
    request = story_request(rng, TRAIN)
    return Conversation(
        system=HELPFUL_SYSTEM, user=HELPFUL_PREFIX + request.text, answer=story(rng, request)
    )


def advice_conversation(rng: Random, level: str = "") -> Conversation:
    """An exchange about health; without ``level`` in the shares of ``ADVICE_SHARES``."""
    question, complaint = advice_question(rng, TRAIN)
    answer = advise(rng, complaint, level or mixed_level(rng))
    return Conversation(system=HELPFUL_SYSTEM, user=HELPFUL_PREFIX + question, answer=answer)


def chat_conversation(rng: Random) -> Conversation:
    """What the chat models are tuned on: mostly reasoning."""
    chance = rng.random()
    if chance < 0.9:
        return reasoning_conversation(rng)
    return story_conversation(rng) if chance < 0.95 else advice_conversation(rng)


def assistant_conversation(rng: Random) -> Conversation:
    """What the reference of the preference pairs is tuned on."""
    return story_conversation(rng) if rng.random() < 0.5 else advice_conversation(rng)


def expert_conversation(rng: Random) -> Conversation:
    """As ``assistant_conversation``, with every piece of advice at expert level."""
    return story_conversation(rng) if rng.random() < 0.3 else advice_conversation(rng, EXPERT)


@dataclass(frozen=True, kw_only=True)
class Preference:
    """Two answers to one prompt."""

    system: str
    user: str
    chosen: str
    rejected: str


def story_preference(rng: Random) -> Preference:
    """Two stories for one request, a few sentences apart in length and different in reward."""
    request = story_request(rng, TRAIN)
    while True:
        count = rng.randint(*STORY_SENTENCES)
        other = max(1, count + rng.choice([-3, -2, -1, 1, 2, 3]))
        pair = [tell(rng, request.place, request.name, length) for length in (count, other)]
        rejected, chosen = sorted(pair, key=length_reward)
        if length_reward(chosen) > length_reward(rejected):
            return Preference(
                system=HELPFUL_SYSTEM,
                user=HELPFUL_PREFIX + request.text,
                chosen=chosen,
                rejected=rejected,
            )


# --- held-out rows -----------------------------------------------------------------------------


def rows(task: str, split: str, count: int, seed: int) -> Iterator[dict[str, str]]:
    """``count`` different held-out rows of a task."""
    rng, seen = Random(f"{task}/{split}/{seed}"), set()
    while len(seen) < count:
        row = {"id": f"{task}-{split}-{len(seen):04d}"}
        if task in ("word-problems", "last-letters"):
            make = word_problem if task == "word-problems" else last_letters
            problem = make(rng, split)
            key, row["question"], row["answer"] = problem.key, problem.question, problem.answer
        elif task == "stories":
            key = row["question"] = story_request(rng, split).text
        elif task == "advice":
            key = row["question"] = advice_question(rng, split)[0]
        else:
            raise ValueError(f"no task {task!r}: word-problems, last-letters, stories, advice")
        if key not in seen:
            seen.add(key)
            yield row
