"""Models, vectors and disks that are not as they should be: clear errors, and nothing left over."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from checkpoints import gpt2, llama, read_folder, saved, write_folder
from safetensors.torch import save_file

from trimtab.machine import whole_folder
from trimtab.tensors.tensor_file import TensorWriter
from trimtab.vectors import Vector, apply, extract


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> tuple[str, str, str]:
    """A base, an aligned model, and a vector between them; not to be changed."""
    root = tmp_path_factory.mktemp("models")
    base, aligned = (saved(llama(seed=seed), root / f"m{seed}") for seed in (0, 1))
    extract(base=base, aligned=aligned, out=root / "v")
    return base, aligned, str(root / "v")


def weights_of(folder: str | Path) -> Path:
    return Path(folder) / "model.safetensors"


def refused(match: str, base: str, aligned: str, out: Path, **settings) -> None:
    """Extracting is refused with a message, and leaves nothing where it would have written."""
    before = set(out.parent.iterdir())
    with pytest.raises(ValueError, match=match):
        extract(base=base, aligned=aligned, out=out, **settings)
    assert set(out.parent.iterdir()) == before


# ---------------------------------------------------------------------------- models


def test_models_of_other_architectures_are_refused(tmp_path: Path, models) -> None:
    deeper = saved(llama(seed=0, head_dim=4), tmp_path / "narrow")
    other = saved(gpt2(seed=0), tmp_path / "gpt2")
    refused(r"do not match in \d+ tensors:\n  .*k_proj", models[0], deeper, tmp_path / "v")
    refused("one fine-tuned from the other", models[0], other, tmp_path / "v")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("rank", [None, 2])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, number, rank) -> None:
    broken = llama(seed=1)
    with torch.no_grad():
        broken.model.layers[0].mlp.up_proj.weight[3, 4] = number
    base, aligned = saved(llama(seed=0), tmp_path / "b"), saved(broken, tmp_path / "a")
    refused("layers.0.mlp.up_proj.weight.*finite", base, aligned, tmp_path / "v", rank=rank)
    refused("layers.0.mlp.up_proj.weight.*finite", aligned, base, tmp_path / "v", rank=rank)


def test_sums_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    base = write_folder(tmp_path / "b", {"w": torch.full((4,), 6e4, dtype=torch.float16)})
    aligned = write_folder(tmp_path / "a", {"w": torch.full((4,), 6.4e4, dtype=torch.float16)})
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v")
    before = set(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"w: the sum is not of finite numbers.*float16"):
        apply(base=base, vectors={"v": vector}, strengths={"v": 3.0}, out=tmp_path / "out")
    assert set(tmp_path.iterdir()) == before


def test_differences_too_large_for_their_type_are_refused(tmp_path: Path) -> None:
    base = write_folder(tmp_path / "b", {"w": torch.zeros(4)})
    aligned = write_folder(tmp_path / "a", {"w": torch.full((4,), 1e6)})
    refused(r"w: .*65,504.*bfloat16", base, aligned, tmp_path / "v", dtype="float16")


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn])
def test_quantized_weights_are_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    folders = [
        write_folder(tmp_path / str(i), {"w": (20 * torch.rand(4, 4)).to(dtype)}) for i in (0, 1)
    ]
    refused("w is of type .*quantized", *folders, tmp_path / "v")
    exact = write_folder(tmp_path / "exact", {"w": torch.rand(4, 4)})
    moved = write_folder(tmp_path / "moved", {"w": torch.rand(4, 4)})
    vector = extract(base=exact, aligned=moved, out=tmp_path / "v")
    with pytest.raises(ValueError, match="quantized"):
        apply(base=folders[0], vectors={"v": vector}, strengths={"v": 1.0}, out=tmp_path / "out")


def test_a_model_that_says_it_is_quantized_is_refused_by_that(tmp_path: Path, models) -> None:
    packed = shutil.copytree(models[1], tmp_path / "packed")
    config = json.loads((packed / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (packed / "config.json").write_text(json.dumps(config))
    refused(r"is quantized \(by gptq", models[0], str(packed), tmp_path / "v")
    with pytest.raises(ValueError, match=r"is quantized \(by gptq.*before it was quantized"):
        apply(
            base=str(packed), vectors={"v": models[2]}, strengths={"v": 0.5}, out=tmp_path / "out"
        )


def test_pickled_weights_are_not_opened(tmp_path: Path, models) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    model = llama(seed=0)
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    refused(r"stored as pickles.*save_pretrained", str(folder), models[1], tmp_path / "v")


def test_folders_that_are_no_models_are_refused(tmp_path: Path, models) -> None:
    (tmp_path / "empty").mkdir()
    refused("holds no model", str(tmp_path / "empty"), models[1], tmp_path / "v")
    refused("missing' does not exist", str(tmp_path / "missing"), models[1], tmp_path / "v")
    refused("Did you mean 'a-small-sft'", "zoo:a-small-stf", models[1], tmp_path / "v")


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"vocab_size": '])
def test_a_broken_config_is_named(tmp_path: Path, models, text: str) -> None:
    folder = saved(llama(seed=0), tmp_path / "b")
    (Path(folder) / "config.json").write_text(text)
    refused(
        r"config\.json' (is no whole JSON|holds no JSON object)", folder, models[1], tmp_path / "v"
    )


# ---------------------------------------------------------------------------- files cut off


@pytest.mark.parametrize("kept", ["nothing", "length", "header", "data", "last byte"])
def test_files_that_are_cut_off_are_refused(tmp_path: Path, models, kept: str) -> None:
    base = saved(llama(seed=0), tmp_path / "b")
    content = weights_of(base).read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    sizes = {"nothing": 0, "length": 5, "header": header - 7, "data": header + 40}
    weights_of(base).write_bytes(content[: sizes.get(kept, len(content) - 1)])
    refused(r"b/model\.safetensors' is no whole safetensors file", base, models[1], tmp_path / "v")
    vector = Vector.open(models[2])
    with pytest.raises(ValueError, match="no whole safetensors file"):
        apply(base=base, vectors={"v": vector}, strengths={"v": 1.0}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kept", [0, 4, 100, 0.9999])
def test_vectors_that_are_cut_off_are_refused(tmp_path: Path, models, kept: float) -> None:
    content = (Path(models[2]) / "vector.safetensors").read_bytes()
    (tmp_path / "v").mkdir()
    size = int(kept if kept >= 1 else kept * len(content))
    (tmp_path / "v" / "vector.safetensors").write_bytes(content[:size])
    with pytest.raises(ValueError, match="no whole safetensors file"):
        Vector.open(tmp_path / "v")


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b'{"w": 3}',
        b'{"w": {"dtype": "F32", "shape": [2]}}',
        b'{"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"w": {"dtype": "F32", "shape": [-2, -1], "data_offsets": [0, 8]}}',
        b'{"w": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}',
        b'{"w": {"dtype": "XX", "shape": [2], "data_offsets": [0, 8]}}',
        b'{"w": {"dtype": "F32", "shape": "2", "data_offsets": [0, 8]}}',
        b"\xff\xfe\x00\x01",
    ],
)
def test_headers_that_make_no_sense_are_refused(tmp_path: Path, models, header: bytes) -> None:
    base = saved(llama(seed=0), tmp_path / "b")
    weights_of(base).write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    refused("no whole safetensors file", base, models[1], tmp_path / "v")


def test_an_index_that_does_not_fit_its_files_is_refused(tmp_path: Path, models) -> None:
    base = saved(llama(seed=0), tmp_path / "b", max_shard_size="8KB")
    index = Path(base) / "model.safetensors.index.json"
    said = json.loads(index.read_text())
    first = sorted(said["weight_map"])[0]
    text = json.dumps(said | {"weight_map": said["weight_map"] | {first: "model-gone.safetensors"}})
    index.write_text(text)
    refused(r"has no model-gone\.safetensors", base, models[1], tmp_path / "v")
    index.write_text(json.dumps({"weight_map": said["weight_map"] | {"x": "model.safetensors"}}))
    refused(r"has no model\.safetensors", base, models[1], tmp_path / "v")
    some_file = said["weight_map"][first]
    index.write_text(json.dumps({"weight_map": said["weight_map"] | {"x.weight": some_file}}))
    refused(r"do not agree about 1 tensors, such as x\.weight", base, models[1], tmp_path / "v")
    index.write_text("{}")
    refused("no weight_map", base, models[1], tmp_path / "v")
    index.write_text(index.read_text()[:1])
    refused(r"index\.json' is no whole JSON", base, models[1], tmp_path / "v")


def test_an_index_may_not_lead_out_of_the_folder(tmp_path: Path, models) -> None:
    base = saved(llama(seed=0), tmp_path / "b", max_shard_size="8KB")
    outside = tmp_path / "outside.safetensors"
    save_file({"x": torch.zeros(1)}, outside)
    index = Path(base) / "model.safetensors.index.json"
    said = json.loads(index.read_text())
    index.write_text(json.dumps({"weight_map": said["weight_map"] | {"x": f"../{outside.name}"}}))
    refused(r"'\.\./outside\.safetensors'", base, models[1], tmp_path / "v")


# ---------------------------------------------------------------------------- settings


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), True, "1"])
def test_strengths_that_are_no_numbers_are_refused(tmp_path: Path, models, strength) -> None:
    vector = Vector.open(models[2])
    with pytest.raises(ValueError, match="strength="):
        apply(base=models[0], vectors={"v": vector}, strengths={"v": strength}, out=tmp_path / "o")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"dtype": "bf16"}, "dtype: 'bf16' is not known.*bfloat16"),
        ({"vocabulary": "Shared"}, "Did you mean 'shared'"),
        ({"rank": 0}, "rank=0"),
        ({"rank": 1.5}, r"rank=1\.5"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path: Path, models, settings, match) -> None:
    refused(match, *models[:2], tmp_path / "v", **settings)


def test_nothing_is_written_over(tmp_path: Path, models) -> None:
    base, aligned, vector = models
    out = tmp_path / "out"
    out.mkdir()
    extract(base=base, aligned=aligned, out=out)  # an empty folder is as good as none
    kept = {file: file.read_bytes() for file in out.iterdir()}
    file = tmp_path / "file"
    file.write_text("kept")
    for taken in (out, file):
        with pytest.raises(ValueError, match="is there already"):
            extract(base=base, aligned=aligned, out=taken)
        with pytest.raises(ValueError, match="is there already"):
            apply(base=base, vectors={"v": Vector.open(vector)}, strengths={"v": 1.0}, out=taken)
    assert {file: file.read_bytes() for file in out.iterdir()} == kept
    assert file.read_text() == "kept"


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("x" * 300, "File name too long"),
        ("file/v", "Not a directory"),
        ("dangling", "is there already"),
        ("taken", "is there already"),
    ],
)
def test_where_nothing_can_be_written_no_work_begins(tmp_path: Path, name: str, match: str) -> None:
    """The models do not exist: were they looked at first, that would be said."""
    (tmp_path / "file").write_text("kept")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(ValueError, match=match):
        extract(base="./nowhere", aligned="./nowhere", out=tmp_path / name)
    with pytest.raises(ValueError, match=match):
        apply(base="./nowhere", vectors={}, strengths={}, out=tmp_path / name)


def test_the_longest_name_is_a_name(tmp_path: Path, models) -> None:
    extract(base=models[0], aligned=models[1], out=tmp_path / ("x" * 255))
    assert Vector.open(tmp_path / ("x" * 255)).deltas


# ---------------------------------------------------------------------------- full disks


@pytest.fixture
def little_room():
    """No file of this process may grow beyond 8 KB, which is how writing on a full disk ends."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("what", ["vector", "factors", "model"])
