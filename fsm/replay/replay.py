"""Replay: every record decided again, without agents, calls or network, and compared.

First the journal is checked against itself: records without gaps, payloads against their digests, the
hash chain, the calls between records, the run's row against its last record. Then each event is decided
again from the snapshot before it. With the machine's class everything is decided anew; from the journal
alone, predicates and guards that need code answer as they did. The first thing that differs is the
divergence; what follows a divergence means nothing.
"""

import os
from typing import Any, NoReturn

from attrs import frozen

from fsm.core.conclude import decide
from fsm.core.engine import Engine, Undeclared
from fsm.core.record import Record, link
from fsm.core.select import Event, NotRecorded
from fsm.core.snapshot import Snapshot, apply
from fsm.define.events import RUNTIME_EVENTS
from fsm.define.machine import Machine
from fsm.define.payload import Invalid, Payload, digest, unseal
from fsm.journal.journal import read_journal
from fsm.journal.reader import Reader
from fsm.journal.rows import Call, Run, rolled

COMPARED = ("kind", "source", "state", "outcome", "hop", "event", "predicates", "rulings", "until_ms")
UNDECIDED = ("resumed", "repinned")


@frozen
class Divergence:
    """The first record that differs: what it says, what would be there now, and why."""

    seq: int
    recorded: str
    decided: str
    why: str

    def __str__(self) -> str:
        return f"record {self.seq}: {self.why}\n  recorded: {self.recorded}\n  now:      {self.decided}"


@frozen
class Replay:
    """What a replay found: how many records agreed, and where they first did not."""

    run_id: str
    records: int
    divergence: Divergence | None = None
    erased: int = 0

    @property
    def agreed(self) -> bool:
        return self.divergence is None

    def __str__(self) -> str:
        if self.divergence is not None:
            return f"run {self.run_id} diverges at {self.divergence}"
        rest = f" ({self.erased} payloads were erased and could not be decided again)" if self.erased else ""
        return f"run {self.run_id}: {self.records} records, all agree{rest}"


class _Diverged(Exception):
    def __init__(self, divergence: Divergence) -> None:
        self.divergence = divergence


def replay_run(journal: str | os.PathLike[str] | Reader, run_id: str, machine: type[Machine] | None = None) -> Replay:
    """Replay one run of a journal, with the machine's code or, without `machine`, from the journal alone.

    Raises `RunNotFound` and the `JournalError`s of opening; never for what the records say.
    """
    if not isinstance(journal, Reader):
        reader = read_journal(journal)
        try:
            return replay_run(reader, run_id, machine)
        finally:
            reader.close()
    run = journal.run(run_id)
    replaying = _Replaying(journal, run, machine)
    try:
        for record in journal.records(run.key):
            replaying.check(record)
        replaying.close()
    except _Diverged as diverged:
        return Replay(run_id, replaying.count, diverged.divergence, replaying.erased)
    return Replay(run_id, replaying.count, None, replaying.erased)


