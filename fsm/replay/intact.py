"""The journal against itself: is each row of a run the one that was written?

Records come without gaps, payloads have their digests, the chain holds, the calls between records are
those that were made, the run's row and its snapshot rows say what the records say. A run may move on
while it is read; what was committed after its row was read is left aside.
"""

from collections.abc import Iterator

from attrs import evolve, fields

from fsm.core.record import Record, link
from fsm.core.snapshot import Snapshot
from fsm.define.payload import digest
from fsm.define.spec import MachineSpec
from fsm.errors import Damaged, JournalError
from fsm.journal.reader import Reader
from fsm.journal.rows import Call, Run, rolled
from fsm.replay.divergence import differ, sha256, told

FOLDED = tuple(attribute.name for attribute in fields(Snapshot) if attribute.name != "memory")
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
        self._calls = reader.calls_counted(run.key)
        self._snapshots: dict[int, Snapshot] = {}

    def records(self) -> Iterator[Record]:
        try:
            self._snapshots = self.reader.snapshots(self.run.key)
        except Damaged as damage:
            differ(damage.seq, damage.what, f"the position after record {damage.seq}", "its snapshot row was changed")
        rows = self.reader.written(self.run.key)
        while self.count <= self.run.seq:
            try:
                record, detail = next(rows)
            except StopIteration:
                counted = f"{self.run.seq + 1} records, as the run's row counts them"
                differ(self.count, counted, f"{self.count} records", "it is missing: the tail was cut")
            except JournalError as damage:
                differ(self.count, damage.what, f"a record {self.count}", "it cannot be read")
            self._check(record, detail)
            self.count += 1
            yield record

    def _check(self, record: Record, detail: bytes) -> None:
        seq = self.count
        if record.seq != seq:
            differ(seq, f"the next record is {record.seq}", f"a record {seq}", "it is missing")
        calls = self._calls_after(seq - 1)
        if calls != record.calls:
            found = f"{self._calls.get(seq - 1, 0)} rows, {sha256(calls)}"
            differ(seq, f"calls of {sha256(record.calls)}", found, "call rows before it were changed, added or deleted")
        if record.body is not None and digest(record.body) != record.digest:
            body = digest(record.body)
            differ(seq, f"{record.event} of {sha256(record.digest)}", sha256(body), "its payload was changed")
        self._head = link(self._head, record.header(detail))
        if self._head != record.head:
            was, now = f"chain head {sha256(record.head)}", f"chain head {sha256(self._head)} of: {told(record)}"
            differ(seq, was, now, "it was changed after it was written; the chain breaks here")
        if seq == 0:
            self._check_origin(record)
        self._note(record)

    def _check_origin(self, first: Record) -> None:
        for name in ("run_id", "machine"):
            if first.note.get(name, getattr(self.run, name)) != getattr(self.run, name):
                differ(0, str(first.note[name]), str(getattr(self.run, name)), f"the run's row has another {name}")
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
        for call in self.reader.calls_at(self.run.key, seq) if seq in self._calls else ():
            self._check_body(call)
            found = rolled(found, call)
            if seq == self.run.seq and found == self.run.calls and self._has_moved():
                break
        return found

    def _check_body(self, call: Call) -> None:
        if call.body is None or digest(call.body) == call.digest:
            return
        named = f"{call.kind} of call {call.name} ({call.key})"
        differ(call.seq + 1, sha256(call.digest), sha256(digest(call.body)), f"the body was changed: {named}")

    def spec(self) -> MachineSpec:
        """The stored machine in force, without code."""
        try:
            spec = self.reader.spec(self.fingerprint)
        except (IndexError, ValueError) as error:
            told = f"{type(error).__name__}: {error}"
            differ(self._since(), f"machine {self.fingerprint[:16]}…", told, "its stored machine is missing or damaged")
        if spec.fingerprint != self.fingerprint:
            was, now = f"fingerprint {self.fingerprint[:16]}…", f"fingerprint {spec.fingerprint[:16]}…"
            differ(self._since(), was, now, f"the stored machine {spec.name} was changed")
        return spec

    def _since(self) -> int:
        return max(0, self.count - 1)

    def compare(self, snapshot: Snapshot) -> Snapshot | None:
        """The snapshot row at this point, if there is one, proven to be the fold of the records."""
        row = self._snapshots.pop(snapshot.seq, None)
        if row is None:
            return None
        for name in FOLDED:
            kept, folded = getattr(row, name), getattr(snapshot, name)
            if kept != folded:
                differ(snapshot.seq, f"{name} {kept}", f"{name} {folded}", "the snapshot row at it was changed")
        kept_memory = digest(row.memory) if row.memory is not None else None
        if kept_memory != self.memory:
            differ(snapshot.seq, sha256(kept_memory), sha256(self.memory), "the memory in its snapshot row was changed")
        return evolve(snapshot, memory=row.memory)

    def close(self, snapshot: Snapshot) -> None:
        """After the last record: the run's row, and rows that belong to no record."""
        run, last = self.run, self.count - 1
        if run.head != self._head:
            differ(last, sha256(run.head), sha256(self._head), "the run's row has another head of the chain")
        for name in IN_THE_ROW:
            kept, folded = getattr(run, name), getattr(snapshot, name)
            if kept != folded:
                differ(last, str(kept), str(folded), f"the run's row has another {name} than its records lead to")
        if run.fingerprint != self.fingerprint:
            differ(last, run.fingerprint, self.fingerprint, "the run's row names another machine")
        calls = self._calls_after(last)
        if calls != run.calls:
            found = f"{self._calls.get(last, 0)} rows, {sha256(calls)}"
            differ(last + 1, f"calls of {sha256(run.calls)}", found, "call rows after the last record were changed")
        if not self._has_moved():
            self._close_strays(last)

    def _close_strays(self, last: int) -> None:
        for record, _ in self.reader.written(self.run.key, last):
            counted = f"{last + 1} records, as the run's row counts them"
            differ(record.seq, counted, told(record), "it was added")
        for seq in [seq for seq in self._calls if not -1 <= seq <= last]:
            differ(seq, f"{last + 1} records", f"call rows after record {seq}", "call rows were added")
        for seq in self._snapshots:
            differ(seq, f"{last + 1} records", f"a snapshot row at record {seq}", "a snapshot row was added")

    def _has_moved(self) -> bool:
        """Whether the run has moved on since its row was read."""
        now = self.reader.run_at(self.run.key)
        return (now.seq, now.head, now.calls) != (self.run.seq, self.run.head, self.run.calls)
