"""Every method, tokenizer kind, batch and draft: one answer, the one that a slow oracle gives.

The prompts are in many scripts, the models random: bytes that are no character, words that go on
across a hand-off, contexts that fill up.
"""

import functools

import oracles
import pytest
from decoding import real_tokenizers as real

from trimtab import (
    Completion,
    Conversation,
    DeRa,
    Generation,
    LanguageModel,
    Nudging,
    Plain,
    ProxyTuning,
)

GREEDY = {"temperature": 0.0}
SAMPLED = {"temperature": 0.9, "top_p": 0.9, "seed": 5}
PROMPTS_EACH = 12
ALONE = 3  # of these are answered one by one too

QUESTIONS = [
    "What is 12 + 30?",
    "Ana has 1,024 pens and 365 boats.  How many are there in all?",
    "Wie heißt das größte Schiff in Köln? Für zwölf Stücke…",
    "Сколько будет дважды два, и что это такое?",
    "这是什么？二加二等于四。",  # noqa: RUF001
    "これは何ですか。小さな船です。",
    "ما هذا؟ هذا قارب صغير.",
    "यह क्या है? नमस्ते दुनिया।",
    "👩‍🚀👨‍👩‍👧‍👦 and 👍🏽, 🏳️‍🌈 ❤️ 🇩🇪 in 3 words",
    "def turn(angle):\n    if angle > 10:\n\treturn 0\n",
    "cafe\u0301 nai\u0308ve — “Zürich” €5 ½",
    "한국어와 ไทย, ∑∫√ \U0001d518\U0001d52b\U0001d526",
    "",
    " \n\n  spaces   before,\tbetween \u3000 and after  ",
    "the turns the turns the turns the turns",
    "<s> is not </s>, nor is <|endoftext|> or <0x0A>",
    "1234567890 12345 67 8,901.5",
]
STARTS = [
    "",
    "It",
    "The answer is ",
    "Да, ",
    "答",
    "👩\u200d",
    "نعم",
    "1",
    "{",
    "\n",
    " ",
    "ü",
    "e",
]


def prompts(cell: int, *, short: bool) -> list[Conversation]:
    """The prompts of one cell of the matrix; no two cells have one in common.

    One in four is long, unless they are to be short.
    """
    first = PROMPTS_EACH * cell
    return [
        Conversation(
            context="\n".join(QUESTIONS[i % 7 :][:9]) + "\n" if i % 4 == 2 and not short else "",
            question_prefix=f"{i}. " if i >= len(QUESTIONS) * len(STARTS) else "",
            question=QUESTIONS[i % len(QUESTIONS)],
            answer_start=STARTS[i % len(STARTS)],
        )
        for i in range(first, first + PROMPTS_EACH)
    ]


def test_prompts_are_many_and_all_different() -> None:
    asked = {each for cell in range(len(PAIRS) + len(VOICES)) for each in prompts(cell, short=True)}
    assert len(asked) == PROMPTS_EACH * (len(PAIRS) + len(VOICES)) > 200


@functools.cache
def reader(model: LanguageModel) -> oracles.Reader:
    return oracles.Reader(model)


def require_told(answers: list[Completion], told: list[oracles.Told]) -> None:
    for answer, expected in zip(answers, told, strict=True):
        assert answer.text == expected.text
        assert answer.stop_reason == expected.stop_reason
        assert [(span.speaker, span.text) for span in answer.trace] == expected.turns
        for span, said in zip(answer.trace, expected.trace, strict=True):
            assert span.probability == pytest.approx(said.probability, abs=1e-4), span
        assert answer.measures.get("ends_suppressed", 0) == expected.ends_suppressed


# ------------------------------------------------------------------ two speakers