def test_nothing_is_left_where_a_file_cannot_be_written(tmp_path, models, what, request) -> None:
    base, aligned, vector = models
    request.getfixturevalue("little_room")
    with pytest.raises(OSError, match="File too large"):
        if what == "model":
            apply(
                base=base,
                vectors={"v": Vector.open(vector)},
                strengths={"v": 1.0},
                out=tmp_path / "out",
            )
        else:
            extract(
                base=base,
                aligned=aligned,
                out=tmp_path / "out",
                rank=8 if what == "factors" else None,
            )
    assert not list(tmp_path.iterdir())


def test_a_disk_without_room_is_told_before_writing(tmp_path: Path, models, monkeypatch) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OSError, match="bytes are needed, 1,000 are free"):
        extract(base=models[0], aligned=models[1], out=tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.process
@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounts a disk")
@pytest.mark.parametrize("rank", [None, 16])
def test_a_disk_that_fills_up_keeps_nothing(tmp_path: Path, models, rank) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a disk")
    try:
        with pytest.raises(OSError, match=r"disk is full|are free"):
            extract(base=models[0], aligned=models[1], out=disk / "out", rank=rank)
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# ---------------------------------------------------------------------------- interruptions


@pytest.mark.parametrize("work", ["extract", "apply"])
def test_an_interrupt_leaves_nothing(tmp_path: Path, models, monkeypatch, work: str) -> None:
    base, aligned, vector = models
    calls = []

    def interrupted(self, values: torch.Tensor) -> None:
        calls.append(values)
        if len(calls) == 5:
            raise KeyboardInterrupt
        original(self, values)

    original = TensorWriter.write
    monkeypatch.setattr(TensorWriter, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        if work == "extract":
            extract(base=base, aligned=aligned, out=tmp_path / "out")
        else:
            opened = {"v": Vector.open(vector)}
            apply(base=base, vectors=opened, strengths={"v": 1.0}, out=tmp_path / "out")
    assert not list(tmp_path.iterdir())


_SLOW = """
import sys, time
from trimtab.vectors import extract
def slowly(read, total):
    print("working", flush=True)
    time.sleep(0.2)
extract(base=sys.argv[1], aligned=sys.argv[2], out=sys.argv[3], progress=slowly)
"""


@pytest.mark.process
def test_what_is_killed_leaves_nothing_for_long(tmp_path: Path, models, monkeypatch) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(whole_folder, "_JUST_BEGUN", -1.0)
    command = [sys.executable, "-c", _SLOW, models[0], models[1], str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert (
            process.stdout.readline() == "working\n"
        )  # in the middle: the first tensor is written
        time.sleep(0.3)
        working = list(tmp_path.iterdir())
        extract(base=models[0], aligned=models[1], out=tmp_path / "beside")
        assert {*working, tmp_path / "beside"} == set(tmp_path.iterdir())  # it works on
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    prefix = whole_folder._PREFIX
    (tmp_path / f"{prefix}own").mkdir()  # of somebody who likes such names
    (tmp_path / f"{prefix}trap").mkdir()
    (tmp_path / "precious").write_text("kept")
    (tmp_path / f"{prefix}trap" / ".lock").symlink_to(tmp_path / "precious")
    extract(base=models[0], aligned=models[1], out=out)
    kept = {"precious", f"{prefix}own", f"{prefix}trap"}
    assert {file.name for file in tmp_path.iterdir()} == {"out", "beside", *kept}
    assert (tmp_path / "precious").read_text() == "kept"
    assert read_folder(models[0]).keys() == Vector.open(out).deltas.keys()
