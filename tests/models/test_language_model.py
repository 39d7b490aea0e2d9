"""Prompts, tokens and text of a model, and the errors of one that cannot be had."""

import functools
import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from trimtab import Conversation, Generation, LanguageModel, Plain
from trimtab import zoo as embedded
from trimtab.models.content_hash import further_sha256

ASKED = Conversation(
    system="Be brief.",
    context="Subject: sums\n",
    question_prefix="Question: ",
    question="What is 2 + 3?",
    answer_start="It is",
)


def test_a_base_model_reads_plain_text(zoo) -> None:
    expected = "Be brief.\nSubject: sums\nQuestion: What is 2 + 3?\nIt is"
    assert zoo("a-large-base").render(ASKED) == expected
    assert zoo("a-large-base").render(Conversation(question="Hi")) == "Hi\n"


def test_a_chat_model_reads_its_own_template(zoo) -> None:
    for name in ("a-small-chat", "b-small-chat"):
        model = zoo(name)
        messages = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Subject: sums\nQuestion: What is 2 + 3?"},
        ]
        template = model.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        assert model.render(ASKED) == template + "It is"


def test_a_template_without_a_system_role_folds_it_into_the_users_turn(zoo) -> None:
    template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<model>"
    )
    model = LanguageModel(path="zoo:a-small-chat", prompt="chat", chat_template=template)
    assert model.render(ASKED) == (
        "<user>Be brief.\nSubject: sums\nQuestion: What is 2 + 3?<model>It is"
    )


@pytest.mark.parametrize("name", embedded.names())
def test_beginning_of_sequence_is_added_exactly_once(zoo, name: str) -> None:
    model = zoo(name)
    bos = model.tokenizer.bos_token_id
    tokens = model.encode(model.render(ASKED))
    assert tokens.count(bos) == (1 if model.tokenizer("x").input_ids[0] == bos else 0)
    if model.prompt == "plain":
        assert tokens == model.tokenizer(model.render(ASKED)).input_ids


@pytest.mark.parametrize("name", ["a-small-base", "b-small-base"])
def test_pieces_join_to_the_text_and_split_no_character(zoo, name: str) -> None:
    """Emoji and accents take several byte tokens; a cut inside one must not show."""
    model = zoo(name)
    context = model.encode("Question: Où? 😀\n")
    text = "Sí, 😀😃 naïve €5 — 漢字 done."
    tokens = model.encode("Question: Où? 😀\n" + text)[len(context) :]
    pieces = model.pieces(context, tokens)
    assert "".join(piece for piece, _ in pieces) == text
    assert [first for _, first in pieces] == sorted({first for _, first in pieces})
    for end in range(len(tokens)):
        partial = model.continuation(context, tokens[:end])
        assert text.startswith(partial)
        assert "\N{REPLACEMENT CHARACTER}" not in partial


def test_special_tokens_are_not_text(zoo) -> None:
    model = zoo("a-small-chat")
    end = model.tokenizer.eos_token_id
    tokens = model.encode("One two")
    assert model.continuation([], [*tokens, end]) == "One two"


def test_an_embedded_model_loads_with_plain_transformers() -> None:
    folder = embedded.path("a-small-chat")
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.model_type == "llama"
    assert tokenizer.chat_template


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return shutil.copytree(embedded.path("a-small-chat"), tmp_path / "model")


def test_a_byte_order_mark_is_no_part_of_a_template(copied: Path, tmp_path: Path) -> None:
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<model>"
    given = tmp_path / "template.jinja"
    given.write_text(template, "utf-8-sig")
    (copied / "chat_template.jinja").write_text(template, "utf-8-sig")
    for own in (None, str(given)):
        model = LanguageModel(path=str(copied), prompt="chat", chat_template=own)
        assert model.render(ASKED).startswith("<system>Be brief.<user>")


