"""A run as evidence: the events that make it, what had to pass, and the counters after each.

It is no drawing of a run but one: `drive` decides it event by event with `core.conclude.decide`, on the
machine without its code (`without_code`), predicates and guards answering what stands written here; rows that guards
share with other runs hold what makes them answer so.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import evolve, frozen

from fsm.core.conclude import Decision, decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.record import NO_STRIKES, NOTHING, Record, Spent
from fsm.core.shares import ROWS, Apart
from fsm.core.snapshot import Pending, Snapshot
from fsm.define.events import (
    RUNTIME_BYTES_MAX,
    RUNTIME_EVENTS,
    AgentFailed,
    PayloadInvalid,
    RuntimeEvent,
    TimedOut,
)
from fsm.define.guard import Ruling, Share, Verdict
from fsm.define.parts import START
from fsm.define.payload import Payload, digest, seal
from fsm.define.spec import MachineSpec
from fsm.verify.move import FAULTS, Move, is_counted
from fsm.verify.shares import seen_by

EMPTY = b"{}"


@frozen
class Leg:
    """One move of a run: what was spent since the one before, and the counters after it that caps look at.

    `strikes` are the failures in a row that it is decided with, `elapsed_ms` how old the run has to be.
    """

    move: Move
    counts: Mapping[str, int]
    spent: Spent = NOTHING
    strikes: Mapping[str, int] = NO_STRIKES
    elapsed_ms: int = 0

    def __str__(self) -> str:
        counts = ", ".join(f"{key} {count}" for key, count in self.counts.items())
        return f"{self.move}{self._because()}" + (f"  [{counts}]" if counts else "")

    def _because(self) -> str:
        """What predicates and guards of the user's had to say."""
        words = {True: "", False: "not ", None: "failing: "}
        answers = () if self.move.retries else self.move.predicates  # a retry made says itself that it was to be
        said = [f"{words[answer]}{line}" for line, answer in answers]
        said += [
            f"{asked.guard.name} on {asked.guard.at} refuses: {asked.code}" for asked in self.move.asked if asked.code
        ]
        return f" ({', '.join(said)})" if said else ""


def scenario(spec: MachineSpec, legs: Iterable[Leg], loop: Iterable[Leg] = ()) -> dict[str, Any]:
    """The run as plain data; `loop` is what it does over and over after that."""
    told: dict[str, Any] = {
        "format": 1,
        "machine": spec.name,
        "fingerprint": spec.fingerprint,
        "events": [_form(spec, leg) for leg in legs],
    }
    again = [_form(spec, leg) for leg in loop]
    return {**told, "loop": again} if again else told


def scenario_json(spec: MachineSpec, legs: Iterable[Leg], loop: Iterable[Leg] = ()) -> str:
    return json.dumps(scenario(spec, legs, loop), indent=1)


def _form(spec: MachineSpec, leg: Leg) -> dict[str, Any]:
    move = leg.move
    world: dict[str, Any] = {"strikes": dict(leg.strikes)} if leg.strikes else {}
    if leg.elapsed_ms:
        world["elapsed_ms"] = leg.elapsed_ms
    seen = seen_by(spec, move)
    assert seen is not None, "a move that is never made is none"
    if seen.rows:
        world["shared"] = [[share.kind, share.name, json.loads(row.to_json())] for share, row in seen.rows.items()]
    if seen.put_off:
        world["put_off"] = True
    return {
        "event": move.event,
        "own": _own(spec, move),
        "source": move.source,
        "state": move.target,
        "hop": move.hop,
        "outcome": move.outcome,
        "predicates": [list(answer) for answer in move.predicates],
        "guards": [[ruling.guard, ruling.at, ruling.standing, ruling.verdict.code] for ruling in _rulings(move)],
        "spent": [leg.spent.tokens, leg.spent.usd_micros],
        "counters": dict(leg.counts),
        **world,
    }


def without_code(spec: MachineSpec) -> Engine:
    """The machine's engine, none of whose predicates and guards has code: they answer as a scenario says."""
    return Engine(MachineSpec.from_json(spec.to_json()))


