"""A run while this runner advances it."""

import asyncio
import threading
from contextvars import ContextVar

from attrs import define, field

from fsm.core.counters import key_of
from fsm.core.engine import Engine
from fsm.core.plan import Asked, Told
from fsm.core.record import NOTHING, Record, Spent
from fsm.core.snapshot import Snapshot, failure_seq
from fsm.core.strikes import Outcome
from fsm.define.events import RuntimeEvent
from fsm.define.payload import Payload
from fsm.journal.rows import Call, Run
from fsm.runner.most import UNDECLARED, Most
from fsm.runner.task import RunTask


@define(eq=False)
class Purse:
    """What one call in flight has reported and no row holds yet; `outer` is the call it was made inside of.

    It is `over` once the call has ended without an outcome. `permits` are the generations in which shared guards
    let it be made, until they are told what came of it.

    Of one that `declares`, `most` is what it may still spend, and `reported` all that it reported so far. Once `most`
    is booked, as nobody knows what became of it, it is `presumed`: what is reported after all counts beyond that only.
    """

    key: str
    name: str
    entered: int
    attempt: int
    outer: "Purse | None" = None
    spent: Spent = NOTHING
    over: bool = False
    permits: list[Asked] = field(factory=list)
    declares: bool = False
    most: Spent = NOTHING
    reported: Spent = NOTHING
    presumed: Spent = NOTHING

    def declare(self, most: Most) -> None:
        self.declares, self.most = most != UNDECLARED, most.spent

    @property
    def gross(self) -> Spent:
        """What it has reported, whatever is booked of it already; told with its rows where that may be."""
        return self.reported if self.declares else NOTHING

    def report(self, spent: Spent) -> None:
        self.reported += spent
        self.most -= spent
        if self.presumed:
            spent, self.presumed = spent - self.presumed, self.presumed - spent
        self.spent += spent

    @property
    def is_done(self) -> bool:
        """Whether it has ended and nothing of it is to be written, nor to be taken from what still comes."""
        return self.over and not (self.spent or self.most or self.presumed)


calling: ContextVar[Purse | None] = ContextVar("calling", default=None)


