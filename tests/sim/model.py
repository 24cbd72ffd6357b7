"""What should happen, said once more and as simply as possible: no journal, no engine, no tasks.

`Model` holds the truth of every run and, for each runner, what that runner believes. A runner whose belief
is out of date must be fenced: nothing it does then may change anything.
"""

import hashlib
from typing import Any

from attrs import Factory, define, evolve, field, frozen

from tests.sim.mill import (
    ATTEMPTS_MAX,
    BACK_MAX,
    CHECK_S,
    DEFERS_MAX,
    DRY_S,
    HOLD_S,
    HOPS_MAX,
    LATER_S,
    PAUSE_S,
    REFUSALS_MAX,
    RESUMES_MAX,
    WORK_S,
)

LEASE_S = 10.0
ENDED, HALTED = ("completed", "failed", "cancelled"), ("stopped", "stuck")
TIMEOUTS = {"work": WORK_S, "check": CHECK_S}


@frozen
class Row:
    """What a record must say."""

    kind: str
    event: str
    event_id: str | None
    hop: str
    state: str
    outcome: str
    attempt: int
    at_ms: int
    until_ms: int | None = None
    note: dict[str, Any] = Factory(dict)


@frozen
class Put:
    """An event that was put off."""

    event: Any
    event_id: str | None
    own: bool
    until_ms: int
    defers: int
    seq: int


@define
class Visit:
    """One stay in a state: its calls with results, and how many the attempt in progress has made."""

    entered: int
    fresh: int = 1
    finished: set[str] = field(factory=set)
    occurrences: dict[int, int] = field(factory=dict)