def drive(engine: Engine, events: Iterable[Mapping[str, Any]], snapshot: Snapshot | None = None) -> Snapshot:
    """The snapshot after all events of a scenario, each decided by the engine; `ValueError` where it goes elsewhere."""
    now = snapshot or Snapshot()
    for decision in decisions(engine, events, now):
        now = decision.snapshot
    return now


def decisions(engine: Engine, events: Iterable[Mapping[str, Any]], snapshot: Snapshot) -> Iterator[Decision]:
    """The same, one decision after the other."""
    now = snapshot
    for at, told in enumerate(events, 1):
        decision = _decided(engine, now, told)
        record = decision.record
        found = (record.hop, record.state) if record is not None else ("", now.state)
        if found != (told["hop"], told["state"]):
            wanted = f"{told['hop'] or told['outcome']} to {told['state']}"
            raise ValueError(f"event {at}, {told['event']}: the machine goes {found[0]} to {found[1]}, not {wanted}")
        now = decision.snapshot
        yield decision


def _decided(engine: Engine, now: Snapshot, told: Mapping[str, Any]) -> Decision:
    rulings = tuple(
        Ruling(guard, at, standing, Verdict("refuse" if code else "allow", code))
        for guard, at, standing, code in told["guards"]
    )
    retried = told["outcome"] == "retried"
    unasked = [(line.name, False) for line in engine.spec.transitions if retried]  # where a retry may yet be refused
    recorded = Record(
        seq=now.seq + 1,
        kind="retried" if retried else "taken",
        at_ms=0,
        source=now.state,
        state=now.state,
        outcome="running",
        predicates=tuple((line, answer) for line, answer in [*told["predicates"], *unasked]),
        rulings=rulings,
    )
    event_id = None if told["own"] else f"event-{now.seq + 1}"
    if told.get("put_off"):
        often, since_ms = engine.spec.bounds.defers_max, now.at_ms
        pending = Pending(max(now.seq, 0), told["event"], event_id, told["own"], since_ms, often, since_ms)
        now = evolve(now, pending=pending)
    rows = {Share(kind, name): ROWS[kind].from_json(json.dumps(row)) for kind, name, row in told.get("shared", ())}
    event = Event(
        payload=_payload(told["event"], now.attempt),
        at_ms=max(now.at_ms + 1, now.again.at_ms if now.again else 0, now.started_at_ms + told.get("elapsed_ms", 0)),
        own=told["own"],
        event_id=event_id,
        spent=Spent(*told["spent"]),
        strikes=told.get("strikes", NO_STRIKES),
    )
    return decide(engine, now, event, recorded, Apart(rows, past=True))


def _payload(event: str, attempt: int) -> Payload:
    """The least that says what happened; the engine has to know one failure from another."""
    match event:
        case "AgentFailed":
            failure: RuntimeEvent = AgentFailed(error_type="Scenario", message="", attempt=attempt, retriable=True)
        case "TimedOut":
            failure = TimedOut(timeout_ms=0, attempt=attempt)
        case "PayloadInvalid":
            failure = PayloadInvalid(event="", problems=[], excerpt="", attempt=attempt)
        case _:
            return Payload(event, None, EMPTY, digest(EMPTY))
    return seal(failure, RUNTIME_BYTES_MAX)


def _own(spec: MachineSpec, move: Move) -> bool:
    if move.event == "Cancelled":
        return False
    return move.source == START or move.event in RUNTIME_EVENTS or spec.state[move.source].kind == "agent"


def _rulings(move: Move) -> list[Ruling]:
    """What guards that run code have to answer, in the order asked; `remember` speaks through one too."""
    asked = [asked for asked in move.asked if not is_counted(asked.guard) and asked.guard.shares is None]
    found = [_ruling(a.guard.name, a.guard.at, a.code or "", a.guard.standing) for a in asked]
    if move.fault in FAULTS[3:]:
        found.append(_ruling("remember", move.course.line, move.fault))
    return found


def _ruling(name: str, at: str, code: str, standing: Any = "transition") -> Ruling:
    return Ruling(name, at, standing, Verdict("refuse" if code else "allow", code))
