"""Guards that many runs share: their rows, asked where nobody else can change them.

Such a guard runs no code of the user's. It names a row (`Placed.shares`), and a pure function of the kernel says
from the row and the guard's parameters what its verdict is and what the row is afterwards. A row changes only by
what is decided: a permit is taken when the move is made that it was asked for, a result is told when its attempt
has ended. The numbers of a verdict are all that it was made from, so a replay makes it again from its record,
on any machine, at any time.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from attrs import define, evolve, field, frozen

from fsm.core import breaker, budget
from fsm.core.asking import Answer, bounded
from fsm.core.breaking import BreakerRow, Breaking
from fsm.core.budget import Budgeting, BudgetRow
from fsm.core.deadline import time_for
from fsm.core.plan import PERMIT, Asked, Plan, Told, permitted
from fsm.core.record import Record
from fsm.core.snapshot import Snapshot, is_over, is_pending
from fsm.define.guard import Placed, Ruling, Share, Verdict
from fsm.define.parts import StateSpec
from fsm.define.spec import MachineSpec
from fsm.errors import FsmError

Row = Any
"""A `BreakerRow` or a `BudgetRow`, by the kind of what is shared."""
ROWS: Mapping[str, Any] = {"breaker": BreakerRow, "budget": BudgetRow}
UNITS = {"tokens": "tokens_max", "usd_micros": "usd_micros_max"}


class Shared(Protocol):
    """The shared rows as one decision sees them; a row that nobody has written yet is a fresh one.

    `past` says that they are as they were seen when it was asked, with all that had been told before. `turn` is how
    often guards of this name were asked at this place before, in this decision.
    """

    past: bool

    def row(self, guard: Placed, turn: int = 0) -> Row:
        """Its row; `turn` says how many rulings this decision has of guards alike at its place."""
        ...

    def put(self, guard: Placed, row: Row) -> None: ...

    def lease_ms(self, guard: Placed, time_ms: int, turn: int = 0) -> int:
        """When a permit given now is lost without a word: the time of its visit, and of its runner's lease."""
        ...

    def asked(self, guard: Placed, most: int | None, turn: int = 0) -> int | None:
        """What is asked of a budget; not what the machine of today says, where the record of another day does."""
        ...


@define
class Apart:
    """Rows of one's own, gone afterwards: for decisions outside of any journal."""

    rows: dict[Share, Row] = field(factory=dict)
    past: bool = False

    def row(self, guard: Placed, turn: int = 0) -> Row:
        share = share_of(guard)
        return self.rows.get(share) or ROWS[share.kind]()

    def put(self, guard: Placed, row: Row) -> None:
        self.rows[share_of(guard)] = row

    def lease_ms(self, guard: Placed, time_ms: int, turn: int = 0) -> int:
        return max(1, time_ms)

    def asked(self, guard: Placed, most: int | None, turn: int = 0) -> int | None:
        return most


@define
class Recorded:
    """The rows as a record says they were seen; what becomes of them is not followed."""

    record: Record
    past: bool = True

    def row(self, guard: Placed, turn: int = 0) -> Row:
        return ROWS[share_of(guard).kind].from_numbers(self._numbers(guard, turn))

    def put(self, guard: Placed, row: Row) -> None:
        pass

    def lease_ms(self, guard: Placed, time_ms: int, turn: int = 0) -> int:
        return self._numbers(guard, turn).get("lease_ms", 1)

    def asked(self, guard: Placed, most: int | None, turn: int = 0) -> int | None:
        return self._numbers(guard, turn).get("asked", None if most is None else 0)

    def _numbers(self, guard: Placed, turn: int) -> Mapping[str, int]:
        """Of guards alike in their order: a record says which of them it was only where that one keeps something."""
        alike = [r for r in self.record.rulings if (r.guard, r.at) == (guard.name, guard.at)]
        return alike[turn].verdict.numbers if turn < len(alike) else {}


