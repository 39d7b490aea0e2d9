"""A token map, against tokens spelled byte by byte and edit distances of all pairs of them."""

import itertools
import random

import oracles
import pytest
from decoding import real_tokenizers

from trimtab.models.token_bytes import TokenBytes
from trimtab.models.token_map import RULED_OUT, UNMATCHED, TokenMap

NAMES = ["a-small-chat", "b-small-chat", *real_tokenizers.KINDS]
PAIRS = [
    ("a-small-chat", "b-small-chat"),
    ("b-small-chat", "a-small-chat"),
    ("gpt2", "gemma"),
    ("gemma", "gpt2"),
    ("llama2", "qwen"),
    ("llama3", "t5"),
]


def model_of(zoo, name: str):
    return real_tokenizers.model(name) if name in real_tokenizers.KINDS else zoo(name)


def tokens_of(zoo, name: str) -> TokenBytes:
    return model_of(zoo, name).token_bytes


def distance(one: bytes, other: bytes) -> int:
    """Levenshtein's, by its recurrence."""
    before = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        row = [i]
        for j, right in enumerate(other, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (left != right)))
        before = row
    return before[-1]


@pytest.mark.parametrize("name", NAMES)
def test_tokens_are_their_bytes_in_mid_text(zoo, name: str) -> None:
    model, found = model_of(zoo, name), tokens_of(zoo, name)
    spelling = oracles.Spelling(model.tokenizer)
    signs = oracles.signs_of(model.tokenizer) | model.stop_tokens
    for i, word in enumerate(found.spelled):
        if i in signs:
            assert word is None and any(i in ids for ids in found.signs.values())
        else:
            stands_for = spelling._stands_for[i]
            expected = stands_for.encode() if isinstance(stands_for, str) else stands_for
            assert word == expected, model.tokenizer.convert_ids_to_tokens(i)
    assert found.signs["end"] == model.stop_tokens


@pytest.mark.parametrize("name", NAMES)
def test_tokens_of_a_text_join_to_its_bytes(zoo, name: str) -> None:
    model, found = model_of(zoo, name), tokens_of(zoo, name)
    for line in real_tokenizers.TEXT.splitlines():
        tokens = model.codec.encode_bare("a" + line)
        words = [found.spelled[i] for i in tokens]
        if None not in words and model.tokenizer.unk_token_id not in tokens:
            assert b"".join(words).decode().strip() == model.codec.decode(tokens).strip()


@pytest.mark.slow
@pytest.mark.parametrize(("target", "other"), PAIRS)
def test_a_token_maps_to_the_nearest_of_which_one_begins_with_the_other(
    zoo, target: str, other: str
) -> None:
    own, others = tokens_of(zoo, target), tokens_of(zoo, other)
    found = TokenMap(own, others)
    words = [(i, word) for i, word in enumerate(others.spelled) if word]
    matches = set()
    for i, word in enumerate(own.spelled):
        nearest, match = found.nearest()[i], found.matches[i]
        if not word:
            continue
        matches.add(match)
        kin = [w for _, w in words if w.startswith(word) or word.startswith(w)]
        if not kin:
            assert (nearest, match) == (-1, "none")
            continue
        near = others.spelled[nearest]
        assert near in kin
        assert distance(word, near) == min(distance(word, each) for each in set(kin))
        assert match == ("exact" if near == word else "prefix")
    assert {"exact", "prefix"} <= matches


@pytest.mark.parametrize(("target", "other"), PAIRS)
def test_signs_map_by_role_and_texts_by_nothing_else(zoo, target: str, other: str) -> None:
    own, others = tokens_of(zoo, target), tokens_of(zoo, other)
    classes = TokenMap(own, others).classes()
    ends = {classes.target[i] for i in own.signs["end"]}
    assert ends == {classes.other[i] for i in others.signs["end"]}
    assert len(ends) == 1 and UNMATCHED not in ends
    for side, tokens in ((classes.target, own), (classes.other, others)):
        texts = {number for number, word in zip(side, tokens.spelled, strict=True) if word}
        assert not texts & ends


