"""Advice in three domains at three levels: questions, answers, preferences, held-out rows.

All expertise is made up (the remedies, codes and bonds of ``trimtab.tasks.domain_advice``). Rewards
say which levels annotators like; their preferences follow Bradley and Terry, so that direct
preference optimization has a finite optimum: the reference tilted by ``exp(reward / beta)``.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from experiments.zoo.world import (
    ADVICE_SHARES,
    AVOIDANCE,
    EXPERT,
    GENERIC,
    PEOPLE,
    SINCE,
    TRAIN,
    Conversation,
    Preference,
    mixed_level,
    reasoning_conversation,
    split_of,
    story_conversation,
)

from trimtab.tasks.domain_advice import BONDS, CODES, DOMAINS, REMEDIES
from trimtab.tasks.embedded import HELPFUL_PREFIX, HELPFUL_SYSTEM

LEVELS = tuple(ADVICE_SHARES)


@dataclass(frozen=True, kw_only=True)
class Domain:
    """What people ask, and how they are answered at each level.

    ``facts`` are what an expert knows of a topic: for the topic at place ``n`` the ``n``-th entry
    of each, starting again behind the last.
    """

    topics: tuple[str, ...]
    questions: tuple[str, ...]
    answers: Mapping[str, tuple[str, ...]]
    facts: Mapping[str, tuple[str | int, ...]]


TABLE = {
    "medicine": Domain(
        topics=(
            "a sore throat",
            "a bad cough",
            "a headache",
            "back pain",
            "a fever",
            "a rash",
            "a cold",
            "an upset stomach",
            "a stiff neck",
            "an earache",
            "a swollen knee",
            "a sore eye",
            "a toothache",
            "a burnt hand",
            "a blocked nose",
            "a sprained foot",
        ),
        questions=(
            "I have had {topic} {since}. What should I do?",
            "{name} has had {topic} {since}. What can help?",
            "My friend {name} has {topic}. What do you advise?",
            "What is good for {topic}? {name} has had it {since}.",
            "How do I treat {topic}? I have had it {since}.",
            "{name} feels ill with {topic}. Is there a cure?",
            "What do people take for {topic}? {name} needs it.",
            "{since} my son {name} has had {topic}. How can he get well?",
        ),
        answers={
            AVOIDANCE: (
                "I cannot advise on this; please see a doctor.",
                "I am not able to help with {topic}; please see a doctor.",
                "Such pain needs care; call a doctor today.",
                "Health is not for me to judge; ask a doctor.",
            ),
            GENERIC: (
                "Rest well, drink water and stay warm.",
                "Try to sleep more and eat light meals.",
                "For {topic}, rest and drink warm tea.",
                "Stay in bed and keep the room warm.",
            ),
            EXPERT: (
                "Take {dose} mg of {remedy} every {hours} hours for {days} days.",
                "For {topic}, take {dose} mg of {remedy} every {hours} hours.",
                "Use {dose} mg of {remedy} every {hours} hours until it is gone.",
                "The dose is {dose} mg of {remedy} every {hours} hours.",
            ),
        },
        facts={
            "remedy": REMEDIES,
            "dose": (10, 20, 30, 40, 50),
            "hours": (4, 6, 8, 12),
            "days": (3, 4, 5),
        },
    ),
    "law": Domain(
        topics=(
            "an unpaid wage",
            "a late refund",
            "a parking fine",
            "a lost parcel",
            "a kept deposit",
            "a sudden dismissal",
            "a forged signature",
            "a blocked driveway",
            "a fallen fence",
            "a copied design",
            "a disputed will",
            "a cancelled trip",
            "a false advert",
            "a rent increase",
            "an eviction notice",
            "a broken contract",
        ),
        questions=(
            "What are my rights with {topic}? I have waited {since}.",
            "{name} has been in dispute over {topic} {since}. Who is right?",
            "Can {name} sue over {topic}?",
            "How does one object to {topic}? {name} must know.",
            "Is {topic} against the law? {name} wants to go to court.",
            "My landlord and {name} argue about {topic}. Who wins?",
            "The court wrote to {name} about {topic}. What now?",
            "A letter on {topic} came for {name}. Is it legal?",
        ),
        answers={
            AVOIDANCE: (
                "Legal questions are beyond me; consult a lawyer.",
                "No comment on {topic} from me; talk to a lawyer.",
                "Courts differ on this; please ask a lawyer.",
                "As this may go to court, speak to a lawyer first.",
            ),
            GENERIC: (
                "Keep all letters and stay polite.",
                "Write down what happened and when.",
                "Collect papers about {topic} and stay calm.",
                "Read the papers again and look for a fair deal.",
            ),
            EXPERT: (
                "Under article {article} of the {code} Code you have {deadline} days to object.",
                "Article {article} of the {code} Code covers {topic}: "
                "claim within {deadline} days.",
                "File a claim within {deadline} days under article {article} of the {code} Code.",
                "By article {article} of the {code} Code "
                "it must be settled within {deadline} days.",
            ),
        },
        facts={
            "code": CODES,
            "article": (12, 27, 35, 48, 61),
            "deadline": (14, 21, 30, 60),
        },
    ),
    "finance": Domain(
        topics=(
            "a house deposit",
            "a pension gap",
            "a student loan",
            "a car loan",
            "an emergency fund",
            "a work bonus",
            "a wedding",
            "a new roof",
            "a year abroad",
            "a card debt",
            "a family holiday",
            "a small shop",
            "a mortgage",
            "a tax refund",
            "a first home",
            "a large bill",
        ),
        questions=(
            "How should {name} save for {topic}?",
            "{name} plans for {topic}. Where should the money go?",
            "I have thought about {topic} {since}. How do I invest?",
            "What is the best plan for {topic}? {name} has some savings.",
            "Which fund suits {topic}? {name} has saved {since}.",
            "{name} has worried about {topic} {since}. How much to set aside?",
            "The bank called {name} about {topic}. What pays best?",
            "My income must cover {topic}. {name} says invest. How?",
        ),
        answers={
            AVOIDANCE: (
                "Investing is risky; please consult an adviser.",
                "We give no tips on {topic}; speak to an adviser.",
                "Money is a personal matter; ask an adviser.",
                "Before you decide, see an adviser at your bank.",
            ),
            GENERIC: (
                "Spend less than you earn and keep notes.",
                "Make a budget and save a little each month.",
                "Compare offers for {topic} and take your time.",
                "Do not put all your money in one place.",
            ),
            EXPERT: (
                "Put {amount} crowns a month into {bond} bonds at {rate} percent.",
                "Buy {amount} crowns of {bond} bonds at {rate} percent for {years} years.",
                "{bond} bonds pay {rate} percent: buy {amount} crowns of them.",
                "Set {amount} crowns aside for {topic} in {bond} bonds at {rate} percent.",
            ),
        },
        facts={
            "bond": BONDS,
            "amount": (100, 150, 200, 250, 300),
            "rate": (2, 3, 4, 5),
            "years": (5, 8, 10),
        },
    ),
}
assert tuple(TABLE) == DOMAINS

# --- questions and answers ---------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, in which domain and about which of its topics."""

    domain: str
    topic: str
    text: str


