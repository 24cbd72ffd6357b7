"""The journal against itself: is each row of a run the one that was written?

Records come without gaps, payloads have their digests, the chain holds, the calls between records are
those that were made, the run's row and its snapshot rows say what the records say. A run may move on
while it is read; what was committed after its row was read is left aside.
"""

from collections.abc import Iterator
from typing import Any

from attrs import evolve, fields

from fsm.core.record import Record, link
from fsm.core.snapshot import Snapshot
from fsm.define.payload import digest, excerpt
from fsm.define.spec import MachineSpec
from fsm.errors import Damaged, JournalError
from fsm.journal.reader import Reader
from fsm.journal.rows import Call, Run, rolled
from fsm.replay.divergence import differ, short

FOLDED = tuple(attribute.name for attribute in fields(Snapshot) if attribute.name != "memory")
ROW_CHANGED = "the run's row was changed"
IN_THE_ROW = ("state", "outcome", "entered", "attempt", "started_at_ms", "at_ms")


class Intact:
    """One run's rows, handed out as they prove intact; raises `Diverged` at the first that does not.

    `fingerprint` is the definition in force, `memory` the digest of the memory, both after the last record.
    """

    def __init__(self, reader: Reader, run: Run) -> None:
        self.reader = reader
        self.run = run
        self.count = 0
        self.fingerprint = run.fingerprint
        self.memory: bytes | None = None
        self._head = b""
        self._rows = reader.written(run.key)
        self._calls = reader.calls_counted(run.key)
        self._snapshots: dict[int, Snapshot] = {}

    def records(self) -> Iterator[Record]:
        try:
            self._snapshots = self.reader.snapshots(self.run.key)
        except Damaged as damage:
            differ(damage.seq, f"the position after record {damage.seq}", damage.what, "its snapshot row was changed")
        while self.count <= self.run.seq:
            try:
                record, detail = next(self._rows)
            except StopIteration:
                counted = f"{self.run.seq + 1} records, as the run's row counts them"
                gone = "the tail was cut" if self.count else "all its records are gone"
                differ(self.count, counted, f"{self.count} records", f"it is missing: {gone}")
            except JournalError as damage:
                differ(self.count, f"record {self.count}", damage.what, "it cannot be read")
            self._check(record, detail)
            self.count += 1
            yield record

    def _check(self, record: Record, detail: bytes) -> None:
        seq = self.count
        if record.seq != seq:
            differ(seq, f"record {seq}", f"record {record.seq} is the next", "it is missing")
        calls = self._calls_after(seq - 1)
        if calls != record.calls:
            now = f"{self._calls.get(seq - 1, 0)} call rows, {short(calls)}"
            differ(seq, f"call rows {short(record.calls)}", now, "call rows before it were changed, added or deleted")
        if record.body is not None and digest(record.body) != record.digest:
            now = f"{record.event} {short(digest(record.body))}: {excerpt(record.body)}"
            differ(seq, f"{record.event} {short(record.digest)}", now, "its payload was changed")
        self._head = link(self._head, record.header(detail))
        if self._head != record.head:
            now = f"chain head {short(self._head)}: {record!s}"
            differ(seq, f"chain head {short(record.head)}", now, "it was changed after it was written")
        if seq == 0:
            self._check_origin(record)
        self._note(record)

    def _check_origin(self, first: Record) -> None:
        for name in ("run_id", "machine"):
            was, now = first.note.get(name), getattr(self.run, name)
            if was not in (None, now):
                differ(0, f"{name} {was}", f"{name} {now}", ROW_CHANGED)
        self.fingerprint = str(first.note.get("fingerprint", self.fingerprint))

    def _note(self, record: Record) -> None:
        if record.memory is not None:
            self.memory = record.memory
        if record.kind == "repinned":
            if record.note.get("from") != self.fingerprint:
                differ(record.seq, str(record.note.get("from")), self.fingerprint, "it was made for another machine")
            self.fingerprint = str(record.note.get("to"))

    def _calls_after(self, seq: int) -> bytes | None:
        found: bytes | None = None
        try:
            calls = self.reader.calls_at(self.run.key, seq) if seq in self._calls else []
        except Damaged as damage:
            differ(seq + 1, f"the call rows after record {seq}", damage.what, "a call row before it was changed")
        for call in calls:
            if seq == self.run.seq and found == self.run.calls and self._has_moved():
                break
            self._check_body(call)
            found = rolled(found, call)
        return found

    def _check_body(self, call: Call) -> None:
        if call.body is None or digest(call.body) == call.digest:
            return
        what = f"{call.kind} of call {call.name}"
        now = f"{what} {short(digest(call.body))}: {excerpt(call.body)}"
        differ(call.seq + 1, f"{what} {short(call.digest)}", now, "the body of a call before it was changed")

    def spec(self, code: MachineSpec | None = None) -> MachineSpec:
        """The stored machine in force, without code; where it was changed, `code` of the same machine tells how."""
        try:
            spec = self.reader.spec(self.fingerprint)
        except (IndexError, ValueError) as error:
            now = "no machine" if isinstance(error, IndexError) else f"no machine that can be read: {error}"
        else:
            if spec.fingerprint == self.fingerprint:
                return spec
            now = f"a {spec.name} with fingerprint {spec.fingerprint[:16]}…"
            if code is not None and code.fingerprint == self.fingerprint:
                now = "; ".join(code.changes(spec))
        was = f"machine {self.run.machine} with fingerprint {self.fingerprint[:16]}…"
        differ(max(0, self.count - 1), was, now, "the stored machine was changed")

    def compare(self, snapshot: Snapshot) -> Snapshot | None:
        """The snapshot row at this point, if there is one, proven to be the fold of the records."""
        row = self._snapshots.pop(snapshot.seq, None)
        if row is None:
            return None
        for name in FOLDED:
            kept, folded = getattr(row, name), getattr(snapshot, name)
            if kept != folded:
                was, now = _unlike(folded, kept), _unlike(kept, folded)
                differ(snapshot.seq, f"{name} {was}", f"{name} {now}", "its snapshot row was changed")
        kept_memory = digest(row.memory) if row.memory is not None else None
        if kept_memory != self.memory:
            was, now = f"memory {short(self.memory)}", f"memory {short(kept_memory)}"
            differ(snapshot.seq, was, now, "its snapshot row was changed")
        return evolve(snapshot, memory=row.memory)

    def close(self, snapshot: Snapshot) -> None:
        """After the last record: the run's row, and rows that belong to no record."""
        run, last = self.run, self.count - 1
        if run.head != self._head:
            differ(last, f"chain head {short(self._head)}", f"chain head {short(run.head)}", ROW_CHANGED)
        for name in IN_THE_ROW:
            kept, folded = getattr(run, name), getattr(snapshot, name)
            if kept != folded:
                differ(last, f"{name} {folded}", f"{name} {kept}", ROW_CHANGED)
        if run.fingerprint != self.fingerprint:
            was, now = f"fingerprint {self.fingerprint[:16]}…", f"fingerprint {run.fingerprint[:16]}…"
            differ(last, was, now, ROW_CHANGED)
        calls = self._calls_after(last)
        if calls != run.calls:
            now = f"{self._calls.get(last, 0)} call rows, {short(calls)}"
            why = "call rows after the last record were changed, added or deleted"
            differ(last + 1, f"call rows {short(run.calls)}", now, why)
        stray = self._stray(last)
        if stray is not None and not self._has_moved():
            seq, found = stray
            differ(seq, f"{last + 1} records, as the run's row counts them", found, "it was added")

    def _stray(self, last: int) -> tuple[int, str] | None:
        """The first row that belongs to no record of this run."""
        for record, _ in self._rows:
            return record.seq, str(record)
        found = [(seq, f"call rows after record {seq}") for seq in self._calls if not -1 <= seq <= last]
        found += [(seq, f"a snapshot row at record {seq}") for seq in self._snapshots]
        return min(found, default=None)

    def _has_moved(self) -> bool:
        """Whether the run has moved on since its row was read."""
        now = self.reader.run_at(self.run.key)
        return (now.seq, now.head, now.calls) != (self.run.seq, self.run.head, self.run.calls)


def _unlike(one: Any, other: Any) -> Any:
    """Of two mappings, the part of the first that is not in the second."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return one
    return {name: value for name, value in one.items() if other.get(name) != value}
