"""How rows share passes: every row is in one, told where its tokens stand, in a steady shape."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.models.passes import Passes

SCRATCH = 5000
FEW = 4
"""Rows of a matrix that a CPU sums up together."""
PADDING = {True: 32, False: 1024}
BLOCKS = [*range(0, 4096, 512), *range(192, 4096, 512), *range(256, 4096, 512)]
BLOCKS += range(384, 4096, 512)
"""Lengths at which attention on a CPU goes over to another order."""


@dataclass(frozen=True)
class Row:
    length: int
    width: int
    opening: bool


rows = st.builds(
    lambda length, width, opening: Row(length, min(width, length), opening),
    st.one_of(st.integers(1, 40), st.sampled_from([191, 192, 193, 256, 257, 511, 512, 513, 700])),
    st.one_of(st.just(1), st.integers(1, 60)),
    st.booleans(),
)


def order_of_sums(length: int) -> int:
    """How many changes of the order lie before a length."""
    return sum(length > block for block in BLOCKS)


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize("drafts", [True, False])
@given(asked=st.lists(rows, min_size=1, max_size=12), keep=st.integers(1, 3), data=st.data())
@settings(max_examples=60, deadline=None)
def test_each_row_is_in_one_pass_that_says_where_its_tokens_stand(
    on_cpu: bool, drafts: bool, asked: list[Row], keep: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(len(asked), 16))
    slots = sorted(data.draw(st.permutations(range(count)))[: len(asked)])
    plan = Passes(on_cpu=on_cpu, slots=count, drafts=drafts)
    steady = on_cpu and count >= FEW
    groups = list(
        plan.groups(
            widths=[row.width for row in asked],
            lengths=[row.length for row in asked],
            opening=[row.opening for row in asked],
        )
    )
    assert sorted(i for group, _ in groups for i in group) == list(range(len(asked)))
    for group, step in groups:
        members = [asked[i] for i in group]
        widest = max(row.width for row in members)
        assert sum(widest - row.width for row in members) <= PADDING[on_cpu]
        assert not step or (steady and not drafts)
        assert not step or all(row.width == 1 and not row.opening for row in members)
        news = [list(range(1000, 1000 + row.width)) for row in members]
        own = [slots[i] for i in group]
        planned = plan.of(own, [row.length for row in members], news, keep=keep, step=step)

        for i, row in enumerate(members):
            padding = planned.width - row.width
            stand = list(range(row.length - row.width, row.length))
            assert planned.tokens[i] == [0] * padding + news[i]
            assert planned.positions[i][padding:] == stand
            assert planned.places(SCRATCH)[i] == [SCRATCH] * padding + stand
        assert list(planned.slots[: len(own)]) == own
        if planned.rows_as_slice is not None:
            taken = range(planned.rows_as_slice.start, planned.rows_as_slice.stop)
            assert [*planned.slots] == [*taken]
        if (same := planned.places_as_slice) is not None:
            assert planned.places(SCRATCH) == [[*range(same.start, same.stop)]] * len(own)
        longest = max(row.length for row in members)
        assert planned.shown >= longest
        assert planned.kept >= keep
        if planned.sees_all:
            assert {(row.length, row.width) for row in members} == {(planned.shown, 1)}

        if not steady:
            assert (planned.shown, planned.width, planned.kept) == (longest, widest, keep)
            assert [*planned.slots] == own
        elif step:
            assert planned.width == 1 and len(planned.slots) % FEW == 0
            assert len({*planned.slots}) == len(planned.slots)
        else:
            assert planned.width % FEW == 0 and len(own) * planned.kept >= FEW
            assert {order_of_sums(row.length) for row in members} == {order_of_sums(planned.shown)}