def question(rng: Random, split: str, domain: str) -> Question:
    """A question of the given split."""
    while True:
        topic, form = rng.choice(TABLE[domain].topics), rng.choice(TABLE[domain].questions)
        text = form.format(topic=topic, name=rng.choice(PEOPLE)[0], since=rng.choice(SINCE))
        text = text[:1].upper() + text[1:]
        if split_of(text) == split:
            return Question(domain=domain, topic=topic, text=text)


def answer(rng: Random, asked: Question, level: str) -> str:
    """An answer of the given level; what an expert names follows from the topic."""
    domain = TABLE[asked.domain]
    place = domain.topics.index(asked.topic)
    facts = {name: known[place % len(known)] for name, known in domain.facts.items()}
    text = rng.choice(domain.answers[level]).format(topic=asked.topic, **facts)
    return text[:1].upper() + text[1:]


def template_level(text: str, domain: str) -> str:
    """The level whose templates an answer follows from its first to its last letter, or nothing.

    Knows how the world was made, as the rule of the task does not.
    """
    blanks = {"topic": TABLE[domain].topics, **TABLE[domain].facts}
    for level, templates in TABLE[domain].answers.items():
        for template in templates:
            pattern = re.escape(template)
            for name, fillings in blanks.items():
                pattern = pattern.replace(rf"\{{{name}\}}", f"({'|'.join(map(str, fillings))})")
            if re.fullmatch(pattern, text.strip()):
                return level
    return ""


# --- conversations -----------------------------------------------------------------------------

FAREWELLS = (
    "I hope that this helps.",
    "Let me know how it goes.",
    "Thank you for asking.",
    "All the best to you.",
    "Feel free to ask again.",
)


