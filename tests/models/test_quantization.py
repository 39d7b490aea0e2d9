"""Weights in fewer bits: the same answers as transformers gives with such weights, or a refusal."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.adapted_models import with_adapter
from tests.checkpoints import gpt2, saved
from tests.models.test_ways_of_loading import (
    BRIEF,
    NAME,
    TOGETHER,
    answered,
    described,
    generated,
    node,
    with_tokenizer,
)
from torch import nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

from trimtab import AlignmentVector, LanguageModel, Plain
from trimtab import zoo as embedded
from trimtab.config import composition
from trimtab.models import installed
from trimtab.models.quantized_layers import import_bitsandbytes, quantized_layers
from trimtab.scorers import RewardModel
from trimtab.vectors.live.dial import between, move

LIBRARIES = {"int8": "torchao", "nf4": "bitsandbytes", "fp4": "bitsandbytes"}


def needs(library: str) -> list[pytest.MarkDecorator]:
    absent = find_spec(library) is None
    return [pytest.mark.real, pytest.mark.skipif(absent, reason=f"{library} is not installed")]


KINDS = [pytest.param(kind, marks=needs(library)) for kind, library in LIBRARIES.items()]


# ---------------------------------------------------------------------------- the same answers


def unpacked(model: PreTrainedModel) -> PreTrainedModel:
    """Return a model of plain layers, with the numbers that another's bits stand for."""
    config = copy.deepcopy(model.config)
    del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=model.dtype).eval()
    plain.generation_config = model.generation_config
    own = dict(model.named_modules())
    with torch.no_grad():
        for name, module in plain.named_modules():
            for which, parameter in module.named_parameters(recurse=False):
                parameter.copy_(_numbers(getattr(own[name], which)))
    return plain


def _numbers(held: Any) -> torch.Tensor:
    if not hasattr(held, "quant_state"):
        return held.dequantize() if hasattr(held, "dequantize") else held
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(held.data, held.quant_state)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_the_numbers_that_the_bits_stand_for(kind: str, dtype: str) -> None:
    model = described(quantization=kind, dtype=dtype)
    layers = quantized_layers(model.weights)
    assert len(layers) == 7 * model.config.num_hidden_layers
    plain = unpacked(model.weights)
    twins = [each for each in plain.modules() if isinstance(each, nn.Linear)]
    rounding = 1e-4 if dtype == "float32" else 3e-2
    for layer, twin in zip(layers, twins, strict=False):  # the last is the head
        given = torch.randn(5, layer.in_features, dtype=plain.dtype)
        torch.testing.assert_close(layer(given), twin(given), atol=rounding, rtol=rounding)
        assert not twin.weight.equal(own_weights()[layer_name(plain, twin)].to(plain.dtype))
    expected = generated(plain)
    assert answered(model) == expected
    assert answered(model, TOGETHER) == expected
    assert model.dtype_in_use == dtype and model.provenance()["quantization"] == kind


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_does_not_depend_on_its_company(kind: str, dtype: str) -> None:
    model = LanguageModel(path="zoo:a-large-base", prompt="plain", quantization=kind, dtype=dtype)
    several = [f"{name} has {n} pens." for n, name in enumerate(("Tom", "Ann", "Lee", "Roy"))] * 2
    asked = [text + " How many?" * (n % 3) for n, text in enumerate(several)]
    for method in (Plain(model=model), Plain(model=model, draft="prompt-lookup")):
        texts = [
            [one.text for one in method.complete(asked, dataclasses.replace(BRIEF, batch_size=n))]
            for n in (4, 5, 8)
        ]
        assert texts[0] == texts[1] == texts[2]


