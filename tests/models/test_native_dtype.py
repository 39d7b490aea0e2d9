"""Number formats: what `dtype=auto` comes to, on CPUs that compute in 16 bits and on others."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.checkpoints import llama, saved

from trimtab import LanguageModel
from trimtab import zoo as embedded
from trimtab.models import native_dtype
from trimtab.runs.preconditions import require_same

OLD, NEW = "fpu avx2 avx512f", "fpu avx2 avx512f avx512_bf16"


@pytest.fixture
def cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make the machine's CPU one with some instruction sets, as Linux names them."""

    def become(flags: str) -> None:
        file = tmp_path / f"cpuinfo-{flags}"
        file.write_text(f"processor\t: 0\nmodel name\t: bf16 avx512_bf16\nflags\t\t: {flags}\n")
        monkeypatch.setattr(native_dtype, "_CPU", file)

    return become


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model whose files hold bfloat16, with a tokenizer."""
    where = tmp_path / "half"
    saved(llama(seed=0, dtype=torch.bfloat16), where)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(embedded.path("a-small-base") / name, where / name)
    return where


def described(folder: Path, dtype: str) -> LanguageModel:
    return LanguageModel(path=str(folder), prompt="plain", dtype=dtype, device="cpu")


@pytest.mark.parametrize(
    "flags, dtype, expected, remark",
    [
        (NEW, "auto", torch.bfloat16, None),
        (OLD, "auto", torch.float32, "dtype=auto is float32 here. The weights are stored as bfloa"),
        (NEW, "bfloat16", torch.bfloat16, None),
        (OLD, "bfloat16", torch.bfloat16, "dtype=bfloat16, but this CPU has no instructions"),
        (NEW, "float16", torch.float16, "dtype=float16, but this CPU has no instructions"),
        (OLD, "float32", torch.float32, None),
    ],
)
def test_weights_are_of_the_format_that_the_cpu_computes_in(
    cpu, folder: Path, caplog, flags: str, dtype: str, expected: torch.dtype, remark: str | None
) -> None:
    cpu(flags)
    model = described(folder, dtype)
    assert model.weights.dtype == expected
    assert model.provenance()["dtype_in_use"] == str(expected).removeprefix("torch.")
    lines = [line.getMessage() for line in caplog.records]
    assert [remark in line for line in lines] == ([True] if remark else [])
    stored = load_file(folder / "model.safetensors")
    for name, tensor in model.weights.state_dict().items():
        if name in stored:  # widening loses nothing
            assert tensor.equal(stored[name].to(expected))


def test_what_auto_comes_to_is_told_where_it_is_not_what_the_files_say(cpu, folder: Path) -> None:
    identities = {}
    for flags in (OLD, NEW):
        cpu(flags)
        identities[flags] = described(folder, "auto").identity
        assert "dtype_in_use" not in described(folder, "bfloat16").identity
    assert identities[OLD] == identities[NEW] | {"dtype_in_use": "float32"}
    records = [{"models": {"model": identities[flags]}, "data": ""} for flags in (OLD, NEW)]
    for now, then in (records, records[::-1]):
        with pytest.raises(ValueError, match=r"begun with other models \(model\)"):
            require_same(now, then, folder)
        require_same(now, now, folder)


def test_files_tell_the_format_where_the_configuration_does_not(cpu, folder: Path) -> None:
    cpu(NEW)
    config = json.loads((folder / "config.json").read_text())
    del config["dtype"]
    (folder / "config.json").write_text(json.dumps(config))
    assert described(folder, "auto").weights.dtype == torch.bfloat16
    model = llama(seed=0, dtype=torch.bfloat16)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    pickled = LanguageModel(path=str(folder), prompt="plain", dtype="auto", allow_pickle=True)
    with pytest.raises(ValueError, match=r"dtype=auto of .*says .* Name one: float32, bfloat16"):
        _ = pickled.weights


def test_a_given_model_has_the_format_that_it_has(zoo) -> None:
    twin = llama(seed=0, dtype=torch.bfloat16)
    given = LanguageModel.of(twin, zoo("a-small-base").tokenizer, prompt="plain")
    assert given.provenance()["dtype_in_use"] == "bfloat16"


def test_linux_names_of_an_arm_cpu_are_known_too(tmp_path: Path, monkeypatch) -> None:
    file, cpu = tmp_path / "cpuinfo", torch.device("cpu")
    file.write_text("processor\t: 0\nFeatures\t: fp asimd asimdhp bf16\n")
    monkeypatch.setattr(native_dtype, "_CPU", file)
    assert native_dtype.is_native("bfloat16", cpu) and native_dtype.is_native("float16", cpu)
    monkeypatch.setattr(native_dtype, "_CPU", tmp_path / "absent")  # as on other systems
    assert not native_dtype.is_native("bfloat16", cpu) and native_dtype.is_native("float32", cpu)
