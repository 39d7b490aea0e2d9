"""Penalties, min-p and stop strings: as transformers has them, in any batch, with any draft."""

import dataclasses
import itertools

import oracles
import pytest
import torch
from transformers import MinPLogitsWarper, RepetitionPenaltyLogitsProcessor

from trimtab import Conversation, DeRa, Generation, Nudging, Plain
from trimtab.decoding.filters import keep_min_p
from trimtab.decoding.sampling import penalized
from trimtab.methods import Method
from trimtab.tasks import Stories, WordProblems

PENALIZED = Generation(max_new_tokens=24, batch_size=4, repetition_penalty=1.3)


def stories(count: int) -> list[Conversation]:
    return [sample.conversation for sample in Stories().samples(count)]


@pytest.mark.parametrize("p", [0.01, 0.1, 0.6, 1.0])
def test_min_p_equals_transformers(p: float) -> None:
    logits = torch.randn(50, 100, generator=torch.Generator().manual_seed(0)) * 3
    expected = MinPLogitsWarper(min_p=p)(torch.zeros(50, 1), logits)
    assert torch.equal(keep_min_p(logits, p), expected)


@pytest.mark.parametrize("penalty", [0.7, 1.3])
def test_the_penalty_equals_transformers(penalty: float) -> None:
    made = torch.Generator().manual_seed(0)
    logits, said = torch.randn(8, 40, generator=made), torch.randint(40, (8, 30), generator=made)
    expected = RepetitionPenaltyLogitsProcessor(penalty)(said, logits.clone())
    assert torch.equal(penalized(logits, [set(row) for row in said.tolist()], penalty), expected)


@pytest.mark.parametrize("draft", [None, "prompt-lookup", "a-small-sft"])
def test_penalized_greedy_answers_are_those_of_generate(zoo, draft: str | None) -> None:
    model = zoo("a-small-dpo")
    drafts = zoo(draft) if draft and "small" in draft else draft
    asked = stories(4)
    for answer, conversation in zip(
        Plain(model=model, draft=drafts).complete(asked, PENALIZED), asked, strict=True
    ):
        prompt = torch.tensor([model.encode(model.render(conversation))])
        whole = model.weights.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=24,
            do_sample=False,
            repetition_penalty=1.3,
        )
        assert list(answer.token_ids) == whole[0, prompt.shape[1] :].tolist()


@pytest.mark.parametrize("drawn", [{}, {"temperature": 1.2, "min_p": 0.05, "seed": 3}])
def test_a_penalized_mixture_equals_the_oracle(zoo, drawn: dict) -> None:
    reference, aligned = zoo("a-small-sft"), zoo("a-small-dpo")
    generation = dataclasses.replace(PENALIZED, **drawn)
    asked = stories(4)
    dera = DeRa(reference=reference, aligned=aligned, strength=0.5)
    prompts = [reference.encode(reference.render(conversation)) for conversation in asked]
    readers = oracles.Reader(reference), oracles.Reader(aligned)
    expected = [
        oracles.plain([(readers[0], 0.5, prompt), (readers[1], 0.5, prompt)], generation, str(i))
        for i, prompt in enumerate(prompts)
    ]
    for size, draft in ((1, None), (4, "prompt-lookup"), (4, zoo("a-small-chat"))):
        method = dataclasses.replace(dera, draft=draft)
        answers = method.complete(asked, dataclasses.replace(generation, batch_size=size))
        texts = [reference.continuation(p, new) for p, new in zip(prompts, expected, strict=True)]
        assert [answer.text for answer in answers] == texts


def until(text: str, strings: list[str]) -> str:
    """Say a text character by character until it ends with one of the strings; leave that out."""
    for length in range(1, len(text) + 1):
        said = text[:length]
        ended = [string for string in strings if said.endswith(string)]
        if ended:
            return said[: -max(map(len, ended))]
    return text


@pytest.mark.parametrize("sampled", [{}, {"temperature": 1.0, "seed": 2}], ids=["greedy", "drawn"])
@pytest.mark.parametrize("kind", ["plain", "nudging"])
def test_answers_end_before_the_first_stop_string(zoo, kind: str, sampled: dict) -> None:
    method: Method
    if kind == "plain":
        method, asked = Plain(model=zoo("a-small-dpo")), stories(4)
    else:
        method = Nudging(base=zoo("a-large-base"), guide=zoo("b-small-chat"), threshold=0.5)
        asked = [sample.conversation for sample in WordProblems().samples(4)]
    free = Generation(max_new_tokens=24, **sampled)
    whole = method.complete(asked, free)
    texts = [answer.text for answer in whole]
    strings = [[texts[0][9:12], texts[1][4:6]], [texts[2][13:14], texts[3][12:19]], ["\n\n\n~"]]
    for own, size, drafted in itertools.product(strings, (1, 4), (0, 16)):
        generation = dataclasses.replace(
            free, stop_strings=own, batch_size=size, draft_length=drafted
        )
        drafting = method
        if kind == "plain" and drafted:
            drafting = dataclasses.replace(method, draft="prompt-lookup")
        for answer, before in zip(drafting.complete(asked, generation), whole, strict=True):
            expected = until(before.text, own)
            assert answer.text == "".join(span.text for span in answer.trace) == expected
            stopped = expected != before.text
            assert answer.stop_reason == ("stop_string" if stopped else before.stop_reason)
            assert not answer.token_ids or (
                answer.token_ids == before.token_ids[: len(answer.token_ids)]
            )


def test_nudging_takes_no_penalty(zoo) -> None:
    nudging = Nudging(base=zoo("a-large-base"), guide=zoo("a-small-chat"))
    with pytest.raises(ValueError, match=r"repetition_penalty=1.3: nudging takes none"):
        nudging.complete(["What is 1 + 2?"], PENALIZED)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("min_p", -0.1),
        ("min_p", 1.5),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", float("inf")),
        ("stop_strings", "###"),
        ("stop_strings", [""]),
        ("stop_strings", [3]),
    ],
)
def test_settings_out_of_range_are_refused_by_name(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"{setting}=.*: accepted (are|is)"):
        Generation(**{setting: value})
