"""The draw: against exact integer arithmetic, against theory, and against transformers' filters."""

import oracles
import pytest
import torch
from scipy.stats import chisquare
from transformers import TopKLogitsWarper, TopPLogitsWarper

from trimtab import Generation
from trimtab.decoding import noise
from trimtab.decoding.filters import keep_top_k, keep_top_p
from trimtab.decoding.noise_key import noise_key
from trimtab.decoding.sampling import draw


def test_noise_equals_exact_integer_arithmetic() -> None:
    positions = [0, 1, 7, 1023, 70_000]
    key = noise_key(3, "sample-17", "guide")
    tokens = noise.mixed_tokens(300, torch.device("cpu"))
    for position in positions:
        found = noise.gumbel(noise.bits(noise.place(key, position), tokens))
        for token in (0, 1, 2, 150, 299):
            expected = oracles.gumbel(3, "sample-17", "guide", position, token)
            assert found[token].item() == pytest.approx(expected, rel=1e-12)


def test_draws_follow_the_distribution() -> None:
    probability = torch.tensor([0.02, 0.08, 0.15, 0.25, 0.5])
    count = 20_000
    tokens = draw(
        probability.log().expand(count, -1),
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        keys=[noise_key(0, str(i), "model") for i in range(count)],
        positions=[0] * count,
    )
    observed = torch.bincount(tokens, minlength=5)
    assert chisquare(observed.numpy(), (probability * count).numpy()).pvalue > 1e-3


def test_neighbouring_positions_are_independent() -> None:
    """Pairs of draws at positions t and t + 1 fill the product distribution."""
    count = 20_000
    tokens = draw(
        torch.zeros(count, 4),
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        keys=[noise_key(1, "one", "model")] * count,
        positions=list(range(count)),
    )
    pairs = torch.bincount(tokens[:-1] * 4 + tokens[1:], minlength=16)
    assert chisquare(pairs.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 0.999])
def test_nucleus_equals_transformers(p: float) -> None:
    logits = torch.randn(50, 100, generator=torch.Generator().manual_seed(0)) * 3
    expected = TopPLogitsWarper(top_p=p)(torch.zeros(50, 1), logits)
    assert torch.equal(keep_top_p(logits, p).isinf(), expected.isinf())


@pytest.mark.parametrize("k", [1, 5, 99, 100, 1000])
def test_top_k_equals_transformers(k: int) -> None:
    logits = torch.randn(50, 100, generator=torch.Generator().manual_seed(0))
    expected = TopKLogitsWarper(top_k=k)(torch.zeros(50, 1), logits)
    assert torch.equal(keep_top_k(logits, k), expected)


def test_draw_equals_the_oracle_with_all_filters() -> None:
    logits = torch.randn(40, 60, generator=torch.Generator().manual_seed(2)) * 2
    generation = Generation(temperature=0.7, top_k=20, top_p=0.9, seed=5)
    tokens = draw(
        logits,
        temperature=0.7,
        top_k=20,
        top_p=0.9,
        keys=[noise_key(5, "x", "base")] * 40,
        positions=list(range(40)),
    )
    expected = [
        oracles.choose(row, generation, sample_id="x", role="base", position=i)
        for i, row in enumerate(logits)
    ]
    assert tokens.tolist() == expected


def draws(logits: torch.Tensor, count: int = 400, **settings: float) -> list[int]:
    tokens = draw(
        logits.expand(count, -1),
        **({"temperature": 1.0, "top_k": 0, "top_p": 1.0} | settings),
        keys=[noise_key(0, str(i), "model") for i in range(count)],
        positions=[0] * count,
    )
    return tokens.tolist()


@pytest.mark.parametrize("temperature", [1e-7, 1e-40, 1e-300, 5e-324])
@pytest.mark.parametrize("filters", [{}, {"top_p": 0.9}, {"top_k": 3}])
def test_the_coldest_draws_are_greedy(temperature: float, filters: dict[str, float]) -> None:
    logits = torch.tensor([-torch.inf, 1.0, 3.0, 2.999, -200.0, 88.0, 87.99])
    assert set(draws(logits, temperature=temperature, **filters)) == {5}
    assert set(draws(-logits[1:], temperature=temperature, **filters)) == {3}
    # Equals stay as likely as each other.
    tied = draws(torch.tensor([4.0, 7.0, 7.0]), temperature=temperature, **filters)
    assert chisquare([tied.count(1), tied.count(2)]).pvalue > 1e-3
    assert 0 not in tied


@pytest.mark.parametrize("temperature", [1e7, 1e40, 1e300, 1.7e308])
def test_the_hottest_draws_are_uniform_over_what_is_possible(temperature: float) -> None:
    drawn = draws(torch.tensor([-torch.inf, 50.0, 0.0, -50.0]), temperature=temperature)
    assert 0 not in drawn
    assert chisquare([drawn.count(token) for token in (1, 2, 3)]).pvalue > 1e-3


@pytest.mark.parametrize("p", [1e-12, 1e-40, 1e-300, 5e-324])
def test_the_smallest_nucleus_is_the_most_likely_token(p: float) -> None:
    assert set(draws(torch.tensor([0.0, 1.0, 0.9]), top_p=p)) == {1}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_new_tokens", 0),
        ("max_new_tokens", 1.5),
        ("batch_size", -1),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_p", float("nan")),
        ("top_p", "0.5"),
        ("temperature", True),
        ("temperature", "1"),
        ("seed", "abc"),
        ("seed", float("nan")),
        ("seed", 1.0),
    ],
)
def test_settings_out_of_range_are_refused_by_name(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{setting}={value!r}: accepted are"):
        Generation(**{setting: value})
