"""Nudging's rules, one by one, with replies scripted by hand.

The cases are those that the authors' released API code was found to decide in a way of its own.
Each speaker's model is a table from the text so far to what it says next; nothing is sampled.
"""

from collections.abc import Mapping, Sequence

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from trimtab import Completion, Generation, LanguageModel
from trimtab.decoding.batching import decode
from trimtab.decoding.handoff import Rules, nudge
from trimtab.decoding.predictor import Answer, Cursor, Prediction, Request

END = "<end>"
Said = tuple[str, float]  # the next piece, and its probability


def scripted_model(name: str) -> LanguageModel:
    """A model whose tokens are single characters, so that scripts can say anything."""
    letters = [chr(i) for i in range(32, 127)] + ["\n"]
    vocabulary = {END: 0} | {letter: i + 1 for i, letter in enumerate(letters)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token=END))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    inner.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=END)

    class Weights:
        config = type("Config", (), {"max_position_embeddings": 10_000})()
        generation_config = None

        def eval(self) -> "Weights":
            return self

    Weights.config.get_text_config = lambda: Weights.config
    return LanguageModel.of(Weights(), tokenizer, prompt="plain", name=name)


class ScriptedPredictor:
    """Says what a table maps the answer so far to; the longest text that it ends with decides.

    What it says is also what it finds most likely, but after some texts that is the end.
    """

    def __init__(self, name: str, script: Mapping[str, Said], likely_ends: Sequence[str]) -> None:
        self.name = name
        self.models = {name: scripted_model(name)}
        self.script = script
        self.likely_ends = tuple(likely_ends)

    size = 0

    def predict(self, requests: Sequence[Request]) -> list[list[Prediction]]:
        model = self.models[self.name]
        return [[self.reply(model.tokenizer.decode(r.tokens(self.name)))] for r in requests]

    def forward_passes(self) -> dict[str, int]:
        return {}

    def reply(self, text: str) -> Prediction:
        """Return the next character after `text`: within a scripted piece, or its first."""
        best = None
        for start, (piece, probability) in self.script.items():
            for said in range(len(piece) if piece != END else 1):
                here = start + ("" if piece == END else piece[:said])
                if text.endswith(here) and (best is None or len(here) > best[0]):
                    letter = piece if piece == END else piece[said]
                    best = (len(here), letter, probability if said == 0 else 1.0)
        assert best, f"{self.name} has no line after {text!r}"
        token = self.models[self.name].vocabulary[best[1]]
        top = self.models[self.name].vocabulary[END] if text.endswith(self.likely_ends) else token
        return Prediction(token, top, best[2])


def play(
    base: Mapping[str, Said],
    guide: Mapping[str, Said],
    *,
    budget: int = 200,
    likely_ends: Sequence[str] = (),
    **rules: object,
) -> Completion:
    """Let the two scripts make one answer; `>` is the prompt of both."""
    settings = {
        "threshold": 0.4,
        "agreement": True,
        "boundary": "space",
        "stop": "guide",
        "lookahead": 16,
        "repetition_guard": True,
    }
    predictors = {
        "base": ScriptedPredictor("base", base, likely_ends),
        "guide": ScriptedPredictor("guide", guide, ()),
    }
    cursors = {
        name: Cursor(
            each, slot=0, sample_id="0", prompts={name: each.models[name].encode(">")}, seed=0
        )
        for name, each in predictors.items()
    }
    generation = Generation(max_new_tokens=budget, draft_length=0, batch_size=1)
    prompts = {"base": ">", "guide": ">"}

    def start(slots: Sequence[int]) -> dict[int, Answer]:
        return {slots[0]: nudge(cursors, prompts, generation, Rules(**(settings | rules)))}

    ((_, completion),) = decode([start], list(predictors.values()), batch_size=1)
    return completion


def spoken(answer: Completion) -> list[tuple[str, str]]:
    """Turns, letters joined."""
    turns: list[tuple[str, str]] = []
    for span in answer.trace:
        if turns and turns[-1][0] == span.speaker:
            turns[-1] = (span.speaker, turns[-1][1] + span.text)
        else:
            turns.append((span.speaker, span.text))
    return turns


