"""What a fork embeds of its parent: is it what a position is written as, and where the parent is, is it its own?"""

from collections.abc import Iterator

from fsm.core.fork import Origin, origin_of
from fsm.core.record import Record
from fsm.core.snapshot import Snapshot, apply, snapshot_body
from fsm.define.payload import Invalid
from fsm.define.spec import MachineSpec
from fsm.errors import JournalError, RunNotFound
from fsm.journal.forks import is_buried
from fsm.journal.reader import UNFIT, Reader
from fsm.journal.rows import Run
from fsm.replay.divergence import differ, short
from fsm.replay.intact import FOLDED


def check_origin(reader: Reader, record: Record, spec: MachineSpec) -> None:
    """Raises `Diverged` where the record 0 of a fork does not hold its parent's position.

    A parent that is not in this journal, or was deleted from it, is not missed: its head there is in the record.
    """
    try:
        origin = origin_of(record)
        assert origin is not None
        position = origin.snapshot
        apply(spec, Snapshot(), record)
        now = snapshot_body(position)
    except (*UNFIT, Invalid) as error:
        now = f"{type(error).__name__}: {error}"
        differ(0, str(record), now, "what it holds of its parent cannot be read")
    if now != record.note["snapshot"]:
        differ(0, str(record.note["snapshot"]), now, "its parent's position is not as it is written")
    embedded = (position.run_id, position.seq, position.state)
    if embedded != (origin.run_id, origin.seq, record.state):
        now = f"a position of run {position.run_id}, record {position.seq}, in {position.state}"
        differ(0, str(record), now, "the position it holds is not the one that it was forked at")
    try:
        parent = reader.run(origin.run_id)
    except RunNotFound:
        return
    _compare(reader, parent, origin, record)


def _compare(reader: Reader, parent: Run, origin: Origin, record: Record) -> None:
    """With the parent's records, folded as they were written."""
    before, memory, head, fingerprint = Snapshot(), None, b"", ""
    try:
        for fingerprint, each in _until(reader, parent, origin.seq):  # of the last one
            before = apply(reader.spec(fingerprint), before, each)
            memory, head = each.memory or memory, each.head
    except (*UNFIT, IndexError, JournalError) as error:
        now = f"{type(error).__name__}: {error}"
        differ(0, str(record), now, f"the records of its parent {parent.run_id} are broken")
    if head.hex() != origin.head:
        if is_buried(reader, parent.run_id):  # and another has its id by now
            return
        why = f"record {origin.seq} of its parent {parent.run_id} is another: it was written anew, or is another run's"
        differ(0, f"chain head {origin.head[:16]}…", f"chain head {short(head)}", why)
    for name in FOLDED:
        embedded, folded = getattr(origin.snapshot, name), getattr(before, name)
        if embedded != folded:
            differ(0, f"{name} {embedded}", f"{name} {folded}", f"its parent {parent.run_id} stood otherwise")
    if origin.fingerprint != fingerprint:
        was, now = f"fingerprint {origin.fingerprint[:16]}…", f"fingerprint {fingerprint[:16]}…"
        differ(0, was, now, f"its parent {parent.run_id} was of another machine")
    if record.memory != memory and origin.fingerprint == record.note["fingerprint"]:  # else today's code has made it
        was, now = f"memory {short(record.memory)}", f"memory {short(memory)}"
        differ(0, was, now, f"its parent {parent.run_id} had another memory")


def _until(reader: Reader, run: Run, seq: int) -> Iterator[tuple[str, Record]]:
    """The records up to this one, each with the fingerprint of the definition it was written under."""
    fingerprint = run.fingerprint
    for record in reader.records(run.key):
        if record.seq > seq:
            return
        if record.seq == 0:
            fingerprint = str(record.note.get("fingerprint", fingerprint))
        elif record.kind == "repinned":
            fingerprint = str(record.note.get("to"))
        yield fingerprint, record
