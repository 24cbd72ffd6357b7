"""What is proven of machines with guards that compare payloads, held against runs with these guards themselves.

The verifier knows only that they may pass or refuse at any time; what they remember makes their runs a part of that.
"""

import random
from collections.abc import Iterable

import pytest
from attrs import evolve

from fsm import Guard, MachineSpec, Spent
from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.snapshot import Snapshot
from fsm.define.guard import Placed, numbered
from fsm.define.parts import START
from fsm.verify.check import check
from fsm.verify.moves import moves_of
from fsm.verify.product import explore, situations_of
from guards import NoProgress, PayloadSize, Repeat
from tests.verify.random_machines import Brute, Situation, machine

WALKS, EVENTS_MAX = 6, 40


def same(payload: object) -> str:
    return type(payload).__name__


GUARDS: tuple[Guard, ...] = (Repeat(2), Repeat(3), NoProgress(1, of=same), NoProgress(2, of=same), PayloadSize(2))


def compared(spec: MachineSpec, chance: random.Random) -> MachineSpec:
    """The machine with guards that compare in place of those that answer by chance."""

    def among(placed: Iterable[Placed]) -> tuple[Placed, ...]:
        return numbered(
            guard if guard.check is None else chance.choice(GUARDS).place(guard.standing, guard.at) for guard in placed
        )

    return evolve(
        spec,
        states=tuple(evolve(state, guards=among(state.guards)) for state in spec.states),
        transitions=tuple(evolve(line, guards=among(line.guards)) for line in spec.transitions),
        everywhere=tuple(evolve(line, guards=among(line.guards)) for line in spec.everywhere),
    )


def walked(spec: MachineSpec, brute: Brute, chance: random.Random) -> tuple[set[str], int]:
    """The hops of a run by chance, and how many the run counts; predicates and `remember` answer by chance too."""
    engine, now, hops, visit = Engine(spec), Snapshot(), set[str](), 0
    brute.engine = engine
    for at in range(EVENTS_MAX):
        events = list(brute.events(now.state))
        if not events or now.outcome not in ("running", "waiting"):
            break
        payload, own = chance.choice(events)
        works = own and now.state != START
        reports = brute.spending(Situation(now.state, (), spent=visit)) if works else [visit]
        spent = Spent(tokens=chance.choice(reports) - visit)  # the attempts of a visit share what it may spend
        least = spec.state[now.state].tokens_min if now.state != START else 0
        charge = max(0, least - visit - spent.tokens)
        event_id = None if own else f"e{at}"
        event = Event(payload=payload, at_ms=at + 1, own=own, event_id=event_id, spent=spent, charge=charge)
        brute.chooser.script = [chance.randrange(3) for _ in range(50)]
        brute.chooser.asked = []
        decision = decide(engine, now, event)
        if decision.record is not None and decision.record.hop:
            hops.add(decision.record.hop)
        visit = visit + spent.tokens if decision.snapshot.entered == now.entered else 0
        now = decision.snapshot
    return hops, now.counters.get("hops", 0)


@pytest.mark.parametrize("part", range(3))
def test_runs_with_guards_that_compare_stay_within_what_is_proven(part: int) -> None:
    kept = 0
    for seed in range(60 * part, 60 * part + 60):
        chance = random.Random(seed)
        original, chooser = machine(seed)
        spec = compared(original, chance)
        if spec == original:
            continue
        kept += 1
        explored, report = explore(situations_of(moves_of(spec))), check(spec)
        assert explored.complete
        for _ in range(WALKS):
            hops, count = walked(spec, Brute(spec, chooser), chance)
            assert hops <= explored.taken, seed
            most = report.figures[0].most
            assert most is None or count <= most, seed
    assert kept > 20
