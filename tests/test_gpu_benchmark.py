"""What benchmarks measure is what they say: enlarged models compute what the small ones do."""

import json
import sys
from pathlib import Path

import pytest
import torch

from trimtab import Generation, LanguageModel, Nudging
from trimtab.tasks import WordProblems

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("factor", "layers", "feed_forward"), [(1, 4, 512), (1, 9, 512), (4, 4, 600), (16, 5, 640)]
)
def test_an_enlarged_model_computes_the_same(
    factor: int, layers: int, feed_forward: int, dtype: torch.dtype
) -> None:
    from enlarge import enlarged

    small = LanguageModel(path="zoo:a-large-base", prompt="plain")
    large = enlarged(small, factor=factor, layers=layers, feed_forward=feed_forward, dtype=dtype)
    shape = large.weights.config
    assert (shape.hidden_size, shape.num_hidden_layers) == (192 * factor, layers)
    tokens = torch.randint(768, (2, 40), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        said, meant = large.weights(tokens).logits, small.weights.to(dtype)(tokens).logits
    torch.testing.assert_close(said, meant, rtol=0.05, atol=1e-4 if dtype.itemsize == 4 else 0.5)


def test_an_enlarged_pair_agrees_as_the_small_one() -> None:
    from enlarge import enlarged

    small = [
        LanguageModel(path=f"zoo:{name}", prompt=prompt)
        for name, prompt in (("a-large-base", "plain"), ("a-small-chat", "chat"))
    ]
    sizes = [(4, 6, 600), (4, 3, 200)]
    large = [
        enlarged(model, factor=factor, layers=layers, feed_forward=units)
        for model, (factor, layers, units) in zip(small, sizes, strict=True)
    ]
    asked = [sample.conversation for sample in WordProblems().samples(8)]
    one, other = (
        Nudging(base=base, guide=guide, threshold=0.4).complete(asked, Generation(batch_size=8))
        for base, guide in (small, large)
    )
    said, meant = ([[(s.text, s.speaker) for s in a.trace] for a in both] for both in (other, one))
    assert said == meant


@pytest.mark.parametrize(
    "shape",
    [
        {"factor": 2, "layers": 4, "feed_forward": 512},
        {"factor": 9, "layers": 4, "feed_forward": 512},
        {"factor": 4, "layers": 3, "feed_forward": 512},
        {"factor": 4, "layers": 4, "feed_forward": 511},
    ],
)
def test_a_shape_that_a_model_does_not_fit_into_is_refused(shape: dict[str, int]) -> None:
    from enlarge import enlarged

    with pytest.raises(ValueError, match="accepted are"):
        enlarged(LanguageModel(path="zoo:a-large-base", prompt="plain"), **shape)


def test_the_benchmark_of_a_device_runs_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gpu

    line = "gpu.py --device cpu --shape small --batch 1 2 --length 4 --repeats 1 --out"
    monkeypatch.setattr(sys, "argv", [*line.split(), str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        gpu.main()
    assert end.value.code == 0
    _, exact, _, one, two = json.loads((tmp_path / "gpu-small.json").read_text())
    assert all(exact["exact"].values())
    assert (one["batch_size"], two["batch_size"]) == (1, 2)
    assert set(one["tokens_per_second"]) > set(two["tokens_per_second"]) >= {"plain", "nudging"}
