"""What is proven of a machine against all that it can do, found by driving `decide` itself through everything."""

from collections import Counter as Tally

import pytest

from fsm.core.snapshot import Snapshot
from fsm.define.parts import START
from fsm.define.spec import MachineSpec
from fsm.verify.bounds import Unbounded, longest
from fsm.verify.costs import COSTS, Costs, costs_of
from fsm.verify.moves import moves_of
from fsm.verify.product import Explored, explore, situations_of
from fsm.verify.termination import arcs_of, endless
from fsm.verify.witness import scenario, drive
from fsm.verify.worst import Worst, worst
from tests.verify.random_machines import Brute, machine

DECISIONS_MAX = 6_000


def held(seed: int) -> str:
    """Everything that is said of one machine, held against brute force; in a word, what kind of machine it was."""
    spec, chooser = machine(seed)
    brute = Brute(spec, chooser)
    if not brute.explore(DECISIONS_MAX):
        return "too large"
    truth = brute.longest()
    moves = moves_of(spec)
    arcs, costs = arcs_of(moves), costs_of(moves)
    explored = explore(situations_of(moves))
    found = worst(explored, costs)
    exact = explored.situations.exact
    assert explored.complete
    if truth is None:
        assert endless(arcs) is not None, "an endless machine was called ending"
        assert found.loop
        with pytest.raises(Unbounded):
            longest(arcs, costs, 0)
        goes_round(spec, found, brute)
        return "endless"
    assert explored.taken >= brute.hops, explored.taken ^ brute.hops
    if found.loop:
        assert not exact
        return "ends, not shown"
    if exact:
        assert explored.taken == brute.hops, explored.taken ^ brute.hops
        assert {explored.situations.state(at) for at in explored.arcs} == {state for state, _ in brute.arcs}
        assert len(explored.arcs) <= len(brute.arcs)
    counts_tokens = any(counter.of == "tokens" for counter in moves.counters)
    compared(explored, found, costs, spec, truth, exact, counts_tokens)
    proven = endless(arcs) is None
    if proven:
        above = longest(arcs, costs, 0)
        for kind, most in enumerate(found.most):
            assert above[kind] >= most, COSTS[kind]
    return ("ends, by caps" if proven else "ends, by situations") + ("" if exact else ", tokens open")


def compared(
    explored: Explored,
    found: Worst,
    costs: Costs,
    spec: MachineSpec,
    truth: tuple[int, int, int, int],
    exact: bool,
    counts_tokens: bool,
) -> None:
    hops, tokens, dollars, approvals, ms = found.most
    states = {explored.situations.state(at) for at in explored.arcs} - {START}
    known = lambda kind: not any(costs.unbounded(state, kind) for state in states)  # noqa: E731
    deferring = any(guard.kind == "env" for line in spec.transitions for guard in line.guards)
    deferring = deferring or any(g.kind == "env" for place in (*spec.states, *spec.everywhere) for g in place.guards)
    assert dollars == 0
    assert hops >= truth[0] and approvals >= truth[2] and (ms >= truth[3])
    if known(1):
        assert tokens >= truth[1]
    if exact:
        assert hops == truth[0] and approvals == truth[2]
        assert ms == truth[3] or deferring
        assert tokens == truth[1] or counts_tokens or not known(1)
        after = [steps(spec, run) for run in found.runs]
        assert after[0].counters.get("hops", 0) == hops
        if known(1) and not counts_tokens:
            assert after[1].spent.tokens == tokens
        taken = [sum(costs.of(leg.move, kind) for leg in run) for kind, run in enumerate(found.runs)]
        assert tuple(taken) == found.most


def steps(spec: MachineSpec, run: tuple) -> Snapshot:  # type: ignore[type-arg]
    return drive(spec, scenario(spec, run)["events"])


def goes_round(spec: MachineSpec, found: Worst, brute: Brute) -> None:
    """The stem and three times the loop step on the real engine and come back to the same situation."""
    told = scenario(spec, found.stem, found.loop)
    snapshot = drive(spec, told["events"])
    situation = brute.situation(snapshot)
    for _ in range(3):
        snapshot = drive(spec, told["loop"], snapshot)
        assert brute.situation(snapshot) == situation


def test_what_is_proven_of_small_machines_is_true():
    tally = Tally(held(seed) for seed in range(600))
    assert tally["endless"] > 60 and tally["ends, by caps"] > 100, tally


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_is_proven_of_many_machines_is_true():
    tally = Tally(held(seed) for seed in range(1_000, 22_500))
    print(tally)
    assert sum(tally.values()) - tally["too large"] >= 20_000, tally
