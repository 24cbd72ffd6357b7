"""The longest sequence that two have in common, against its textbook definition, and its speed where both loop."""

import random
import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fsm.replay.alignment import common

FEW = st.lists(st.sampled_from("abc"), max_size=12)


def longest(a: list[str], b: list[str]) -> int:
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if one == other else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@given(FEW, FEW)
def test_it_pairs_equal_items_in_order_and_as_many_as_there_can_be(a: list[str], b: list[str]):
    pairs = common(a, b)
    assert len(pairs) == longest(a, b)
    assert all(a[i] == b[j] for i, j in pairs)
    assert all(i < later and j < beside for (i, j), (later, beside) in pairwise(pairs))


def test_what_both_begin_with_is_paired_as_it_is():
    assert common("ababX", "abababY")[:4] == [(0, 0), (1, 1), (2, 2), (3, 3)]


def test_two_long_loops_take_no_time():
    chance = random.Random(1)
    a, b = ([chance.choice("abcde") for _ in range(10_000)] for _ in range(2))
    began = time.perf_counter()
    assert len(common(a, b)) > 5_000
    assert time.perf_counter() - began < 5