def test_an_end_within_the_lookahead_is_accepted_whole() -> None:
    answer = play({}, {">": ("All done now.", 1.0), ".": (END, 1.0)})
    assert (answer.text, answer.stop_reason) == ("All done now.", "guide")
    assert answer.work["base"].passes == 0


def test_the_first_word_is_always_the_guides_and_a_sure_base_takes_over_at_the_space() -> None:
    answer = play(
        {"Let": (" it be so", 0.9), "so": ("?", 0.1)},
        {">": ("Let us sing along now", 1.0), "so": (" end", 1.0), "end": (END, 1.0)},
    )
    assert spoken(answer) == [("guide", "Let"), ("base", " it be so"), ("guide", " end")]


@pytest.mark.parametrize(("probability", "taken"), [(0.4, True), (0.3999, False)])
def test_a_probability_equal_to_the_threshold_is_sure(probability: float, taken: bool) -> None:
    answer = play(
        {"One": (" base", probability), "base": ("!", 0.1), "two": ("x", 0.0), "three": ("x", 0.0)},
        {
            ">": ("One two three four", 1.0),
            "base": (END, 1.0),
            "two": (" three four five", 1.0),
            "three": (END, 1.0),
        },
        agreement=False,
        budget=12,
    )
    assert (("base", " base") in spoken(answer)) is taken


def test_an_unsure_base_that_agrees_takes_over() -> None:
    """Its first token begins the guide's next word, leading space included."""
    base = {"One": (" two base", 0.1), "base": ("!", 0.1)}
    guide = {">": ("One two three four", 1.0), "base": (END, 1.0), "two": (" three", 1.0)}
    assert spoken(play(base, guide))[1][0] == "base"
    # Unsure and in disagreement, the next word stays the guide's; without its space no word agrees.
    for other in ("x", "two"):
        base = {"One": (other, 0.1), "One two": (" base", 0.9), "base": ("!", 0.1)}
        assert spoken(play(base, guide))[0] == ("guide", "One two")


def test_the_bases_end_only_ends_its_turn() -> None:
    answer = play(
        {"Yes": (" sir", 0.9), "sir": (END, 0.9)},
        {">": ("Yes it is all true", 1.0), "sir": (" bye", 1.0), "bye": (END, 1.0)},
    )
    assert (answer.text, answer.stop_reason) == ("Yes sir bye", "guide")


def test_with_stop_speaker_the_bases_end_ends_the_answer() -> None:
    answer = play(
        {"Yes": (" sir", 0.9), "sir": (END, 0.9)},
        {">": ("Yes it is all true", 1.0), "sir": (" bye", 1.0), "bye": (END, 1.0)},
        stop="speaker",
    )
    assert (answer.text, answer.stop_reason) == ("Yes sir", "base")


def test_a_base_that_ends_at_once_leaves_the_next_word_to_the_guide() -> None:
    answer = play(
        {"Yes": (END, 0.9), "it": (" base", 0.9), "base": ("!", 0.0)},
        {
            ">": ("Yes it is all true", 1.0),
            "Yes": (" it is all true now", 1.0),
            "base": (END, 1.0),
        },
    )
    assert spoken(answer) == [("guide", "Yes it"), ("base", " base")]


def test_a_newline_is_no_boundary_unless_asked_for() -> None:
    base = {"Step": ("\nbase", 0.9), "One": (" base", 0.9), "base": ("!", 0.0)}
    guide = {">": ("Step\nOne two three", 1.0), "base": (END, 1.0)}
    assert spoken(play(base, guide))[0] == ("guide", "Step\nOne")
    assert spoken(play(base, guide, boundary="whitespace"))[0] == ("guide", "Step")


def test_a_chunk_without_a_space_is_accepted_whole_and_the_base_not_asked() -> None:
    answer = play(
        {"z": (" base", 0.9), "base": ("!", 0.0)},
        {">": ("abcdefghijklmnopqrstuvwxyz and so on", 1.0), "base": (END, 1.0)},
    )
    assert spoken(answer) == [("guide", "abcdefghijklmnopqrstuvwxyz"), ("base", " base")]


