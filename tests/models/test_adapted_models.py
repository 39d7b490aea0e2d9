"""Models with a LoRA adapter, merged or live, against PEFT's merged model and two copies."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.adapted_models import LINEAR, ZOO, base_folder, with_adapter
from transformers import AutoModelForCausalLM

from trimtab import Conversation, Generation, LanguageModel, zoo
from trimtab.methods import DeRa, Ensemble, Nudging, Plain, ProxyTuning
from trimtab.models.adapters.adapter import MODES, Adapter

pytestmark = [
    # PEFT asks transformers by an old name; it says what it finds out about modules of its own.
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*(tie|fan_in_fan_out):UserWarning"),
]
ASKED = ["A farm has 3 herons.", "Tell me a story about a lantern and a long walk.", "Why?"]
BRIEF = Generation(max_new_tokens=24, batch_size=4)
EMBEDDED = f"zoo:{ZOO}"
LAYOUTS = {
    "layers": ("llama", {}, {}),
    "all linear, by the root": ("llama", {}, {"target_modules": "all-linear", "use_rslora": True}),
    "embedding and head": ("llama", {}, {"target_modules": [*LINEAR, "embed_tokens", "lm_head"]}),
    "ranks and scales of their own": (
        "llama",
        {},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"down_proj": 3}},
    ),
    "tied embedding": ("llama", {"tied": True}, {"target_modules": ["v_proj", "embed_tokens"]}),
    "tied head": ("llama", {"tied": True}, {"target_modules": ["v_proj", "lm_head"]}),
    "transposed": ("gpt2", {}, {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}),
    "scaled embedding": ("gemma3", {}, {"target_modules": [*LINEAR, "embed_tokens"]}),
}


def model(path: str, adapter: object, mode: str, **settings: object) -> LanguageModel:
    return LanguageModel(
        path=path, prompt="plain", adapter=str(adapter), adapter_mode=mode, **settings
    )


def generated(merged: torch.nn.Module, asked: LanguageModel, prompt: str) -> list[int]:
    """Return what transformers' generate() says greedily."""
    ids = torch.tensor([asked.encode(asked.render(Conversation(question=prompt)))])
    said = merged.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=BRIEF.max_new_tokens,
        pad_token_id=0,
    )
    return said[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_model_with_an_adapter_says_what_pefts_merged_model_says(
    tmp_path: Path, layout: str, mode: str
) -> None:
    kind, sizes, settings = LAYOUTS[layout]
    base = base_folder(tmp_path / "base", kind, **sizes)
    merged = with_adapter(base, tmp_path / "adapter", **settings)
    adapted = model(base, tmp_path / "adapter", mode)
    tokens = torch.arange(1, 61).view(3, 20)
    with torch.no_grad():
        expected, found = merged(tokens).logits, adapted.weights(tokens).logits
        plain = LanguageModel(path=base, prompt="plain").weights(tokens).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (found - plain).abs().max() > 0.1
    answers = Plain(model=adapted).complete(ASKED, BRIEF)
    assert [list(a.token_ids) for a in answers] == [generated(merged, adapted, q) for q in ASKED]


def test_a_module_that_does_more_than_look_up_takes_a_merged_adapter_alone(tmp_path: Path) -> None:
    """OPT's table of positions begins two rows late."""
    base = base_folder(tmp_path / "base", "opt")
    settings = {"target_modules": ["q_proj", "embed_positions"]}
    merged = with_adapter(base, tmp_path / "adapter", **settings)
    tokens = torch.arange(1, 61).view(3, 20)
    with torch.no_grad():
        found = model(base, tmp_path / "adapter", "merged").weights(tokens).logits
        torch.testing.assert_close(found, merged(tokens).logits, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match=r"embed_positions.*Embedding: .*adapter_mode=merged"):
        _ = model(base, tmp_path / "adapter", "live").weights


@pytest.mark.parametrize("mode", MODES)
def test_sixteen_bits_are_rounded_once(tmp_path: Path, mode: str) -> None:
    base = base_folder(tmp_path / "base")
    merged = with_adapter(base, tmp_path / "adapter")
    adapted = model(base, tmp_path / "adapter", mode, dtype="bfloat16")
    if mode == "merged":
        halves = {
            name: tensor.to(torch.bfloat16)
            for name, tensor in AutoModelForCausalLM.from_pretrained(base).state_dict().items()
        }
        own = dict(adapted.weights.state_dict())
        changed = "model.layers.0.mlp.up_proj.weight"
        factors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
        a, b = (
            factors[f"base_model.model.model.layers.0.mlp.up_proj.lora_{x}.weight"] for x in "AB"
        )
        exact = halves[changed].double() + 2 * b.double() @ a.double()
        assert (own[changed].double() - exact).abs().max() <= 2**-8 * exact.abs().max()
        assert torch.equal(own["lm_head.weight"], halves["lm_head.weight"])
    tokens = torch.arange(1, 61).view(3, 20)
    with torch.no_grad():
        exact, found = merged(tokens).logits, adapted.weights(tokens).logits.float()
    assert found.dtype == torch.float32
    assert (found - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two adapters of an embedded model."""
    root = tmp_path_factory.mktemp("adapters")
    for seed in (1, 2):
        folder, base = root / str(seed), str(zoo.path(ZOO))
        with_adapter(base, folder, seed=seed, std=0.06, target_modules="all-linear")
    return [root / "1", root / "2"]


# ---------------------------------------------------------------------------- one copy


def tensors_of(*models: LanguageModel) -> int:
    """Return the bytes that the parameters of some models take together."""
    held = {
        p.data_ptr(): p.numel() * p.element_size() for m in models for p in m.weights.parameters()
    }
    return sum(held.values())


def copies(adapters: list[Path]) -> list[LanguageModel]:
    """Return the base and a model for each adapter, none of them loaded."""
    base = LanguageModel(path=EMBEDDED, prompt="plain")
    return [base, *(model(EMBEDDED, adapter, "live") for adapter in adapters)]


MIXED = {
    "DeRa": lambda base, one, _: DeRa(reference=base, aligned=one, strength=1.7),
    "proxy tuning": lambda base, one, two: ProxyTuning(base=base, tuned=one, untuned=two),
    "ensemble": lambda base, one, two: Ensemble(base=one, guide=two),
    "nudging": lambda base, one, two: Nudging(base=base, guide=one, threshold=0.3),
    "a draft": lambda base, one, two: Plain(model=one, draft=base),
}


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("temperature", [0, 1])
def test_models_that_differ_in_an_adapter_share_one_copy_and_say_the_same(
    adapters: list[Path], name: str, temperature: float
) -> None:
    settings = Generation(max_new_tokens=24, temperature=temperature)
    apart, shared = copies(adapters), copies(adapters)
    for each in apart:
        _ = each.weights  # what is loaded already stays where it is
    one, other = MIXED[name](*apart), MIXED[name](*shared)
    expected, found = one.complete(ASKED, settings), other.complete(ASKED, settings)
    assert found == expected  # text, work, and every probability in the traces
    assert one.forward_passes == other.forward_passes
    used = [each for each in shared if each in other.all_models.values()]
    before = [each for each in apart if each in one.all_models.values()]
    assert len(used) > 1
    assert tensors_of(*used) == tensors_of(used[0])
    assert tensors_of(*before) == len(before) * tensors_of(used[0])


def test_a_shared_mixture_is_that_of_pefts_merged_model(tmp_path: Path) -> None:
    base = base_folder(tmp_path / "base")
    merged = with_adapter(base, tmp_path / "adapter")
    start = LanguageModel(path=base, prompt="plain")
    method = DeRa(reference=start, aligned=model(base, tmp_path / "adapter", "live"), strength=0.6)
    (answer,) = method.complete(ASKED[:1], BRIEF)
    tokens = start.encode(start.render(Conversation(question=ASKED[0])))
    opened = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    said = []
    with torch.no_grad():
        for _ in range(BRIEF.max_new_tokens):
            ids = torch.tensor([tokens + said])
            z_reference, z_aligned = (each(ids).logits[0, -1] for each in (opened, merged))
            said.append(int((0.4 * z_reference + 0.6 * z_aligned).argmax()))
    assert list(answer.token_ids) == said


def test_prompts_of_their_own_do_not_keep_models_from_sharing(adapters: list[Path]) -> None:
    base = LanguageModel(path="zoo:a-small-chat", prompt="plain")
    chat = LanguageModel(
        path="zoo:a-small-chat",
        prompt="chat",
        tokenizer_path="zoo:a-small-chat",
        adapter=str(adapters[0]),
        adapter_mode="live",
    )
    DeRa(reference=base, aligned=chat, strength=0.5).complete(ASKED[:1], BRIEF)
    assert tensors_of(base, chat) == tensors_of(base)


def test_whoever_is_loaded_first_lends_its_weights(adapters: list[Path]) -> None:
    base, one, _ = copies(adapters)
    held = tensors_of(one)
    DeRa(reference=base, aligned=one, strength=0.5).complete(ASKED[:1], BRIEF)
    assert tensors_of(base, one) == held


def test_models_of_other_weights_do_not_share(adapters: list[Path]) -> None:
    base = LanguageModel(path=EMBEDDED, prompt="plain", dtype="bfloat16")
    one, merged = (model(EMBEDDED, adapters[0], mode) for mode in ("live", "merged"))
    DeRa(reference=base, aligned=one, strength=0.5).complete(ASKED[:1], BRIEF)
    assert tensors_of(base, one) == 1.5 * tensors_of(one)
    DeRa(reference=merged, aligned=one, strength=0.5).complete(ASKED[:1], BRIEF)
    assert tensors_of(merged, one) == 2 * tensors_of(one)


def test_generate_of_transformers_takes_models_that_share(adapters: list[Path]) -> None:
    base, one, _ = copies(adapters)
    method = DeRa(reference=base, aligned=one, strength=1.5)
    prompts = [base.render(Conversation(question=text)) for text in ASKED[:1]]
    ids = torch.tensor([base.encode(prompts[0])])
    expected = method.complete(ASKED[:1], BRIEF)[0].token_ids
    for on in (base, one):
        given = {"attention_mask": torch.ones_like(ids), "max_new_tokens": BRIEF.max_new_tokens}
        said = on.weights.generate(ids, custom_generate=method, **given)
        assert said[0, ids.shape[1] :].tolist() == list(expected)
    processor = method.logits_processor(on="aligned")
    said = one.weights.generate(ids, logits_processor=[processor], do_sample=False, **given)
    assert said[0, ids.shape[1] :].tolist() == list(expected)
    assert tensors_of(base, one) == tensors_of(one)


@pytest.mark.parametrize("mode", MODES)
def test_an_answer_does_not_depend_on_its_company(adapters: list[Path], mode: str) -> None:
    method = Plain(model=model(EMBEDDED, adapters[0], mode))
    many = [f"{text} {number}" for number in range(3) for text in ASKED]
    settings = {"max_new_tokens": 20, "token_records": True}
    whole = method.complete(many, Generation(batch_size=9, **settings))
    for size in (4, 5):
        assert method.complete(many, Generation(batch_size=size, **settings)) == whole


# ---------------------------------------------------------------------------- what it is known by


def test_models_that_differ_in_an_adapter_are_different(adapters: list[Path]) -> None:
    one, two = (model(EMBEDDED, adapter, "merged") for adapter in adapters)
    base, live = LanguageModel(path=EMBEDDED, prompt="plain"), model(EMBEDDED, adapters[0], "live")
    for first, second in [(one, two), (one, base), (one, live)]:
        assert first != second
    assert one == model(EMBEDDED, adapters[0], "merged")
    hashes = [each.identity.get("adapter_sha256") for each in (base, one, two, live)]
    assert hashes[0] is None and len({*hashes}) == 3 and hashes[1] == hashes[3]
    assert "adapter_sha256" not in base.identity
    assert live.provenance()["adapter"] == str(adapters[0])
    assert live.provenance()["adapter_mode"] == "live"


def test_another_content_under_the_same_name_is_another_model(
    adapters: list[Path], tmp_path: Path
) -> None:
    own = shutil.copytree(adapters[0], tmp_path / "own")
    before = model(EMBEDDED, own, "merged").identity
    (own / "README.md").write_text("Trained longer.")
    assert model(EMBEDDED, own, "merged").identity == before
    config = json.loads((own / "adapter_config.json").read_text())
    (own / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 9}))
    assert model(EMBEDDED, own, "merged").identity != before


# ---------------------------------------------------------------------------- bad input


def _edited(folder: Path, **settings: object) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def _of_other_layers(folder: Path) -> None:
    with_adapter(
        base_folder(folder / "deep", layers=9, width=64), folder, target_modules=["q_proj"]
    )


def _of_more_layers(folder: Path) -> None:
    model = LanguageModel(path=EMBEDDED, prompt="plain").weights
    model.config.num_hidden_layers += 2
    deep = type(model)(model.config)
    deep.save_pretrained(folder / "deep")
    with_adapter(str(folder / "deep"), folder, target_modules=["q_proj"])


def _of_other_width(folder: Path) -> None:
    with_adapter(base_folder(folder / "wide", width=48), folder, target_modules=["down_proj"])


def _of_other_kind(folder: Path) -> None:
    with_adapter(base_folder(folder / "g", "gpt2"), folder, target_modules=["c_attn"])


def _cut_off(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _not_finite(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    next(iter(tensors.values()))[0, 0] = torch.nan
    save_file(tensors, file)


def _pickled(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    torch.save(load_file(file), folder / "adapter_model.bin")
    file.unlink()


BAD = {
    "no folder": (lambda folder: shutil.rmtree(folder), r"Adapter path '.*' does not exist"),
    "no adapter": (
        lambda folder: (folder / "adapter_config.json").unlink(),
        r"has no adapter_config\.json.*method=vectors",
    ),
    "part of a vector": (
        lambda folder: (folder / "vector.safetensors").touch(),
        r"part of a vector.*method=vectors",
    ),
    "DoRA": (lambda folder: _edited(folder, use_dora=True), "use_dora=True.*merge_and_unload"),
    "another type": (lambda folder: _edited(folder, peft_type="IA3"), "of type IA3"),
    "cut off": (_cut_off, "cut off"),
    "a pickle": (_pickled, "allow_pickle=true"),
    "other layers": (
        _of_other_layers,
        r"is for another base than 'zoo:a-small-base': it says that it is of '.*deep'.*"
        r"fit in 9 weights, such as model\.layers\.0\..*\(\d+, 64\) in the adapter",
    ),
    "more layers": (_of_more_layers, r"fit in 2 weights.*layers\.\d\..*, not there in the model"),
    "other width": (_of_other_width, r"for another base.*down_proj\.weight: \(48, 48\) in the ad"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("mode", MODES)
def test_what_is_no_adapter_of_the_model_is_refused_when_it_is_described(
    adapters: list[Path], tmp_path: Path, kind: str, mode: str
) -> None:
    folder = shutil.copytree(adapters[0], tmp_path / "adapter")
    spoil, why = BAD[kind]
    spoil(folder)
    with pytest.raises(ValueError, match=f"(?s){why}"):
        model(EMBEDDED, folder, mode)


@pytest.mark.parametrize(
    "kind", [(_of_other_kind, r"c_attn\.weight: .* not there"), (_not_finite, "NaN or infinite")]
)
@pytest.mark.parametrize("mode", MODES)
def test_the_rest_is_refused_before_weights_load(
    adapters: list[Path], tmp_path: Path, kind, mode: str
) -> None:
    spoil, why = kind
    folder = shutil.copytree(adapters[0], tmp_path / "adapter")
    spoil(folder)
    base, adapted = LanguageModel(path=EMBEDDED, prompt="plain"), model(EMBEDDED, folder, mode)
    method = DeRa(reference=base, aligned=adapted, strength=0.5)
    for ask in (
        lambda: method.check({"0": Conversation(question="Why?")}),
        lambda: method.complete(["Why?"]),
        lambda: adapted.weights,
    ):
        with pytest.raises(ValueError, match=why):
            ask()
    assert "weights" not in vars(base)


def test_no_adapter_is_embedded() -> None:
    with pytest.raises(ValueError, match=r"Adapter 'zoo:medicine': none is embedded"):
        model(EMBEDDED, "zoo:medicine", "live")


def test_pickled_factors_are_read_where_that_is_allowed(adapters: list[Path], tmp_path) -> None:
    folder = shutil.copytree(adapters[0], tmp_path / "adapter")
    _pickled(folder)
    tokens = torch.arange(1, 21)[None]
    of_pickle = model(EMBEDDED, folder, "live", allow_pickle=True)
    expected = model(EMBEDDED, adapters[0], "live").weights(tokens).logits
    assert torch.equal(of_pickle.weights(tokens).logits, expected)
    (folder / "adapter_model.bin").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"adapter_model\.bin' cannot be read"):
        model(EMBEDDED, folder, "live", allow_pickle=True)


def test_a_mode_is_one_of_two_and_belongs_to_an_adapter(adapters: list[Path]) -> None:
    with pytest.raises(ValueError, match=r"adapter_mode of zoo.*'lively'.*Did you mean 'live'"):
        model(EMBEDDED, adapters[0], "lively")
    with pytest.raises(ValueError, match=r"adapter_mode=live of 'zoo:.*has no adapter"):
        _ = LanguageModel(path=EMBEDDED, prompt="plain", adapter_mode="live").weights


def test_a_live_adapter_is_not_compiled(adapters: list[Path]) -> None:
    with pytest.raises(ValueError, match=r"compile=true of .*adapter_mode=merged"):
        model(EMBEDDED, adapters[0], "live", compile=True)
    assert model(EMBEDDED, adapters[0], "merged", compile=True).compile


def test_quantized_weights_take_a_live_adapter_alone(adapters: list[Path]) -> None:
    weights = LanguageModel(path=EMBEDDED, prompt="plain").weights
    layer = weights.model.layers[0].mlp.up_proj
    layer.weight = torch.nn.Parameter(layer.weight.to(torch.int8), requires_grad=False)
    source = LanguageModel(path=EMBEDDED, prompt="plain").source
    with pytest.raises(ValueError, match=r"up_proj.*are quantized.*adapter_mode=live"):
        Adapter(path=str(adapters[0]), base=source).merge_into(weights)
