"""A decision's dealings with the rows that guards share between runs.

A row changes only by what is decided: a permit is taken when the move is made that it was asked for, a result is told
when its attempt has ended.
"""

from collections.abc import Iterable

from attrs import define, evolve, field

from fsm.core import breaker, budget, rate
from fsm.core.asking import Answer, bounded
from fsm.core.deadline import time_for
from fsm.core.permits import tell
from fsm.core.plan import PERMIT, Plan
from fsm.core.record import Record
from fsm.core.rulings import of_budgets
from fsm.core.shares import (
    Row,
    Shared,
    breaking,
    budgeting,
    most_of,
    rating,
    share_of,
    spent_of,
)
from fsm.core.snapshot import Pending, Snapshot, is_over, is_pending
from fsm.define.guard import NOTHING_KEPT, Placed, Ruling, Share, Verdict
from fsm.define.parts import StateSpec
from fsm.define.spec import MachineSpec


@define
class Sharing:
    """One decision's dealings with shared rows; but for what has ended, nothing of it is so before `close`.

    `_after` are the rows, by guard, as they are if the move is made that was asked about last; `_rows` as they are if
    the visit is over, `_queued` if the event is put off.
    """

    spec: MachineSpec
    snapshot: Snapshot
    plan: Plan
    shared: Shared
    _after: dict[int, Row] = field(factory=dict)
    _rows: dict[Share, tuple[Placed, Row]] = field(factory=dict)
    _queued: dict[Share, tuple[Placed, Row]] = field(factory=dict)
    _turns: dict[tuple[str, str], int] = field(factory=dict)

    def tell(self) -> None:
        """What came of what has ended, to those who had permitted it; of what is left in its midst, nothing came."""
        if self.shared.past:
            return
        at_ms = self.plan.event.at_ms
        tell(self.shared, self.plan.told, at_ms)
        for guard, generation, outcome in self.plan.left:
            self._put(guard, breaker.heard(self._row(guard), breaking(guard), outcome, generation, at_ms))

    def settle(self) -> None:
        """What the visit has spent, to the budgets it is of; what it had set aside is free again."""
        if self.shared.past or not self.spec.budgets or self.snapshot.state not in self.spec.state:
            return
        now = self.snapshot
        spent = now.spent + self.plan.event.charged - now.settled
        for share, guard in self.spec.spends[now.state].items():
            amount, held = spent_of(guard, spent), now.holds.get(share.name, 0)
            self._put(guard, budget.settled(self._row(guard), budgeting(guard), amount, held, self.plan.event.at_ms))

    def rulings(self, answers: Iterable[Answer], target: str) -> tuple[Ruling, ...]:
        """Every answer as a ruling, of a move that leads into `target`."""
        return self._given(answers, self.spec.state[target], self.plan.event.at_ms, again=False)

    def again(self, answers: Iterable[Answer], begins_ms: int) -> tuple[Ruling, ...]:
        """The same, of a retry that begins then: its visit has set aside what all its attempts may spend."""
        return self._given(answers, self.spec.state[self.snapshot.state], begins_ms, again=True)

    def _given(self, answers: Iterable[Answer], target: StateSpec, begins_ms: int, again: bool) -> tuple[Ruling, ...]:
        if not self.spec.shares:
            return tuple(answers)  # type: ignore[arg-type]
        self._after = {}
        found = []
        for part in answers:
            alike = (part.name if isinstance(part, Placed) else part.guard, part.at)
            turn = self._turns.get(alike, 0)
            self._turns[alike] = turn + 1
            found.append(self._ask(part, target, begins_ms, again, turn) if isinstance(part, Placed) else part)
        return tuple(found)

    def _ask(self, guard: Placed, target: StateSpec, begins_ms: int, again: bool, turn: int) -> Ruling:
        begins_ms = max(begins_ms, self.plan.event.at_ms)
        match share_of(guard).kind:
            case "breaker":
                verdict = self._ask_breaker(guard, target, begins_ms, turn)
            case "budget":
                free = again and share_of(guard).name in self.snapshot.holds
                verdict = self._ask_budget(guard, None if free else most_of(guard, target), turn)
            case "rate":
                verdict = self._ask_rate(guard, target, begins_ms, again, turn)
        return Ruling(guard.name, guard.at, guard.standing, verdict, guard.nth if verdict.keep else 1)

    def _ask_breaker(self, guard: Placed, target: StateSpec, begins_ms: int, turn: int) -> Verdict:
        """Permits the visit where the guard stands on its state; elsewhere it permits no more than to come there."""
        at_ms = self.plan.event.at_ms
        time_ms = time_for(self.spec, target, begins_ms, self.snapshot.started_at_ms or at_ms) or 0
        lease_ms = self.shared.lease_ms(guard, begins_ms - at_ms + time_ms, turn)
        verdict, after = breaker.ask(self._row(guard, turn), breaking(guard), at_ms, lease_ms)
        if verdict.decision == "refuse":
            return verdict
        if guard.standing != "state" or target.kind != "agent":
            return Verdict("allow", numbers=verdict.numbers)
        self._after[id(guard)] = after
        return Verdict("allow", verdict.code, verdict.numbers, keep={PERMIT: breaker.generation_of(verdict) + 1})

    def _ask_budget(self, guard: Placed, most: int | None, turn: int) -> Verdict:
        pending, at_ms = self._pending, self.plan.event.at_ms
        asked, defers = self.shared.asked(guard, most, turn), pending.defers if pending else 0
        waiting = self.shared.waiting(guard, turn) if asked and not pending else 0
        verdict, after = budget.ask(self._row(guard, turn), budgeting(guard), asked, at_ms, defers, waiting)
        self._after[id(guard)] = after
        return self._bounded(verdict)

    def _ask_rate(self, guard: Placed, target: StateSpec, begins_ms: int, again: bool, turn: int) -> Verdict:
        """An attempt that begins again waits for its slot, and keeps none; any other event comes back for it."""
        if target.kind != "agent":
            return Verdict("allow")
        slot_ms = 0 if again else self.snapshot.kept.get(guard.kept_as, NOTHING_KEPT).get(rate.SLOT, 0)
        pause_ms = begins_ms - self.plan.event.at_ms
        verdict, after = rate.ask(self._row(guard, turn), rating(guard), begins_ms, slot_ms, pause_ms)
        self._after[id(guard)] = after
        held = self._bounded(verdict)
        return evolve(held, keep=NOTHING_KEPT) if again else held

    def _bounded(self, verdict: Verdict) -> Verdict:
        """A deferral within the machine's bounds."""
        held = bounded(verdict, self.spec.bounds, self._pending, self.plan.event.at_ms)
        return held if held is verdict else evolve(held, numbers={**verdict.numbers, **held.numbers})

    @property
    def _pending(self) -> Pending | None:
        """The event, if it was put off before."""
        event, now = self.plan.event, self.snapshot
        return now.pending if is_pending(now, event.event_id, event.own) else None

    def take(self, answers: Iterable[Answer]) -> None:
        """The move is made that these were asked about last: what they permitted is taken."""
        for guard in answers:
            if isinstance(guard, Placed) and id(guard) in self._after:
                self._put(guard, self._after[id(guard)])

    def queue(self, answers: Iterable[Answer], given: Iterable[Ruling]) -> None:
        """The event is put off: what was reserved for it is taken, by those who keep that; others are as they were."""
        for guard, ruling in zip(answers, given, strict=True):
            if isinstance(guard, Placed) and ruling.verdict.decision == "defer" and ruling.verdict.keep:
                self._queued[share_of(guard)] = guard, self._after[id(guard)]

    def close(self, record: Record | None) -> None:
        """The decision stands: what was settled, left and taken counts if the visit is over, or tried again."""
        if record is None:
            return
        over = is_over(record) or record.kind == "retried"
        rows = {**(self._rows if over else {}), **(self._queued if record.kind == "deferred" else {})}
        for guard, row in rows.values():
            self.shared.put(guard, row)

    def _row(self, guard: Placed, turn: int = 0) -> Row:
        found = self._rows.get(share_of(guard))
        return self.shared.row(guard, turn) if found is None else found[1]

    def _put(self, guard: Placed, row: Row) -> None:
        self._rows[share_of(guard)] = guard, row


def awaited(spec: MachineSpec, record: Record) -> tuple[Share, int] | None:
    """The budget that an event was put off for, if one was, and what it asks of that."""
    if record.kind != "deferred" or not spec.budgets:
        return None
    return next(iter(of_budgets(spec, record.rulings, "defer").items()), None)
