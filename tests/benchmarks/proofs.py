"""What a proof costs against the size of the machine: milliseconds of processor time, by part of `fsm check`."""

import time
from collections.abc import Callable
from typing import TypeVar

from fsm.verify.bounds import longest
from fsm.verify.check import check
from fsm.verify.costs import costs_of
from fsm.verify.moves import moves_of
from fsm.verify.structure import structure
from fsm.verify.termination import arcs_of, endless
from tests.benchmarks.loop import Figure
from tests.verify.test_size import large

SIZES = ((100, 20), (1_000, 200), (10_000, 2_000))

T = TypeVar("T")


def measure() -> list[Figure]:
    return [figure for states, counters in SIZES for figure in _proven(states, counters)]


def _proven(states: int, counters: int) -> list[Figure]:
    spec, size = large(states, counters), f"{states:,} states, {counters:,} counters"
    moves, moving = _timed(lambda: moves_of(spec))
    _, structured = _timed(lambda: structure(moves))
    arcs, drawn = _timed(lambda: arcs_of(moves))
    _, ending = _timed(lambda: endless(arcs))
    costs = costs_of(moves)
    _, bounding = _timed(lambda: longest(arcs, costs, 0))
    _, whole = _timed(lambda: check(spec))
    parts = (
        f"moves {moving:,.0f}, structure {structured:,.0f}, termination {drawn + ending:,.0f}, bound {bounding:,.0f}"
    )
    return [
        Figure(
            f"structure, termination, one bound: {size}", moving + structured + drawn + ending + bounding, "ms", parts
        ),
        Figure(f"the whole report: {size}", whole, "ms"),
    ]


def _timed(act: Callable[[], T]) -> tuple[T, float]:
    began = time.process_time()
    found = act()
    return found, (time.process_time() - began) * 1e3
