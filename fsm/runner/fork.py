"""Where a run may be forked, and what its fork begins with; read from the journal, nothing is written here."""

from typing import NoReturn

from attrs import frozen
from pydantic import BaseModel

from fsm.core.fork import SNAPSHOT_BYTES_MAX, NotForkable, Origin, origin_of
from fsm.core.recall import Unread, recall, stored
from fsm.core.record import ENDED, Record
from fsm.core.snapshot import Snapshot, snapshot_body
from fsm.define.parts import START
from fsm.define.payload import Invalid, Payload, digest, unseal
from fsm.define.spec import MachineSpec
from fsm.journal.forks import Effects, effects, fingerprint_at, memory_at, position_at
from fsm.journal.reader import Reader
from fsm.journal.rows import Run
from fsm.runner.entry import entering
from fsm.runner.repin import with_code

FRESH = "start a new run"


@frozen(kw_only=True)
class Forking:
    """A fork that can be made: where it comes from, what its visit works on, and what the parent did from there on."""

    origin: Origin
    payload: Payload
    memory: bytes | None
    effects: Effects


def forking(read: Reader, run: Run, spec: MachineSpec, at: int, payload: BaseModel | None = None) -> Forking:
    """What a fork of this run begins with, `at` one of its records, under the machine as it is today.

    With `payload` its visit works on that instead. Raises `NotForkable`, `PayloadRefused`.
    """
    return _Forking(read, run, spec, at).made(payload)


class _Forking:
    def __init__(self, read: Reader, run: Run, spec: MachineSpec, at: int) -> None:
        self.read, self.run, self.spec, self.at = read, run, spec, at

    def made(self, payload: BaseModel | None) -> Forking:
        record = self._record()
        fingerprint = fingerprint_at(self.read, self.run, self.at)
        position = self._position(fingerprint)
        given = self.read.record(self.run.key, position.given)
        sealed = entering(self.spec, position.state, payload) if payload is not None else self._payload(given)
        origin = Origin(
            run_id=self.run.run_id,
            seq=self.at,
            head=record.head.hex(),
            fingerprint=fingerprint,
            snapshot=position,
            failure=self._failure(position, given),
        )
        return Forking(
            origin=origin,
            payload=sealed,
            memory=position.memory,
            effects=effects(self.read, self.run, position.entered),
        )

    def _refuse(self, why: str, next: str) -> NoReturn:
        raise NotForkable(run_id=self.run.run_id, seq=self.at, why=why, next=next)

    def _record(self) -> Record:
        """The record it is forked at, if it can be."""
        if not 0 <= self.at <= self.run.seq:
            self._refuse(f"it has records 0 to {self.run.seq}", "name one of them")
        record = self.read.record(self.run.key, self.at)
        if record.state == START:
            self._refuse("it had not come into its first state by then", FRESH)
        if record.outcome in ENDED:
            before = self.read.record(self.run.key, self.at - 1).state if self.at else START
            last = f"fork it at record {self.at - 1}, the last before its end" if before != START else FRESH
            self._refuse(f"there it ended ({record.outcome})", last)
        state = self.spec.state.get(record.state)
        if state is None or state.kind == "final":
            what = "no longer has" if state is None else "has made final"
            self._refuse(f"it was in state {record.state}, which {self.spec.name} {what}", "fork it at another record")
        return record

    def _position(self, fingerprint: str) -> Snapshot:
        """Where the run stood after the record, its memory included."""
        base = position_at(self.read, self.run, self.at)
        records = self.read.span(self.run.key, base.seq + 1 if base else 0, self.at)
        same = fingerprint == self.spec.fingerprint
        spec = self.spec if same else with_code(self.read.spec(fingerprint), self.spec)
        try:
            position = recall(spec, records, base)
            if position.memory is not None and self.spec.memory_class is not None:
                unseal(self.spec.memory_class, position.memory)
        except Unread as unread:
            what = f"record {unread.record.seq} ({unread.record.event})"
            self._refuse("; ".join([f"{what} is not read today", *unread.problems]), "fork it with the code that did")
        except Invalid as invalid:
            self._refuse("; ".join(["its memory is none today", *invalid.problems]), "fork it with the code that did")
        recorded = memory_at(self.read, self.run, self.at)
        if same and recorded != (digest(position.memory) if position.memory is not None else None):
            replay = f"see where it begins to: fsm replay {self.run.run_id}"
            self._refuse("today's `remember` makes another memory of its records than was recorded", replay)
        if len(snapshot_body(position)) > SNAPSHOT_BYTES_MAX:
            self._refuse(f"its position has more than {SNAPSHOT_BYTES_MAX:,} bytes", FRESH)
        return position

    def _payload(self, given: Record) -> Payload:
        """What the visit worked on, as today's machine reads it."""
        another = f"give its visit another payload in place of {given.event}"
        try:
            payload = stored(self.spec, given)
        except Unread as unread:
            self._refuse("; ".join([f"{given.event} of record {given.seq}", *unread.problems]), another)
        if payload.value is None:
            self._refuse(f"{self.spec.name} no longer has payload {given.event}, of record {given.seq}", another)
        return payload

    def _failure(self, position: Snapshot, given: Record) -> Payload | None:
        """What a visit that works on the payload of the one before it is after: its fallback answers to that."""
        if position.given != position.entered:
            failed = self.read.record(self.run.key, position.entered)
            try:
                return stored(self.spec, failed)
            except Unread as unread:
                what = f"its visit is after {failed.event} of record {failed.seq}"
                self._refuse("; ".join([what, *unread.problems]), "fork it at another record")
        origin = origin_of(given)
        return origin.failure if origin is not None else None
