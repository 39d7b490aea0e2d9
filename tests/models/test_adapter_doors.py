"""A model with an adapter at every door: vectors, lm-eval, runs, the hub, GGUF, offloading."""

import dataclasses
import hashlib
import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from omegaconf import OmegaConf
from safetensors.torch import load_file
from tests.adapted_models import ZOO, base_folder, with_adapter
from tests.commands import command

from trimtab import (
    AlignmentVector,
    AlignmentVectors,
    Conversation,
    DeRa,
    Generation,
    LanguageModel,
    Plain,
    zoo,
)
from trimtab.config import composition
from trimtab.vectors import extract

# PEFT asks transformers by an old name.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
EMBEDDED = f"zoo:{ZOO}"
TOKENS = torch.arange(1, 41).view(2, 20)
BRIEF = Generation(max_new_tokens=16, batch_size=4)


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    """An adapter of an embedded model, and the model that PEFT merges it into."""
    folder, base = tmp_path_factory.mktemp("adapter"), str(zoo.path(ZOO))
    merged = with_adapter(base, folder, std=0.06, target_modules="all-linear")
    return folder, merged


@pytest.fixture
def adapter(adapted) -> str:
    return str(adapted[0])


def live(adapter: str, path: str = EMBEDDED, **settings: object) -> LanguageModel:
    return LanguageModel(
        path=path, prompt="plain", adapter=adapter, adapter_mode="live", **settings
    )


def logits(model: LanguageModel) -> torch.Tensor:
    with torch.no_grad():
        return model.weights(TOKENS).logits


def text(method) -> str:
    return method.complete(["A farm has 3 herons."], BRIEF)[0].text


# ---------------------------------------------------------------------------- vectors


def test_a_vector_is_added_to_the_weights_below_a_live_adapter(
    adapted, adapter: str, tmp_path: Path
) -> None:
    aligned = "zoo:a-small-sft"
    extract(base=EMBEDDED, aligned=aligned, out=tmp_path / "v")
    base = live(adapter)
    method = AlignmentVectors(base=base, vectors={"v": str(tmp_path / "v")}, strength=0.5)
    before = logits(base)
    merged = {name: tensor.clone() for name, tensor in adapted[1].state_dict().items()}
    files = [load_file(zoo.path(n) / "model.safetensors") for n in (ZOO, "a-small-sft")]
    start, end = ({n: t.float() for n, t in file.items()} for file in files)
    moved = {n: t + 0.5 * (end[n] - start[n]) if n in start else t for n, t in merged.items()}
    moved["lm_head.weight"] = moved["model.embed_tokens.weight"]
    with torch.no_grad():
        expected = torch.func.functional_call(adapted[1], moved, (TOKENS,)).logits
    torch.testing.assert_close(logits(method.moved), expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(logits(base), before)


def test_weights_beside_an_adapter_make_no_vector(adapter: str) -> None:
    base = LanguageModel(path=EMBEDDED, prompt="plain")
    for one, other in [(base, live(adapter)), (live(adapter), base)]:
        with pytest.raises(ValueError, match=r"beside the weights .*adapter_mode=merged"):
            text(AlignmentVector(base=one, aligned=other))
    merged = LanguageModel(path=EMBEDDED, prompt="plain", adapter=adapter)
    assert text(AlignmentVector(base=base, aligned=merged)) == text(Plain(model=merged))


def test_rows_with_strengths_of_their_own_do_not_pass_an_adapter_by(adapter: str) -> None:
    method = AlignmentVectors(base=live(adapter), vectors={"v": adapter}, per_row=True)
    with pytest.raises(ValueError, match=r"adapter beside its weights.*adapter_mode=merged"):
        text(method)


def test_a_dial_on_the_vector_is_the_adapter_at_strength_1(adapter: str) -> None:
    base = LanguageModel(path=EMBEDDED, prompt="plain")
    method = AlignmentVectors(base=base, vectors={"v": adapter}, per_row=True)
    assert text(method) == text(Plain(model=live(adapter)))


def test_what_is_saved_of_a_live_adapter_is_not_taken_for_its_base(
    adapter: str, tmp_path: Path
) -> None:
    model = live(adapter)
    model.weights.save_pretrained(tmp_path / "saved")
    model.tokenizer.save_pretrained(tmp_path / "saved")
    with pytest.raises(ValueError, match="belong to its layers and would be left out"):
        _ = LanguageModel(path=str(tmp_path / "saved"), prompt="plain").weights
    held = [
        LanguageModel.of(each.weights, each.tokenizer, prompt="plain").identity
        for each in (model, model.without_adapter)
    ]
    assert held[0] != held[1]


# ---------------------------------------------------------------------------- lm-eval


def test_lm_eval_takes_an_adapter_for_each_role(adapter: str) -> None:
    arguments = pytest.importorskip("trimtab.lm_eval.arguments")
    read, _ = arguments.read_arguments(
        {
            "method": "dera",
            "base": EMBEDDED,
            "guide": EMBEDDED,
            "guide_adapter": adapter,
            "guide_adapter_mode": "live",
        }
    )
    base = LanguageModel(path=EMBEDDED, prompt="plain")
    assert isinstance(read, DeRa)
    assert (read.reference, read.aligned) == (base, live(adapter))


def test_lm_eval_s_cache_tells_adapters_apart(adapter: str, tmp_path: Path) -> None:
    cache = pytest.importorskip("trimtab.lm_eval.request_cache")
    copied = shutil.copytree(adapter, tmp_path / "copy")
    before = cache._digest(Plain(model=live(str(copied))), 0)
    config = json.loads((copied / "adapter_config.json").read_text())
    (copied / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 1}))
    digests = {
        before,
        cache._digest(Plain(model=live(str(copied))), 0),
        cache._digest(Plain(model=live(adapter)), 0),
        cache._digest(Plain(model=LanguageModel(path=EMBEDDED, prompt="plain")), 0),
    }
    assert len(digests) == 4


