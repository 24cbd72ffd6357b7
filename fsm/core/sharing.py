"""Guards that many runs share: their rows, asked where nobody else can change them.

Such a guard runs no code of the user's. It names a row (`Placed.shares`), and a pure function of the kernel says
from the row and the guard's parameters what its verdict is and what the row is afterwards. A row changes only by
what is decided: a permit is taken when the move is made that it was asked for, a result is told when its attempt
has ended. The numbers of a verdict are all that it was made from, so a replay makes it again from its record,
on any machine, at any time.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from attrs import define, field, frozen

from fsm.core import breaker
from fsm.core.asking import Answer
from fsm.core.breaking import BreakerRow, Breaking
from fsm.core.deadline import time_for
from fsm.core.plan import PERMIT, Asked, Plan, Told, permitted
from fsm.core.record import Record
from fsm.core.snapshot import Snapshot
from fsm.define.guard import Placed, Ruling, Share, Verdict
from fsm.define.spec import MachineSpec
from fsm.errors import FsmError


class Shared(Protocol):
    """The shared rows as one decision sees them; a row that nobody has written yet is a fresh one."""

    def row(self, guard: Placed, asked: int = 0) -> BreakerRow:
        """`asked`: how often guards of this name were asked at this place before, in this decision."""
        ...

    def put(self, guard: Placed, row: BreakerRow) -> None: ...

    def lease_ms(self, guard: Placed, time_ms: int, asked: int = 0) -> int:
        """When a permit given now is lost without a word: the time of its visit, and of its runner's lease."""
        ...


@define
class Apart:
    """Rows of one's own, gone afterwards: for decisions outside of any journal."""

    rows: dict[Share, BreakerRow] = field(factory=dict)

    def row(self, guard: Placed, asked: int = 0) -> BreakerRow:
        return self.rows.get(share_of(guard), BreakerRow())

    def put(self, guard: Placed, row: BreakerRow) -> None:
        self.rows[share_of(guard)] = row

    def lease_ms(self, guard: Placed, time_ms: int, asked: int = 0) -> int:
        return max(1, time_ms)


@define
class Recorded:
    """The rows as a record says they were seen; what becomes of them is not followed."""

    record: Record

    def row(self, guard: Placed, asked: int = 0) -> BreakerRow:
        return BreakerRow.from_numbers(self._numbers(guard, asked))

    def put(self, guard: Placed, row: BreakerRow) -> None:
        pass

    def lease_ms(self, guard: Placed, time_ms: int, asked: int = 0) -> int:
        return self._numbers(guard, asked).get("lease_ms", 1)

    def _numbers(self, guard: Placed, asked: int) -> Mapping[str, int]:
        """By its turn among guards alike: a record says which of several it was only where that one keeps something."""
        alike = (guard.name, guard.at)
        same = [ruling for ruling in self.record.rulings if (ruling.guard, ruling.at) == alike]
        return same[asked].verdict.numbers if asked < len(same) else {}


@define
class Sharing:
    """One decision's dealings with shared rows."""

    spec: MachineSpec
    snapshot: Snapshot
    plan: Plan
    shared: Shared
    _after: dict[int, BreakerRow] = field(factory=dict)
    _asked: dict[tuple[str, str], int] = field(factory=dict)

    def tell(self) -> None:
        """What came of the attempt that ends here, to those who had permitted it."""
        tell(self.shared, self.plan.told, self.plan.event.at_ms)

    def leave(self) -> None:
        """The run leaves its visit in the midst of it: whoever had permitted it hears that nothing came of it."""
        tell(self.shared, self.plan.left, self.plan.event.at_ms)

    def rulings(self, answers: Iterable[Answer], target: str, begins_ms: int = 0) -> tuple[Ruling, ...]:
        """Every answer as a ruling, of a move that leads into `target`, whose attempt begins then if not at once."""
        self._after = {}
        return tuple([self._ask(part, target, begins_ms) if isinstance(part, Placed) else part for part in answers])

    def _ask(self, guard: Placed, target: str, begins_ms: int) -> Ruling:
        """Permits the visit where the guard stands on its state; elsewhere it permits no more than to come there."""
        state, at_ms = self.spec.state[target], self.plan.event.at_ms
        begins_ms = max(begins_ms, at_ms)
        time_ms = time_for(self.spec, state, begins_ms, self.snapshot.started_at_ms or at_ms) or 0
        alike = guard.name, guard.at
        asked = self._asked.get(alike, 0)
        self._asked[alike] = asked + 1
        row, lease_ms = self.shared.row(guard, asked), self.shared.lease_ms(guard, begins_ms - at_ms + time_ms, asked)
        for left, generation, outcome in self.plan.left:
            if left.shares == guard.shares:
                row = breaker.heard(row, breaking(guard), outcome, generation, at_ms)
        verdict, after = breaker.ask(row, breaking(guard), at_ms, lease_ms)
        if verdict.decision == "refuse":
            return Ruling(guard.name, guard.at, guard.standing, verdict)
        if guard.standing != "state" or state.kind != "agent":
            return Ruling(guard.name, guard.at, guard.standing, Verdict("allow", numbers=verdict.numbers))
        self._after[id(guard)] = after
        keep = {PERMIT: breaker.generation_of(verdict) + 1}
        verdict = Verdict("allow", verdict.code, verdict.numbers, keep=keep)
        return Ruling(guard.name, guard.at, guard.standing, verdict, guard.nth)

    def take(self, answers: Iterable[Answer]) -> None:
        """The move is made that these were asked about last: what they permitted is taken."""
        for guard in answers:
            if isinstance(guard, Placed) and id(guard) in self._after:
                self.shared.put(guard, self._after[id(guard)])


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
    everywhere = (guard for line in spec.everywhere for guard in line.guards)
    found = {g.shares: g for g in (*everywhere, *reversed(spec.state[snapshot.state].guards)) if g.shares is not None}
    return tuple((g, permitted(snapshot, g)) for share, g in found.items() if share.name == name)


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


def share_of(guard: Placed) -> Share:
    assert guard.shares is not None
    return guard.shares
