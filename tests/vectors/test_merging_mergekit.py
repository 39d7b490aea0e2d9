"""Merges against mergekit's own, on files: the same models in, the same weights out.

mergekit runs in this process, in fp32 unless a test says otherwise; both sides round a few sums
differently, by parts in 10 million.
"""

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from trimtab import zoo
from trimtab.vectors.files.checkpoint import apply
from trimtab.vectors.files.extraction import extract
from trimtab.vectors.merge.merging import dare_linear, dare_ties, soup, ties
from trimtab.vectors.merge.thinning import drawn, largest
from trimtab.vectors.vector import Vector

BASE, EXPERT, DPO, CHAT = "a-small-sft", "a-small-expert", "a-small-dpo", "a-small-chat"
TUNED = (EXPERT, DPO)
ROUNDING = {"rtol": 3e-7, "atol": 1e-7}
SEED = 3
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def mergekit() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names of numpy that are going away
        merge = pytest.importorskip("mergekit.merge")
        pytest.importorskip("mergekit.merge_methods.generalized_task_arithmetic")
    return merge


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with fp32 copies of the models, a little off the coarse grid of bf16.

    On it many differences are of one magnitude, and which of these mergekit trims is left to
    torch's unstable sort.
    """
    folder = tmp_path_factory.mktemp("models")
    generator = torch.Generator().manual_seed(0)
    for name in (BASE, EXPERT, DPO, CHAT):
        source = zoo.path(name)
        (folder / name).mkdir()
        shutil.copy(source / "config.json", folder / name)
        weights = {
            n: t.float() * (1 + 1e-2 * torch.randn(t.shape, generator=generator))
            for n, t in load_file(source / "model.safetensors").items()
        }
        save_file(weights, folder / name / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def vectors(models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Vector]:
    folder = tmp_path_factory.mktemp("vectors")
    return {
        name: extract(base=str(models / BASE), aligned=str(models / name), out=folder / name)
        for name in (EXPERT, DPO, CHAT)
    }


def by_mergekit(
    out: Path,
    method: str,
    models: Path,
    of_each: Mapping[str, Mapping[str, float]],
    *,
    dtype: str = "float32",
    **parameters: Any,
) -> Tensors:
    """The weights that mergekit writes, with parameters of each model and of the method."""
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    said = {
        "merge_method": method,
        "base_model": None if method == "linear" else str(models / BASE),
        "dtype": dtype,
        "models": [{"model": str(models / n), "parameters": dict(p)} for n, p in of_each.items()],
        "parameters": parameters,
    }
    quiet = MergeOptions(quiet=True, copy_tokenizer=False, write_model_card=False)
    run_merge(MergeConfiguration.model_validate(said), str(out), quiet)
    return load_file(out / "model.safetensors")


def by_us(out: Path, models: Path, merged: Vector, strength: float = 1.0) -> Tensors:
    base = str(models / BASE)
    folder = apply(base=base, vectors={"merged": merged}, strengths={"merged": strength}, out=out)
    return load_file(folder / "model.safetensors")


def assert_same(ours: Tensors, theirs: Tensors, models: Path, **rounding: float) -> None:
    base = load_file(models / BASE / "model.safetensors")
    assert ours.keys() == theirs.keys() == base.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, **(rounding or ROUNDING))
    moved = sum(int((theirs[n] != base[n]).sum()) for n in base)
    assert moved > 1000, "the merge is the base"


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.7, -0.4), (1.5, 0.25)])
def test_task_arithmetic(
    mergekit: ModuleType,
    models: Path,
    vectors: dict[str, Vector],
    tmp_path: Path,
    weights: tuple[float, float],
) -> None:
    of_each = {n: {"weight": w} for n, w in zip(TUNED, weights, strict=True)}
    theirs = by_mergekit(tmp_path / "theirs", "task_arithmetic", models, of_each)
    added = {name: vectors[name] for name in TUNED}
    strengths = dict(zip(TUNED, weights, strict=True))
    folder = apply(base=str(models / BASE), vectors=added, strengths=strengths, out=tmp_path / "a")
    assert_same(load_file(folder / "model.safetensors"), theirs, models)
    summed = weights[0] * vectors[EXPERT] + weights[1] * vectors[DPO]
    assert_same(by_us(tmp_path / "sum", models, summed), theirs, models)


def test_expo_is_a_strength_beyond_1(
    mergekit: ModuleType, models: Path, vectors: dict[str, Vector], tmp_path: Path
) -> None:
    theirs = by_mergekit(tmp_path / "theirs", "task_arithmetic", models, {DPO: {"weight": 1.3}})
    assert_same(by_us(tmp_path / "ours", models, vectors[DPO], 1 + 0.3), theirs, models)


def test_their_lambda_is_a_strength_of_the_merged_vector(
    mergekit: ModuleType, models: Path, vectors: dict[str, Vector], tmp_path: Path
) -> None:
    of_each = {name: {"weight": 1.0, "density": 0.2} for name in TUNED}
    theirs = by_mergekit(tmp_path / "theirs", "ties", models, of_each, **{"lambda": 0.6})
    merged = ties({name: vectors[name] for name in TUNED})
    assert_same(by_us(tmp_path / "ours", models, merged, 0.6), theirs, models)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.9, 0.1)])
def test_soups(
    mergekit: ModuleType,
    models: Path,
    vectors: dict[str, Vector],
    tmp_path: Path,
    weights: tuple[float, float],
) -> None:
    shares = dict(zip(TUNED, weights, strict=True))
    of_each = {name: {"weight": share} for name, share in shares.items()}
    theirs = by_mergekit(tmp_path / "theirs", "linear", models, of_each)
    merged = soup({name: vectors[name] for name in TUNED}, weights=shares)
    assert_same(by_us(tmp_path / "ours", models, merged), theirs, models)


def test_16_bit_models_differ_by_mergekits_rounding(mergekit: ModuleType, tmp_path: Path) -> None:
    """It subtracts, weighs and adds in bf16; only soups it sums in fp32 and casts once, too."""
    models = zoo.path(BASE).parent
    vectors = {
        name: extract(base=f"zoo:{BASE}", aligned=f"zoo:{name}", out=tmp_path / name)
        for name in TUNED
    }
    of_each = {name: {"weight": 0.5} for name in TUNED}

    theirs = by_mergekit(tmp_path / "linear", "linear", models, of_each, dtype="bfloat16")
    assert_same(by_us(tmp_path / "soup", models, soup(vectors)), theirs, models, rtol=0, atol=0)

    theirs = by_mergekit(tmp_path / "sum", "task_arithmetic", models, of_each, dtype="bfloat16")
    ours = by_us(tmp_path / "ours", models, 0.5 * vectors[EXPERT] + 0.5 * vectors[DPO])
    one, *others = (load_file(models / name / "model.safetensors") for name in (BASE, *TUNED))
    equal = 0
    for name, base in one.items():
        assert ours[name].dtype == theirs[name].dtype == torch.bfloat16
        sizes = base.abs().float() + sum((o[name].float() - base.float()).abs() for o in others)
        assert ((ours[name].float() - theirs[name].float()).abs() <= 2 * 2**-8 * sizes).all()
        equal += int((ours[name] == theirs[name]).sum())
    assert equal >= 0.98 * sum(base.numel() for base in one.values())


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(
    ("densities", "weights"),
    [
        ((1.0, 1.0), (1.0, 1.0)),
        ((0.2, 0.2), (1.0, 1.0)),
        ((0.5, 0.5), (0.3, 0.7)),
        ((0.05, 0.8), (1.5, 0.4)),
    ],
)
def test_ties(
    mergekit: ModuleType,
    models: Path,
    vectors: dict[str, Vector],
    tmp_path: Path,
    densities: tuple[float, float],
    weights: tuple[float, float],
    normalize: bool,
) -> None:
    density, weight = (dict(zip(TUNED, each, strict=True)) for each in (densities, weights))
    of_each = {name: {"weight": weight[name], "density": density[name]} for name in TUNED}
    theirs = by_mergekit(tmp_path / "theirs", "ties", models, of_each, normalize=normalize)
    merged = ties(
        {name: vectors[name] for name in TUNED},
        density=density,
        weights=weight,
        normalize=normalize,
    )
    assert_same(by_us(tmp_path / "ours", models, merged), theirs, models)


def test_ties_of_three_with_a_mask_of_bytes(
    mergekit: ModuleType, models: Path, vectors: dict[str, Vector], tmp_path: Path
) -> None:
    of_each = {name: {"weight": 0.4, "density": 0.3} for name in vectors}
    theirs = by_mergekit(tmp_path / "theirs", "ties", models, of_each, int8_mask=True)
    merged = ties(vectors, density=0.3, weights=0.4)
    assert_same(by_us(tmp_path / "ours", models, merged), theirs, models)


@pytest.mark.parametrize("density", [0.03, 0.2, 0.7])
def test_of_equal_magnitudes_as_many_are_trimmed(mergekit: ModuleType, density: float) -> None:
    from mergekit.sparsify import magnitude

    one, other = (load_file(zoo.path(name) / "model.safetensors") for name in (BASE, EXPERT))
    for name in one:
        delta = other[name].float() - one[name].float()
        ours, theirs = largest(delta, density), magnitude(delta, density)
        assert torch.equal(ours.abs().flatten().sort().values, theirs.abs().flatten().sort().values)


@pytest.fixture
def our_draws(
    mergekit: ModuleType, models: Path, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, str]]:
    """Let mergekit drop the elements that we drop, and return for which tensors it did.

    It draws from torch's global generator, in the order of its plan. So each difference that it is
    about to thin is recognized by its values, and its draw replaced by ours for that tensor. All
    else stays mergekit's.
    """
    import mergekit.merge_methods.generalized_task_arithmetic as arithmetic

    base = load_file(models / BASE / "model.safetensors")
    known = [
        (which, name, tensor - base[name])
        for which in TUNED
        for name, tensor in load_file(models / which / "model.safetensors").items()
    ]
    sparsify = arithmetic.sparsify
    met: list[tuple[str, str]] = []

    def recognize(tensor: torch.Tensor, **settings: Any) -> torch.Tensor:
        (place,) = [(w, n) for w, n, delta in known if torch.equal(delta, tensor)]
        met.append(place)
        return sparsify(tensor, **settings)

    def draw(chances: torch.Tensor) -> torch.Tensor:
        density = float(chances.reshape(-1)[0])
        return drawn(tuple(chances.shape), density, SEED, *met[-1]).to(chances.dtype)

    monkeypatch.setattr(arithmetic, "sparsify", recognize)
    monkeypatch.setattr(torch, "bernoulli", draw)
    return met


@pytest.mark.parametrize("rescale", ["l1", "none"])
@pytest.mark.parametrize(("densities", "weights"), [((0.5, 0.5), (1, 1)), ((0.2, 0.7), (0.6, 0.3))])
def test_dare_linear(
    our_draws: list[tuple[str, str]],
    models: Path,
    vectors: dict[str, Vector],
    tmp_path: Path,
    densities: tuple[float, float],
    weights: tuple[float, float],
    rescale: str,
) -> None:
    density, weight = (dict(zip(TUNED, each, strict=True)) for each in (densities, weights))
    of_each = {name: {"weight": weight[name], "density": density[name]} for name in TUNED}
    theirs = by_mergekit(
        tmp_path / "theirs", "dare_linear", models, of_each, rescale=rescale == "l1"
    )
    assert len(set(our_draws)) == len(our_draws) == 2 * len(theirs)
    merged = dare_linear(
        {name: vectors[name] for name in TUNED},
        density=density,
        weights=weight,
        seed=SEED,
        rescale=rescale,
    )
    assert_same(by_us(tmp_path / "ours", models, merged), theirs, models, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("normalize", [True, False])
def test_dare_ties(
    our_draws: list[tuple[str, str]],
    models: Path,
    vectors: dict[str, Vector],
    tmp_path: Path,
    normalize: bool,
) -> None:
    of_each = {EXPERT: {"weight": 0.8, "density": 0.4}, DPO: {"weight": 0.5, "density": 0.6}}
    theirs = by_mergekit(tmp_path / "theirs", "dare_ties", models, of_each, normalize=normalize)
    assert len(set(our_draws)) == len(our_draws) == 2 * len(theirs)
    merged = dare_ties(
        {name: vectors[name] for name in TUNED},
        density={EXPERT: 0.4, DPO: 0.6},
        weights={EXPERT: 0.8, DPO: 0.5},
        normalize=normalize,
        seed=SEED,
        rescale="l1",
    )
    assert_same(by_us(tmp_path / "ours", models, merged), theirs, models, rtol=1e-6, atol=1e-6)