# ---------------------------------------------------------------------------- runs


def test_an_adapter_counts_for_the_fingerprint_and_its_absence_does_not() -> None:
    model = {"_target_": "trimtab.models.LanguageModel", "path": EMBEDDED, "prompt": "plain"}

    def digest(**settings: object) -> str:
        method = {"_target_": "trimtab.methods.Plain", "model": {**model, **settings}}
        return composition.digest({"method": OmegaConf.to_container(OmegaConf.create(method))})

    assert digest() == digest(adapter=None, adapter_mode="merged")
    found = [digest(adapter="a"), digest(adapter="b"), digest(adapter="a", adapter_mode="live")]
    assert len({digest(), *found}) == 4


def test_a_run_records_its_adapter_and_does_not_go_on_with_another(
    adapter: str, tmp_path: Path
) -> None:
    own = shutil.copytree(adapter, tmp_path / "own")
    asked = [
        *("run", "method=dera", f"base={ZOO}", f"guide={ZOO}", "guide.adapter=own"),
        *("guide.adapter_mode=live", "task=word-problems", "limit=2", "tracker=none"),
        "generation.max_new_tokens=8",
    ]
    done = command(tmp_path, *asked)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("results/**/run.json")
    models = json.loads(file.read_text())["models"]
    assert (models["aligned"]["adapter"], models["aligned"]["adapter_mode"]) == ("own", "live")
    assert len(models["aligned"]["adapter_sha256"]) == 64
    assert models["reference"]["adapter"] is None and "adapter_sha256" not in models["reference"]
    config = json.loads((own / "adapter_config.json").read_text())
    (own / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 1}))
    (file.parent / "summary.json").unlink()
    again = command(tmp_path, *asked)
    assert again.returncode == 1 and "was begun with other models" in again.stderr
    (own / "adapter_config.json").write_text(json.dumps({**config, "use_dora": True}))
    refused = command(tmp_path, *asked)
    assert refused.returncode == 2
    (mistake,) = (line for line in refused.stderr.splitlines() if "own" in line)
    assert "use_dora=True" in mistake and "Traceback" not in refused.stderr


