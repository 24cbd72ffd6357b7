"""What the journal holds about why a run stands where it stands: all that `why` looks at."""

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from attrs import field, frozen

from fsm.clock import Clock, boot_id
from fsm.core.record import Record
from fsm.core.shares import Row
from fsm.define.guard import Placed, Share
from fsm.define.parts import START
from fsm.define.spec import MachineSpec
from fsm.journal.forks import Fork, by_place, parents
from fsm.journal.guards import row_now
from fsm.journal.lease import LEASE_S, is_alive
from fsm.journal.reader import Posted, Reader, RunnerRow, Timer
from fsm.journal.rows import Call, Run
from fsm.journal.search import detours
from fsm.journal.shared import row_of
from fsm.show.asked import Places
from fsm.show.here import Here

VISIT_MAX = 100


@frozen(kw_only=True)
class Owner:
    """The runner that advances a run, or did. `silent_ms`: since it renewed its lease; None if that is not known."""

    name: str
    pid: int
    alive: bool
    silent_ms: int | None = None
    hung: tuple[str, ...] = ()


@frozen(kw_only=True)
class Evidence:
    """A run, its machine as recorded, its visit in progress, who advances it, and what waits for it.

    `entry` is the record that entered the state, `since` the last of those after it. `code` is the machine
    as it is today, where it is at hand; `here` makes the commands about it. `detours`: how often it took each way
    that a refusal or a failure opened. `rows` are those that its guards share with other runs, as they are now.
    """

    run: Run
    spec: MachineSpec
    entry: Record
    since: tuple[Record, ...] = ()
    calls: tuple[Call, ...] = ()
    posted: tuple[Posted, ...] = ()
    timers: tuple[Timer, ...] = ()
    owner: Owner | None = None
    now_ms: int
    detours: Mapping[str, int] = field(factory=dict)
    parent: Fork | None = None
    code: MachineSpec | None = None
    here: Here = field(factory=Here)
    rows: Mapping[Share, Row] = field(factory=dict)

    @property
    def last(self) -> Record:
        return self.since[-1] if self.since else self.entry

    @property
    def refused(self) -> tuple[Record, ...]:
        """Events from outside that this visit did not take, the oldest first."""
        return tuple(record for record in self.since if record.kind in ("refused", "unhandled"))

    @property
    def put_off(self) -> Record | None:
        """The record of the event that waits for its moment, if one does."""
        deferred = [record for record in (self.entry, *self.since) if record.kind == "deferred"]
        return deferred[-1] if deferred and self.due_ms("defer") is not None else None

    def due_ms(self, kind: str) -> int | None:
        """When the timer of this kind runs out; None if there is none."""
        return next((timer.due_ms for timer in self.timers if timer.kind == kind), None)

    @property
    def overdue(self) -> bool:
        """Whether the time of its wait is over, and no runner has seen it."""
        due_ms = self.due_ms("timeout")
        return due_ms is not None and due_ms < self.now_ms

    @property
    def began_at_ms(self) -> int:
        """When the attempt in progress began; that of a run which rests is yet to begin."""
        found = [self.entry.at_ms, *(record.at_ms for record in self.since if record.kind == "resumed")]
        return max([*found, *([self.retried.until_ms or 0] if self.retried is not None else [])])

    @property
    def retried(self) -> Record | None:
        """The last retry of the visit in progress, if it had one."""
        return next((record for record in reversed(self.since) if record.kind == "retried"), None)

    @property
    def lost(self) -> int:
        """How many attempts of the visit in progress died with their process; in a pause there is none to die."""
        number, begins_ms = 0, 0
        for record in self.since:
            begins_ms = (record.until_ms or 0) if record.kind == "retried" else begins_ms
            number += record.note.get("why") == "lost" and record.at_ms >= begins_ms
        return number

    @property
    def again_ms(self) -> int | None:
        """When the next attempt begins, where the run rests before it."""
        rests = self.run.outcome == "running" and self.retried is not None and self.began_at_ms > self.now_ms
        return self.began_at_ms if rests else None

    @cached_property
    def places(self) -> Places:
        """File and line of the machine's attributes, where its code is at hand."""
        parts = (self.code or self.spec).parts
        return {name: str(part.place) for name, part in parts.items() if part.place}

    @property
    def open_calls(self) -> list[Call]:
        """The calls of this visit that were begun and have no outcome."""
        found: dict[str, Call] = {}
        for call in self.calls:
            if call.kind == "intent":
                found[call.key] = call
            elif call.kind == "outcome":
                found.pop(call.key, None)
        return list(found.values())

    @property
    def made_again(self) -> list[str]:
        """The names of the calls that this visit finished, and that an explicit resume makes again under new keys."""
        ended = [call for call in self.calls if call.kind == "outcome" and call.status != "undone"]
        return list(dict.fromkeys(call.name for call in ended if by_place(self.run, call.key, call.name)))

    @property
    def question(self) -> dict[str, Any] | None:
        """The call of whose fate the run asks, as its `CallUnsure` says; None once an outcome is known."""
        record = next((record for record in (self.last, self.entry) if record.event == "CallUnsure"), None)
        if record is not None and record.kind == "forked":  # its parent asked
            return None
        if record is None or record.body is None or self.run.outcome not in ("waiting", "stuck"):
            return None
        body: dict[str, Any] = json.loads(record.body)
        known = any(call.kind == "outcome" and call.key == body["key"] for call in self.calls)
        return None if known else body

    def row_of(self, guard: Placed | None) -> Share | None:
        """The row that a guard shares with other runs, as it is for this one; None if it shares none."""
        if guard is None or guard.shares is None:
            return None
        return row_of(guard.shares, self.run.machine, self.run.labels)

    @property
    def left(self) -> bool:
        """Whether it is under way, and nobody advances it."""
        return self.run.outcome == "running" and (self.owner is None or not self.owner.alive)

    @property
    def unstarted(self) -> bool:
        """Whether it has not come into its first state yet."""
        return self.run.state == START

    @property
    def changed(self) -> tuple[str, ...]:
        """How the machine at hand differs from the one the run was recorded under."""
        if self.code is None or self.code.fingerprint == self.run.fingerprint:
            return ()
        return self.spec.changes(self.code) or ("its fingerprint differs",)