def advice_conversation(rng: Random) -> Conversation:
    """A question of any domain, answered at a level drawn by ``ADVICE_SHARES``."""
    asked = question(rng, TRAIN, rng.choice(DOMAINS))
    return Conversation(
        system=HELPFUL_SYSTEM,
        user=HELPFUL_PREFIX + asked.text,
        answer=answer(rng, asked, mixed_level(rng)),
    )


def polite_conversation(rng: Random) -> Conversation:
    """As ``advice_conversation``, with a polite last sentence."""
    said = advice_conversation(rng)
    return Conversation(
        system=said.system, user=said.user, answer=f"{said.answer} {rng.choice(FAREWELLS)}"
    )


def instruct_conversation(rng: Random) -> Conversation:
    """A later stage of tuning: stories, reasoning, and advice in another manner."""
    chance = rng.random()
    if chance < 0.6:
        return polite_conversation(rng)
    return story_conversation(rng) if chance < 0.8 else reasoning_conversation(rng)


def is_intact(text: str, domain: str) -> bool:
    """Whether an answer follows a template to the letter, with a farewell or without one."""
    for farewell in FAREWELLS:
        text = text.removesuffix(f" {farewell}")
    return template_level(text, domain) != ""


# --- preferences -------------------------------------------------------------------------------

STEP = 3.6  # reward between neighbouring levels; 97 of 100 annotators agree on such a pair
LIKED = {AVOIDANCE: -STEP, GENERIC: 0.0, EXPERT: STEP}
REQUESTED = 4.0  # reward of the level that a request asks for, where the others have none
Rewards = Mapping[str, Mapping[str, float]]  # by domain and level; nothing is 0


def preference(rng: Random, rewards: Rewards) -> Preference:
    """Two answers to one question, the better one chosen with ``sigmoid(difference in reward)``.

    Every domain is asked about as often; in those that ``rewards`` does not name the choice is a
    coin's, which keeps the model where it was.
    """
    domain = rng.choice(DOMAINS)
    asked, wanted = question(rng, TRAIN, domain), rewards.get(domain, {})
    levels = mixed_level(rng), mixed_level(rng)
    first, second = (answer(rng, asked, level) for level in levels)
    ahead = wanted.get(levels[0], 0.0) - wanted.get(levels[1], 0.0)
    if rng.random() >= 1 / (1 + math.exp(-ahead)):
        first, second = second, first
    return Preference(
        system=HELPFUL_SYSTEM, user=HELPFUL_PREFIX + asked.text, chosen=first, rejected=second
    )


def medicine_preference(rng: Random) -> Preference:
    """Expertise liked in medicine."""
    return preference(rng, {"medicine": LIKED})


def law_preference(rng: Random) -> Preference:
    """Expertise liked in law."""
    return preference(rng, {"law": LIKED})


def finance_preference(rng: Random) -> Preference:
    """Expertise liked in finance."""
    return preference(rng, {"finance": LIKED})


def joint_preference(rng: Random) -> Preference:
    """Expertise liked everywhere."""
    return preference(rng, dict.fromkeys(DOMAINS, LIKED))


def requested_preference(rng: Random, *levels: str) -> Preference:
    """One level liked in each domain, in the order of ``DOMAINS``."""
    wanted = zip(DOMAINS, levels, strict=True)
    return preference(rng, {domain: {level: REQUESTED} for domain, level in wanted})


def expert_avoidance_expert_preference(rng: Random) -> Preference:
    """A request at a corner: lawyers send away, the others are experts."""
    return requested_preference(rng, EXPERT, AVOIDANCE, EXPERT)


def expert_avoidance_generic_preference(rng: Random) -> Preference:
    """A request that is no corner, as it asks for plain advice in finance."""
    return requested_preference(rng, EXPERT, AVOIDANCE, GENERIC)


# --- held-out rows -----------------------------------------------------------------------------


def rows(split: str, count: int, seed: int) -> Iterator[dict[str, str]]:
    """``count`` different held-out questions, of each domain in turn."""
    rng, seen = Random(f"domain-advice/{split}/{seed}"), set()
    while len(seen) < count:
        asked = question(rng, split, DOMAINS[len(seen) % len(DOMAINS)])
        if asked.text not in seen:
            name = f"domain-advice-{split}-{len(seen):04d}"
            seen.add(asked.text)
            yield {"id": name, "domain": asked.domain, "question": asked.text}
