"""Numbers as they are stored, against torch's conversions."""

import numpy as np
import pytest
import torch

from trimtab.tensors.number_format import FORMATS, labelled, of_torch, to_torch

LABELS = ["float32", "bfloat16", "float16", "float64"]


def every(dtype: torch.dtype) -> torch.Tensor:
    """All numbers of a two-byte type."""
    return torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)


def odd() -> torch.Tensor:
    """Floats of random bits, all near the middle between two of bfloat16's, and special ones."""
    torch.manual_seed(0)
    halves = torch.randint(-(2**15), 2**15, (200_000,), dtype=torch.int64) << 16
    low = torch.tensor([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF])[torch.randint(6, (200_000,))]
    drawn = (halves + low).to(torch.int32).view(torch.float32)
    special = torch.tensor([0.0, -0.0, 1e-45, 65504.0, 65519.9, 65520.0, 3.4e38, -1e39, 6e-8])
    return torch.cat([drawn, special, torch.tensor([float("inf"), float("nan")])])


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal bits; one NaN is as good as another."""
    number = ~other.isnan()
    whole = {2: torch.int16, 4: torch.int32, 8: torch.int64}[other.element_size()]
    equal = one.view(whole)[number].equal(other.view(whole)[number])
    return equal and torch.equal(one.isnan(), other.isnan())


@pytest.mark.parametrize("label", ["bfloat16", "float16"])
def test_every_number_is_widened_as_torch_does(label: str) -> None:
    numbers = every(getattr(torch, label))
    stored, kind = of_torch(numbers)
    assert same(torch.from_numpy(kind.widened(stored)), numbers.float())


@pytest.mark.parametrize("label", LABELS)
def test_numbers_are_rounded_as_torch_does(label: str) -> None:
    numbers = odd()
    stored = labelled(label).narrowed(numbers.numpy())
    assert same(to_torch(stored, labelled(label)), numbers.to(getattr(torch, label)))


@pytest.mark.parametrize("kind", FORMATS.values(), ids=list(FORMATS))
def test_tensors_go_to_arrays_and_back_in_the_same_memory(kind) -> None:
    tensor = torch.zeros(2, 3, dtype=getattr(torch, kind.label))
    stored, found = of_torch(tensor)
    assert found == kind and stored.shape == (6,) and stored.itemsize == tensor.element_size()
    stored.view(np.uint8)[:] = 1
    assert torch.equal(to_torch(stored, kind).view(torch.uint8), tensor.view(-1).view(torch.uint8))
    assert tensor.view(torch.uint8).all()


def test_types_of_no_safetensors_file_are_refused() -> None:
    with pytest.raises(ValueError, match="complex64"):
        of_torch(torch.zeros(1, dtype=torch.complex64))