# ---------------------------------------------------------------------------- other places


def test_an_adapter_of_the_hub_is_that_of_its_files(
    adapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.invalid")  # RFC 2606: never a host
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--somebody--adapter"
    snapshot = repository / "snapshots" / ("0" * 40)
    for folder in (snapshot, repository / "blobs", repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs/main").write_text("0" * 40)
    for file in Path(adapter).iterdir():
        blob = hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copyfile(file, repository / "blobs" / blob)
        (snapshot / file.name).symlink_to(Path("../../blobs") / blob)
    found = live("somebody/adapter")
    assert torch.equal(logits(found), logits(live(adapter)))
    assert found.identity["adapter_sha256"] == live(adapter).identity["adapter_sha256"]
    with pytest.raises(ValueError, match=r"'somebody/other'.*hf download"):
        live("somebody/other").require_loadable()


def test_a_gguf_file_takes_an_adapter(adapter: str, adapted, tmp_path: Path) -> None:
    gguf_files = pytest.importorskip("tests.models.gguf_files")
    file = gguf_files.write(tmp_path / "model.gguf", ZOO)
    for mode in ("merged", "live"):
        model = LanguageModel(path=str(file), prompt="plain", adapter=adapter, adapter_mode=mode)
        with torch.no_grad():
            expected = adapted[1](TOKENS).logits
        torch.testing.assert_close(logits(model), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sizes, count", [({"width": 48}, 4), ({"layers": 9, "width": 64}, 14)])
def test_an_adapter_for_another_base_than_a_gguf_file_is_refused_when_it_is_described(
    tmp_path: Path, sizes: dict[str, int], count: int
) -> None:
    gguf_files = pytest.importorskip("tests.models.gguf_files")
    file = gguf_files.write(tmp_path / "model.gguf", ZOO)
    modules = ["q_proj", "down_proj"]
    with_adapter(base_folder(tmp_path / "base", **sizes), tmp_path / "a", target_modules=modules)
    with pytest.raises(ValueError, match=rf"is for another base .*fit in {count} weights"):
        LanguageModel(path=str(file), prompt="plain", adapter=str(tmp_path / "a"))


def test_offloaded_weights_take_a_live_adapter_alone(adapter: str, caplog) -> None:
    settings = {"device": "balanced", "max_memory": {"cpu": "200KiB"}}
    model = live(adapter, **settings)
    assert {p.device.type for p in model.weights.parameters()} == {"meta"}
    assert torch.equal(logits(model), logits(live(adapter)))
    merged = LanguageModel(path=EMBEDDED, prompt="plain", adapter=adapter, **settings)
    with pytest.raises(ValueError, match=r"offloaded.*adapter_mode=live"):
        _ = merged.weights


def test_nothing_is_merged_into_packed_weights(
    adapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf_files = pytest.importorskip("tests.models.gguf_files")
    file = str(gguf_files.write(tmp_path / "model.gguf", ZOO, packing="Q8_0"))
    # As if this machine had what computes on them.
    monkeypatch.setattr("trimtab.models.quantization._check_packed", lambda *given: None)
    packed = {"quantization": "gguf", "prompt": "plain", "adapter": adapter}
    with pytest.raises(ValueError, match=r"held packed .*adapter_mode=live, or quantization=none"):
        LanguageModel(path=file, **packed)
    assert LanguageModel(path=file, adapter_mode="live", **packed).has_live_adapter


@pytest.mark.real
@pytest.mark.parametrize("kind, library", [("int8", "torchao"), ("nf4", "bitsandbytes")])
@pytest.mark.filterwarnings("ignore")  # both libraries have some of their own
def test_weights_of_fewer_bits_are_shared_below_live_adapters(
    tmp_path: Path, kind: str, library: str
) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed")
    base = base_folder(tmp_path / "base", width=64)
    with_adapter(base, tmp_path / "adapter")
    start = LanguageModel(path=base, prompt="plain", quantization=kind)
    aligned = live(str(tmp_path / "adapter"), base, quantization=kind)
    alone = live(str(tmp_path / "adapter"), base, quantization=kind)
    method = DeRa(reference=start, aligned=aligned, strength=0.5)
    assert text(method) == text(dataclasses.replace(method, aligned=alone.holding(alone.weights)))
    layers = [m.weights.model.layers[0].mlp.up_proj for m in (start, aligned)]
    assert layers[0].weight is layers[1].weight
    factors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    a, b = (factors[f"base_model.model.model.layers.0.mlp.up_proj.lora_{x}.weight"] for x in "AB")
    given = torch.randn(3, 5, 64)
    with torch.no_grad():
        own, found = (layer(given) for layer in layers)
    torch.testing.assert_close(found, own + 2 * given @ a.mT @ b.mT, atol=1e-5, rtol=1e-4)


# ---------------------------------------------------------------------------- what lies beside it


def test_an_adapter_that_fits_and_names_another_base_is_taken_and_said(
    adapter: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _ = live(adapter).weights
    assert "says that it is of" not in caplog.text
    other = live(adapter, "zoo:a-small-sft")
    _ = other.weights
    said = f"zoo:a-small-sft: the adapter {adapter} fits, and says that it is of "
    assert f"{said}'{zoo.path(ZOO)}'" in caplog.text


def test_a_tokenizer_beside_the_adapter_is_not_read_and_that_is_said(
    adapter: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = shutil.copytree(adapter, tmp_path / "own")
    chat = zoo.path("a-small-chat")
    for file in chat.iterdir():
        if "token" in file.name or file.suffix == ".jinja":
            shutil.copyfile(file, own / file.name)
    model = LanguageModel(path="zoo:a-small-chat", prompt="chat", adapter=str(own))
    with caplog.at_level(logging.WARNING):
        _ = model.tokenizer
    assert "beside the adapter" not in caplog.text  # it is the same
    (own / "chat_template.jinja").write_text("{{ messages }}")
    said = json.loads((own / "tokenizer.json").read_text())
    said["added_tokens"].append({"id": 768, "content": "<more>", "special": True})
    (own / "tokenizer.json").write_text(json.dumps(said))
    again = LanguageModel(path="zoo:a-small-chat", prompt="chat", adapter=str(own))
    with caplog.at_level(logging.WARNING):
        tokenizer = again.tokenizer
    assert "another chat template and 1 tokens that the model's has not, such as '<more>'" in (
        caplog.text
    )
    plain = LanguageModel(path="zoo:a-small-chat", prompt="chat")
    assert tokenizer.chat_template == plain.tokenizer.chat_template
    (own / "tokenizer.json").write_bytes((chat / "tokenizer.json").read_bytes())
    named = dataclasses.replace(again, tokenizer_path=str(own))
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert named.tokenizer.chat_template == "{{ messages }}"
    assert not caplog.text


def test_a_base_without_a_template_chats_by_the_one_beside_its_adapter(
    adapter: str, tmp_path: Path
) -> None:
    own = shutil.copytree(adapter, tmp_path / "own")
    for file in zoo.path("a-small-chat").iterdir():
        if "token" in file.name or file.suffix == ".jinja":
            shutil.copyfile(file, own / file.name)
    given = {"path": EMBEDDED, "prompt": "chat", "adapter": str(own), "adapter_mode": "live"}
    with pytest.raises(ValueError, match=r"no chat template.*tokenizer_path.*beside an adapter"):
        LanguageModel(**given)
    model = LanguageModel(**given, tokenizer_path=str(own))
    asked = Conversation(system="Be brief.", question="Why?")
    chat = LanguageModel(path="zoo:a-small-chat", prompt="chat")
    assert model.render(asked) == chat.render(asked)
    assert torch.equal(logits(model), logits(live(adapter)))
