"""Methods inside transformers' generate(): equal to generate() itself and to `complete`."""

import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import (
    DynamicCache,
    EosTokenCriteria,
    GenerationConfig,
    LogitsProcessor,
    MaxLengthCriteria,
    MaxTimeCriteria,
    TopKLogitsWarper,
)

from trimtab import (
    AlignmentVector,
    Conversation,
    DeRa,
    Generation,
    LanguageModel,
    Nudging,
    Plain,
    ProxyTuning,
)
from trimtab.tasks import Advice, Stories, WordProblems

README = Path(__file__).parents[2] / "README.md"
LENGTH = 48
GREEDY = Generation(max_new_tokens=LENGTH)


def asked(task: type, count: int) -> list[Conversation]:
    """Questions whose prompts have several lengths."""
    return [sample.conversation for sample in task().samples(count)]


def inputs(model: LanguageModel, conversations: list[Conversation]) -> dict[str, torch.Tensor]:
    rows = [model.encode(model.render(conversation)) for conversation in conversations]
    return model.tokenizer.pad({"input_ids": rows}, padding_side="left", return_tensors="pt")


def texts(model: LanguageModel, tokens_BT: torch.Tensor, prompt: int) -> list[str]:
    """What a user does with the tokens that generate() returns."""
    return model.tokenizer.batch_decode(tokens_BT[:, prompt:], skip_special_tokens=True)


def dera(zoo, strength: float, **options) -> DeRa:
    return DeRa(
        reference=zoo("a-small-sft"), aligned=zoo("a-small-dpo"), strength=strength, **options
    )


def proxy(zoo, strength: float) -> ProxyTuning:
    return ProxyTuning(
        base=zoo("a-large-base"),
        tuned=zoo("a-small-chat"),
        untuned=zoo("a-small-base"),
        strength=strength,
    )


# ------------------------------------------------------------------ custom_generate


@pytest.mark.parametrize("name", ["a-large-chat", "a-small-base", "b-small-chat"])
@pytest.mark.parametrize("length", [5, LENGTH])
@pytest.mark.slow
def test_plain_is_generate_token_for_token(zoo, name: str, length: int) -> None:
    model = zoo(name)
    batch = inputs(model, asked(WordProblems, 9))
    assert len(set(batch["attention_mask"].sum(dim=1).tolist())) > 3
    expected = model.weights.generate(**batch, max_new_tokens=length)
    for draft in (None, "prompt-lookup"):
        plain = Plain(model=model, draft=draft)
        result = model.weights.generate(**batch, max_new_tokens=length, custom_generate=plain)
        assert result.dtype == torch.long
        assert torch.equal(result, expected)


def test_drafts_by_a_model_change_no_token(zoo) -> None:
    model = zoo("a-large-chat")
    batch = inputs(model, asked(WordProblems, 6))
    plain = Plain(model=model, draft=zoo("a-small-chat"))
    result = model.weights.generate(**batch, max_new_tokens=LENGTH, custom_generate=plain)
    assert torch.equal(result, model.weights.generate(**batch, max_new_tokens=LENGTH))


