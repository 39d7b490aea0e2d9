"""The values of a search: which there are, and in which order they are proposed."""

from decimal import Decimal

from trimtab.launch import search_space


def test_a_grid_has_the_values_that_a_command_would_name() -> None:
    grid = search_space.Grid(low=Decimal("-0.5"), high=Decimal("0.5"), step=Decimal("0.01"))
    assert list(grid) == [float(f"{n / 100:.2f}") for n in range(-50, 51)]
    space = search_space.Space({"method.strength": grid})
    assert space.nearest((0.123,), ()) == (0.12,)
    assert space.nearest((0.12,), {(0.12,)}) == (0.11,)
    assert space.nearest((0.12,), {(0.12,), (0.11,)}) == (0.13,)
    assert space.nearest((9,), {(0.5,)}) == (0.49,)


def test_every_point_of_a_space_is_proposed_once_and_the_nearest_first() -> None:
    two = {
        "a": search_space.Grid(low=Decimal(0), high=Decimal(1), step=Decimal("0.5")),
        "b": search_space.Grid(low=Decimal(-2), high=Decimal(2), step=Decimal(1)),
    }
    space, tried = search_space.Space(two), []
    assert len(space) == 15
    while len(tried) < len(space):
        tried.append(space.nearest((0.4, 0.1), tried))
    assert sorted(tried) == [(a / 2, b) for a in range(3) for b in range(-2, 3)]
    assert tried[:3] == [(0.5, 0.0), (0.0, 0.0), (0.5, -1.0)]  # in steps of the grid