class _Replaying:
    """One replay in progress."""

    def __init__(self, reader: Reader, run: Run, machine: type[Machine] | None) -> None:
        self.reader = reader
        self.run = run
        self.machine = machine
        self.count = 0
        self.erased = 0
        self.snapshot = Snapshot()
        self.head = b""
        self.calls: dict[int, list[Call]] = {}
        for call in reader.calls(run.key):
            self.calls.setdefault(call.seq, []).append(call)
        self.repins = [record for record in reader.records(run.key) if record.kind == "repinned"]
        self.engine = self._engine(str(self.repins[0].note["from"]) if self.repins else run.fingerprint)

    def _engine(self, fingerprint: str) -> Engine:
        """The engine for records under this fingerprint: the machine's own, where it is the last one."""
        if self.machine is not None and (not self.repins or fingerprint == self.repins[-1].note["to"]):
            return Engine(self.machine.spec)
        spec = self.reader.spec(fingerprint)
        if spec.fingerprint != fingerprint:
            raise _Diverged(Divergence(0, fingerprint[:16], spec.fingerprint[:16], "the stored machine was changed"))
        return Engine(spec)

    def check(self, record: Record) -> None:
        """Compare one record; raises `_Diverged` at the first difference."""
        self._intact(record)
        if record.kind in UNDECIDED:
            self.snapshot = apply(self.engine.spec, self.snapshot, record)
            if record.kind == "repinned":
                self.repins.pop(0) if len(self.repins) > 1 else None
                self.engine = self._engine(str(record.note["to"]))
        else:
            self._decide(record)
        self.count += 1

    def _intact(self, record: Record) -> None:
        expected = self.snapshot.seq + 1
        if record.seq != expected:
            self._differ(
                expected, "nothing", f"record {expected}", f"it is missing; after {expected - 1} comes {record.seq}"
            )
        calls = self._calls(expected - 1)
        if calls != record.calls:
            self._differ(record.seq, _hex(record.calls), _hex(calls), "the call rows before it were changed")
        if record.body is not None and digest(record.body) != record.digest:
            self._differ(record.seq, _hex(record.digest), _hex(digest(record.body)), "its payload was changed")
        self.head = link(self.head, record.header(record.detail))
        if self.head != record.head:
            self._differ(
                record.seq, _hex(record.head), _hex(self.head), "it was changed, or one before it: the chain breaks"
            )

    def _calls(self, seq: int) -> bytes | None:
        found: bytes | None = None
        for call in self.calls.get(seq, ()):
            if call.body is not None and digest(call.body) != call.digest:
                self._differ(
                    seq + 1, _hex(call.digest), _hex(digest(call.body)), f"the body of call {call.key} was changed"
                )
            found = rolled(found, call)
        return found

    def _decide(self, record: Record) -> None:
        if record.body is None:
            self.erased += 1
            self.snapshot = apply(self.engine.spec, self.snapshot, record)
            return
        try:
            decision = decide(self.engine, self.snapshot, self._event(record), record)
        except Invalid as invalid:
            self._differ(record.seq, record.event, "; ".join(invalid.problems), "its payload is not valid any more")
        except NotRecorded as missing:
            self._differ(record.seq, _told(record), "unknown", f"the record has no answer of {missing}")
        except (KeyError, Undeclared) as error:
            self._differ(record.seq, _told(record), "nothing", f"the machine no longer has {error}")
        now = decision.record
        if now is None:
            self._differ(record.seq, _told(record), "only counted", "the visit had its refusals_max")
        for name in COMPARED:
            before, after = getattr(record, name), getattr(now, name)
            if before != after:
                self._differ(record.seq, _told(record), _told(now), _why(name, before, after))
        if now.memory is not None and now.memory != record.memory:
            self._differ(record.seq, _hex(record.memory), _hex(now.memory), "the memory after it differs")
        self.snapshot = decision.snapshot

    def _event(self, record: Record) -> Event:
        assert record.body is not None and record.digest is not None
        cls = RUNTIME_EVENTS.get(record.event) or self.engine.spec.classes.get(record.event)
        if cls is None and self.engine.spec.classes:
            self._differ(record.seq, record.event, "nothing", f"the machine no longer has payload {record.event}")
        value = unseal(cls, record.body) if cls is not None else None
        return Event(
            payload=Payload(record.event, value, record.body, record.digest),
            at_ms=record.at_ms,
            own=record.own,
            event_id=record.event_id,
            spent=record.spent,
        )

    def close(self) -> None:
        """The run's row against the last record."""
        last = self.count - 1
        if self.run.seq != last:
            self._differ(last + 1, f"{self.run.seq + 1} records", f"{self.count} records", "the tail was cut")
        if self.run.head != self.head:
            self._differ(last, _hex(self.run.head), _hex(self.head), "the run's row names another head")
        if self._calls(last) != self.run.calls:
            self._differ(last + 1, _hex(self.run.calls), _hex(self._calls(last)), "the call rows after it were changed")

    def _differ(self, seq: int, recorded: str, decided: str, why: str) -> NoReturn:
        raise _Diverged(Divergence(seq, recorded, decided, why))


def _told(record: Record) -> str:
    way = f" by {record.hop}" if record.hop else ""
    refusals = [str(ruling) for ruling in record.rulings if ruling.verdict.decision != "allow"]
    because = f"; {'; '.join(refusals)}" if refusals else ""
    return f"{record.kind} on {record.event}: {record.source} -> {record.state}{way}{because}"


def _why(name: str, before: Any, after: Any) -> str:
    if name == "predicates":
        changed = [f"{line} was {old}" for (line, old) in before if (line, old) not in after]
        return f"a predicate answers otherwise ({', '.join(changed) or 'another one was asked'})"
    if name == "rulings":
        lost = [str(ruling) for ruling in before if ruling not in after]
        new = [str(ruling) for ruling in after if ruling not in before]
        return f"a guard answers otherwise (was: {'; '.join(lost) or 'not asked'}; is: {'; '.join(new) or 'not asked'})"
    return f"its {name} would be {after!r}, not {before!r}"


def _hex(value: bytes | None) -> str:
    return value.hex()[:16] if value else "none"
