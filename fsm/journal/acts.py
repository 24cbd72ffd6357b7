"""What is done to shared rows outside of any decision: results that come with no record, and what a person decides."""

import sqlite3
from collections.abc import Sequence

from attrs import define

from fsm.core import breaker
from fsm.core.breaking import BreakerRow, Breaking
from fsm.core.permits import tell
from fsm.core.plan import Told
from fsm.define.guard import Share
from fsm.journal.operations import Operation
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
class Force(Operation):
    """A person's act on a breaker, logged with the reason and the name; the result is its row before and after."""

    breaking: Breaking
    act: breaker.Act
    at_ms: int
    reason: str
    by: str

    def apply(self, connection: sqlite3.Connection) -> tuple[BreakerRow, BreakerRow]:
        rows, share = SharedRows(connection), Share("breaker", self.breaking.name)
        rows.enter(None, self.at_ms, 0)
        before = rows.of(share)
        after = breaker.forced(before, self.breaking, self.act, self.at_ms)
        note = {"act": self.act, "reason": self.reason, **({"by": self.by} if self.by else {})}
        rows.change(share, after, note)
        rows.write()
        return before, after
