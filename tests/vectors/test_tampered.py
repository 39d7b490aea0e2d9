"""Tampered vectors through every door: refused with a message that names the file, or read."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import tampered
import torch
from checkpoints import llama, read_folder, saved
from safetensors.torch import save_file

from trimtab.cli.vector_command import main
from trimtab.methods import AlignmentVectors
from trimtab.models import LanguageModel
from trimtab.models.adapters import peft_patterns
from trimtab.vectors import Vector, extract

PROJECTION = "model.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A base, a vector from it with exact places, and an adapter in PEFT's layout."""
    root = tmp_path_factory.mktemp("models")
    model = llama(seed=0)
    base = saved(model, root / "base")
    with torch.no_grad():
        model.model.norm.weight.mul_(1 + 1e-3 * torch.randn(16))
        model.model.layers[0].input_layernorm.weight[:3] = torch.tensor([1e-9, -1e-9, 3e-8])
    extract(base=base, aligned=saved(model, root / "aligned"), out=root / "vector")
    (root / "adapter").mkdir()
    config = '{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}'
    (root / "adapter" / tampered.ADAPTER).write_text(config)
    factors = {"A": torch.randn(2, 16), "B": torch.randn(16, 2)}
    save_file(
        {f"{tampered.PREFIX}.lora_{which}.weight": t for which, t in factors.items()},
        root / "adapter" / tampered.FACTORS,
    )
    tampered.places(1, 4)(root / "vector")
    return root


@pytest.fixture(autouse=True)
def _nobody_waits_for_ever(monkeypatch) -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError("a door hung")

    monkeypatch.setattr(peft_patterns, "_PATIENCE", 0.5)
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def doors(models: Path, folder: Path, out: Path):
    """Return what is done with a vector: from Python, on the command line, in a run."""

    def run() -> None:
        base = LanguageModel.of(llama(seed=0), object(), prompt="plain")
        _ = AlignmentVectors(base=base, vectors={"v": str(folder)}).moved

    applied = [f"base={models / 'base'}", f"vector={folder}", f"out={out}"]
    return {
        "open": lambda: Vector.open(folder),
        "show": lambda: main(["show", str(folder)]),
        "show as JSON": lambda: main(["show", str(folder), "--json"]),
        "apply": lambda: main(["apply", *applied]),
        "run": run,
    }


def copied(models: Path, kind: str, tmp_path: Path, damage: tampered.Damage) -> Path:
    shutil.copytree(models / kind, tmp_path / "tampered")
    (tmp_path / "secret").write_text("not for this folder")
    damage(tmp_path / "tampered")
    return tmp_path / "tampered"


CASES = [
    *(("vector", which) for which in tampered.VECTORS),
    *(
        pytest.param("adapter", which, marks=[pytest.mark.process] * ("pattern" in which))
        for which in tampered.ADAPTERS
    ),
]


@pytest.mark.parametrize(("kind", "which"), CASES)
def test_what_is_damaged_is_refused_at_every_door(models, tmp_path, kind, which) -> None:
    damage, why = (tampered.VECTORS if kind == "vector" else tampered.ADAPTERS)[which]
    folder = copied(models, kind, tmp_path, damage)
    slow = "to match" in why  # each door waits as long
    for name, door in doors(models, folder, tmp_path / "out").items():
        if slow and name != "apply":
            continue
        with pytest.raises(ValueError, match=f"(?s){why}") as error:
            door()
        assert str(folder) in str(error.value) and len(str(error.value)) < 1500
    assert {file.name for file in tmp_path.iterdir()} == {"tampered", "secret"}


@pytest.mark.parametrize("which", [None, *tampered.HARMLESS])
def test_what_is_whole_or_merely_odd_is_read(models, tmp_path, which) -> None:
    damage = tampered.HARMLESS[which] if which else lambda folder: None
    folder = copied(models, "vector", tmp_path, damage)
    for door in doors(models, folder, tmp_path / "out").values():
        door()
    found = read_folder(tmp_path / "out")["model.norm.weight"]
    assert not torch.equal(found, read_folder(models / "base")["model.norm.weight"])


def test_the_whole_adapter_is_read(models, tmp_path) -> None:
    folder = copied(models, "adapter", tmp_path, lambda folder: None)
    for door in doors(models, folder, tmp_path / "out").values():
        door()
    assert Vector.open(folder).deltas.keys() == {f"{PROJECTION}.weight"}