@pytest.mark.parametrize(("target", "other"), PAIRS)
def test_classes_hold_what_stands_for_the_same(zoo, target: str, other: str) -> None:
    """A class is one word of the other, all that maps to it, and all that only it begins."""
    own, others = tokens_of(zoo, target), tokens_of(zoo, other)
    found = TokenMap(own, others)
    classes = found.classes()
    word_of: dict[int, bytes] = {}
    for i, word in enumerate(own.spelled):
        if found.nearest()[i] < 0:
            assert classes.target[i] == UNMATCHED
        elif word:
            near = others.spelled[found.nearest()[i]]
            assert word_of.setdefault(classes.target[i], near) == near
    assert len(word_of) == len(set(word_of.values()))
    said = {word: classes.target[i] for i, word in enumerate(own.spelled) if word}
    for i, word in enumerate(others.spelled):
        if not word:
            continue
        if word in word_of.values():
            assert word_of[classes.other[i]] == word
        else:
            begun = [w for w in (word[:n] for n in range(1, len(word) + 1)) if w in said]
            assert classes.other[i] == (said[begun[-1]] if begun else UNMATCHED)
    assert classes.count == 2 + len({*classes.target, *classes.other} - {UNMATCHED, RULED_OUT})


def test_a_vocabulary_maps_to_itself_token_by_token(zoo) -> None:
    for name in NAMES:
        own = tokens_of(zoo, name)
        found = TokenMap(own, own)
        classes = found.classes()
        assert list(classes.target) == list(classes.other)
        for one, other in itertools.combinations(range(len(own.spelled)), 2):
            if classes.target[one] == classes.target[other] != UNMATCHED:
                same_role = any({one, other} <= ids for ids in own.signs.values())
                assert same_role or own.spelled[one] == own.spelled[other]


def test_an_exact_map_leaves_out_what_has_other_bytes(zoo) -> None:
    own, others = tokens_of(zoo, "a-small-chat"), tokens_of(zoo, "b-small-chat")
    found = TokenMap(own, others, "exact")
    assert set(found.matches) == {"exact", "role", "none"}
    shared = {w for w in own.spelled if w} & {w for w in others.spelled if w}
    assert {own.spelled[i] for i, m in enumerate(found.matches) if m == "exact"} == shared
    classes = found.classes()
    assert {others.spelled[i] for i, c in enumerate(classes.other) if c != UNMATCHED} - {
        None
    } == shared


@pytest.mark.parametrize(("target", "other"), [("gpt2", "gemma"), ("gemma", "gpt2")])
def test_within_a_character_tokens_are_compared_by_what_stands_there_then(
    zoo, target: str, other: str
) -> None:
    own, others = tokens_of(zoo, target), tokens_of(zoo, other)
    found = TokenMap(own, others)
    characters = ["é", "ß", "你", "😀", "я"]
    for character in characters:
        whole = character.encode()
        for cut in range(1, len(whole)):
            pending = whole[:cut]
            classes = found.classes(pending)
            for i, word in enumerate(others.spelled):
                if word:
                    goes_on = word.startswith(pending) or pending.startswith(word)
                    assert (classes.other[i] == RULED_OUT) == (not goes_on)
            for i, word in enumerate(own.spelled):
                continues = bool(word) and 0x80 <= word[0] < 0xC0
                if word and not continues:
                    assert classes.target[i] == UNMATCHED
                elif word and pending + word in others.ids:
                    assert classes.target[i] == classes.other[others.ids[pending + word]]


def test_maps_are_the_same_each_time(zoo) -> None:
    own, others = tokens_of(zoo, "gemma"), tokens_of(zoo, "qwen")
    one, other = TokenMap(own, others), TokenMap(own, others)
    pending = random.Random(0).choice([b"\xf0\x9f", b"\xc3"])
    assert one.nearest() == other.nearest() and one.classes(pending) == other.classes(pending)