def test_one_row_without_a_mask_and_a_length_of_the_whole(zoo) -> None:
    model = zoo("a-small-chat")
    row = inputs(model, asked(WordProblems, 1))["input_ids"]
    for told in (
        {"max_length": row.shape[1] + 7},
        {"generation_config": GenerationConfig(max_new_tokens=7)},
        {"max_new_tokens": 30, "stopping_criteria": [MaxLengthCriteria(row.shape[1] + 7)]},
        {"max_new_tokens": 7, "num_beams": 1, "repetition_penalty": 1.0, "min_p": None},
        {"max_new_tokens": 7, "use_cache": False, "output_scores": True},
    ):
        expected = model.weights.generate(row, **told)
        result = model.weights.generate(row, **told, custom_generate=Plain(model=model))
        assert torch.equal(result, expected)


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.slow
def test_a_mixture_is_complete_on_any_of_its_models(zoo, sampled: bool) -> None:
    told = {"do_sample": True, "temperature": 0.9, "top_p": 0.9, "seed": 3} if sampled else {}
    generation = Generation(
        max_new_tokens=LENGTH,
        **({"temperature": 0.9, "top_k": 50, "top_p": 0.9, "seed": 3} if sampled else {}),
    )
    vector = AlignmentVector(base=zoo("a-small-sft"), aligned=zoo("a-small-expert"), strength=0.5)
    for method, task in (
        (dera(zoo, 0.5), Stories),
        (dera(zoo, 0.5, draft="prompt-lookup"), Stories),
        (proxy(zoo, 0.7), WordProblems),
        (vector, Advice),
    ):
        first, *others = method.all_models.values()
        conversations = asked(task, 6)
        batch = inputs(first, conversations)
        prompt = batch["input_ids"].shape[1]
        if isinstance(method, ProxyTuning):  # its models render a conversation differently
            same = {
                role: LanguageModel.of(m.weights, m.tokenizer, prompt="plain", name=m.path)
                for role, m in method.all_models.items()
            }
            expected = ProxyTuning(**same, strength=method.strength).complete(
                conversations, generation
            )
        else:
            expected = method.complete(conversations, generation)
        for model in (first, others[-1]):
            result = model.weights.generate(
                **batch, **told, max_new_tokens=LENGTH, custom_generate=method
            )
            assert torch.equal(result[:, :prompt], batch["input_ids"])
            assert texts(first, result, prompt) == [answer.text for answer in expected]


@pytest.mark.slow
@pytest.mark.parametrize("guide_name", ["a-small-chat", "b-small-chat"])
def test_nudging_is_complete(zoo, guide_name: str) -> None:
    base, guide = zoo("a-large-base"), zoo(guide_name)
    nudging = Nudging(base=base, guide=guide, threshold=0.4)
    conversations = asked(WordProblems, 8)
    expected = nudging.complete(conversations, Generation(max_new_tokens=200))
    batch = inputs(base, conversations)
    prompt = batch["input_ids"].shape[1]
    for told in ({}, {"guide_prompts": [guide.render(asked) for asked in conversations]}):
        result = base.weights.generate(**batch, max_new_tokens=200, custom_generate=nudging, **told)
        assert torch.equal(result[:, :prompt], batch["input_ids"])
        assert texts(base, result, prompt) == [answer.text for answer in expected]
        for row, answer in zip(result[:, prompt:].tolist(), expected, strict=True):
            assert (base.tokenizer.eos_token_id in row) == (answer.stop_reason == "guide")


def test_nudging_takes_the_prompts_of_its_guide(zoo) -> None:
    """A base that is never sure leaves all to the guide, who then answers its own prompts."""
    base, guide = zoo("a-large-base"), zoo("a-small-chat")
    nudging = Nudging(base=base, guide=guide, threshold=2.0, agreement=False)
    conversations = asked(WordProblems, 3)
    batch = inputs(base, conversations)
    prompt = batch["input_ids"].shape[1]
    others = asked(WordProblems, 6)[3:]
    told = {"custom_generate": nudging, "max_new_tokens": 200}
    prompts = [guide.render(conversation) for conversation in others]
    result = base.weights.generate(**batch, **told, guide_prompts=prompts)
    expected = Plain(model=guide).complete(others, Generation(max_new_tokens=200))
    assert texts(base, result, prompt) == [answer.text for answer in expected]
    with pytest.raises(ValueError, match=r"guide_prompts=.*a list of 3 texts"):
        base.weights.generate(**batch, **told, guide_prompts=prompts[:2])


def test_nudging_keeps_to_the_length(zoo) -> None:
    base = zoo("a-large-base")
    nudging = Nudging(base=base, guide=zoo("a-small-chat"))
    conversations = asked(WordProblems, 3)
    batch = inputs(base, conversations)
    prompt = batch["input_ids"].shape[1]
    result = base.weights.generate(**batch, custom_generate=nudging, max_new_tokens=9)
    assert result.shape == (3, prompt + 9)
    expected = nudging.complete(conversations, Generation(max_new_tokens=9))
    for text, answer in zip(texts(base, result, prompt), expected, strict=True):
        assert answer.text.startswith(text)


