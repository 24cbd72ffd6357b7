"""From a plan to a record and the next snapshot: the second half of a decision.

It runs inside the writer's transaction, where the rows of guards shared between runs can be read without
a race (`shared`); none of the user's code runs here. Of several verdicts on a way, refuse beats defer
beats allow. What guards would keep is recorded only of the way that is taken: it is what they said of that move.
"""

from attrs import evolve

from fsm.core.asking import refusing
from fsm.core.engine import Engine
from fsm.core.plan import Event, Plan, Retrying, Way
from fsm.core.record import ENDED, Kind, Outcome, Record
from fsm.core.select import select
from fsm.core.shares import Apart, Recorded, Shared
from fsm.core.sharing import Sharing
from fsm.core.snapshot import Snapshot, apply, is_pending
from fsm.define.guard import NOTHING_KEPT, Ruling
from fsm.define.parts import START
from fsm.define.payload import digest
from fsm.define.value import value


@value
class Decision:
    """The record to write and the snapshot after it; no record for an outside event beyond `refusals_max`."""

    record: Record | None
    snapshot: Snapshot


def decide(
    engine: Engine, snapshot: Snapshot, event: Event, recorded: Record | None = None, shared: Shared | None = None
) -> Decision:
    """What happens next; all of it, and nothing else decides.

    `recorded` answers for code and shared rows that are not at hand; without any, shared rows are fresh ones.
    """
    shared = shared or (Recorded(recorded) if recorded is not None else Apart())
    return conclude(engine, snapshot, select(engine, snapshot, event, recorded), shared)


def conclude(engine: Engine, snapshot: Snapshot, plan: Plan, shared: Shared) -> Decision:
    """The decision for `plan`; `shared` are the rows of guards shared between runs."""
    sharing = Sharing(engine.spec, snapshot, plan, shared)
    decision = _concluded(engine, snapshot, plan, sharing)
    sharing.close(decision.record)
    return decision


def _concluded(engine: Engine, snapshot: Snapshot, plan: Plan, sharing: Sharing) -> Decision:
    sharing.tell()
    rulings: list[Ruling] = []
    if plan.retry is not None:
        given = sharing.again(plan.retry.answers, plan.retry.at_ms)
        if refusing(given) is None:
            sharing.take(plan.retry.answers)
            return _retried(engine, snapshot, plan, plan.retry, given)
        rulings += _of_no_move(given)
    sharing.settle()
    if plan.way is None:
        return _unhandled(engine, snapshot, plan, tuple(rulings))
    way: Way = plan.way
    while True:
        given = sharing.rulings(way.answers, way.target)
        refusal = refusing(given)
        if refusal is None:
            break
        rulings += _of_no_move(given)
        after = way.otherwise.get((refusal.at, refusal.verdict.code))
        if after is None:
            return _refused(engine, snapshot, plan, tuple(rulings))
        way = after
    untils = [ruling.verdict.until_ms or 0 for ruling in given if ruling.verdict.decision == "defer"]
    if untils:
        sharing.queue(way.answers, given)
        return _deferred(engine, snapshot, plan, (*rulings, *_of_no_move(given, deferred=True)), max(untils))
    sharing.take(way.answers)
    return _taken(engine, snapshot, plan, (*rulings, *given), way)


def _of_no_move(rulings: tuple[Ruling, ...], deferred: bool = False) -> tuple[Ruling, ...]:
    """The rulings on a way that is not taken: nothing is kept of them, but what was reserved by those who defer."""
    stripped = [r for r in rulings if r.verdict.keep and not (deferred and r.verdict.decision == "defer")]
    if not stripped:
        return rulings
    return tuple(
        Ruling(ruling.guard, ruling.at, ruling.standing, evolve(ruling.verdict, keep=NOTHING_KEPT))
        if ruling in stripped
        else ruling
        for ruling in rulings
    )


def _retried(engine: Engine, snapshot: Snapshot, plan: Plan, retry: Retrying, rulings: tuple[Ruling, ...]) -> Decision:
    """The attempt begins again, after its pause, and no sooner than a guard says that puts it off."""
    engine.go(snapshot.state, retry.hop)
    until_ms = max([retry.at_ms, *(ruling.verdict.until_ms or 0 for ruling in rulings)])
    plan = evolve(plan, event=retry.failure)
    return _decision(engine, snapshot, plan, "retried", "running", rulings=rulings, hop=retry.hop, until_ms=until_ms)