@pytest.mark.parametrize("mark", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize(
    "files",
    [
        {"chat_template.jinja": "{{ 'a' }}"},
        {"chat_template.jinja": "{{ 'a' }}", "tokenizer_config.json": "{{ 'b' }}"},
        {"tokenizer_config.json": "{{ 'b' }}"},
        {"tokenizer_config.json": [{"name": "default", "template": "{{ 'b' }}"}]},
        {"chat_template.jinja": "{{ 'a' }}", "additional_chat_templates/tool.jinja": "{{ 'c' }}"},
    ],
)
def test_the_template_of_files_is_that_of_the_tokenizer(
    files: dict, mark: str, copied: Path
) -> None:
    """As transformers reads them; and no tokenizer is loaded where the files say it."""
    (copied / "chat_template.jinja").unlink()
    for name, template in files.items():
        (copied / name).parent.mkdir(exist_ok=True)
        if name == "tokenizer_config.json":
            config = json.loads((copied / name).read_text())
            (copied / name).write_text(json.dumps(config | {"chat_template": template}))
        else:
            (copied / name).write_text(template, mark)
    model = LanguageModel(path=str(copied), prompt="chat")
    read = model.template
    loaded = AutoTokenizer.from_pretrained(copied).chat_template
    plain = all(isinstance(t, str) and "/" not in name for name, t in files.items())
    assert ("tokenizer" in vars(model)) != plain
    assert read == (loaded.removeprefix("\ufeff") if isinstance(loaded, str) else str(loaded))


def test_provenance_names_exactly_what_was_loaded(copied: Path) -> None:
    model = LanguageModel(path=str(copied), prompt="chat")
    twin = LanguageModel(path="zoo:a-small-chat", prompt="chat")
    facts, twin_facts = model.provenance(), twin.provenance()
    assert facts["content_sha256"] == twin_facts["content_sha256"]
    assert facts["chat_template_sha256"] == twin_facts["chat_template_sha256"]
    weights = copied / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    changed = LanguageModel(path=str(copied), prompt="chat")
    assert changed.identity != twin.identity == model.identity
    json.dumps(facts)


def test_identity_knows_code_that_is_run_and_words_that_are_read(copied: Path) -> None:
    """Neither where it has no part: the same folder, begun before, goes on."""
    code, words = copied / "own.py", copied / "merges.txt"
    for file in (code, words):
        file.write_text("a")
    of = functools.partial(LanguageModel, path=str(copied), prompt="chat")
    plain = of().identity
    trusted = of(trust_remote_code=True).identity
    assert "further_sha256" not in plain
    code.write_text("b")
    words.write_text("b")
    assert of().identity == plain
    assert of(trust_remote_code=True).identity != trusted
    (copied / "tokenizer.json").rename(copied / "tokenizer_old.json")
    before = further_sha256(copied, code=False)
    words.write_text("c")
    assert before != further_sha256(copied, code=False) is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "zoo:a-large-bse", "prompt": "plain"}, "Did you mean 'a-large-base'"),
        ({"path": "./nowhere", "prompt": "plain"}, "'./nowhere' does not exist"),
        ({"path": "/no/such/model", "prompt": "plain"}, "'/no/such/model' does not exist"),
        ({"path": "zoo:a-large-base", "prompt": "chta"}, "Did you mean 'chat'"),
        ({"path": "zoo:a-large-base", "prompt": "chat"}, "has no chat template"),
        ({"path": "zoo:a-large-base", "prompt": "plain", "dtype": "fp32"}, "Accepted: auto, bf"),
        (
            {"path": "zoo:a-large-base", "prompt": "plain", "device": "gpu"},
            "Accepted: auto, balanced, cpu",
        ),
    ],
)
def test_a_wrong_description_is_refused_at_once(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LanguageModel(**arguments)


def test_a_folder_without_its_parts_is_refused_naming_them(copied: Path) -> None:
    (copied / "chat_template.jinja").unlink()
    with pytest.raises(ValueError, match=r"chat_template=<file.jinja>"):
        LanguageModel(path=str(copied), prompt="chat")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copied / name).unlink()
    with pytest.raises(ValueError, match="no tokenizer"):
        LanguageModel(path=str(copied), prompt="plain")
    (copied / "config.json").unlink()
    with pytest.raises(ValueError, match=r"no config\.json"):
        LanguageModel(path=str(copied), prompt="plain")


def test_damaged_weights_are_an_error_not_a_traceback(copied: Path) -> None:
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"The model of .* cannot be loaded"):
        _ = LanguageModel(path=str(copied), prompt="chat").weights


def test_missing_tensors_are_an_error_and_never_filled_at_random(copied: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = copied / "model.safetensors"
    state = load_file(weights)
    gone = next(name for name in state if "q_proj" in name)
    del state[gone]
    save_file(state, weights, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=rf"do not fit .* such as {gone}"):
        _ = LanguageModel(path=str(copied), prompt="chat").weights


def test_pickled_weights_load_only_when_asked_for_by_name(copied: Path) -> None:
    import torch
    from safetensors.torch import load_file

    state = load_file(copied / "model.safetensors")
    (copied / "model.safetensors").unlink()
    torch.save(state, copied / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"stored as pickles .* allow_pickle=true"):
        _ = LanguageModel(path=str(copied), prompt="chat").weights
    asked = LanguageModel(path=str(copied), prompt="chat", allow_pickle=True)
    assert asked.weights.num_parameters() > 0


def test_a_prompt_longer_than_the_context_is_refused_before_weights_load() -> None:
    from trimtab import Plain

    model = LanguageModel(path="zoo:a-small-chat", prompt="chat")
    with pytest.raises(ValueError, match=r"sample '1': \d+ tokens .* which holds 1024"):
        Plain(model=model).complete(["short", "long " * 1200])
    assert "weights" not in vars(model)


def test_a_tokenizer_saved_elsewhere_can_be_wrapped(zoo) -> None:
    tokenizer = AutoTokenizer.from_pretrained(embedded.path("a-small-chat"))
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    model = LanguageModel.of(zoo("a-small-chat").weights, tokenizer, prompt="chat", name="mine")
    assert model.path == "mine"
    assert model.render(ASKED) == zoo("a-small-chat").render(ASKED)


def test_all_that_is_wrong_with_a_description_is_said_at_once() -> None:
    with pytest.raises(ValueError) as error:
        LanguageModel(path="zoo:a-lage-base", prompt="plin", dtype="float17")
    for near in ("'a-large-base'", "'plain'", "'float16'"):
        assert f"Did you mean {near}" in str(error.value)


@pytest.mark.parametrize(
    "option",
    [
        {"device": "balanced"},
        pytest.param(
            {"device": "cpu", "compile": True},
            marks=[
                # torch warns of itself.
                pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
                pytest.mark.process,
                pytest.mark.skipif(not shutil.which("g++"), reason="torch compiles with g++"),
            ],
        ),
    ],
)
def test_other_ways_to_run_a_model_change_nothing_it_says(zoo, option) -> None:
    asked = ["Tom has 3 pens. He buys 4. How many pens does Tom have?"]
    other = LanguageModel(path="zoo:b-small-chat", prompt="chat", **option)
    brief = Generation(max_new_tokens=16, batch_size=1)
    expected, got = (
        Plain(model=model).complete(asked, brief)[0].text for model in (zoo("b-small-chat"), other)
    )
    assert got == expected