# Base, guide, and what may differ from one pair to the next.
PAIRS = {
    "zoo A-A": ("a-large-base", "a-small-chat", {"threshold": 0.4}),
    "zoo A-B": ("a-large-base", "b-small-chat", {"threshold": 0.4}),
    "gpt2-llama2": ("gpt2", "llama2", {"threshold": 0.5}),
    "llama2-qwen": ("llama2", "qwen", {"threshold": 0.5}),
    "llama2-llama2": ("llama2", "near llama2", {"threshold": 0.45}),
    "llama3-gemma": ("llama3", "gemma", {"threshold": 0.6, "agreement": False}),
    "qwen-t5": ("qwen", "t5", {"threshold": 0.4, "lookahead": 5}),
    "gemma-gpt2": ("gemma", "gpt2", {"threshold": 0.3, "lookahead": 24}),
    "t5-llama3": ("t5", "llama3", {"threshold": 0.5}),
    "gemma-gemma": ("gemma", "near gemma", {"threshold": 0.5}),
    "qwen-qwen": ("short qwen", "near qwen", {"threshold": 0.35}),
    "llama2-gpt2": ("llama2", "short gpt2", {"threshold": 0.7}),
}
QUICK_PAIRS = ("gpt2-llama2", "gemma-gemma")


def speaker(name: str, zoo) -> LanguageModel:
    distance, _, kind = name.rpartition(" ")
    if kind not in real.KINDS:
        return zoo(name)
    if distance == "near":
        return real.twin(kind, distance=0.15)
    return real.model(kind, context=88 if distance == "short" else real.CONTEXT)


@pytest.mark.parametrize("drawn", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize(
    "pair",
    [pytest.param(each, marks=[pytest.mark.slow] * (each not in QUICK_PAIRS)) for each in PAIRS],
)
def test_nudging_is_exact(zoo, pair: str, drawn: dict) -> None:
    base_name, guide_name, settings = PAIRS[pair]
    base, guide = speaker(base_name, zoo), speaker(guide_name, zoo)
    nudging = Nudging(base=base, guide=guide, repetition_guard=False, **settings)
    asked = prompts(
        list(PAIRS).index(pair), short="short" in base_name + guide_name or "zoo" in pair
    )
    length = {"max_new_tokens": 20, **drawn}
    answers = [
        nudging.complete(asked[:count], Generation(draft_length=draft, batch_size=size, **length))
        for draft in (0, 16)
        for size, count in ((8, len(asked)), (1, ALONE))
    ]
    told = []
    for i, (conversation, expected) in enumerate(zip(asked, answers[0], strict=True)):
        prompts_of = base.render(conversation), guide.render(conversation)
        for each, prompt in zip((base, guide), prompts_of, strict=True):
            reader(each).foresee(prompt, expected.text)
        told.append(
            oracles.nudge(
                reader(base),
                prompts_of[0],
                reader(guide),
                prompts_of[1],
                generation=Generation(**length),
                sample_id=str(i),
                **settings,
            )
        )
    for given in answers:
        require_told(given, told[: len(given)])


@pytest.mark.parametrize("drawn", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("llama2", {"threshold": 0.15, "lookahead": 3}),
        pytest.param("qwen", {"threshold": 0.15, "lookahead": 3}, marks=pytest.mark.slow),
        pytest.param("llama2", {"threshold": 0.05, "lookahead": 4}, marks=pytest.mark.slow),
    ],
    ids=["llama2-3", "qwen-3", "llama2-4"],
)
def test_the_guard_is_exact(kind: str, settings: dict, drawn: dict) -> None:
    base, guide = real.model(kind), real.twin(kind, distance=0.15)
    nudging = Nudging(base=base, guide=guide, **settings)
    asked = prompts(len(PAIRS) + len(VOICES), short=True)
    length = {"max_new_tokens": 40, **drawn}
    answers = [
        nudging.complete(asked[:count], Generation(draft_length=draft, batch_size=size, **length))
        for draft in (0, 16)
        for size, count in ((8, len(asked)), (1, ALONE))
    ]
    told = []
    for i, (conversation, expected) in enumerate(zip(asked, answers[0], strict=True)):
        base_prompt, guide_prompt = base.render(conversation), guide.render(conversation)
        reader(base).foresee(base_prompt, expected.text)
        reader(guide).foresee(guide_prompt, expected.text)
        drawn_so = {"generation": Generation(**length), "sample_id": str(i), "guard": True}
        two = reader(base), base_prompt, reader(guide), guide_prompt
        told.append(oracles.nudge(*two, **drawn_so, **settings))
    for given in answers:
        require_told(given, told[: len(given)])
    free = Nudging(base=base, guide=guide, repetition_guard=False, **settings)
    assert [a.text for a in answers[0]] != [
        a.text for a in free.complete(asked, Generation(**length))
    ]