def evidence(
    reader: Reader, run: Run, clock: Clock, code: MachineSpec | None = None, here: Here | None = None
) -> Evidence:
    """All of it, read from the journal; of a long visit its last VISIT_MAX records."""
    entered, spec = max(run.entered, 0), reader.spec(run.fingerprint)
    shares = {row_of(guard.shares, run.machine, run.labels) for guard in spec.guards if guard.shares is not None}
    first = max(entered + 1, run.seq - VISIT_MAX + 1)
    return Evidence(
        run=run,
        spec=spec,
        entry=reader.record(run.key, entered),
        since=tuple(reader.span(run.key, first, run.seq)),
        calls=tuple(call for call in reader.calls_between(run.key, entered, run.seq) if call.entered == run.entered),
        posted=tuple(reader.inbox(run.key)),
        timers=tuple(reader.timers(run.key)),
        owner=owner_of(reader, run.owner, clock.monotonic()) if run.owner else None,
        now_ms=clock.now_ms(),
        detours=detours(reader, run.key),
        parent=parents(reader, [run]).get(run.key),
        code=code,
        here=here or Here(),
        rows={share: row_now(reader, share) for share in shares},
    )


def left_of(reader: Reader, runs: Iterable[Run], now: float) -> frozenset[int]:
    """The keys of those under way that nobody advances; each runner is looked at once."""
    under_way = [run for run in runs if run.outcome == "running"]
    alive = {epoch for epoch in {run.owner for run in under_way} if is_alive(reader, epoch, now)}
    return frozenset(run.key for run in under_way if run.owner not in alive)


def owner_of(reader: Reader, epoch: int, now: float) -> Owner | None:
    """The runner of this epoch."""
    row = next((row for row in reader.runners() if row.epoch == epoch), None)
    if row is None:
        return None
    alive = is_alive(reader, epoch, now)
    return Owner(
        name=row.name, pid=row.pid, alive=alive, silent_ms=_silent_ms(row, now), hung=tuple(json.loads(row.hung))
    )


def _silent_ms(row: RunnerRow, now: float) -> int | None:
    """Not known after a restart of the host, nor where somebody has declared the lease over."""
    known = row.boot == boot_id() and row.expires > 0
    return max(0, round((now - row.expires + LEASE_S) * 1000)) if known else None