def _taken(engine: Engine, snapshot: Snapshot, plan: Plan, rulings: tuple[Ruling, ...], way: Way) -> Decision:
    target = engine.spec.state[engine.go(snapshot.state, way.hop)]
    outcome: Outcome = target.final or ("waiting" if target.kind == "waiting" else "running")
    kind: Kind = "started" if snapshot.state == START and snapshot.seq < 0 else "ended" if outcome in ENDED else "taken"
    direct = way is plan.way
    memory = plan.memory if direct else None
    return _decision(
        engine, snapshot, plan, kind, outcome, rulings=rulings, state=target.name, hop=way.hop, new_memory=memory
    )


def _refused(engine: Engine, snapshot: Snapshot, plan: Plan, rulings: tuple[Ruling, ...]) -> Decision:
    """Nothing moves: an event from outside is refused, the run's own halts it, by that guard."""
    if plan.event.payload.event == "Cancelled":  # a predicate or `remember` broke; a run can always be cancelled
        return _decision(engine, snapshot, plan, "ended", "cancelled", rulings=rulings)
    if snapshot.state == START:
        return _decision(
            engine, snapshot, plan, "started" if snapshot.seq < 0 else "halted", "stopped", rulings=rulings
        )
    if plan.event.own:
        return _decision(engine, snapshot, plan, "halted", "stopped", rulings=rulings)
    return _noted(engine, snapshot, plan, "refused", rulings)


def _unhandled(engine: Engine, snapshot: Snapshot, plan: Plan, rulings: tuple[Ruling, ...]) -> Decision:
    if plan.event.payload.event == "Cancelled":
        return _decision(engine, snapshot, plan, "ended", "cancelled")
    if plan.event.own:
        return _decision(engine, snapshot, plan, "halted", "stuck", rulings=rulings)
    return _noted(engine, snapshot, plan, "unhandled", rulings)


def _noted(engine: Engine, snapshot: Snapshot, plan: Plan, kind: Kind, rulings: tuple[Ruling, ...]) -> Decision:
    if snapshot.refusals >= engine.spec.bounds.refusals_max and not _is_pending(snapshot, plan.event):
        return Decision(None, snapshot)
    return _decision(engine, snapshot, plan, kind, snapshot.outcome, rulings=rulings)


def _deferred(engine: Engine, snapshot: Snapshot, plan: Plan, rulings: tuple[Ruling, ...], until_ms: int) -> Decision:
    """Put off; but one event at a time: another from outside is refused until that one is decided."""
    if snapshot.pending is not None and not _is_pending(snapshot, plan.event) and not plan.event.own:
        return _noted(engine, snapshot, plan, "refused", _of_no_move(rulings))
    return _decision(
        engine,
        snapshot,
        plan,
        "deferred",
        snapshot.outcome,
        rulings=rulings,
        until_ms=max(until_ms, plan.event.at_ms + 1),
    )


def _is_pending(snapshot: Snapshot, event: Event) -> bool:
    return is_pending(snapshot, event.event_id, event.own)


def _decision(
    engine: Engine,
    snapshot: Snapshot,
    plan: Plan,
    kind: Kind,
    outcome: Outcome,
    *,
    rulings: tuple[Ruling, ...] = (),
    state: str | None = None,
    hop: str = "",
    until_ms: int | None = None,
    new_memory: bytes | None = None,
) -> Decision:
    event = plan.event
    note = event.note
    leaves = state is not None or kind in ("halted", "ended")
    if (leaves or kind == "deferred") and snapshot.pending is not None and not _is_pending(snapshot, event):
        note = {**note, "superseded": snapshot.pending.event_id or snapshot.pending.seq}
    if event.unread:
        note = {**note, "unread": event.unread}
    over = (event.own and kind != "retried") or leaves  # the agent's work is done, or will not be waited for
    if event.charge and not over:
        note = {**note, "charge": event.charge}
    record = Record(
        seq=snapshot.seq + 1,
        kind=kind,
        at_ms=event.at_ms,
        source=snapshot.state,
        state=state or snapshot.state,
        outcome=outcome,
        hop=hop,
        event=event.payload.event,
        event_id=event.event_id,
        own=event.own,
        attempt=snapshot.attempt,
        digest=event.payload.digest,
        predicates=plan.predicates,
        rulings=rulings,
        spent=event.charged if over else event.spent,
        strikes=event.strikes,
        memory=digest(new_memory) if new_memory is not None else None,
        until_ms=until_ms,
        note=note,
        body=event.payload.body if not event.unread else None,
    )
    return Decision(record, apply(engine.spec, snapshot, record, new_memory))