def test_the_last_word_of_a_chunk_is_read_again_and_never_cut() -> None:
    """The lookahead ends inside "bananas"; a base that is never sure leaves it whole."""
    answer = play(
        {w: ("~", 0.0) for w in ("We", "eat", "many", "bananas", "all", "day")},
        {">": ("We eat many bananas all day long", 1.0), "long": (END, 1.0)},
    )
    assert answer.text == "We eat many bananas all day long"
    assert {speaker for speaker, _ in spoken(answer)} == {"guide"}


def test_a_guide_that_says_the_same_four_times_is_stopped() -> None:
    """Three times in a row are kept; the fourth is not."""
    base = {"no": (".", 0.9), ".": ("!", 0.0)}
    guide = {">": (" no, it is not so at all", 1.0), ".": (" no, it is not so at all", 1.0)}
    base |= {"no,": (".", 0.9)}
    answer = play(base, guide)
    assert (answer.text, answer.stop_reason) == (" no,." * 3, "repetition")
    unguarded = play(base, guide, repetition_guard=False, budget=60)
    assert unguarded.stop_reason == "length"


def test_a_turn_of_the_base_that_repeats_itself_is_ended() -> None:
    """The second sixteen tokens say again what the first did, so they are not kept."""
    base = {"Go": (" abcdefghijklmno", 0.9), "o abcdefghijklmno": (" abcdefghijklmno", 0.9)}
    guide = {">": ("Go on and on and on", 1.0), "mno": (END, 1.0)}
    answer = play(base, guide, agreement=False)
    assert (answer.text, answer.stop_reason) == ("Go abcdefghijklmno", "guide")


def test_a_piece_that_the_answer_holds_is_taken_back() -> None:
    """Six words up to the first token that is unsure, where the whole piece is longer."""
    base = {">a b c d e f": (" a b c d e f", 0.9), " f a b c d e f": (" g", 0.1)}
    base |= {letter: ("~", 0.0) for letter in ("a", " b", " c", " d", " e")}
    guide = {">": ("a b c d e f x y z", 1.0), "z": (END, 1.0)}
    answer = play(base, guide, agreement=False, lookahead=17)
    # The first token of a turn, here a space, is kept.
    assert spoken(answer) == [("guide", "a b c d e f"), ("base", " "), ("guide", "x y z")]
    guide |= {" f a b c d e f": (END, 1.0)}
    for other in ({"repetition_guard": False}, {"version": "blocks"}):
        free = play(base, guide, agreement=False, lookahead=17, **other)
        assert free.text == "a b c d e f a b c d e f"


def test_what_a_turn_holds_is_not_said_in_it_again_however_short() -> None:
    """The second piece is all that the base says before its end: a mark that the turn holds."""
    base = {"Go": (" a.bcdefghijklmn", 0.9), "klmn": (".", 0.9), "n.": (END, 0.9)}
    guide = {">": ("Go on and on and on", 1.0), "klmn": (END, 1.0), "klmn.": (END, 1.0)}
    assert play(base, guide, agreement=False).text == "Go a.bcdefghijklmn"
    assert play(base, guide, agreement=False, version="blocks").text == "Go a.bcdefghijklmn."
    # What follows the first unsure token belongs to the piece, which is then more than the mark.
    base |= {"n.": ("pqrst", 0.1)}
    assert play(base, guide, agreement=False).text == "Go a.bcdefghijklmn."


def test_of_several_spaces_the_last_is_the_next_words() -> None:
    """The base is asked after "Well ", not after "Well"."""
    base = {"Well": ("! fish swim", 0.9), "Well ": (" elk run", 0.9)}
    base |= {"swim": ("!", 0.0), "run": ("!", 0.0)}
    guide = {">": ("Well  then it is", 1.0), "swim": (END, 1.0), "run": (END, 1.0)}
    assert play(base, guide, agreement=False).text == "Well  elk run"
    assert play(base, guide, agreement=False, version="blocks").text == "Well! fish swim"