def test_prompts_of_nudging_are_whole_texts(zoo) -> None:
    base = zoo("b-small-base")  # begins its prompts with <s>
    nudging = Nudging(base=base, guide=zoo("a-small-chat"))
    row = torch.tensor([base.encode("How many pens?\n")])
    assert row[0, 0] == base.tokenizer.bos_token_id
    told = {"custom_generate": nudging, "max_new_tokens": 9}
    (expected,) = nudging.complete(["How many pens?"], Generation(max_new_tokens=9))
    (text,) = texts(base, base.weights.generate(row, **told), row.shape[1])
    assert expected.text.startswith(text)
    with pytest.raises(ValueError, match="Row 0 of input_ids is not what the tokenizer of"):
        base.weights.generate(row[:, 1:], **told)


def test_a_prompt_stays_as_given_where_a_token_would_span_it_and_the_answer(zoo) -> None:
    base = zoo("a-large-base")
    nudging = Nudging(base=base, guide=zoo("a-small-chat"))
    (conversation,) = asked(WordProblems, 1)
    text = base.render(conversation).strip() + " "
    row = base.encode(text)
    assert base.encode(text + "Let's")[: len(row)] != row
    guide_prompts = [nudging.guide.render(conversation)]
    result = base.weights.generate(
        torch.tensor([row]),
        custom_generate=nudging,
        guide_prompts=guide_prompts,
        max_new_tokens=128,
    )
    assert result[0, : len(row)].tolist() == row
    assert texts(base, result, len(row))[0].startswith("Let's")


class Nothing(LogitsProcessor):
    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return scores


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"num_beams": 2}, "num_beams=2"),
        ({"num_return_sequences": 2, "do_sample": True}, "num_return_sequences=2"),
        ({"repetition_penalty": 1.3}, r"repetition_penalty=1\.3"),
        ({"no_repeat_ngram_size": 3}, "no_repeat_ngram_size=3"),
        ({"bad_words_ids": [[5]]}, r"bad_words_ids=\[\[5\]\]"),
        ({"suppress_tokens": [5]}, r"suppress_tokens=\[5\]"),
        ({"min_new_tokens": 3}, "min_new_tokens=3"),
        ({"min_p": 0.1, "do_sample": True}, r"min_p=0\.1"),
        ({"typical_p": 0.5, "do_sample": True}, r"typical_p=0\.5"),
        ({"return_dict_in_generate": True}, "return_dict_in_generate=True"),
        ({"prompt_lookup_num_tokens": 3}, "prompt_lookup_num_tokens=3"),
        ({"guidance_scale": 1.5}, r"guidance_scale=1\.5"),
        ({"max_time": 9.0}, r"max_time=9\.0"),
        ({"eos_token_id": 7}, r"eos_token_id=\[7\] in place of \[0\]"),
        ({"stopping_criteria": [MaxTimeCriteria(9.0)]}, "stopping_criteria MaxTimeCriteria"),
        ({"stopping_criteria": [EosTokenCriteria(7)]}, r"eos_token_id=\[7\]"),
        ({"logits_processor": [Nothing()]}, "logits_processor Nothing"),
        ({"logits_processor": [TopKLogitsWarper(3)]}, "logits_processor TopKLogitsWarper"),
        (
            {"logits_processor": [TopKLogitsWarper(3)], "do_sample": True, "temperature": 0.5},
            "logits_processor TopKLogitsWarper",
        ),
        ({"prefix_allowed_tokens_fn": lambda *_: [5]}, "PrefixConstrainedLogitsProcessor"),
        ({"inputs_embeds": torch.zeros(1, 3, 8)}, "inputs_embeds"),
        ({"position_ids": torch.arange(5, 12)[None]}, "position_ids"),
        ({"attention_mask": torch.tensor([[0, 1, 0, 1, 1, 1, 1]])}, "attention_mask"),
        ({"attention_mask": torch.zeros(1, 7, dtype=torch.long)}, "attention_mask"),
    ],
)
def test_what_would_be_ignored_is_refused_by_name(zoo, told: dict, named: str) -> None:
    model = zoo("a-small-sft")
    row = torch.arange(40, 47)[None]
    for method in (Plain(model=model), Nudging(base=model, guide=zoo("a-small-chat"))):
        with pytest.raises(ValueError, match=named):
            model.weights.generate(input_ids=row, max_new_tokens=4, custom_generate=method, **told)


