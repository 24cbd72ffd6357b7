"""What each guard adds to a transition: the decision and its record with the guard, less the same without.

Processor time; all cases in turns, so that each sees the same minutes of the machine, and the best turn of each.
Counted is what a guard can make longer: `decide`, the verdicts as JSON, the hash chain and the row; not the few
bytes more that SQLite writes. The payload is that of the other measures, one kilobyte.
"""

import time
import timeit
from collections.abc import Sequence
from typing import Annotated

from attrs import evolve, frozen
from pydantic import BaseModel

from fsm import AgentFailed, Guard, Machine, Retry, Spent, State, Volatile, everywhere
from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.record import link
from fsm.core.snapshot import Snapshot
from fsm.define.payload import seal
from fsm.journal.rows import record_row
from fsm.testing import hang
from guards import CostBudget, Deadline, LoopCap, NoProgress, PayloadSize, Repeat, Strikes, TokenBudget
from tests.benchmarks.engines.work import TEXT
from tests.benchmarks.loop import Figure

CALLS, TURNS = 50, 60
BYTES_MAX = 1 << 20
REMEMBERED = 256


class Draft(BaseModel):
    round: int
    text: str = TEXT


class Stamped(BaseModel):
    round: int
    text: str = TEXT
    at: Annotated[str, Volatile] = "now"


def round_of(draft: Draft) -> int:
    return draft.round


def machine(guards: Sequence[Guard] = (), limits: Sequence[Guard] = ()) -> type[Machine]:
    """One state that a draft leads back to, and in which an attempt is made again."""

    class Again(Machine):
        draft = State(initial=(Draft, Stamped), agent=hang, retry=Retry(attempts_max=1_000))
        again = draft.to(draft, on=(Draft, Stamped), guards=guards)
        if limits:
            bounds = everywhere(*limits)

    return Again


@frozen
class Case:
    """A machine, a run on it, and the event that is decided."""

    engine: Engine
    snapshot: Snapshot
    event: Event

    def hop(self) -> Snapshot:
        decided = decide(self.engine, self.snapshot, self.event)
        record = decided.record
        assert record is not None and record.kind in ("started", "taken", "retried"), str(record)
        detail = record.detail
        record_row(1, record, detail, link(bytes(32), record.header(detail)))
        return decided.snapshot


def case(*guards: Guard, limits: Sequence[Guard] = (), made: int = 2, payload: BaseModel | None = None) -> Case:
    """A run that has made so many hops, each with a draft of its own, and gets another one."""
    engine, snapshot = Engine(machine(guards, limits).spec), Snapshot()
    for n in range(made):
        snapshot = Case(engine, snapshot, arriving(Draft(round=n))).hop()
    return Case(engine, snapshot, arriving(payload or Draft(round=made)))


def arriving(payload: BaseModel) -> Event:
    return Event(payload=seal(payload, BYTES_MAX), at_ms=1, spent=Spent(100))


def cases() -> dict[str, Case]:
    failed = AgentFailed(error_type="builtins.OSError", message="no route", attempt=1, retriable=True)
    struck = case(limits=[Strikes("model", 3)])
    return {
        BARE: case(),
        "LoopCap, on the transition": case(LoopCap(1_000)),
        "LoopCap, of the run": case(limits=[LoopCap(1_000)]),
        "TokenBudget": case(limits=[TokenBudget(1_000_000)]),
        "CostBudget": case(limits=[CostBudget(1_000_000)]),
        "Deadline": case(limits=[Deadline(3_600)]),
        "Strikes, nothing tried": struck,
        "Strikes, a call failed": evolve(struck, event=evolve(struck.event, strikes={"model": 1})),
        "PayloadSize": case(PayloadSize(1 << 14)),
        "NoProgress": case(NoProgress(1_000, of=round_of)),
        "Repeat, nothing remembered": case(Repeat(3)),
        f"Repeat, {REMEMBERED} remembered": case(Repeat(3), made=REMEMBERED + 2),
        "Repeat, with a volatile field": case(Repeat(3), payload=Stamped(round=2)),
        "a retry instead": case(payload=failed),
    }


BARE = "a transition without guards"


def measure(rounds: int) -> list[Figure]:
    all_cases = cases()
    best = dict.fromkeys(all_cases, float("inf"))
    for _ in range(rounds * TURNS):
        for name, one in all_cases.items():
            best[name] = min(best[name], timeit.timeit(one.hop, timer=time.process_time, number=CALLS) / CALLS * 1e6)
    bare = best.pop(BARE)
    added = ((name, us - bare) for name, us in best.items())
    lines = [Figure(name, us, "us more", f"{us / bare:+.0%}") for name, us in added]
    return [Figure(BARE, bare, "us", "the decision, its record and row"), *lines]
