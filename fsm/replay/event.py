"""The event of a record, as it may be decided again."""

from collections.abc import Mapping

from fsm.core.plan import ESCALATED, Event
from fsm.core.record import NO_NOTE, Record
from fsm.define.payload import Invalid, Payload
from fsm.define.spec import MachineSpec
from fsm.replay.divergence import differ


def event_of(spec: MachineSpec, record: Record) -> Event:
    """The event that a record decided, its payload read by its class of today; raises `Diverged` where that fails."""
    unread = str(record.note.get("unread", ""))
    gone = Payload(record.event, None, b"", record.digest or b"")
    return Event(
        payload=gone if unread else _payload(spec, record),
        at_ms=record.at_ms,
        own=record.own,
        event_id=record.event_id,
        spent=record.spent,
        strikes=record.strikes,
        charge=int(record.note.get("charge", 0)),
        unread=unread,
        note=record.note if record.seq == 0 else _escalated(record),
    )


def _payload(spec: MachineSpec, record: Record) -> Payload:
    assert record.body is not None and record.digest is not None
    try:
        payload = spec.stored(record.event, record.body, record.digest)
    except Invalid as invalid:
        told, why = "; ".join(invalid.problems), f"its payload is no valid {record.event} now"
        differ(record.seq, str(record), told, why, "payload_invalid")
    if payload.value is None and spec.classes:
        near = f"a class that was renamed says formerly = ({record.event!r},)"
        differ(record.seq, str(record), near, f"the machine no longer has payload {record.event}", "payload_invalid")
    return payload


def _escalated(record: Record) -> Mapping[str, str | int]:
    return {ESCALATED: record.note[ESCALATED]} if ESCALATED in record.note else NO_NOTE
