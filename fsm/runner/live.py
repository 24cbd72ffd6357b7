"""A run while this runner advances it."""

import asyncio
import threading

from attrs import define, field

from fsm.core.engine import Engine
from fsm.core.record import NOTHING, Spent
from fsm.core.snapshot import Snapshot
from fsm.define.payload import Payload
from fsm.journal.rows import Call, Run
from fsm.runner.task import RunTask


@define(eq=False, kw_only=True)
class Live:
    """What is held in memory of a run that is being advanced; parked runs have none of it.

    `token` is the number of the attempt in progress here: whoever holds an older one has been abandoned, and
    whatever it still returns is dropped. `turn` is held while a decision is being made, so a run decides
    one event at a time; `door` while its inbox is worked off. `spent` is what the visit spent since the
    last record, `unbooked` the part of it that no call row holds yet. `earlier` are the call rows of this
    visit's lost attempts, `covered` what they reported and this attempt will report again: it counts once.
    `hands` counts who decides something for it from outside.
    """

    run: Run
    engine: Engine
    snapshot: Snapshot
    payload: Payload
    folded: int = 0
    snapshot_bytes: int = 0
    token: int = 0
    in_agent: bool = False
    deadline: float | None = None
    watched_at: float | None = None
    spent: Spent = NOTHING
    unbooked: Spent = NOTHING
    earlier: list[Call] = field(factory=list)
    turn: asyncio.Lock = field(factory=asyncio.Lock)
    door: asyncio.Lock = field(factory=asyncio.Lock)
    task: RunTask | None = None
    hands: int = 0
    covered: Spent = NOTHING
    _taken: tuple[Spent, Spent] = (NOTHING, NOTHING)
    _purse: threading.Lock = field(factory=threading.Lock)

    def spend(self, spent: Spent) -> None:
        """Count what an attempt reports, from any thread, but for what its lost forerunners have on record."""
        with self._purse:
            new, self.covered = spent - self.covered, self.covered - spent
            self.spent += new
            self.unbooked += new

    def take(self) -> Spent:
        """What is about to be written into a record."""
        with self._purse:
            self._taken = self.spent, self.unbooked
            self.spent = self.unbooked = NOTHING
        return self._taken[0]

    def put_back(self) -> None:
        """What was taken last went into no record."""
        with self._purse:
            self.spent += self._taken[0]
            self.unbooked += self._taken[1]

    def book(self) -> Spent:
        """What is about to be written into a call row."""
        with self._purse:
            spent, self.unbooked = self.unbooked, NOTHING
        return spent