def test_a_text_that_is_in_a_cache_is_refused(zoo) -> None:
    model = zoo("a-small-sft")
    row = torch.arange(40, 47)[None]
    cache = DynamicCache(config=model.weights.config)
    model.weights(row, past_key_values=cache)
    with pytest.raises(ValueError, match="past_key_values that are not empty"):
        model.weights.generate(
            torch.cat([row, row], dim=1),
            past_key_values=cache,
            max_new_tokens=4,
            custom_generate=Plain(model=model),
        )


def test_only_the_models_of_a_method_are_accepted(zoo) -> None:
    row = torch.arange(40, 47)[None]
    base, guide = zoo("a-large-base"), zoo("a-small-chat")
    with pytest.raises(ValueError, match=r"base\.weights \(zoo:a-large-base\)"):
        guide.weights.generate(
            row, max_new_tokens=4, custom_generate=Nudging(base=base, guide=guide)
        )
    with pytest.raises(ValueError, match=r"reference\.weights .* or aligned\.weights"):
        guide.weights.generate(row, max_new_tokens=4, custom_generate=dera(zoo, 0.5))
    with pytest.raises(ValueError, match="guide_prompts"):
        guide.weights.generate(
            row, max_new_tokens=4, custom_generate=Plain(model=guide), guide_prompts=["Hello"]
        )


# ------------------------------------------------------------------ logits_processor


@pytest.mark.parametrize("on", ["reference", "aligned"])
def test_dera_as_a_processor_is_complete(zoo, on: str) -> None:
    method = dera(zoo, 0.5)
    processor = method.logits_processor(on)
    model = method.all_models[on]
    for count in (4, 9, 2, 9):  # one processor, for batches that grow and shrink
        conversations = asked(Stories, 9)[-count:]
        batch = inputs(model, conversations)
        result = model.weights.generate(
            **batch, max_new_tokens=LENGTH, logits_processor=[processor]
        )
        expected = [answer.text for answer in method.complete(conversations, GREEDY)]
        assert texts(model, result, batch["input_ids"].shape[1]) == expected


@pytest.mark.parametrize("on", ["base", "tuned", "untuned"])
def test_proxy_tuning_as_a_processor_is_its_custom_generate(zoo, on: str) -> None:
    method = proxy(zoo, 0.7)
    model = method.all_models[on]
    batch = inputs(method.base, asked(WordProblems, 6))
    told = {**batch, "max_new_tokens": LENGTH}
    result = model.weights.generate(**told, logits_processor=[method.logits_processor(on)])
    assert torch.equal(result, model.weights.generate(**told, custom_generate=method))


@pytest.mark.parametrize("on", ["reference", "aligned"])
@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize(("strength", "name"), [(0.0, "a-small-sft"), (1.0, "a-small-dpo")])
def test_a_processor_at_its_ends_is_one_of_its_models(
    zoo, on: str, beams: int, strength: float, name: str
) -> None:
    """Beams too: they are reordered at each step, and add up log-probabilities."""
    method = dera(zoo, strength)
    model = method.all_models[on]
    batch = inputs(model, asked(Stories, 5))
    told = {"max_new_tokens": 32, "num_beams": beams, "num_return_sequences": beams}
    result = model.weights.generate(**batch, **told, logits_processor=[method.logits_processor(on)])
    assert torch.equal(result, zoo(name).weights.generate(**batch, **told))


def test_a_processor_reads_only_what_is_new(zoo) -> None:
    method = dera(zoo, 0.5)
    batch = inputs(method.reference, asked(Stories, 3))
    read = []
    forward = method.aligned.weights.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    try:
        method.reference.weights.generate(
            **batch, max_new_tokens=8, logits_processor=[method.logits_processor("reference")]
        )
    finally:
        forward.remove()
    assert read[-7:] == [1] * 7


def test_padding_may_be_the_end_token(zoo) -> None:
    method = dera(zoo, 0.5)
    model = method.reference
    eos = model.tokenizer.eos_token_id
    conversations = asked(Stories, 5)
    batch = inputs(model, conversations)
    batch["input_ids"][batch["attention_mask"] == 0] = eos
    processor = method.logits_processor("reference", pad_token_id=eos)
    result = model.weights.generate(
        **batch, max_new_tokens=LENGTH, pad_token_id=eos, logits_processor=[processor]
    )
    expected = [answer.text for answer in method.complete(conversations, GREEDY)]
    assert texts(model, result, batch["input_ids"].shape[1]) == expected


