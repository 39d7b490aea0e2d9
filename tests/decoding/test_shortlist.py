"""Draws from large vocabularies: those of the plain formula, whose noise is of every token."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.decoding import noise, shortlist
from trimtab.decoding.filters import keep_min_p, keep_top_k, keep_top_p
from trimtab.decoding.sampling import draw, most_likely, tempered

KINDS = ["normal", "alike", "steps", "one above", "few possible", "wide", "two heights"]
SIZES = [16384, 20001, 49152]  # one of them no multiple of a block
FILTERS = [
    *({"top_k": k} for k in (1, 5, 50, 3000, 10**6)),
    *({"top_p": p} for p in (1e-12, 0.1, 0.5, 0.9, 0.999, 0.9999999)),
    *({"min_p": p} for p in (1e-5, 0.1, 1.0)),
    {"top_k": 5, "top_p": 0.5},
    {"top_k": 50, "top_p": 0.9, "min_p": 0.02},
    {"top_p": 0.95, "min_p": 0.05},
]


def logits_of(kind: str, seed: int, rows: int, size: int) -> torch.Tensor:
    made = torch.Generator().manual_seed(seed)
    normal = torch.randn(rows, size, generator=made) * 4
    place = int(torch.randint(size, (1,), generator=made))
    if kind == "alike":
        return torch.zeros(rows, size)
    if kind == "steps":
        return normal.round()
    if kind == "one above":
        normal[:, place] = normal.amax() + 1 + seed % 40
    if kind == "few possible":
        ruled_out = torch.rand(size, generator=made) < 0.9995
        ruled_out[place] = False
        normal[:, ruled_out] = -torch.inf
    if kind == "two heights":
        return torch.where(normal > 10, 1.0 + seed % 25, 0.0)
    return normal * 100 if kind == "wide" else normal


def noise_of_all(keys: list[int], positions: list[int], size: int) -> torch.Tensor:
    """Return the noise of every token, by unsigned arithmetic of numpy."""

    def mix(x: np.ndarray) -> np.ndarray:
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
        return x ^ (x >> np.uint32(16))

    low, high = (np.array([k >> s & 0xFFFFFFFF for k in keys], np.uint32) for s in (0, 32))
    place = mix(mix(np.array(positions, np.uint32) ^ low) ^ high)[:, None]
    bits = mix(mix(np.arange(size, dtype=np.uint32)) ^ place)
    uniform = torch.from_numpy((bits.astype(np.float64) + 0.5) / 2.0**32)
    return -(-uniform.log()).log()


@pytest.mark.parametrize("kind", KINDS)
def test_a_nucleus_is_that_of_the_whole_vocabulary(kind: str) -> None:
    for seed, size in enumerate(SIZES):
        logits = logits_of(kind, seed, 3, size)
        for p in (1e-12, 0.1, 0.9, 0.9999999, 1.0):
            assert torch.equal(shortlist.keep_nucleus(logits, p), keep_top_p(logits, p))
    logits[1, 5] = torch.nan
    assert shortlist.keep_nucleus(logits, 0.5)[1, 5].isnan()


@given(
    kind=st.sampled_from(KINDS),
    size=st.sampled_from(SIZES),
    chosen=st.one_of(st.just({}), st.sampled_from(FILTERS)),
    temperature=st.sampled_from([1.0, 0.7, 1.5, 10.0, 1e-3, 1e-6, 1e-40, 1e7]),
    names=st.lists(
        st.tuples(st.sampled_from([7, 2**63 + 11, 2**64 - 1]), st.integers(0, 10**5)),
        min_size=1,
        max_size=3,
    ),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=250, deadline=None)
def test_a_draw_is_that_of_the_noise_of_every_token(
    kind: str,
    size: int,
    chosen: dict[str, float],
    temperature: float,
    names: list[tuple[int, int]],
    seed: int,
) -> None:
    filters = {"top_k": 0, "top_p": 1.0, "min_p": 0.0} | chosen
    logits = logits_of(kind, seed, len(names), size)
    keys, positions = [key for key, _ in names], [position for _, position in names]
    drawn = draw(logits, temperature=temperature, keys=keys, positions=positions, **filters)
    scaled = keep_top_k(tempered(logits, temperature), filters["top_k"])
    filtered = keep_min_p(keep_top_p(scaled, filters["top_p"]), filters["min_p"])
    every = filtered + noise_of_all(keys, positions, size)
    assert drawn.tolist() == every.argmax(dim=-1).tolist()


@pytest.mark.parametrize("height", [0.0, 3.0, 6.9, 7.1, 12.0, 22.8])
def test_a_rare_noise_wins_from_as_far_below_as_it_can(height: float) -> None:
    """Only a token of the largest noise is possible beside the most likely one, and just wins."""
    size, wins = 2**14, 0
    for position in range(200):
        own = noise_of_all([5], [position], size)[0]
        rarest = int(own.argmax())
        likely = (rarest + 1) % size
        logits = torch.full((1, size), -100.0)
        logits[0, rarest] = 0.0
        logits[0, likely] = height
        expected = int((logits[0] + own).argmax())
        options = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
        assert draw(logits, keys=[5], positions=[position], **options).tolist() == [expected]
        wins += expected == rarest
    assert wins > 0 or height > 12


def test_a_noise_is_as_rare_and_at_most_as_large_as_is_said() -> None:
    below, rare, most = noise.gumbel(
        torch.tensor([noise.RARE_BITS - 1, noise.RARE_BITS, 2**31 - 1], dtype=torch.int32)
    )
    assert below < noise.RARE < rare + 0.02
    assert noise.MOST - 1 < most < noise.MOST


def test_few_tokens_are_listed_of_what_a_language_model_says() -> None:
    logits = logits_of("normal", 3, 1, 49152)[0]
    place = noise.place(2**40, 9)
    likely, before = shortlist.nucleus(logits, 0.5)
    for listed in (shortlist.contenders(logits, place), likely, shortlist.likely(logits, 0.1)):
        assert 0 < len(listed) < 2000
        assert listed.tolist() == sorted({*listed.tolist()})
    assert before.shape == (1, len(likely))
    assert shortlist.foremost(logits, 50).tolist() == sorted(logits.topk(50).indices.tolist())


@pytest.mark.parametrize("damaged", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("chosen", [{}, *FILTERS])
def test_logits_that_are_not_finite_give_some_token(
    damaged: float, chosen: dict[str, float]
) -> None:
    logits = torch.zeros(2, 2**14)
    logits[1] = damaged
    filters = {"top_k": 0, "top_p": 1.0} | chosen
    drawn = draw(logits, temperature=1.0, keys=[1, 1], positions=[0, 0], **filters)
    alone = draw(logits[:1], temperature=1.0, keys=[1], positions=[0], **filters)
    assert drawn[0] == alone[0]
    assert 0 <= drawn[1] < 2**14


@pytest.mark.parametrize("size", [64, 5000, 20001])
def test_the_most_likely_is_the_first_of_equals(size: int) -> None:
    logits = logits_of("steps", 1, 5, size)
    top, tokens = most_likely(logits)
    assert torch.equal(top, logits.amax(dim=-1))
    firsts = [row.index(max(row)) for row in logits.tolist()]
    assert tokens.tolist() == firsts