# ------------------------------------------------------------------ one voice

VOICES = [
    *(("plain", kind) for kind in (*real.KINDS, "short llama2", "short gpt2")),
    *(("dera", kind) for kind in ("gpt2", "llama2", "llama3", "short t5")),
    *(("proxy", kind) for kind in ("llama2", "qwen", "gemma")),
    *(("plain", "zoo"), ("dera", "zoo"), ("proxy", "zoo")),
]
QUICK_VOICES = [("plain", "qwen"), ("dera", "llama3")]


def voice(method: str, kind: str, zoo) -> tuple[list[tuple[LanguageModel, float]], LanguageModel]:
    """The models of a mixture with their weights, and one that drafts for it."""
    short, _, kind = kind.rpartition(" ")
    context = 64 if short else real.CONTEXT
    if kind == "zoo":
        large = zoo("a-large-chat" if method == "plain" else "a-large-base")
        small = [zoo("a-small-chat"), zoo("a-small-base")]
    else:
        large = real.model(kind, context=context)
        small = [real.twin(kind, i, distance=0.1) for i in range(2)]
    if method == "plain":
        return [(large, 1.0)], small[0]
    if method == "dera":
        return [(large, 1 - 0.3), (small[0], 0.3)], small[0]
    return [(large, 1.0), (small[0], 0.7), (small[1], -0.7)], small[0]


@pytest.mark.parametrize("drawn", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize(
    ("method", "kind"),
    [
        pytest.param(
            *each, id=" ".join(each), marks=[pytest.mark.slow] * (each not in QUICK_VOICES)
        )
        for each in VOICES
    ],
)
def test_one_voice_is_exact(zoo, method: str, kind: str, drawn: dict) -> None:
    mixture, small = voice(method, kind, zoo)
    (large, _), *others = mixture
    make = {
        "plain": lambda: functools.partial(Plain, model=large),
        "dera": lambda: functools.partial(
            DeRa, reference=large, aligned=others[0][0], strength=others[0][1]
        ),
        "proxy": lambda: functools.partial(
            ProxyTuning,
            base=large,
            tuned=others[0][0],
            untuned=others[1][0],
            strength=others[0][1],
        ),
    }[method]()
    asked = prompts(
        len(PAIRS) + VOICES.index((method, kind)), short="short" in kind or kind == "zoo"
    )
    length = {"max_new_tokens": 24, **drawn}
    answers = [
        make(draft=draft).complete(
            asked[:count], Generation(draft_length=6, batch_size=size, **length)
        )
        for draft in (None, "prompt-lookup", small)
        for size, count in ((8, len(asked)), (1, ALONE))
    ]
    told = []
    for i, (conversation, expected) in enumerate(zip(asked, answers[0], strict=True)):
        parts = []
        for each, weight in mixture:
            prompt = each.render(conversation)
            reader(each).foresee(prompt, expected.text)
            parts.append((reader(each), weight, reader(each).tokens(prompt)))
        told.append(oracles.alone(parts, Generation(**length), str(i)))
    for given in answers:
        require_told(given, told[: len(given)])