def test_before_a_lone_space_at_the_chunks_end_the_base_is_not_asked() -> None:
    """A guide whose space is a token of its own says the number that follows it, too."""
    base = {word: ("~", 0.0) for word in ("We", "have", "it")}
    base |= {"now": (" seventy", 0.9), "seventy": ("!", 0.0), "12": (".", 0.9), ".": ("!", 0.0)}
    guide = {">": ("We have it now 12 and so on it goes", 1.0)}
    guide |= {"seventy": (END, 1.0), ".": (END, 1.0)}
    answer = play(base, guide, agreement=False, lookahead=15)
    assert spoken(answer) == [("guide", "We have it now 12"), ("base", ".")]
    assert answer.trace[4].text == " 12" and answer.trace[4].probability is None
    before = play(base, guide, agreement=False, lookahead=15, version="blocks")
    assert spoken(before) == [("guide", "We have it now"), ("base", " seventy")]


def test_the_budget_ends_a_turn_of_the_base() -> None:
    base = {"Go": (" " + "abcdefghijklmnopqrstuvwxyz" * 3, 0.9)}
    answer = play(base, {">": ("Go on and on and on", 1.0)}, budget=30, repetition_guard=False)
    assert (len(answer.text), answer.stop_reason) == (30, "length")


# ------------------------------------------------------------------ ends that were passed over


def test_an_end_of_the_bases_that_the_guide_speaks_on_after_was_suppressed() -> None:
    base = {"Yes": (" sir", 0.9), "sir": (END, 0.9)}
    guide = {">": ("Yes it is all true", 1.0), "bye": (END, 1.0)}
    answer = play(base, guide | {"sir": (" bye", 1.0)})
    assert (answer.text, answer.measures["ends_suppressed"]) == ("Yes sir bye", 1)
    # Where the guide ends as well, and where the base may end, nothing was suppressed.
    for other in (
        play(base, guide | {"sir": (END, 1.0)}),
        play(base, guide | {"sir": (" bye", 1.0)}, stop="speaker"),
    ):
        assert (other.text, other.measures["ends_suppressed"]) == ("Yes sir", 0)


def test_an_unsure_base_is_asked_once_at_each_word() -> None:
    """The chunks are "One two three fo" and " four five six s": a word is read again, not an end.

    The base is asked after each of seven words but the last, where the guide ends, too.
    """
    said = "One two three four five six seven"
    base = {word: (END, 0.1) for word in said.split()}
    answer = play(base, {">": (said, 1.0), "seven": (END, 1.0)})
    assert (answer.text, answer.measures["ends_suppressed"]) == (said, 6)


def test_an_end_that_the_draw_passed_over_was_suppressed_too() -> None:
    base = {"Go": (" on then", 0.9), "then": ("!", 0.0)}
    guide = {">": ("Go and see what is there", 1.0), "then": (END, 1.0)}
    answer = play(base, guide, likely_ends=["on", "then"])
    assert (answer.text, answer.measures["ends_suppressed"]) == ("Go on then", 1)


def test_an_end_within_what_the_guard_takes_back_is_not_of_the_answer() -> None:
    """A turn that the guard ends: of three likely ends, the one behind the cut is taken back."""
    base = {"Go": (" abcdefghijklmno", 0.9), "o abcdefghijklmno": (" abcdefghijklmno", 0.9)}
    guide = {">": ("Go on and on and on", 1.0), "mno": (" and so on it goes", 1.0)}
    base |= {"and": ("!", 0.0), "so": ("!", 0.0), "on": ("!", 0.0), "it": ("!", 0.0)}
    guide |= {"goes": (END, 1.0)}
    ends = ["Go abc", "Go abcdefghijklmno", "no abc"]
    guarded = play(base, guide, agreement=False, likely_ends=ends)
    assert guarded.text == "Go abcdefghijklmno and so on it goes"
    assert guarded.measures["ends_suppressed"] == 2