# PEFT asks transformers by an old name.
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_beside_quantized_weights_adds_what_it_adds_to_their_numbers(
    kind: str, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter"
    with_adapter(str(embedded.path("a-small-base")), adapter, std=0.06, target_modules="all-linear")
    same: dict[str, Any] = {"prompt": "plain", "adapter": str(adapter)}
    beside = LanguageModel(path="zoo:a-small-base", quantization=kind, adapter_mode="live", **same)
    plain = unpacked(beside.without_adapter.weights)
    folder = with_tokenizer(saved(plain, tmp_path / "plain"), of="a-small-base")
    tokens_RT = torch.arange(1, 41).view(2, 20)
    with torch.no_grad():
        found, expected = (
            model.weights(tokens_RT).logits
            for model in (beside, LanguageModel(path=folder, **same))
        )
        bare = plain(tokens_RT).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (expected - bare).abs().max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_quantized_weights_are_spread_where_they_have_room(kind: str) -> None:
    spread = described(quantization=kind, device="balanced", max_memory={"cpu": "1GiB"})
    assert answered(spread) == answered(described(quantization=kind))
    crowded = described(quantization=kind, device="balanced", max_memory={"cpu": "200KiB"})
    with pytest.raises(ValueError, match=r"not kept on the disk.*\(max_memory\)"):
        _ = crowded.weights


def own_weights() -> dict[str, torch.Tensor]:
    return load_file(embedded.path(NAME) / "model.safetensors")


def layer_name(model: nn.Module, layer: nn.Module) -> str:
    return next(f"{name}.weight" for name, each in model.named_modules() if each is layer)


@pytest.mark.parametrize("kind", [pytest.param("nf4", marks=needs("bitsandbytes"))])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_checkpoint_that_is_quantized_already_is_loaded_as_it_is(
    kind: str, dtype: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    number = getattr(torch, dtype)
    bits = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_compute_dtype=number
    )
    own = AutoModelForCausalLM.from_pretrained(
        embedded.path(NAME), quantization_config=bits, dtype=number
    )
    folder = with_tokenizer(saved(own, tmp_path / "packed"), of=NAME)
    model, twin = described(folder, dtype="float32"), described(quantization=kind, dtype=dtype)
    assert model.weights.dtype == number and model.dtype_in_use == dtype
    assert ("dtype=float32 plays no part" in caplog.text) == (dtype != "float32")
    for name, tensor in twin.weights.state_dict().items():
        assert tensor.equal(model.weights.state_dict()[name])
    assert answered(model) == answered(twin) == generated(own)
    assert model.identity["content_sha256"] != twin.identity["content_sha256"]
    with pytest.raises(ValueError, match=r"quantization=int8: .* is quantized already \(by bitsa"):
        described(folder, quantization="int8")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_eight_bit_floats_are_unpacked_when_they_are_loaded(dtype: str, tmp_path: Path) -> None:
    folder = tmp_path / "eight"
    shutil.copytree(embedded.path(NAME), folder)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "fp8",
        "activation_scheme": "dynamic",
        "weight_block_size": [128, 128],
        "modules_to_not_convert": ["lm_head"],
    }
    (folder / "config.json").write_text(json.dumps(config))
    stored, expected = {}, {}
    for name, tensor in own_weights().items():
        expected[name] = stored[name] = tensor
        if "proj" in name:
            scale = tensor.abs().max() / 400
            stored[name] = (tensor / scale).to(torch.float8_e4m3fn)
            expected[name] = stored[name].float() * scale
            blocks = [-(-size // 128) for size in tensor.shape]
            stored[f"{name}_scale_inv"] = scale.expand(*blocks).contiguous()
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    model = described(str(folder), dtype=dtype)
    held = model.weights.state_dict()
    for name, tensor in expected.items():
        torch.testing.assert_close(held[name], tensor.to(getattr(torch, dtype)))
    assert answered(model) == generated(model.weights)


# ---------------------------------------------------------------------------- what is known by it


@pytest.mark.parametrize("kind, counts", [("none", False), ("int8", True), ("nf4", True)])
def test_fewer_bits_count(kind: str, counts: bool) -> None:
    assert (composition.digest(node()) != composition.digest(node(quantization=kind))) == counts


@pytest.mark.parametrize("kind", KINDS)
def test_quantized_weights_in_memory_have_a_hash_of_their_own(kind: str) -> None:
    loaded = described(quantization=kind)
    hashes = [
        LanguageModel.of(weights, loaded.tokenizer, prompt="chat").identity["in_memory_sha256"]
        for weights in (
            loaded.weights,
            described(quantization=kind).weights,
            unpacked(loaded.weights),
        )
    ]
    assert hashes[0] == hashes[1] != hashes[2]


# ---------------------------------------------------------------------------- what is refused


@pytest.fixture
def none_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda name: None)


@pytest.fixture
def all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda name: name)