def test_padding_may_be_the_token_that_begins_every_prompt(zoo) -> None:
    base, chat = zoo("b-small-base"), zoo("b-small-chat")
    row = base.encode("How many pens?\n")
    bos = row[0]
    assert bos == base.tokenizer.bos_token_id
    pair = DeRa(reference=base, aligned=chat, strength=1.0)
    processor = pair.logits_processor("reference", pad_token_id=bos)
    expected = chat.weights(torch.tensor([row])).logits[:, -1].log_softmax(-1)
    for padded in (row, [bos, bos, *row]):
        scores = torch.zeros(1, base.vocabulary_size)
        torch.testing.assert_close(processor(torch.tensor([padded]), scores), expected)


def test_logits_beyond_the_vocabulary_are_ruled_out(zoo) -> None:
    method = dera(zoo, 0.25)
    row = torch.arange(40, 47)[None]
    size = method.reference.vocabulary_size
    own, other = (
        model.weights(row).logits[:, -1].detach() for model in (method.reference, method.aligned)
    )
    wide = torch.nn.functional.pad(own, (0, 3), value=9.0)
    wide[0, 5] = -torch.inf  # ruled out before
    for strength, expected in ((0.25, 0.75 * own + 0.25 * other), (1.0, other)):
        expected[0, 5] = -torch.inf
        mixed = dera(zoo, strength).logits_processor("reference")(row, wide)
        assert mixed.shape == wide.shape
        assert mixed[:, size:].isneginf().all()
        torch.testing.assert_close(mixed[:, :size], expected.log_softmax(-1))


def test_a_row_that_has_ended_may_grow_beyond_the_context(zoo) -> None:
    method = dera(zoo, 0.5)
    processor = method.logits_processor("reference")
    longest = method.aligned.context_length
    row = [40 + i % 700 for i in range(longest)]
    scores = torch.zeros(1, method.reference.vocabulary_size)
    eos, pad = method.reference.tokenizer.eos_token_id, method.reference.tokenizer.pad_token_id
    processor(torch.tensor([row]), scores)
    processor(torch.tensor([[*row, eos, pad]]), scores)
    with pytest.raises(ValueError, match=f"{longest + 1} tokens is too long for aligned"):
        processor(torch.tensor([[*row, 40]]), scores)


def test_what_no_processor_can_do_is_refused(zoo) -> None:
    with pytest.raises(ValueError, match=r"on: 'base' is not known.*aligned, reference"):
        dera(zoo, 0.5).logits_processor("base")
    vector = AlignmentVector(base=zoo("a-small-sft"), aligned=zoo("a-small-expert"))
    for method in (Plain(model=zoo("a-small-sft")), vector):
        with pytest.raises(ValueError, match=f"{type(method).__name__} does not mix logits"):
            method.logits_processor("base")
    two = DeRa(reference=zoo("a-small-chat"), aligned=zoo("b-small-chat"))
    with pytest.raises(ValueError, match="do not share a vocabulary"):
        two.logits_processor("reference")
    overflowing = dera(zoo, 1e39)
    with pytest.raises(FloatingPointError, match="The mixture with weights"):
        overflowing.reference.weights.generate(
            torch.arange(40, 47)[None],
            max_new_tokens=4,
            logits_processor=[overflowing.logits_processor("reference")],
        )


# ------------------------------------------------------------------ README


def test_a_method_that_answers_in_its_own_way_is_not_passed_by(zoo) -> None:
    """Its end of an answer, here after the second token, counts as custom_generate too."""

    class Short(DeRa):
        def answer(self, cursors, prompts, generation):
            completion = yield from super().answer(cursors, prompts, generation)
            return dataclasses.replace(completion, token_ids=completion.token_ids[:2])

    method = Short(reference=zoo("a-small-sft"), aligned=zoo("a-small-dpo"))
    given = inputs(method.reference, asked(Stories, 1))
    weights = method.reference.weights
    said = weights.generate(**given, custom_generate=method, max_new_tokens=4)
    assert said.shape[1] == given["input_ids"].shape[1] + 2
    with pytest.raises(ValueError, match=r"Short .*an answer\(\) of its own.* logits processor"):
        method.logits_processor("reference")
