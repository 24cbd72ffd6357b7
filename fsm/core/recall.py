"""Memory as a fold: from the last snapshot row over the records since, with the machine's own `remember`.

No record holds memory. Where the machine's code is not at hand, the position is folded and the memory
stays unknown.
"""

from collections.abc import Iterable

from attrs import evolve

from fsm.core.record import MOVES, Record
from fsm.core.snapshot import Snapshot, apply
from fsm.define.parts import START_HOP, Named
from fsm.define.payload import Invalid, Payload, seal, told, unseal
from fsm.define.spec import MachineSpec


class Unread(Invalid):
    """The payload of a record, or the memory after it, is no longer one."""

    def __init__(self, record: Record, problems: list[str]) -> None:
        super().__init__(problems, "")
        self.record = record


def recall(spec: MachineSpec, records: Iterable[Record], snapshot: Snapshot | None = None) -> Snapshot:
    """The snapshot after `records`, memory included; raises `Unread`."""
    after = snapshot or Snapshot()
    for record in records:
        try:
            memory = remembered(spec, after, record)
        except Invalid as invalid:
            raise Unread(record, invalid.problems) from None
        except Exception as error:  # `remember` is the user's code, and may have changed
            raise Unread(record, [f"the memory after it: {told(error)}"]) from error
        after = apply(spec, after, record, memory)
    return after


def stored(spec: MachineSpec, record: Record) -> Payload:
    """The payload of a record, as its class reads it today; raises `Unread`."""
    if record.body is None or record.digest is None:
        raise Unread(record, ["its payload was erased"])
    try:
        return spec.stored(record.event, record.body, record.digest)
    except Invalid as invalid:
        raise Unread(record, invalid.problems) from None


def remembered(spec: MachineSpec, before: Snapshot, record: Record) -> bytes | None:
    """The memory after `record`, or None where it does not change it."""
    remember = _remember(spec, record)
    if remember is None or remember.fn is None or spec.memory_class is None:
        return None
    payload = stored(spec, record).value
    if payload is None:
        raise Unread(record, [f"the machine no longer has its payload {record.event}"])
    cls = spec.memory_class
    memory = unseal(cls, before.memory) if before.memory else cls()
    return seal(remember.fn(memory, payload), spec.bounds.memory_bytes_max).body


def _remember(spec: MachineSpec, record: Record) -> Named | None:
    if record.kind not in MOVES or record.memory is None:
        return None
    if record.hop == START_HOP:
        return spec.initial.remember
    return next((line.remember for line in spec.transitions if line.name == record.hop), None)


def position(snapshot: Snapshot) -> Snapshot:
    """The snapshot without its memory, to compare folds made without code."""
    return evolve(snapshot, memory=None)
