"""Where a run stands: a fold of its records, and nothing else.

`apply` is the only function that moves a snapshot. The runner adopts what it returns, resume folds the
journal with it, replay compares with it.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import asdict, evolve, field, frozen

from fsm.core.counters import with_hop, with_told
from fsm.core.record import MOVES, NOTHING, Outcome, Record, Spent
from fsm.core.rulings import NO_HOLDS, deciding, of_move, on_the_way, set_aside, with_kept
from fsm.define.guard import Kept, Ruling, Verdict
from fsm.define.parts import START
from fsm.define.payload import canonical
from fsm.define.spec import MachineSpec
from fsm.define.value import value


@frozen
class Pending:
    """An event that was put off: where its body is, until when, how often so far, since when."""

    seq: int
    event: str
    event_id: str | None
    own: bool
    until_ms: int
    defers: int
    since_ms: int


@frozen
class Again:
    """A retry: the seq of the record that decided on it, and the moment its attempt begins."""

    seq: int
    at_ms: int


@value(kw_only=True)
class Snapshot:
    """State, position, counters, spending, pending event and memory of one run.

    `entered` is the seq of the record that entered the state: visits, calls and timers are fenced by it, so
    that a stray refused event changes no key; `given` is that of the record which holds the visit's payload.
    `resumes` and `refusals` count within the visit; `fresh` is the attempt that began anew: later ones continue
    it after a loss, and get the results of its calls. `again` is the visit's last retry. `holds` is what the visit
    has set aside of budgets shared with other runs, by their names; `settled` what of the spending they know. `memory`
    is canonical JSON, or None where the machine has none or its code is not at hand. `kept` holds what guards
    keep, of each by its place.
    """

    run_id: str = ""
    state: str = START
    seq: int = -1
    entered: int = -1
    given: int = -1
    attempt: int = 1
    outcome: Outcome = "running"
    counters: Mapping[str, int] = field(factory=dict)
    kept: Mapping[str, Kept] = field(factory=dict)
    fresh: int = 1
    resumes: int = 0
    refusals: int = 0
    refusal: Ruling | None = None
    pending: Pending | None = None
    again: Again | None = None
    holds: Mapping[str, int] = NO_HOLDS
    settled: Spent = NOTHING
    memory: bytes | None = None
    at_ms: int = 0
    entered_at_ms: int = 0
    started_at_ms: int = 0

    @property
    def spent(self) -> Spent:
        return spent_in(self.counters)

    def rests(self, at_ms: int) -> bool:
        """Whether no attempt is in progress at that moment, as the next one has yet to begin."""
        return self.again is not None and at_ms < self.again.at_ms


def spent_in(counters: Mapping[str, int]) -> Spent:
    return Spent(counters.get("tokens", 0), counters.get("usd_micros", 0))


def is_over(record: Record) -> bool:
    """Whether the work of the visit is done, or will not be waited for."""
    moves = record.kind in MOVES or record.kind in ("halted", "ended")
    return moves or (record.own and record.kind == "deferred")


def _still_held(spec: MachineSpec, snapshot: Snapshot) -> Mapping[str, int]:
    """What the visit holds of budgets that this definition of its machine has as well."""
    names = {share.name for share in spec.spends.get(snapshot.state, ())}
    return {name: amount for name, amount in snapshot.holds.items() if name in names}


def held(spec: MachineSpec, holds: Mapping[str, int], record: Record) -> Mapping[str, int]:
    """What a visit has set aside of shared budgets after a record, which may begin or end it."""
    if record.kind in MOVES and record.hop:
        return set_aside(spec, of_move(spec, record))
    if record.kind == "retried":
        return {**holds, **set_aside(spec, record.rulings)}
    return NO_HOLDS if is_over(record) else holds


def failure_seq(snapshot: Snapshot) -> int | None:
    """The record of the failure that this attempt answers to: the one it is a retry after, or a fallback for."""
    if snapshot.again is not None:
        return snapshot.again.seq
    return snapshot.entered if snapshot.given != snapshot.entered else None


def is_pending(snapshot: Snapshot, event_id: str | None, own: bool) -> bool:
    """Whether this event is the one that was put off."""
    pending = snapshot.pending
    return pending is not None and (pending.event_id, pending.own) == (event_id, own)


def apply(spec: MachineSpec, snapshot: Snapshot, record: Record, memory: bytes | None = None) -> Snapshot:
    """The snapshot after `record`; `memory` is the memory after it, where it changed."""
    assert record.seq == snapshot.seq + 1, f"record {record.seq} does not follow {snapshot.seq}"
    if record.seq == 0:
        snapshot = evolve(snapshot, run_id=str(record.note.get("run_id", "")))
    counters = with_told(spec, snapshot.counters, record.spent, record.strikes)
    if record.kind in MOVES and record.hop:
        return _moved(spec, snapshot, record, with_hop(spec, counters, record), memory)
    if spec.budgets and is_over(record):
        snapshot = evolve(snapshot, holds=NO_HOLDS, settled=evolve(snapshot.spent + record.spent, usage=()))
    after = evolve(snapshot, seq=record.seq, at_ms=record.at_ms, outcome=record.outcome, counters=counters)
    match record.kind:
        case "forked":
            return _forked(spec, record, memory)
        case "started":
            return evolve(
                after, started_at_ms=record.at_ms, entered=record.seq, given=record.seq, entered_at_ms=record.at_ms
            )
        case "refused" | "unhandled":
            return evolve(after, refusals=snapshot.refusals + (not record.own), pending=_still(snapshot, record))
        case "deferred":
            started = snapshot.started_at_ms or record.at_ms  # an entry guard may put off the very start
            kept = with_kept(after.kept, record.rulings)
            return evolve(after, pending=_put_off(snapshot, record), started_at_ms=started, kept=kept)
        case "retried":
            return _again(spec, after, record)
        case "resumed":
            why = record.note.get("why")
            fresh = record.attempt if why == "asked" else snapshot.fresh
            lost = why == "lost" and not snapshot.rests(record.at_ms)
            return evolve(after, attempt=record.attempt, fresh=fresh, resumes=snapshot.resumes + lost)
        case "repinned" if snapshot.holds or spec.budgets:
            known = snapshot.settled or snapshot.holds  # else no budget was to know of what was spent
            return evolve(
                after, holds=_still_held(spec, snapshot), settled=snapshot.settled if known else snapshot.spent
            )
        case "halted" | "ended":
            return evolve(after, pending=None)
        case _:
            return after


def fold(spec: MachineSpec, records: Iterable[Record], snapshot: Snapshot | None = None) -> Snapshot:
    """All records applied in order, memory left aside."""
    after = snapshot or Snapshot()
    for record in records:
        after = apply(spec, after, record)
    return after


def _moved(
    spec: MachineSpec, snapshot: Snapshot, record: Record, counters: Mapping[str, int], memory: bytes | None
) -> Snapshot:
    hop = spec.hops[record.hop]
    return Snapshot(
        run_id=snapshot.run_id,
        state=record.state,
        seq=record.seq,
        entered=record.seq,
        given=snapshot.given if hop.carries else record.seq,
        outcome=record.outcome,
        counters=counters,
        kept=with_kept(snapshot.kept, record.rulings),
        holds=held(spec, NO_HOLDS, record) if spec.budgets else NO_HOLDS,
        settled=spent_in(counters) if spec.budgets else NOTHING,
        refusal=deciding(on_the_way(spec, record), hop.owner) if hop.otherwise else None,
        memory=memory if memory is not None else snapshot.memory,
        at_ms=record.at_ms,
        entered_at_ms=record.at_ms,
        started_at_ms=snapshot.started_at_ms if record.kind != "started" else record.at_ms,
    )


def _again(spec: MachineSpec, after: Snapshot, record: Record) -> Snapshot:
    """Another attempt of the same visit, which wants fresh answers of its calls."""
    assert record.until_ms is not None
    counters, attempt = dict(after.counters), record.attempt + 1
    for key in ("hops", f"fires:{record.hop}"):
        counters[key] = counters.get(key, 0) + 1
    for counter in spec.since_counters:
        if counter.of == "hops" or (counter.of, counter.subject) == ("fires", record.hop):
            counters[counter.key] = counters.get(counter.key, 0) + 1
    again = Again(record.seq, record.until_ms)
    kept = with_kept(after.kept, record.rulings)
    holds = held(spec, after.holds, record) if spec.budgets else NO_HOLDS
    return evolve(after, counters=counters, kept=kept, attempt=attempt, fresh=attempt, again=again, holds=holds)


def _still(snapshot: Snapshot, record: Record) -> Pending | None:
    return None if is_pending(snapshot, record.event_id, record.own) else snapshot.pending


def _put_off(snapshot: Snapshot, record: Record) -> Pending:
    assert record.until_ms is not None
    before = snapshot.pending if is_pending(snapshot, record.event_id, record.own) else None
    return Pending(
        seq=before.seq if before else record.seq,
        event=record.event,
        event_id=record.event_id,
        own=record.own,
        until_ms=record.until_ms,
        defers=(before.defers if before else 0) + 1,
        since_ms=before.since_ms if before else record.at_ms,
    )


def _forked(spec: MachineSpec, record: Record, memory: bytes | None) -> Snapshot:
    """Where a fork stands after its record 0: as its parent did, with a visit that begins anew.

    What was counted, kept and spent is inherited, and so is the time that the run had taken: not that which went by
    until somebody forked it. What counts since the state was entered begins anew, with the visit. Of what guards share
    nothing is: no permit, no slot, nothing set aside, and what was spent so far has been settled by the parent.
    """
    parent = snapshot_from(str(record.note["snapshot"]))
    since = {counter.key: 0 for counter in spec.since_counters if counter.since == record.state}
    shared = {guard.kept_as for guard in spec.guards if guard.shares is not None}
    return Snapshot(
        run_id=str(record.note["run_id"]),
        state=record.state,
        seq=record.seq,
        entered=record.seq,
        given=record.seq,
        outcome=record.outcome,
        counters={**parent.counters, **since},
        kept={place: kept for place, kept in parent.kept.items() if place not in shared},
        refusal=parent.refusal,
        settled=parent.spent,
        memory=memory,
        at_ms=record.at_ms,
        entered_at_ms=record.at_ms,
        started_at_ms=record.at_ms - (parent.at_ms - parent.started_at_ms),
    )


def snapshot_body(snapshot: Snapshot) -> str:
    """A snapshot as canonical JSON, without its memory."""
    form = asdict(snapshot, recurse=False, filter=lambda attribute, _: attribute.name != "memory")
    form["counters"] = dict(snapshot.counters)
    form["kept"] = {place: dict(kept) for place, kept in snapshot.kept.items()}
    form["holds"] = dict(snapshot.holds)
    form["settled"] = [snapshot.settled.tokens, snapshot.settled.usd_micros]
    form["pending"] = asdict(snapshot.pending) if snapshot.pending else None
    form["again"] = asdict(snapshot.again) if snapshot.again else None
    refusal = snapshot.refusal
    form["refusal"] = asdict(refusal) if refusal else None
    return canonical(form).decode()


def snapshot_from(body: str, memory: str | None = None) -> Snapshot:
    """The snapshot that `snapshot_body` wrote."""
    form = json.loads(body)
    form.setdefault("given", form["entered"])  # a row written before a visit could have another's payload
    pending, again, refusal = form.pop("pending"), form.pop("again", None), form.pop("refusal")
    settled = form.pop("settled", (0, 0))
    return Snapshot(
        **form,
        settled=Spent(*settled),
        pending=Pending(**pending) if pending else None,
        again=Again(**again) if again else None,
        refusal=_ruling(refusal) if refusal else None,
        memory=memory.encode() if memory is not None else None,
    )


def _ruling(form: dict[str, Any]) -> Ruling:
    return Ruling(**{**form, "verdict": Verdict(**form["verdict"])})