@define(repr=False)
class ModelRun:
    run_id: str
    size: int = 0
    call_rows: int = 0
    rows: list[Row] = field(factory=list)
    state: str = ""
    outcome: str = "running"
    attempt: int = 1
    entered_at_ms: int = 0
    at_ms: int = 0
    resumes: int = 0
    refusals: int = 0
    dropped: int = 0
    hops: int = 0
    backs: int = 0
    retries: int = 0
    again_ms: int | None = None
    total: int = 0
    pending: Put | None = None
    timer_ms: int | None = None
    owner: int = 0
    visit: Visit = field(factory=lambda: Visit(0))
    inbox: list[tuple[str, Any]] = field(factory=list)
    ids: dict[str, Any] = field(factory=dict)

    @property
    def seq(self) -> int:
        return len(self.rows) - 1

    def __repr__(self) -> str:
        return f"{self.run_id} in {self.state}, {self.outcome}, {len(self.rows)} records"

    def timers(self) -> dict[str, int]:
        defer = {"defer": self.pending.until_ms} if self.pending is not None else {}
        return defer | ({"timeout": self.timer_ms} if self.timer_ms is not None else {})

    def decide(self, event: Any, now_ms: int, epoch: int, *, event_id: str | None = None, own: bool = True) -> bool:
        """One decision, as the machine's text says; False where it is only counted."""
        at_ms = max(now_ms, self.at_ms)
        name = type(event).__name__
        handled = {
            "work": ("Made", "Poke", "Nudge", "AgentFailed"),
            "check": ("Found", "Poke"),
            "hold": ("Go", "TimedOut"),
        }
        if own and self._may_retry(event):
            return self._retry((name, None, True, at_ms, epoch))
        if own and name == "TimedOut" and name not in handled[self.state]:
            name = "AgentFailed"
        told = (name, event_id, own, at_ms, epoch)
        if name not in handled[self.state]:
            if name == "Cancelled":
                return self._write("ended", told, outcome="cancelled")
            return self._write("halted", told, outcome="stuck") if own else self._noted("unhandled", told)
        hop, target, otherwise, refused, until_ms = self._way(name, event, at_ms)
        if refused and otherwise:
            return self._write("taken", told, hop=f"{hop}.otherwise", state=otherwise, outcome="waiting")
        if refused:
            return self._write("halted", told, outcome="stopped") if own else self._noted("refused", told)
        if until_ms is not None and not self._exhausted(event_id, own):
            if self.pending is not None and not own and not self._is_pending(event_id, own):
                return self._noted("refused", told)
            return self._put_off(event, told, max(until_ms, at_ms + 1))
        if until_ms is not None:
            return self._write("halted", told, outcome="stopped") if own else self._noted("refused", told)
        if hop == "made":
            self.total += event.n
        final = {"done": "completed", "lost": "failed"}.get(target)
        outcome = final or ("waiting" if target == "hold" else "running")
        return self._write("ended" if final else "taken", told, hop=hop, state=target, outcome=outcome)

    def _may_retry(self, event: Any) -> bool:
        failed = type(event).__name__ == "TimedOut" or getattr(event, "retriable", False)
        return failed and self.state == "work" and self.retries < ATTEMPTS_MAX - 1 and self.hops < HOPS_MAX

    def _retry(self, told: Any) -> bool:
        """The same visit, another attempt, fresh answers of its calls; after a pause that only a hash knows."""
        seed = f"{self.run_id}:{self.visit.entered}:{self.attempt}".encode()
        chance = int.from_bytes(hashlib.sha256(seed).digest()[:4], "big") / (1 << 32)
        self.again_ms = told[3] + PAUSE_S * 1000 - int(PAUSE_S * 500 * chance)
        self._write("retried", told, hop="work.retry", until_ms=self.again_ms, keep=True)
        self.attempt, self.hops, self.retries = self.attempt + 1, self.hops + 1, self.retries + 1
        self.visit = Visit(self.visit.entered, fresh=self.attempt)
        return True

    def rests(self, now_ms: int) -> bool:
        """Whether the next attempt has yet to begin."""
        return self.again_ms is not None and max(now_ms, self.at_ms) < self.again_ms

    def _way(self, name: str, event: Any, at_ms: int) -> tuple[str, str, str, bool, int | None]:
        """The candidate: its hop, target and otherwise, whether a guard refuses, until when one puts off."""
        capped = self.hops >= HOPS_MAX
        dry_ms, later_ms = self.entered_at_ms + DRY_S * 1000, self.entered_at_ms + LATER_S * 1000
        match name:
            case "Made":
                return "made", "check", "", capped, dry_ms if event.n == 0 and at_ms < dry_ms else None
            case "Found" if event.ok and self.total > 0:
                return "passed", "done", "", False, None
            case "Found":
                return "back", "work", "hold" if self.backs >= BACK_MAX else "", capped or self.backs >= BACK_MAX, None
            case "Nudge":
                return "nudge", "work", "", True, None
            case "Poke":
                return "poke", "hold", "", capped, later_ms if event.wait and at_ms < later_ms else None
            case "Go":
                return "go", "work", "", capped, later_ms if event.wait and at_ms < later_ms else None
            case "TimedOut":
                return "drop", "lost", "", False, None
            case _:
                return "broken", "hold", "", False, None

    def _is_pending(self, event_id: str | None, own: bool) -> bool:
        return self.pending is not None and (self.pending.event_id, self.pending.own) == (event_id, own)

    def _exhausted(self, event_id: str | None, own: bool) -> bool:
        return self.pending is not None and self._is_pending(event_id, own) and self.pending.defers >= DEFERS_MAX

    def _noted(self, kind: str, told: Any) -> bool:
        _, event_id, own, _, _ = told
        if self.refusals >= REFUSALS_MAX and not self._is_pending(event_id, own):
            self.dropped += 1
            return False
        self.refusals += 1
        if self._is_pending(event_id, own):
            self.pending = None
        return self._write(kind, told, keep=True)

    def _put_off(self, event: Any, told: Any, until_ms: int) -> bool:
        _, event_id, own, _, _ = told
        before = self.pending if self._is_pending(event_id, own) else None
        put = Put(event, event_id, own, until_ms, (before.defers if before else 0) + 1, before.seq if before else -1)
        self._write("deferred", told, until_ms=until_ms)
        self.pending = put if before else evolve(put, seq=self.seq)
        return True

    def _write(
        self,
        kind: str,
        told: Any,
        *,
        hop: str = "",
        state: str | None = None,
        outcome: str | None = None,
        until_ms: int | None = None,
        keep: bool = False,
    ) -> bool:
        name, event_id, own, at_ms, epoch = told
        note: dict[str, Any] = {"dropped": self.dropped} if self.dropped else {}
        if not keep and self.pending is not None and not self._is_pending(event_id, own):
            note["superseded"] = self.pending.event_id or self.pending.seq
        self.outcome = outcome or self.outcome
        row = Row(kind, name, event_id, hop, state or self.state, self.outcome, self.attempt, at_ms, until_ms, note)
        self.rows.append(row)
        self.at_ms, self.dropped = at_ms, 0
        if self.outcome not in ("running", "waiting"):  # it hears nothing more, but for a cancel where it halted
            halted = self.outcome in ("stopped", "stuck")
            self.inbox = [waits for waits in self.inbox if halted and type(waits[1]).__name__ == "Cancelled"]
        self.owner = epoch if self.outcome == "running" else 0
        if not keep:
            self.pending = None
        if state is not None:
            self._enter(state, hop, at_ms)
        elif self.outcome not in ("running", "waiting"):
            self.timer_ms = None
        return True

    def _enter(self, state: str, hop: str, at_ms: int) -> None:
        self.state, self.entered_at_ms, self.visit = state, at_ms, Visit(self.seq)
        self.hops += hop != "start"
        self.backs += hop == "back"
        self.attempt, self.resumes, self.refusals, self.retries, self.again_ms = 1, 0, 0, 0, None
        self.timer_ms = at_ms + HOLD_S * 1000 if state == "hold" else None

    def start(self, size: int, now_ms: int, epoch: int) -> None:
        self.total = size
        told = ("Job", None, True, now_ms, epoch)
        self.outcome = "running"
        self._write("started", told, hop="start", state="work", outcome="running")

    def resume(self, why: str, now_ms: int, epoch: int) -> None:
        """A `resumed` record; what was counted but not recorded is left for the next decision."""
        rests = self.rests(now_ms)
        self.attempt += not rests
        self.at_ms = max(now_ms, self.at_ms)
        self.outcome, self.owner = "running", epoch
        self.resumes += why == "lost" and not rests
        self.rows.append(
            Row("resumed", "", None, "", self.state, "running", self.attempt, self.at_ms, note={"why": why})
        )
        self.visit.occurrences = {}
        if why == "asked":
            self.visit.fresh, self.visit.finished = self.attempt, set()

    def call(self, n: int, arguments: str) -> tuple[str, bool]:
        """The key of this call, and whether its result is recorded already."""
        visit = self.visit
        begun = f"{visit.entered}" if visit.fresh == 1 else f"{visit.entered}.{visit.fresh}"
        visit.occurrences[n] = visit.occurrences.get(n, 0) + 1
        key = f"{self.run_id}:{begun}:do:{arguments}:{visit.occurrences[n]}"
        return key, key in visit.finished

    @property
    def crashed(self) -> bool:
        """Whether the next attempt is not made, because its process died too often."""
        return self.resumes > RESUMES_MAX


@define
class Belief:
    """What a runner thinks of a run that it advances; its agent is at work unless it waits for a timer, or rests.

    A `suspect` has its last chance: it goes on as the only one of its kind. One that rests looks again at `wakes`.
    """

    seq: int
    working: bool
    deadline: float
    suspect: bool = False
    again_ms: int | None = None
    wakes: float | None = None


@define
class ModelDesk:
    """A runner: its lease, and what it believes."""

    epoch: int
    expires: float
    renewed: float = 0.0
    lives: dict[str, Belief] = field(factory=dict)
    told_to_wait: dict[str, int] = field(factory=dict)

    def tick(self, now: float) -> None:
        if now - self.renewed >= LEASE_S / 4:
            self.renewed, self.expires = now, now + LEASE_S
