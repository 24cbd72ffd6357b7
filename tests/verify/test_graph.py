"""Components and shortest ways, against what trying everything finds."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from fsm.verify.graph import components, reachable, shortest

NODES = 7
GRAPHS = st.lists(st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1)), max_size=16)
Arcs = dict[int, list[tuple[int, str]]]


def made(pairs: list[tuple[int, int]]) -> Arcs:
    arcs: Arcs = {}
    for source, target in pairs:
        arcs.setdefault(source, []).append((target, f"{source}-{target}"))
    return arcs


def distances(pairs: list[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """The length of a shortest way of one hop or more between any two nodes (Floyd and Warshall)."""
    far = dict.fromkeys(pairs, 1)
    for middle in range(NODES):
        for source in range(NODES):
            for target in range(NODES):
                through = far.get((source, middle), 99) + far.get((middle, target), 99)
                if through < far.get((source, target), 99):
                    far[source, target] = through
    return far


@given(GRAPHS)
def test_components_are_what_leads_to_each_other_each_after_what_it_leads_to(pairs: list[tuple[int, int]]):
    arcs, far = made(pairs), distances(pairs)
    found = components(arcs)
    assert sorted(node for nodes in found for node in nodes) == sorted({node for pair in pairs for node in pair})
    part = {node: at for at, nodes in enumerate(found) for node in nodes}
    for source, target in itertools.product(part, part):
        together = source == target or ((source, target) in far and (target, source) in far)
        assert together == (part[source] == part[target])
    assert all(part[target] <= part[source] for source, target in pairs)


@given(GRAPHS, st.integers(0, NODES - 1), st.integers(0, NODES - 1), st.booleans())
def test_shortest_ways(pairs: list[tuple[int, int]], start: int, goal: int, empty: bool):
    arcs, far = made(pairs), distances(pairs)
    way = shortest(arcs, start, goal.__eq__, empty)
    if empty and start == goal:
        assert way == []
    elif way is None:
        assert (start, goal) not in far
    else:
        assert len(way) == far[start, goal] and way[0][0] == start and way[-1][2] == goal
        assert all(one[2] == other[0] for one, other in itertools.pairwise(way))
        assert all(what == f"{source}-{target}" for source, what, target in way)
    assert reachable(arcs, [start]) == {start, *(node for node in range(NODES) if (start, node) in far)}


def test_very_long_ways_do_not_recurse():
    arcs = {at: [(at + 1, "")] for at in range(50_000)}
    assert len(components(arcs)) == 50_001
    assert len(components({**arcs, 50_000: [(0, "")]})) == 1
