"""Vectors as files: what is extracted and applied, against plain arithmetic on the tensors."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import VOCABULARY, bits_differ, llama, read_folder, saved, write_folder
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from trimtab.vectors import Dial, Vector, apply, extract

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[str, str]:
    """A base and an aligned model that has moved a little, as transformers writes them."""
    root = tmp_path_factory.mktemp("pair")
    base, aligned = llama(seed=0), llama(seed=0)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in aligned.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    return saved(base, root / "base"), saved(aligned, root / "aligned")


def awkward(dtype: torch.dtype) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return tensors whose difference, added in fp32, does not give the second one back."""
    info = torch.finfo(dtype)
    tiny = info.smallest_normal * 2.0**-5  # subnormal
    big = min(info.max / 4, 1e30)
    numbers = [0.0, -0.0, tiny, -tiny, info.smallest_normal, 1.0, -3.0, big, -big, 1 / 3, 1e-4]
    pairs = torch.cartesian_prod(*2 * [torch.tensor(numbers, dtype=torch.float64)]).to(dtype)
    torch.manual_seed(0)
    noise = torch.randn(2, 300, 40) * torch.tensor([1.0, 1e-4]).view(2, 1, 1)
    base = {"all_pairs": pairs[:, 0], "noise": noise[0].to(dtype), "zero_signs": torch.zeros(4)}
    aligned = {"all_pairs": pairs[:, 1], "noise": noise[1].to(dtype), "zero_signs": -torch.zeros(4)}
    zeros = {"zero_signs": base["zero_signs"].to(dtype)}
    return (
        {n: t.contiguous() for n, t in (base | zeros).items()},
        {n: t.contiguous() for n, t in (aligned | {"zero_signs": -zeros["zero_signs"]}).items()},
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_ends_are_the_two_models_bit_for_bit(tmp_path: Path, dtype: str) -> None:
    start, end = awkward(DTYPES[dtype])
    fp32_sum = {n: (start[n].float() + (end[n].float() - start[n].float())) for n in start}
    assert bits_differ({n: t.to(DTYPES[dtype]) for n, t in fp32_sum.items()}, end)  # it is hard
    base, aligned = write_folder(tmp_path / "b", start), write_folder(tmp_path / "a", end)
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v")
    for strength, expected in ((0.0, start), (1.0, end)):
        out = tmp_path / f"at-{strength}"
        apply(base=base, vectors={"v": vector}, strengths={"v": strength}, out=out)
        assert bits_differ(read_folder(out), expected) == []


def test_real_models_are_given_back_bit_for_bit_and_load(tmp_path: Path, pair) -> None:
    base, aligned = pair
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v")
    for strength, model in ((0.0, base), (1.0, aligned)):
        out = tmp_path / f"at-{strength}"
        apply(base=base, vectors={"v": vector}, strengths={"v": strength}, out=out)
        loaded, whole = (AutoModelForCausalLM.from_pretrained(f) for f in (out, model))
        assert bits_differ(loaded.state_dict(), whole.state_dict()) == []
        tokens = torch.arange(12)[None]
        assert torch.equal(loaded(tokens).logits, whole(tokens).logits)


@pytest.mark.parametrize("strength", [-0.5, 0.3, 0.999, 2.0])
def test_between_the_ends_weights_are_the_sum_in_fp64(tmp_path: Path, pair, strength) -> None:
    base, aligned = pair
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v")
    apply(base=base, vectors={"v": vector}, strengths={"v": strength}, out=tmp_path / "out")
    start, end = read_folder(base), read_folder(aligned)
    for name, moved in read_folder(tmp_path / "out").items():
        exact = start[name].double() + strength * (end[name].double() - start[name].double())
        torch.testing.assert_close(moved.double(), exact, rtol=2e-7, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("strengths", [(0.3,), (1.0,), (-0.7, 1.1, 1.0)])
def test_models_on_disk_and_in_memory_get_the_same_bits(tmp_path: Path, dtype, strengths) -> None:
    """One is summed up by numpy, block by block, the other in place by torch."""
    start, *ends = (llama(seed=seed, dtype=getattr(torch, dtype)) for seed in range(4))
    base = saved(start, tmp_path / "base")
    vectors = {}
    for which, (end, _) in enumerate(zip(ends, strengths, strict=False)):
        aligned = saved(end, tmp_path / f"a{which}")
        vectors[f"v{which}"] = extract(base=base, aligned=aligned, out=tmp_path / f"v{which}")
    named = dict(zip(vectors, strengths, strict=True))
    apply(base=base, vectors=vectors, strengths=named, out=tmp_path / "out")
    Dial(start, vectors).turn(named)
    written = read_folder(tmp_path / "out")
    assert not bits_differ(written, {n: start.state_dict()[n] for n in written})


def test_two_vectors_add_up(tmp_path: Path, pair) -> None:
    base, _ = pair
    start = read_folder(base)
    ends = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        ends.append({n: t + 0.02 * torch.randn_like(t) for n, t in start.items()})
        write_folder(tmp_path / f"a{seed}", ends[-1])
    vectors = {
        f"v{n}": extract(base=base, aligned=str(tmp_path / f"a{n}"), out=tmp_path / f"v{n}")
        for n in (1, 2)
    }
    strengths = {"v1": 0.4, "v2": -1.2}
    apply(base=base, vectors=vectors, strengths=strengths, out=tmp_path / "out")
    for name, moved in read_folder(tmp_path / "out").items():
        one, two = (end[name].double() - start[name].double() for end in ends)
        exact = start[name].double() + 0.4 * one - 1.2 * two
        torch.testing.assert_close(moved.double(), exact, rtol=3e-7, atol=1e-8)


def test_a_vector_goes_to_another_base_as_it_is(tmp_path: Path) -> None:
    """What makes strength 1 exact belongs to the model that the vector came from alone."""
    start, end = awkward(torch.float32)
    base, aligned = write_folder(tmp_path / "b", start), write_folder(tmp_path / "a", end)
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v")
    other = {name: torch.full_like(tensor, 0.5) for name, tensor in start.items()}
    apply(
        base=write_folder(tmp_path / "other", other),
        vectors={"v": vector},
        strengths={"v": 1.0},
        out=tmp_path / "out",
    )
    for name, moved in read_folder(tmp_path / "out").items():
        exact = other[name].double() + (end[name].double() - start[name].double())
        torch.testing.assert_close(moved.double(), exact, rtol=3e-7, atol=1e-7)
    record = json.loads((tmp_path / "out" / "vectors.json").read_text())
    assert record["vectors"]["v"]["transferred"] is True


def test_shards_change_nothing(tmp_path: Path) -> None:
    models = {"base": llama(seed=0), "aligned": llama(seed=1)}
    whole = {n: saved(m, tmp_path / n) for n, m in models.items()}
    parts = {n: saved(m, tmp_path / f"{n}-parts", max_shard_size="8KB") for n, m in models.items()}
    assert len(list(Path(parts["base"]).glob("model-*.safetensors"))) > 2
    files = {}
    for kind, of in (("whole", whole), ("parts", parts)):
        vector = extract(base=of["base"], aligned=of["aligned"], out=tmp_path / f"v-{kind}")
        out = tmp_path / f"out-{kind}"
        apply(base=of["base"], vectors={"v": vector}, strengths={"v": 0.37}, out=out)
        files[kind] = {
            "vector": load_file(tmp_path / f"v-{kind}" / "vector.safetensors"),
            "model": read_folder(out),
        }
        loaded = AutoModelForCausalLM.from_pretrained(out)
        assert bits_differ(loaded.state_dict(), files["whole"]["model"]) == []
    for what in ("vector", "model"):
        assert bits_differ(files["whole"][what], files["parts"][what]) == []
    shards = {file.name for file in Path(parts["base"]).glob("model*")}
    assert {file.name for file in (tmp_path / "out-parts").glob("model*")} == shards


def test_the_file_holds_fp32_differences_that_safetensors_reads(tmp_path: Path, pair) -> None:
    base, aligned = pair
    extract(base=base, aligned=aligned, out=tmp_path / "v")
    start, end = read_folder(base), read_folder(aligned)
    stored = load_file(tmp_path / "v" / "vector.safetensors")
    assert bits_differ(stored, {n: end[n] - start[n] for n in start}) == []


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rounded_vectors_record_the_error_that_they_make(tmp_path: Path, pair, dtype) -> None:
    base, aligned = pair
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v", dtype=dtype)
    start, end = read_folder(base), read_folder(aligned)
    assert vector.facts["exact"] is False
    for name in start:
        delta = end[name].double() - start[name].double()
        error = (delta.to(DTYPES[dtype]).double() - delta).norm()
        recorded = vector.facts["tensors"][name]
        assert recorded["error"] == pytest.approx(float(error), rel=1e-3)
        assert recorded["norm"] == pytest.approx(float(delta.norm()), rel=1e-4)
        assert recorded["base_norm"] == pytest.approx(float(start[name].double().norm()), rel=1e-4)


def test_tensors_of_no_axis_and_of_no_element(tmp_path: Path) -> None:
    base = {"scale": torch.tensor(2.0), "none": torch.zeros(5, 0), "w": torch.ones(3)}
    aligned = {"scale": torch.tensor(3.0), "none": torch.zeros(5, 0), "w": torch.ones(3)}
    folders = [write_folder(tmp_path / n, t) for n, t in (("b", base), ("a", aligned))]
    vector = extract(base=folders[0], aligned=folders[1], out=tmp_path / "v")
    assert list(vector.deltas) == ["scale"]
    # A number of numpy's is a strength too.
    given = {"v": np.float64(0.1)}
    apply(base=folders[0], vectors={"v": vector}, strengths=given, out=tmp_path / "out")
    found = read_folder(tmp_path / "out")
    assert found["scale"].shape == () and float(found["scale"]) == pytest.approx(2.1)
    assert found["none"].shape == (5, 0)


@pytest.mark.parametrize("strengths", [{}, {"w": 1.0}, {"v": 1.0, "w": 1.0}])
def test_each_vector_has_its_strength(tmp_path: Path, pair, strengths) -> None:
    vector = extract(base=pair[0], aligned=pair[1], out=tmp_path / "v")
    with pytest.raises(ValueError, match="one for each vector: v"):
        apply(base=pair[0], vectors={"v": vector}, strengths=strengths, out=tmp_path / "out")


@pytest.mark.parametrize("dtype", DTYPES)
def test_strengths_of_numpy_are_numbers_like_others(tmp_path: Path, dtype: str) -> None:
    base, aligned = (
        saved(llama(seed=seed, dtype=DTYPES[dtype]), tmp_path / f"m{seed}") for seed in (0, 1)
    )
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v")
    for name, strength in (("own", 0.3), ("numpy's", np.float64(0.3))):
        apply(base=base, vectors={"v": vector}, strengths={"v": strength}, out=tmp_path / name)
    assert not bits_differ(read_folder(tmp_path / "own"), read_folder(tmp_path / "numpy's"))


def test_only_what_changed_is_stored(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = {name: torch.randn(30, 8) for name in ("same", "one", "counts")}
    start["counts"] = torch.arange(5)
    end = {name: tensor.clone() for name, tensor in start.items()}
    end["one"][7, 3] += 1
    base, aligned = write_folder(tmp_path / "b", start), write_folder(tmp_path / "a", end)
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v")
    assert vector.deltas.keys() == {"one"}
    assert vector.facts["tensors"]["one"]["changed"] == 1
    assert vector.facts["tensors"]["same"]["changed"] == 0
    apply(base=base, vectors={"v": vector}, strengths={"v": 1.0}, out=tmp_path / "out")
    assert bits_differ(read_folder(tmp_path / "out"), end) == []


@pytest.mark.parametrize("rank", [None, 4])
def test_a_model_minus_itself_is_an_empty_vector(tmp_path: Path, pair, rank) -> None:
    base, _ = pair
    extract(base=base, aligned=base, out=tmp_path / "v", rank=rank)
    vector = Vector.open(tmp_path / "v")
    assert not vector.deltas
    apply(base=base, vectors={"v": vector}, strengths={"v": 3.0}, out=tmp_path / "out")
    assert bits_differ(read_folder(tmp_path / "out"), read_folder(base)) == []


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path: Path) -> None:
    base = saved(llama(seed=0, tied=True), tmp_path / "b")
    aligned = saved(llama(seed=1, tied=True), tmp_path / "a")
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v")
    assert "lm_head.weight" not in vector.deltas
    apply(base=base, vectors={"v": vector}, strengths={"v": 1.0}, out=tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    assert bits_differ(loaded.state_dict(), llama(seed=1, tied=True).state_dict()) == []


def test_long_names_fit_the_header(tmp_path: Path) -> None:
    """Room for the header is left before anything is measured."""
    names = [f"layer.{i}.{'größe' * 60}.weight" for i in range(40)]
    folders = []
    for value in (0.0, 1.0):
        folder = tmp_path / ("ü" * 80) / ("model-" * 20 + str(value))
        folder.parent.mkdir(exist_ok=True)
        folders.append(write_folder(folder, {n: torch.full((2,), value) for n in names}))
    vector = extract(base=folders[0], aligned=folders[1], out=tmp_path / "v")
    assert sorted(vector.deltas) == sorted(names)
    assert sorted(load_file(tmp_path / "v" / "vector.safetensors")) == sorted(names)


def test_saved_arithmetic_reads_back(tmp_path: Path, pair) -> None:
    base, aligned = pair
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v")
    (2 * vector).save(tmp_path / "twice")
    (0 * vector).save(tmp_path / "nothing")
    start, end = read_folder(base), read_folder(aligned)
    twice, nothing = Vector.open(tmp_path / "twice"), Vector.open(tmp_path / "nothing")
    for name in start:
        assert torch.equal(twice.deltas[name].dense(), 2 * (end[name] - start[name]))
        assert not nothing.deltas[name].dense().any()
    assert twice.facts["base"] == vector.facts["base"]
    (term,) = twice.facts["made_of"]["vectors"]
    assert (term["strength"], term["aligned"]) == (2.0, vector.facts["aligned"])
    vector.save(tmp_path / "rounded", "bfloat16")
    rounded = Vector.open(tmp_path / "rounded").facts
    assert (rounded["dtype"], rounded["exact"]) == ("bfloat16", False)
    assert rounded["base"] == vector.facts["base"]
    Vector({}).save(tmp_path / "empty")
    assert not Vector.open(tmp_path / "empty").deltas


# ---------------------------------------------------------------------------- vocabularies


def embedded(rows: int, *, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {
        "model.embed_tokens.weight": torch.randn(rows, 6),
        "lm_head.weight": torch.randn(rows, 6),
        "model.norm.weight": torch.randn(6),
    }


def tokens(count: int, *, first: int = 0) -> dict[str, int]:
    return {f"t{i}": i + first for i in range(count)}


@pytest.mark.parametrize("sizes", [(10, 13), (13, 10)])
def test_a_shared_vocabulary_leaves_other_tokens_as_in_the_base(tmp_path: Path, sizes) -> None:
    models = [embedded(rows, seed=seed) for seed, rows in enumerate(sizes)]
    base, aligned = (
        write_folder(tmp_path / str(i), model, tokens=tokens(rows))
        for i, (model, rows) in enumerate(zip(models, sizes, strict=True))
    )
    with pytest.raises(ValueError, match="vocabulary=shared"):
        extract(base=base, aligned=aligned, out=tmp_path / "v")
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v", vocabulary="shared")
    apply(base=base, vectors={"v": vector}, strengths={"v": 1.0}, out=tmp_path / "out")
    expected = {name: tensor.clone() for name, tensor in models[0].items()}
    for name, tensor in models[1].items():
        common = min(len(tensor), len(expected[name]))
        expected[name][:common] = tensor[:common]
    assert bits_differ(read_folder(tmp_path / "out"), expected) == []


def test_tokens_of_other_numbers_are_refused(tmp_path: Path) -> None:
    base = write_folder(tmp_path / "b", embedded(10, seed=0), tokens=tokens(10))
    swapped = tokens(13) | {"t3": 4, "t4": 3}
    aligned = write_folder(tmp_path / "a", embedded(13, seed=1), tokens=swapped)
    with pytest.raises(ValueError, match=r"number tokens differently, from id 3 on \('t3'\)"):
        extract(base=base, aligned=aligned, out=tmp_path / "v", vocabulary="shared")
    bare = write_folder(tmp_path / "bare", embedded(13, seed=1))
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        extract(base=base, aligned=bare, out=tmp_path / "v", vocabulary="shared")
    assert not (tmp_path / "v").exists()


def test_equal_sizes_do_not_hide_tokens_of_other_numbers(tmp_path: Path) -> None:
    base = write_folder(tmp_path / "b", embedded(10, seed=0), tokens=tokens(10))
    swapped = tokens(10) | {"t3": 4, "t4": 3}
    aligned = write_folder(tmp_path / "a", embedded(10, seed=1), tokens=swapped)
    with pytest.raises(ValueError, match="number tokens differently, from id 3 on"):
        extract(base=base, aligned=aligned, out=tmp_path / "v")
    # A reserved token that was given a name keeps its place.
    named = {("<|im_start|>" if token == "t9" else token): i for token, i in tokens(10).items()}
    renamed = write_folder(tmp_path / "r", embedded(10, seed=1), tokens=named)
    extract(base=base, aligned=renamed, out=tmp_path / "v")


@pytest.mark.parametrize("vocabulary", ["same", "shared"])
def test_rows_that_are_no_tokens_are_not_a_vocabulary(tmp_path: Path, vocabulary: str) -> None:
    """Two numbers of heads differ in rows too; cutting them off would make nonsense."""
    models = [embedded(10, seed=i) | {"k_proj.weight": torch.ones(4 + i, 6)} for i in range(2)]
    base, aligned = (
        write_folder(tmp_path / str(i), model, tokens=tokens(10)) for i, model in enumerate(models)
    )
    with pytest.raises(ValueError, match=r"do not match in 1 tensors:\n  k_proj\.weight"):
        extract(base=base, aligned=aligned, out=tmp_path / "v", vocabulary=vocabulary)


def test_the_vocabulary_of_this_test_is_that_of_transformers() -> None:
    assert llama(seed=0).get_input_embeddings().weight.shape[0] == VOCABULARY


# ---------------------------------------------------------------------------- memory

_PEAK = """
import sys
from pathlib import Path
from trimtab.vectors import Dial, Vector, apply, extract

def peak():  # of this program alone; what getrusage says begins with its parent's
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1]) / 1024

base, aligned, vector, out = sys.argv[1:]
before = peak()
extract(base=base, aligned=aligned, out=vector)
apply(base=base, vectors={"v": Vector.open(vector)}, strengths={"v": 0.5}, out=out)
print(peak() - before)
"""


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_holds_a_part_and_never_a_model(tmp_path: Path) -> None:
    """Four tensors of 64 MB: to hold one model takes 256 MB."""
    for name, value in (("b", 0.25), ("a", 0.75)):
        tensor = torch.full((4096, 4096), value)
        write_folder(tmp_path / name, {f"t{i}": tensor.clone() for i in range(4)})
    folders = [str(tmp_path / name) for name in ("b", "a", "v", "out")]
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, *folders], capture_output=True, text=True, check=True
    )
    assert (tmp_path / "v" / "vector.safetensors").stat().st_size > 4 * 64e6
    assert float(done.stdout) < 40  # MB