@define
class Sharing:
    """One decision's dealings with shared rows; but for what has ended, nothing of it is so before `close`."""

    spec: MachineSpec
    snapshot: Snapshot
    plan: Plan
    shared: Shared
    _after: dict[int, Row] = field(factory=dict)
    _rows: dict[Share, tuple[Placed, Row]] = field(factory=dict)
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
        for share, guard in budgets_of(self.spec, now.state).items():
            amount, held = getattr(spent, unit_of(guard)), now.holds.get(share.name, 0)
            self._put(guard, budget.settled(self._row(guard), budgeting(guard), amount, held, self.plan.event.at_ms))

    def rulings(self, answers: Iterable[Answer], target: str) -> tuple[Ruling, ...]:
        """Every answer as a ruling, of a move that leads into `target`."""
        return self._given(answers, self.spec.state[target], self.plan.event.at_ms, again=False)

    def again(self, answers: Iterable[Answer], begins_ms: int) -> tuple[Ruling, ...]:
        """The same, of a retry that begins then: its visit has set aside what all its attempts may spend."""
        return self._given(answers, self.spec.state[self.snapshot.state], begins_ms, again=True)

    def _given(self, answers: Iterable[Answer], target: StateSpec, begins_ms: int, again: bool) -> tuple[Ruling, ...]:
        self._after = {}
        found = []
        for part in answers:
            alike = (part.name if isinstance(part, Placed) else part.guard, part.at)
            turn = self._turns.get(alike, 0)
            self._turns[alike] = turn + 1
            found.append(self._ask(part, target, begins_ms, again, turn) if isinstance(part, Placed) else part)
        return tuple(found)

    def _ask(self, guard: Placed, target: StateSpec, begins_ms: int, again: bool, turn: int) -> Ruling:
        if share_of(guard).kind == "breaker":
            verdict = self._ask_breaker(guard, target, max(begins_ms, self.plan.event.at_ms), turn)
        else:
            free = target.kind == "waiting" or (again and share_of(guard).name in self.snapshot.holds)
            verdict = self._ask_budget(guard, None if free else getattr(target, UNITS[unit_of(guard)]) or 0, turn)
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
        event, now = self.plan.event, self.snapshot
        pending = now.pending if is_pending(now, event.event_id, event.own) else None
        asked, defers = self.shared.asked(guard, most, turn), pending.defers if pending else 0
        verdict, after = budget.ask(self._row(guard, turn), budgeting(guard), asked, event.at_ms, defers)
        self._after[id(guard)] = after
        held = bounded(verdict, self.spec.bounds, pending, event.at_ms)
        return held if held is verdict else evolve(held, numbers={**verdict.numbers, **held.numbers})

    def take(self, answers: Iterable[Answer]) -> None:
        """The move is made that these were asked about last: what they permitted is taken."""
        for guard in answers:
            if isinstance(guard, Placed) and id(guard) in self._after:
                self._put(guard, self._after[id(guard)])

    def close(self, record: Record | None) -> None:
        """The decision stands: what was settled, left and taken counts if the visit is over, or tried again."""
        if record is not None and (is_over(record) or record.kind == "retried"):
            for guard, row in self._rows.values():
                self.shared.put(guard, row)

    def _row(self, guard: Placed, turn: int = 0) -> Row:
        found = self._rows.get(share_of(guard))
        return self.shared.row(guard, turn) if found is None else found[1]

    def _put(self, guard: Placed, row: Row) -> None:
        self._rows[share_of(guard)] = guard, row


def budgets_of(spec: MachineSpec, state: str) -> Mapping[Share, Placed]:
    """The budgets that a visit of this state spends, each once, with a guard that asks it."""
    shared = [
        (guard.shares, guard) for guard in (*spec.state[state].guards, *spec.machine_wide) if guard.shares is not None
    ]
    return {share: guard for share, guard in shared if share.kind == "budget"}


@frozen(kw_only=True)
class NotPermitted(FsmError):
    """A shared guard refuses a call; nothing was written."""

    name: str
    code: str
    numbers: Mapping[str, int]

    def message(self) -> str:
        return f"call {self.name!r} refused: {self.code}"


def asked_of(spec: MachineSpec, snapshot: Snapshot, name: str) -> tuple[Asked, ...]:
    """Whom to ask before a call: guards of its state and machine that share what it is named after.

    With each the generation in which it permitted the visit, if it was asked on entering.
    """
    named = Share("breaker", name)
    found = [guard for guard in (*spec.state[snapshot.state].guards, *spec.machine_wide) if guard.shares == named]
    return tuple((guard, permitted(snapshot, guard)) for guard in found[:1])


def permit(shared: Shared, asked: Iterable[Asked], at_ms: int, time_ms: int) -> tuple[int, ...]:
    """The generations in which a call is permitted; raises `NotPermitted`, then no row has changed.

    A visit that was permitted itself, and still is, needs no other permit: it may be the probe.
    """
    taken: list[tuple[Placed, BreakerRow]] = []
    generations = []
    for guard, generation in asked:
        row = shared.row(guard)
        now = breaker.seen(row, breaking(guard), at_ms)
        if now.generation == generation and now.state in ("closed", "half_open"):
            generations.append(generation)
            continue
        verdict, after = breaker.ask(row, breaking(guard), at_ms, shared.lease_ms(guard, time_ms))
        if verdict.decision == "refuse":
            raise NotPermitted(name=share_of(guard).name, code=verdict.code, numbers=verdict.numbers)
        generations.append(breaker.generation_of(verdict))
        taken.append((guard, after))
    for guard, row in taken:
        shared.put(guard, row)
    return tuple(generations)


def tell(shared: Shared, told: Iterable[Told], at_ms: int) -> None:
    """What came of what guards had permitted."""
    for guard, generation, outcome in told:
        shared.put(guard, breaker.heard(shared.row(guard), breaking(guard), outcome, generation, at_ms))


def breaking(guard: Placed) -> Breaking:
    """The parameters of a breaker, as its row is asked with them; a guard's are worked out once."""
    known = _known.get(id(guard))
    if known is not None and known[0] is guard:
        return known[1]
    unlimited: dict[str, Any] = {"failures_max": None, "rate_pct": None}  # a guard's params leave out what is None
    found = Breaking(**{**unlimited, **guard.params})
    if len(_known) >= KNOWN_MAX:
        _known.clear()
    _known[id(guard)] = guard, found
    return found


KNOWN_MAX = 256
_known: dict[int, tuple[Placed, Breaking]] = {}


def budgeting(guard: Placed) -> Budgeting:
    """The parameters of a budget, as its row is asked with them."""
    params: Any = guard.params
    warn_at, window_ms = params.get("warn_at"), params.get("window_ms")
    return Budgeting(code=guard.codes[0], limit=params["limit"], warn_at=warn_at, window_ms=window_ms)


def unit_of(guard: Placed) -> str:
    """What a budget is of: tokens, or usd_micros."""
    return share_of(guard).name.partition(":")[0]


def share_of(guard: Placed) -> Share:
    assert guard.shares is not None
    return guard.shares
