"""What is done to shared rows outside of any decision: results that come with no record, and what a person decides."""

import sqlite3
from collections.abc import Sequence

from attrs import define, frozen

from fsm.core import breaker, budget
from fsm.core.breaking import Breaking
from fsm.core.budget import BudgetRow
from fsm.core.permits import tell
from fsm.core.plan import Told
from fsm.core.shares import ROWS, Row
from fsm.define.guard import Share
from fsm.errors import FsmError
from fsm.journal.holding import holders
from fsm.journal.operations import Operation
from fsm.journal.reader import Reader
from fsm.journal.shared import SharedRows


@define(eq=False, kw_only=True)
class Tell(Operation):
    """What came of what shared guards had permitted to a run that stops here."""

    run: int
    told: Sequence[Told]
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> None:
        rows = SharedRows(connection)
        rows.enter(self.run, self.at_ms, 0)
        tell(rows, self.told, self.at_ms)
        rows.write()


@define(eq=False, kw_only=True)
class Act(Operation):
    """A person's act on a shared row, logged with the reason and the name; the result is the row before and after.

    `limit` is that of a budget as it is asked: who waits for room in it is asked again.
    """

    share: Share
    limit: int | None = None
    act: str
    at_ms: int
    reason: str
    by: str

    def apply(self, connection: sqlite3.Connection) -> tuple[Row, Row]:
        rows = SharedRows(connection)
        rows.enter(None, self.at_ms, 0)
        before = rows.of(self.share)
        after = self.after(before, connection)
        note = {"act": self.act, "reason": self.reason, **({"by": self.by} if self.by else {})}
        rows.change(self.share, after, note)
        if self.limit is not None:
            rows.wake(self.share, self.limit)
        rows.write()
        return before, after

    def after(self, row: Row, connection: sqlite3.Connection) -> Row:
        """What becomes of the row; raises an `FsmError` if nothing may."""
        raise NotImplementedError


@define(eq=False, kw_only=True)
class Force(Act):
    """Moves a breaker: `act` is one of `fsm.core.breaker.Act`."""

    breaking: Breaking

    def after(self, row: Row, connection: sqlite3.Connection) -> Row:
        return breaker.forced(row, self.breaking, self.act, self.at_ms)  # type: ignore[arg-type]


@frozen(kw_only=True, slots=False)
class NotRaised(FsmError):
    """A budget's limit cannot be moved so; nothing was written."""

    name: str
    what: str
    next: str

    def message(self) -> str:
        return f"budget {self.name}: {self.what}\n  -> {self.next}"


@define(eq=False, kw_only=True)
class Raise(Act):
    """Adds to a budget's limit, or takes back what was added: never more, so that no limit is below the declared one.

    Raises `NotRaised` beyond that, and where the row cannot be read.
    """

    amount: int

    def after(self, row: BudgetRow, connection: sqlite3.Connection) -> BudgetRow:
        name, left = self.share.name, row.raised + self.amount
        if not row.readable:
            reset = f"reset it first: fsm budget {name} --reset --reason TEXT"
            raise NotRaised(name=name, what="its row is damaged", next=reset)
        if left < 0:
            unit = name.partition(":")[0]
            what = f"it was raised by {row.raised:,} {unit}, so it cannot be lowered by {-self.amount:,}"
            raise NotRaised(name=name, what=what, next="lower the limit where the machine declares it")
        return budget.raised(row, self.amount)


@define(eq=False, kw_only=True)
class Recount(Act):
    """Sets aside of a budget just what the runs under way hold; a damaged row begins anew from what its log knows.

    That is what had been added to the limit, and what was spent when somebody last did something. It looks at every
    run under way, while nobody writes.
    """

    path: str

    def after(self, row: BudgetRow, connection: sqlite3.Connection) -> BudgetRow:
        held = sum(holder.amount for holder in holders(Reader(self.path, connection)).get(self.share, ()))
        return budget.recounted(row if row.readable else self._logged(connection), held)

    def _logged(self, connection: sqlite3.Connection) -> BudgetRow:
        sql = "SELECT after FROM shared_log WHERE kind = ? AND name = ? ORDER BY id DESC"
        rows = connection.execute(sql, (self.share.kind, self.share.name))
        logged = (BudgetRow.from_json(after) for (after,) in rows)
        return next((found for found in logged if found.readable), BudgetRow())


@define(eq=False, kw_only=True)
class Renew(Act):
    """Has a row begin as new: one that is damaged, of a kind that forgets anyway."""

    def after(self, row: Row, connection: sqlite3.Connection) -> Row:
        return ROWS[self.share.kind]()
