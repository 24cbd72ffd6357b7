"""The rows that guards share between runs: what is asked of them, and where they come from.

Such a guard runs no code of the user's. It names a row (`Placed.shares`), and a pure function of the kernel says
from the row and the guard's parameters what its verdict is and what the row is afterwards: `breaker`, `budget`,
`rate`. The numbers of a verdict are all that it was made from, so a replay makes it again from its record, on any
machine, at any time.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from attrs import define, field

from fsm.core.breaking import BreakerRow, Breaking
from fsm.core.budget import Budgeting, BudgetRow
from fsm.core.rate import LIMITED, RateRow, Rating
from fsm.core.record import Record, Spent
from fsm.define.guard import Placed, Share
from fsm.define.parts import StateSpec

KNOWN_MAX = 256
T = TypeVar("T")
Row = Any
"""A `BreakerRow`, a `BudgetRow` or a `RateRow`, by the kind of what is shared."""
ROWS: Mapping[str, Any] = {"breaker": BreakerRow, "budget": BudgetRow, "rate": RateRow}


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

    def waiting(self, guard: Placed, turn: int = 0) -> int:
        """What those ask of a budget who were put off by it, and wait."""
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

    def waiting(self, guard: Placed, turn: int = 0) -> int:
        return 0


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

    def waiting(self, guard: Placed, turn: int = 0) -> int:
        return self._numbers(guard, turn).get("waiting", 0)

    def _numbers(self, guard: Placed, turn: int) -> Mapping[str, int]:
        """Of guards alike in their order: a record says which of them it was only where that one keeps something."""
        alike = [r for r in self.record.rulings if (r.guard, r.at) == (guard.name, guard.at)]
        return alike[turn].verdict.numbers if turn < len(alike) else {}


def share_of(guard: Placed) -> Share:
    assert guard.shares is not None
    return guard.shares


def _once_each(work_out: Callable[[Placed], T]) -> Callable[[Placed], T]:
    """What follows from a guard's parameters, worked out once for each: they never change, and every hop asks."""
    known: dict[int, tuple[Placed, T]] = {}

    def found(guard: Placed) -> T:
        hit = known.get(id(guard))
        if hit is not None and hit[0] is guard:
            return hit[1]
        if len(known) >= KNOWN_MAX:
            known.clear()
        known[id(guard)] = guard, work_out(guard)
        return known[id(guard)][1]

    return found


@_once_each
def breaking(guard: Placed) -> Breaking:
    """The parameters of a breaker, as its row is asked with them."""
    unlimited: dict[str, Any] = {"failures_max": None, "rate_pct": None}  # a guard's params leave out what is None
    return Breaking(**{**unlimited, **guard.params})


@_once_each
def rating(guard: Placed) -> Rating:
    """The parameters of a rate, as its row is asked with them."""
    params: Any = guard.params
    return Rating(limit=params["visits_max"], window_ms=params["window_ms"])


UNREADABLE = "unreadable"
"""The code that refuses where what is stored is no row."""


def putting_off(guard: Placed) -> str | None:
    """The code with which a guard that shares a row puts off; None for one that does not."""
    match guard.shares.kind if guard.shares is not None else None:
        case "rate":
            return LIMITED
        case "budget":
            return "full" if unit_of(guard) == "visits" else "reserved"
        case _:
            return None


@_once_each
def budgeting(guard: Placed) -> Budgeting:
    """The parameters of a budget, as its row is asked with them."""
    params: Any = guard.params
    warn_at, window_ms = params.get("warn_at"), params.get("window_ms")
    busy = putting_off(guard) or ""
    return Budgeting(code=guard.codes[0], busy=busy, limit=params["limit"], warn_at=warn_at, window_ms=window_ms)


@_once_each
def unit_of(guard: Placed) -> str:
    """What a budget is of: tokens, usd_micros, or visits, which are set aside and never spent."""
    return share_of(guard).name.partition(":")[0]


def most_of(guard: Placed, target: StateSpec) -> int | None:
    """What a visit of that state takes of a budget at most; 0 where nobody knows, None where it takes nothing."""
    if target.kind == "waiting":
        return None
    if unit_of(guard) == "visits":
        return 1 if target.kind == "agent" else None
    limit = target.tokens_max if unit_of(guard) == "tokens" else target.usd_micros_max
    return limit or 0


def spent_of(guard: Placed, spent: Spent) -> int:
    """How much of what was spent a budget is of."""
    return getattr(spent, unit_of(guard), 0)