@define(eq=False, kw_only=True)
class Live:
    """What is held in memory of a run that is being advanced; parked runs have none of it.

    `token` is the number of the attempt in progress here: whoever holds an older one has been abandoned, and
    whatever it still returns is dropped. `turn` is held while a decision is being made, so a run decides
    one event at a time; `door` while its inbox is worked off. `hands` counts who decides something for it from
    outside.

    What is spent inside a call goes into that call's `Purse`, and with it into a row of that call: it was paid
    there, and a call made again is paid again. What is spent outside of calls goes into the next intent or
    record; an attempt that goes on after a loss reports it again, so that it counts only beyond `covered`,
    what the lost attempts have on record. `visit` is what the visit's own records hold, `spent` all that the next
    record has to hold, `in_rows` the part of it that call rows hold. `earlier` are the call rows of this visit's
    lost attempts.

    `strikes` are the failures in a row of what was tried since the last record, of what guards watch; `called` is
    what of that this attempt has called: its own end does not count for it besides. `failure` is what ended the
    attempt before, where this visit's is a retry or a fallback.
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
    visit: Spent = NOTHING
    spent: Spent = NOTHING
    in_rows: Spent = NOTHING
    purses: set[Purse] = field(factory=set)
    earlier: list[Call] = field(factory=list)
    turn: asyncio.Lock = field(factory=asyncio.Lock)
    door: asyncio.Lock = field(factory=asyncio.Lock)
    task: RunTask | None = None
    hands: int = 0
    covered: Spent = NOTHING
    strikes: dict[str, int] = field(factory=dict)
    called: set[str] = field(factory=set)
    hung: list[Told] = field(factory=list)
    failure: RuntimeEvent | None = None
    time_ms: int | None = None
    _taken: tuple[Spent, Spent] = (NOTHING, NOTHING)
    _lock: threading.Lock = field(factory=threading.Lock)

    def spend(self, spent: Spent, purse: Purse | None, counts: bool) -> None:
        """Count what an attempt reports, from any thread: in its call, or outside of calls if that still `counts`."""
        with self._lock:
            if purse in self.purses:
                assert purse is not None
                purse.report(spent)
            elif counts:
                if self.covered:
                    spent, self.covered = spent - self.covered, self.covered - spent
                self.spent += spent

    @property
    def reported(self) -> Spent:
        """All that was spent since the last record, calls in flight included."""
        with self._lock:
            return sum((purse.spent for purse in self.purses), self.spent)

    @property
    def held(self) -> Spent:
        """What calls in flight may still spend of what they declared."""
        with self._lock:
            return sum((purse.most for purse in self.purses), NOTHING)

    @property
    def unbooked(self) -> Spent:
        """Of what the next record has to hold, the part that no call row holds."""
        return self.spent - self.in_rows

    @property
    def in_visit(self) -> Spent:
        """All that was spent in this visit, by all its attempts."""
        with self._lock:
            return sum((purse.spent for purse in self.purses), self.visit + self.spent)

    def take(self) -> Spent:
        """What is about to be written into a record."""
        with self._lock:
            self._taken = self.spent, self.in_rows
            self.visit += self.spent
            self.spent = self.in_rows = NOTHING
        return self._taken[0]

    def streak(self, name: str) -> int:
        """How often in a row this has failed."""
        return self.strikes.get(name, self.snapshot.counters.get(key_of(name), 0))

    def tried(self, name: str, outcome: Outcome) -> None:
        """What came of a call of this attempt."""
        if self.heard(name) and outcome != "neutral":
            self.strikes[name] = 0 if outcome == "success" else self.streak(name) + 1

    def heard(self, name: str) -> bool:
        """This attempt knows how a call went, if only from the journal; whether guards watch that."""
        if name in self.engine.spec.watched:
            self.called.add(name)
        return name in self.called

    def unanswered(self) -> None:
        """This attempt has had its time: the calls that it still waits for have failed."""
        now = self.snapshot
        for purse in self.purses:
            waits = (purse.entered, purse.attempt, purse.over) == (now.entered, now.attempt, False)
            if waits and self.heard(purse.name):
                self.strikes[purse.name] = self.streak(purse.name) + 1
                self.hung.extend((guard, generation, "failure") for guard, generation in purse.permits)
                purse.permits = []

    def unsettled(self) -> tuple[Told, ...]:
        """What those hear that permitted the calls in flight, should nothing come of them."""
        return tuple((guard, generation, "neutral") for purse in self.purses for guard, generation in purse.permits)

    def streaks(self, own: bool) -> dict[str, int]:
        """The failures in a row that the next record has to hold."""
        return {**self.strikes, **{name: self.streak(name) for name in self.called if own}}

    def adopt(self, snapshot: Snapshot, record: Record) -> bool:
        """Stand as the record says that holds what was taken last; whether it began another visit."""
        moved = snapshot.entered != self.snapshot.entered
        self.strikes = {name: n for name, n in self.strikes.items() if record.strikes.get(name) != n}
        with self._lock:
            self.snapshot = snapshot
            self.visit = NOTHING if moved else self.visit + (record.spent - self._taken[0])
        return moved

    def begin(self, payload: Payload) -> None:
        """Another visit, or a fresh attempt of this one: what brought it is what it works on, or what it is after."""
        now = self.snapshot
        self.earlier, self.covered, self.failure, self.called = [], NOTHING, None, set()
        with self._lock:
            self.purses = {purse for purse in self.purses if purse.spent or purse.most or not purse.over}
        if now.seq == failure_seq(now):
            assert isinstance(payload.value, RuntimeEvent)
            self.failure = payload.value
        else:
            self.payload = payload

    @property
    def booked(self) -> Spent:
        """Of what was taken last, the part that call rows hold."""
        return self._taken[1]

    def put_back(self, found: Spent = NOTHING) -> None:
        """What was taken last went into no record; `found` is what call rows hold besides."""
        with self._lock:
            self.visit -= self._taken[0]
            self.spent += self._taken[0] + found
            self.in_rows += self._taken[1] + found

    def book(self) -> Spent:
        """What was spent outside of calls and is about to be written into a call row."""
        with self._lock:
            spent, self.in_rows = self.unbooked, self.spent
        return spent

    def unbook(self, spent: Spent) -> None:
        """The row was not written: the next record holds it, or another row."""
        with self._lock:
            self.in_rows -= spent

    def open(self, purse: Purse) -> None:
        """A call begins; what is spent in it goes there, from any thread."""
        with self._lock:
            self.purses.add(purse)

    def empty(self, purse: Purse) -> Spent:
        """What was spent in a call and is about to be written into a row of it."""
        with self._lock:
            spent, purse.spent = purse.spent, NOTHING
            self.spent += spent
            self.in_rows += spent
        return spent

    def presume(self, purse: Purse) -> Spent:
        """The rest of what a call declared, about to be written into a row of it: nobody knows what became of it."""
        with self._lock:
            purse.presumed, purse.most = purse.most, NOTHING
            self.spent += purse.presumed
            self.in_rows += purse.presumed
            return purse.presumed

    def unpresume(self, purse: Purse, presumed: Spent) -> None:
        """The row could not be written. If it was after all, the next one adds nothing."""
        with self._lock:
            purse.presumed, purse.most = NOTHING, purse.presumed
            self.spent -= presumed
            self.in_rows -= presumed

    def close(self, purse: Purse) -> Spent:
        """The same, with its outcome: the call has ended."""
        with self._lock:
            self.purses.discard(purse)
        return self.empty(purse)

    def leave(self, purse: Purse) -> None:
        """The call has ended without an outcome: who permitted it hears so; its spending has to be written."""
        given_back: list[Told] = [(guard, generation, "neutral") for guard, generation in purse.permits]
        self.hung += given_back
        purse.permits = []
        with self._lock:
            purse.over = True
            if purse.is_done:
                self.purses.discard(purse)
