"""What is proven of a machine against all that it can do, found by driving `decide` itself through everything."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable

import pytest

from fsm.core.engine import Engine
from fsm.core.snapshot import Snapshot
from fsm.define.parts import START
from fsm.define.spec import MachineSpec
from fsm.verify.bounds import longest
from fsm.verify.check import Report, check
from fsm.verify.costs import costs_of
from fsm.verify.move import is_cap
from fsm.verify.moves import moves_of
from fsm.verify.product import SITUATIONS_MAX, explore, situations_of
from fsm.verify.termination import arcs_of, endless
from fsm.verify.witness import Leg, drive, scenario, without_code
from fsm.verify.worst import worst
from tests.verify.random_machines import Brute, Chooser, machine, sharing_machine

DECISIONS_MAX = 6_000
SHARING_MAX = 2_000  # where rows may hold anything many of them lead to the same: the small machines tell


def held(seed: int, made: Callable[[int], tuple[MachineSpec, Chooser]] = machine) -> str:
    """Everything that is said of one machine, held against brute force; in a word, what kind of machine it was."""
    spec, chooser = made(seed)
    brute = Brute(spec, chooser)
    if not brute.explore(DECISIONS_MAX if made is machine else SHARING_MAX):
        return "too large"
    truth = brute.longest()
    moves = moves_of(spec)
    arcs, costs = arcs_of(moves), costs_of(moves)
    explored = explore(situations_of(moves))
    found = worst(explored, costs)
    assert explored.complete and explored.taken >= brute.hops
    assert explored.states >= {here.state for here in brute.arcs} - {START}
    proven = endless(arcs) is None
    assert truth is not None or not proven, "an endless machine was called ending"
    if proven:
        above = longest(arcs, costs, 0)
        assert all(above[kind] >= most for kind, most in enumerate(found.most))
    free = all(state.tokens_max is None for state in spec.states) or not brute.tokens_most
    # a budget puts nothing off where a cap behind it refuses; it is taken as if it might: more than true, never less
    if explored.situations.alone and free and not spec.budgets:
        assert explored.taken == brute.hops
        assert explored.states == {here.state for here in brute.arcs} - {START}
        assert bool(found.loop) == (truth is None)
        assert len(explored.arcs) <= len(brute.arcs)
    engine = without_code(spec)
    told = [compared(check(spec, limit), spec, engine, brute, truth) for limit in (SITUATIONS_MAX, 4)]
    return f"{'ends' if truth else 'endless'}: {' / '.join(told)}"


def compared(report: Report, spec: MachineSpec, engine: Engine, brute: Brute, truth: tuple[int, ...] | None) -> str:
    """A report, held against what is true."""
    verdict = report.termination
    if verdict.kind == "may run for ever":
        assert truth is None
        goes_round(spec, engine, verdict.stem, verdict.loop, brute)
    if verdict.kind == "ends":
        assert truth is not None
    deferring = any(guard.kind == "env" for guard in spec.guards)
    for figure, kind in zip(report.figures, (0, 1, None, 2, 3), strict=True):
        if figure.most is not None and kind is not None:
            most = truth[kind] if truth is not None else brute.spent_max if kind == 1 else None
            if kind == 3 and truth is not None and spec.deadlines_ms:
                most = brute.clipped_ms()
            if most is None:
                continue
            assert figure.most >= most, f"{figure} is below {most}"
            assert figure.mark != "exact" or figure.most == most or (deferring and figure.cost == "ms"), figure
        if figure.mark == "exact":
            end = steps(spec, engine, figure.run)
            person = [leg for leg in figure.run if leg.move.of_user and brute.waits(leg.move.source)]
            done = {"hops": end.counters.get("hops", 0), "tokens": end.spent.tokens, "approvals": len(person)}
            assert done.get(figure.cost, figure.most) == figure.most, figure
    return verdict.kind if verdict.kind != "ends" else f"ends, {report.figures[0].mark}"


def steps(spec: MachineSpec, engine: Engine, run: Iterable[Leg]) -> Snapshot:
    return drive(engine, scenario(spec, run)["events"])


def goes_round(spec: MachineSpec, engine: Engine, stem: Iterable[Leg], loop: Iterable[Leg], brute: Brute) -> None:
    """The stem and three times the loop step on the real engine and come back to the same situation."""
    told = scenario(spec, stem, loop)
    snapshot = drive(engine, told["events"])
    before = counted(spec, snapshot)
    for _ in range(3):
        snapshot = drive(engine, told["loop"], snapshot)
        assert counted(spec, snapshot) == before


def counted(spec: MachineSpec, snapshot: Snapshot) -> tuple[str, list[int]]:
    """Where a run is, as far as its own caps can tell."""
    caps = [guard for guard in spec.guards if is_cap(guard)]
    found = [(guard.counter.key, guard.limit) for guard in caps if guard.counter and guard.limit is not None]
    return snapshot.state, [min(snapshot.counters.get(key, 0), limit) for key, limit in found]


@pytest.mark.parametrize("part", range(12))
def test_what_is_proven_of_small_machines_is_true(part: int):
    tally = Tally(held(seed) for seed in range(50 * part, 50 * part + 50))
    assert tally["too large"] <= 12 and len(tally) > 3, tally


@pytest.mark.parametrize("part", range(6))
def test_what_is_proven_of_small_machines_that_share_is_true(part: int):
    tally = Tally(held(seed, sharing_machine) for seed in range(30 * part, 30 * part + 30))
    assert tally["too large"] <= 22 and len(tally) > 3, tally


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(20))
def test_what_is_proven_of_many_machines_is_true(part: int):
    """More than 20,000 in all."""
    tally = Tally(held(seed) for seed in range(10_000 + 1_200 * part, 10_000 + 1_200 * (part + 1)))
    assert sum(tally.values()) - tally["too large"] >= 1_000, tally


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(10))
def test_what_is_proven_of_many_machines_that_share_is_true(part: int):
    tally = Tally(held(seed, sharing_machine) for seed in range(1_000 + 600 * part, 1_000 + 600 * (part + 1)))
    assert sum(tally.values()) - tally["too large"] >= 200, tally
