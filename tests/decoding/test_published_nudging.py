"""The versions of nudging that its authors published beside their API code, each told slowly."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import oracles
import pytest
from decoding import real_tokenizers as real

from trimtab import Conversation, Generation, LanguageModel, Nudging
from trimtab.methods import NudgingNotebook, NudgingPaper
from trimtab.tasks import Stories, WordProblems

Zoo = Callable[[str], LanguageModel]
VERSIONS = {"api": Nudging, "notebook": NudgingNotebook, "paper": NudgingPaper}
GREEDY = Generation(max_new_tokens=40, batch_size=8)
SAMPLED = dataclasses.replace(GREEDY, temperature=0.9, top_p=0.95, seed=3)


@functools.cache
def reader(model: LanguageModel) -> oracles.Reader:
    return oracles.Reader(model)


@dataclass
class Told:
    """An answer in the making, of two models that read it anew whenever they are asked."""

    nudging: Nudging
    asked: Conversation
    drawn: Generation
    sample_id: str
    text: str = ""
    turns: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        models = {"base": self.nudging.base, "guide": self.nudging.guide}
        self.readers = {name: reader(model) for name, model in models.items()}
        self.prompts = {name: model.render(self.asked) for name, model in models.items()}

    def next(self, name: str, text: str, new: list[int]) -> tuple[int, float]:
        """What a model draws after a text and some tokens of its own, and its top-1 probability."""
        read = self.readers[name]
        tokens = [*read.tokens(self.prompts[name] + text), *new]
        position = len(tokens) - len(read.tokens(self.prompts[name]))
        logits = read.logits(tuple(tokens))
        place = {"sample_id": self.sample_id, "role": name, "position": position}
        return oracles.choose(logits, self.drawn, **place), oracles.surest(logits)[0]

    def length(self, new: tuple[int, ...] = ()) -> int:
        read = self.readers["base"]
        prompt = self.prompts["base"]
        return len(read.tokens(prompt + self.text)) - len(read.tokens(prompt)) + len(new)

    def say(self, name: str, text: str) -> None:
        self.text += text
        if text and self.turns and self.turns[-1][0] == name:
            self.turns[-1] = (name, self.turns[-1][1] + text)
        elif text:
            self.turns.append((name, text))

    def base_speaks(self, is_sure: Callable[[float], bool]) -> str | None:
        """The base's turn, which may end the answer: its first token is one that it is sure of."""
        read, new = self.readers["base"], []
        while True:
            token, top = self.next("base", self.text, new)
            ending = None
            if not is_sure(top):
                break
            if token in read.signs:
                ending = "base" if token in read.ends else None
                break
            if self.length(tuple(new)) >= self.drawn.max_new_tokens:
                ending = "length"
                break
            new.append(token)
        self.say("base", read.text(new))
        return ending


def by_notebook(told: Told) -> str:
    """Sixteen tokens of the guide at a time, verified by the base at once."""

    def is_sure(top: float) -> bool:
        return top > told.nudging.threshold

    guide = told.readers["guide"]
    while True:
        new: list[int] = []
        while len(new) < told.nudging.lookahead:
            token, _ = told.next("guide", told.text, new)
            if token in guide.ends:
                told.say("guide", guide.text(new))
                return "guide"
            new.append(token)
        pieces = [piece for piece, _ in guide.pieces(new)]
        if not pieces:
            return "stalled"
        taken = len(pieces)
        for i in range(1, len(pieces)):
            if pieces[i].startswith(" ") and is_sure(
                told.next("base", told.text + "".join(pieces[:i]), [])[1]
            ):
                taken = i
                break
        told.say("guide", "".join(pieces[:taken]))
        if told.length() >= told.drawn.max_new_tokens:
            return "length"
        if is_sure(told.next("base", told.text, [])[1]) and (ending := told.base_speaks(is_sure)):
            return ending


def by_step(told: Told) -> str:
    """A word of the guide where the base is unsure, and at the opening."""

    def is_sure(top: float) -> bool:
        return top >= told.nudging.threshold

    guide = told.readers["guide"]
    while True:
        new: list[int] = []
        pieces: list[str] = []
        while len(new) <= told.drawn.max_new_tokens:  # longer than the answer is no word
            token, _ = told.next("guide", told.text, new)
            pieces = [piece for piece, _ in guide.pieces([*new, token])]
            if token in guide.ends:
                told.say("guide", guide.text(new))
                return "guide"
            if any(" " in piece for piece in pieces[1:]):
                break  # the next word begins
            new.append(token)
        if not pieces:
            return "stalled"
        ends = next((i for i in range(1, len(pieces)) if " " in pieces[i]), len(pieces))
        told.say("guide", "".join(pieces[:ends]))
        if told.length() >= told.drawn.max_new_tokens:
            return "length"
        if ends == len(pieces):  # the base is asked where a word begins
            continue
        if is_sure(told.next("base", told.text, [])[1]) and (ending := told.base_speaks(is_sure)):
            return ending


