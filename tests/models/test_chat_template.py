"""What is asked is in the prompt, once, whatever a template does; BOS too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from trimtab import Conversation, LanguageModel
from trimtab.lm_eval import chat

ASKED = Conversation(system="Be brief.", question="What is 2 + 3?")
PARTS = (
    "{% for m in messages %}<{{ m.role }}>"
    "{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
TURNS = "{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}"
ENDLESS = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}"
)


def model_with(template: str) -> LanguageModel:
    """A tiny chat model whose tokenizer adds a beginning token, as Llama 2's does."""
    signs = ["<s>", "</s>", "<unk>", "[user]", "[assistant]", "Header", "Hi"]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(signs)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.chat_template = template
    config = LlamaConfig(
        vocab_size=len(signs),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
    )
    return LanguageModel.of(LlamaForCausalLM(config), tokenizer, prompt="chat")


@pytest.mark.parametrize(
    ("opening", "its_own"),
    [
        ("{{ bos_token }}", 1),
        ("\n{{ bos_token }}", 1),
        ("Header {{ bos_token }}", 1),
        ("<s>", 1),
        ("", 0),
    ],
)
def test_the_beginning_token_is_there_exactly_once(opening: str, its_own: int) -> None:
    model = model_with(opening + TURNS)
    messages = [{"role": "user", "content": "Hi"}]
    theirs: Any = model.tokenizer.apply_chat_template(messages, return_dict=False)
    tokens = model.encode(model.render(Conversation(question="Hi")))
    assert list(theirs).count(0) == its_own
    assert tokens.count(0) == 1
    if its_own:  # as the template writes it, which the model was trained on
        assert tokens == list(theirs)


def test_a_question_that_quotes_the_beginning_token_does_not_replace_it() -> None:
    quoted = model_with(TURNS).encode("[user] Hi <s> Hi")
    assert quoted[0] == 0
    assert quoted.count(0) == 2


def test_a_template_that_wants_parts_gets_parts() -> None:
    """A text given as it is would be run through character by character, and write nothing."""
    model = model_with(PARTS)
    assert model.render(ASKED) == "<system>Be brief.<user>What is 2 + 3?<assistant>"
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "It"}]
    assert chat.render(model, messages) == "<user>Hi<assistant>It"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ bos_token }}Answer me.", r"leaves the user's text out of the prompt"),
        ("{% for m in messages if m.role == 'system' %}{{ m.content }}{% endfor %}", "user's text"),
        ("{% for m in messages %}{{ m.text }}{% endfor %}", "user's text"),
        ("{{ messages[9].content.x }}", "fails: .*has no element 9"),
        ("{% if %}", "fails"),
        ("{{ raise_exception('not today') }}", "fails: not today"),
        (ENDLESS, "fails: it ran for more than 1,000,000 steps"),
        ("{{ lipsum(n=99999999) }}", "fails: it ran for more than"),
        ("{{ 9**9**9**9 }}" + TURNS, r"raises numbers to powers \(\*\*\)"),
    ],
)
def test_a_template_that_does_not_ask_is_an_error(template: str, message: str) -> None:
    expected = rf"(?s)The chat template of 'in-memory' .*{message}.*chat_template=<file\.jinja>"
    with pytest.raises(ValueError, match=expected):
        model_with(template).render(ASKED)


def test_stars_that_are_text_are_no_powers() -> None:
    model = model_with("**Chat** {{ '**' }} " + TURNS)
    assert model.render(Conversation(question="Hi")) == "**Chat** ** [user] Hi "


def test_a_template_that_loops_over_its_answers_alone_is_ended_too() -> None:
    """It is good about the words that it is tried with."""
    loops = "{% if 'loop' in messages[-1].content %}" + ENDLESS + "{% endif %}" + TURNS
    model = model_with(loops)
    assert "Hi" in model.render(Conversation(question="Hi"))
    with pytest.raises(ValueError, match="ran for more than"):
        model.render(Conversation(question="loop"))


def test_an_enormous_template_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 1,048,576 characters"):
        model_with("{# " + "x" * (1 << 20) + " #}" + TURNS).render(ASKED)


def test_a_byte_order_mark_is_no_part_of_a_template(tmp_path: Path) -> None:
    file = tmp_path / "chat.jinja"
    file.write_text(TURNS, "utf-8-sig")
    model = LanguageModel(path="zoo:a-small-base", prompt="chat", chat_template=str(file))
    assert model.render(Conversation(question="Hi")) == "[user] Hi "
    file.write_bytes(b"{{ messages }}\xff")
    damaged = LanguageModel(path="zoo:a-small-base", prompt="chat", chat_template=str(file))
    with pytest.raises(ValueError, match=r"chat\.jinja' cannot be read as UTF-8"):
        damaged.render(ASKED)
