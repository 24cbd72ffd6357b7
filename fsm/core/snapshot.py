"""Where a run stands: a fold of its records, and nothing else.

`apply` is the only function that moves a snapshot. The runner adopts what it returns, resume folds the
journal with it, replay compares with it.
"""

from collections.abc import Iterable, Mapping

from attrs import evolve, field, frozen

from fsm.core.counters import with_hop, with_told
from fsm.core.record import MOVES, NOTHING, Outcome, Record, Spent
from fsm.define.guard import NOTHING_KEPT, Decision, Kept, Ruling, Share
from fsm.define.parts import START
from fsm.define.spec import MachineSpec
from fsm.define.value import value

NO_HOLDS: Mapping[str, int] = {}


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


def of_budgets(spec: MachineSpec, rulings: Iterable[Ruling], decision: Decision) -> dict[Share, int]:
    """Of the budgets that decided so on one way what they were asked for; each guard rules there once.

    A record says which of several guards alike it was only where that one keeps something: here their order tells.
    """
    found: dict[Share, int] = {}
    turns: dict[tuple[str, str], int] = {}
    for ruling in rulings:
        alike = ruling.guard, ruling.at
        turns[alike] = turns.get(alike, 0) + 1
        share, asked = spec.budgets.get((*alike, turns[alike])), ruling.verdict.numbers.get("asked", 0)
        if share is not None and asked and ruling.verdict.decision == decision:
            found[share] = asked
    return found


def _holds(spec: MachineSpec, rulings: Iterable[Ruling]) -> Mapping[str, int]:
    """What a move sets aside, by the rulings on the way that is taken."""
    return {share.name: asked for share, asked in of_budgets(spec, rulings, "allow").items()} or NO_HOLDS


def _still_held(spec: MachineSpec, snapshot: Snapshot) -> Mapping[str, int]:
    """What the visit holds of budgets that this definition of its machine has as well."""
    names = {share.name for share in spec.spends[snapshot.state]}
    return {name: amount for name, amount in snapshot.holds.items() if name in names}


def held(spec: MachineSpec, holds: Mapping[str, int], record: Record) -> Mapping[str, int]:
    """What a visit has set aside of shared budgets after a record, which may begin or end it."""
    if record.kind in MOVES and record.hop:
        return _holds(spec, _of_move(spec, record))
    if record.kind == "retried":
        return {**holds, **_holds(spec, record.rulings)}
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
        case "started":
            return evolve(
                after, started_at_ms=record.at_ms, entered=record.seq, given=record.seq, entered_at_ms=record.at_ms
            )
        case "refused" | "unhandled":
            return evolve(after, refusals=snapshot.refusals + (not record.own), pending=_still(snapshot, record))
        case "deferred":
            started = snapshot.started_at_ms or record.at_ms  # an entry guard may put off the very start
            kept = _with_kept(after.kept, record.rulings)
            return evolve(after, pending=_put_off(snapshot, record), started_at_ms=started, kept=kept)
        case "retried":
            return _again(spec, after, record)
        case "resumed":
            why = record.note.get("why")
            fresh = record.attempt if why == "asked" else snapshot.fresh
            lost = why == "lost" and not snapshot.rests(record.at_ms)
            return evolve(after, attempt=record.attempt, fresh=fresh, resumes=snapshot.resumes + lost)
        case "repinned" if snapshot.holds or spec.budgets:
            return evolve(after, holds=_still_held(spec, snapshot), settled=snapshot.settled or snapshot.spent)
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
        kept=_with_kept(snapshot.kept, record.rulings),
        holds=held(spec, NO_HOLDS, record) if spec.budgets else NO_HOLDS,
        settled=spent_in(counters) if spec.budgets else NOTHING,
        refusal=deciding(_on_the_way(spec, record), hop.owner) if hop.otherwise else None,
        memory=memory if memory is not None else snapshot.memory,
        at_ms=record.at_ms,
        entered_at_ms=record.at_ms,
        started_at_ms=snapshot.started_at_ms if record.kind != "started" else record.at_ms,
    )


def _on_the_way(spec: MachineSpec, record: Record) -> tuple[Ruling, ...]:
    """The rulings of a record but for those on a retry that was refused first."""
    state = spec.state.get(record.source)
    retry = state.retry if state is not None else None
    if state is None or retry is None or not record.rulings or record.rulings[0].at != retry.guard.at:
        return record.rulings
    asked = len(list(spec.retry_guards(state))) if record.rulings[0].guard == retry.guard.name else 1  # or `when` broke
    return record.rulings[asked:]


def _of_move(spec: MachineSpec, record: Record) -> tuple[Ruling, ...]:
    """The rulings on the way that was taken, and none of those on ways refused before."""
    rulings = _on_the_way(spec, record)
    asked = len(spec.state[record.state].guards)
    return rulings[len(rulings) - asked :] if spec.hops[record.hop].otherwise else rulings


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
    kept = _with_kept(after.kept, record.rulings)
    holds = held(spec, after.holds, record) if spec.budgets else NO_HOLDS
    return evolve(after, counters=counters, kept=kept, attempt=attempt, fresh=attempt, again=again, holds=holds)


def deciding(rulings: Iterable[Ruling], owner: str) -> Ruling | None:
    """The refusal that decided at `owner`, the attribute whose guards were asked: the first one there."""
    return next((ruling for ruling in rulings if ruling.at == owner and ruling.verdict.decision == "refuse"), None)


def _with_kept(before: Mapping[str, Kept], rulings: Iterable[Ruling]) -> Mapping[str, Kept]:
    """What guards keep after a move; its record holds of that only what applies."""
    after = before
    for ruling in rulings:
        if ruling.verdict.keep:
            place = ruling.kept_as
            own = keeping(before.get(place, NOTHING_KEPT), ruling.verdict.keep)
            after = {**after, place: own} if own else {name: kept for name, kept in after.items() if name != place}
    return after


def keeping(kept: Kept, keep: Kept) -> Kept:
    """What a guard keeps, after `keep`: 0 forgets."""
    after = {**kept, **keep}
    for name, number in keep.items():
        if not number:
            del after[name]
    return after


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