def require_told(nudging: Nudging, asked: list[Conversation], drawn: Generation) -> int:
    """Compare answers with those told; return how many turns there were."""
    tell = {"notebook": by_notebook, "paper": by_step}[nudging.rules]
    expected = []
    for i, each in enumerate(asked):
        told = Told(nudging, each, drawn, str(i))
        expected.append((told, tell(told)))
    for draft_length, size in ((0, 1), (0, 8), (16, 8)):
        some = asked if size > 1 else asked[:2]
        sized = dataclasses.replace(drawn, batch_size=size, draft_length=draft_length)
        for got, (told, reason) in zip(nudging.complete(some, sized), expected, strict=False):
            turns: list[tuple[str, str]] = []
            for span in got.trace:
                if turns and turns[-1][0] == span.speaker:
                    turns[-1] = (span.speaker, turns[-1][1] + span.text)
                else:
                    turns.append((span.speaker, span.text))
            assert (got.text, got.stop_reason, turns) == (told.text, reason, told.turns)
    return sum(len(told.turns) for told, _ in expected)


@pytest.mark.parametrize("drawn", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("rules", ["notebook", "paper"])
@pytest.mark.parametrize(
    "threshold",
    [pytest.param(0.2, marks=pytest.mark.slow), 0.6, pytest.param(0.9, marks=pytest.mark.slow)],
)
def test_answers_are_told_alike(zoo: Zoo, rules: str, threshold: float, drawn: Generation) -> None:
    nudging = VERSIONS[rules](
        base=zoo("a-small-sft"), guide=zoo("b-small-chat"), threshold=threshold
    )
    asked = [s.conversation for task in (Stories(), WordProblems()) for s in task.samples(3)]
    assert require_told(nudging, asked, drawn) > 2 * len(asked)


@pytest.mark.slow
@pytest.mark.parametrize("drawn", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("rules", ["notebook", "paper"])
def test_random_models_are_told_alike(rules: str, drawn: Generation) -> None:
    """Bytes that are no character, tokens that are not canonical, one vocabulary."""
    base = real.model("gpt2")
    nudging = VERSIONS[rules](base=base, guide=real.twin("gpt2", distance=0.15), threshold=0.1)
    asked = [Conversation(question=q) for q in ("Köln?", "12 + 30?", "the turns the turns", "{")]
    require_told(nudging, asked, dataclasses.replace(drawn, max_new_tokens=20))


def test_each_version_has_its_own_options_and_answers(zoo: Zoo) -> None:
    base, guide = zoo("a-small-sft"), zoo("b-small-chat")
    asked = [sample.conversation for sample in Stories().samples(6)]
    versions = {
        rules: version(base=base, guide=guide, threshold=0.6) for rules, version in VERSIONS.items()
    }
    assert [each.rules for each in versions.values()] == [*VERSIONS]
    assert versions["api"] == Nudging(base=base, guide=guide, threshold=0.6, agreement=True)
    assert not versions["paper"].agreement and versions["notebook"].lookahead == 16
    texts = [[a.text for a in each.complete(asked, GREEDY)] for each in versions.values()]
    assert len({*map(tuple, texts)}) == 3
    # At the threshold itself the notebook alone finds the base unsure.
    sure = [each.at(1.0).complete(asked[:2], GREEDY) for each in versions.values()]
    assert all({s.speaker for s in a.trace} == {"guide"} for a in sure[1])


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"rules": "moco"}, "rules.*notebook"),
        ({"rules": "notebook", "agreement": True}, "agreement=True.*method=nudging_notebook"),
        ({"rules": "paper"}, "agreement=True.*NudgingPaper"),
        ({"boundary": "token"}, "boundary.*whitespace"),
        ({"lookahead": 0}, "lookahead"),
        ({"agreement": "yes"}, "agreement"),
    ],
)
def test_options_are_refused(settings: dict, named: str) -> None:
    base = LanguageModel(path="zoo:a-small-base", prompt="plain")
    with pytest.raises(ValueError, match=named):
        Nudging(base=base, guide=base, **settings)


def test_a_version_has_no_options_of_another() -> None:
    base = LanguageModel(path="zoo:a-small-base", prompt="plain")
    assert NudgingNotebook(base=base, guide=base, lookahead=4).lookahead == 4
    with pytest.raises(ValueError, match="lookahead"):
        NudgingNotebook(base=base, guide=base, lookahead=0)
    with pytest.raises(ValueError, match="lookahead=16"):
        NudgingPaper(base=base, guide=base, lookahead=16)
    with pytest.raises(ValueError, match="boundary='space'"):
        NudgingPaper(base=base, guide=base, boundary="space")
