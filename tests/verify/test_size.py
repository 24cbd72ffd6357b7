"""A machine of ten thousand states and two thousand counters is proven by its shape; a smoke test, not a stopwatch."""

from collections.abc import Iterator

import pytest

from fsm import MachineSpec
from fsm.define.guard import Counter, Placed
from fsm.define.parts import StateSpec, TransitionSpec
from fsm.verify.bounds import longest
from fsm.verify.check import check
from fsm.verify.costs import costs_of
from fsm.verify.moves import moves_of
from fsm.verify.structure import structure
from fsm.verify.termination import arcs_of, endless


def cap(at: str, limit: int, since: str = "") -> Placed:
    counter = Counter("fires", at, since)
    return Placed(
        name="LoopCap",
        at=at,
        standing="transition",
        kind="cap",
        codes=("loop_cap",),
        params={"limit": limit},
        counter=counter,
        limit=limit,
    )


def line(name: str, source: str, target: str, event: str = "Word", *guards: Placed, **more: str) -> TransitionSpec:
    return TransitionSpec(
        name=name, sources=(source,), target=target, events=(event,), guards=guards, otherwise=dict(more)
    )


def large(states: int, counters: int) -> MachineSpec:
    """A long line of states, with a capped way back every few of them; a quarter of the caps has a since=."""
    names = [f"s{at}" for at in range(states)]
    every = states // counters
    places = [StateSpec(name=n, kind="agent", timeout_ms=1000, initial=("Word",) if n == "s0" else ()) for n in names]
    places.append(StateSpec(name="done", kind="final", final="completed"))

    def lines() -> Iterator[TransitionSpec]:
        for at, name in enumerate(names):
            yield line(f"go{at}", name, names[at + 1] if at + 1 < states else "done")
            yield line(f"lost{at}", name, "done", "AgentFailed")
            if at % every == every - 1:
                back = f"back{at}"
                since = names[at - every] if at // every % 4 == 1 else ""
                yield line(back, name, names[at - every + 1], "Other", cap(back, 3, since))

    return MachineSpec(name="Large", states=tuple(places), transitions=tuple(lines()))


@pytest.mark.parametrize(("states", "counters"), [(100, 20), (10_000, 2_000)])
def test_structure_termination_and_bounds_of_a_large_machine(states: int, counters: int):
    moves = moves_of(large(states, counters))
    assert len(moves.counters) == counters
    findings = structure(moves)
    assert {finding.code for finding in findings} == {"nowhere-to-go"} and len(findings) == counters
    arcs, costs = arcs_of(moves), costs_of(moves)
    assert endless(arcs) is None
    every = states // counters
    hops, *_ = longest(arcs, costs, 0)
    assert hops == counters * (3 * every + every - 1) + counters


def test_a_loop_without_a_cap_is_found_in_a_large_machine():
    spec = large(2_000, 400)
    free = line("again", "s1999", "s0", "Third")
    report = check(MachineSpec(name="Large", states=spec.states, transitions=(*spec.transitions, free)), 20_000)
    assert report.termination.kind == "may run for ever"
    assert report.errors[0].code == "endless"


def test_the_whole_report_of_a_large_machine():
    report = check(large(10_000, 2_000))
    assert report.termination.kind == "ends" and report.situations is None
    assert (report.figures[0].most, report.figures[0].mark) == (40_000, "upper bound")