@pytest.mark.parametrize("kind", LIBRARIES)
@pytest.mark.usefixtures("none_installed")
def test_a_package_that_is_absent_is_named_at_once(kind: str) -> None:
    command = f"pip install {LIBRARIES[kind]} accelerate"
    with pytest.raises(ValueError, match=f"^quantization={kind} of .*{command}$"):
        described(quantization=kind)


def packed_by(method: dict[str, Any], folder: Path) -> str:
    shutil.copytree(embedded.path(NAME), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": method}))
    return str(folder)


@pytest.mark.parametrize(
    "method, command",
    [
        ({"quant_method": "gptq", "bits": 4}, "pip install gptqmodel optimum"),
        ({"quant_method": "awq", "bits": 4}, "pip install gptqmodel accelerate"),
        ({"load_in_4bit": True}, "pip install bitsandbytes accelerate"),
        ({"quant_method": "compressed-tensors"}, "pip install compressed-tensors accelerate"),
    ],
)
@pytest.mark.usefixtures("none_installed")
def test_a_quantized_checkpoint_names_the_package_that_reads_it(
    tmp_path: Path, method: dict[str, Any], command: str
) -> None:
    folder = packed_by(method, tmp_path / "packed")
    with pytest.raises(ValueError, match=rf"is quantized already \(by .*{command}$"):
        described(folder)
    with pytest.raises(ValueError, match="is quantized already"):
        RewardModel(path=folder)


def test_a_way_of_quantizing_that_runs_downloaded_code_is_refused(tmp_path: Path) -> None:
    folder = packed_by({"quant_method": "eetq"}, tmp_path / "packed")
    with pytest.raises(ValueError, match=r"by eetq.*Accepted: awq, bitsandbytes, .* torchao"):
        described(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_in_memory_that_are_quantized_make_no_vector_and_take_none(kind: str) -> None:
    plain, held = described(), described(quantization=kind)
    aligned = LanguageModel(path="zoo:a-large-base", prompt="plain")
    packed = LanguageModel(path="zoo:a-large-base", prompt="plain", quantization=kind)
    for one, other in ((held, plain), (plain, held), (held, packed)):
        with pytest.raises(ValueError, match=r"quantized weights|do not match"):
            between(one, other)
    with pytest.raises(ValueError, match=r"quantized weights|does not fit"):
        move(held, {"v": between(plain, aligned)}, {"v": 0.5})


@pytest.mark.usefixtures("all_installed")
def test_vectors_do_not_move_quantized_weights(tmp_path: Path) -> None:
    plain, held = described(), described(quantization="nf4")
    packed = described(packed_by({"quant_method": "gptq"}, tmp_path / "packed"))
    for base, aligned in ((held, plain), (plain, held), (packed, plain)):
        with pytest.raises(ValueError, match=r"is held in fewer bits \(by (nf4|gptq)\), and vect"):
            AlignmentVector(base=base, aligned=aligned)
    AlignmentVector(base=plain, aligned=plain, draft=held)


def test_an_unknown_kind_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"'int4' is not known.*Accepted: fp4, gguf, int8, nf4, n"):
        described(quantization="int4")


@pytest.mark.parametrize("kind", [pytest.param("int8", marks=needs("torchao"))])
def test_a_model_without_layers_for_it_is_refused(kind: str, tmp_path: Path) -> None:
    folder = with_tokenizer(saved(gpt2(seed=0), tmp_path / "gpt2"), of="a-small-base")
    model = LanguageModel(path=folder, prompt="plain", quantization=kind)
    with pytest.raises(ValueError, match="none of its layers is of a kind for that"):
        _ = model.weights


def test_no_kernel_is_downloaded_where_the_package_for_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bitsandbytes").mkdir()
    tries = "try:\n    import kernels as found\nexcept ImportError:\n    found = None\n"
    (tmp_path / "bitsandbytes/__init__.py").write_text(tries)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "bitsandbytes"]:
        monkeypatch.delitem(sys.modules, name)
    kernels = ModuleType("kernels")
    monkeypatch.setitem(sys.modules, "kernels", kernels)
    import_bitsandbytes()
    assert vars(sys.modules.pop("bitsandbytes"))["found"] is None
    assert sys.modules["kernels"] is kernels
