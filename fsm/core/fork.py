"""A fork: a run continued from another's record, as the record 0 that it begins with.

That record embeds the parent's position, so a fork needs its parent no more: it replays where the parent is not, or
is not any more. Its chain covers what is embedded, and with the parent's head all that the parent had done until then.

Nothing is asked: the state had been entered. Guards that share rows with other runs have given the visit that begins
anew no permit, and budgets have set nothing aside for it; what it spends they are told when it is over. An event that
the parent had put off is not taken along.
"""

from collections.abc import Mapping

from attrs import frozen

from fsm.core.conclude import Decision
from fsm.core.record import Outcome, Record
from fsm.core.snapshot import Snapshot, apply, snapshot_body, snapshot_from
from fsm.define.events import RUNTIME_EVENTS, RuntimeEvent
from fsm.define.payload import Payload, digest, unseal
from fsm.define.spec import MachineSpec
from fsm.errors import FsmError

SNAPSHOT_BYTES_MAX = 1 << 20


@frozen(kw_only=True, slots=False)
class NotForkable(FsmError):
    """The run cannot be continued from this record; nothing was written."""

    run_id: str
    seq: int
    why: str
    next: str

    def message(self) -> str:
        return f"run {self.run_id!r} cannot be forked at record {self.seq}: {self.why}\n  -> {self.next}"


@frozen(kw_only=True)
class Origin:
    """Where a fork comes from: the parent's id, the seq it is forked at, and its chain's head and position there.

    `fingerprint` is the machine it was recorded under. `failure` is what brought a visit that works on the payload of
    the one before it, as a fallback does.
    """

    run_id: str
    seq: int
    head: str
    fingerprint: str
    snapshot: Snapshot
    failure: Payload | None = None

    @property
    def known_by(self) -> tuple[str, int, str]:
        """What tells it from every other."""
        return self.run_id, self.seq, self.head

    def note(self) -> Mapping[str, str | int]:
        """As the record holds it."""
        found: dict[str, str | int] = {
            "parent": self.run_id,
            "parent_seq": self.seq,
            "parent_head": self.head,
            "parent_fingerprint": self.fingerprint,
            "snapshot": snapshot_body(self.snapshot),
        }
        if self.failure is not None:
            found |= {"failed": self.failure.event, "failure": self.failure.body.decode()}
        return found


def origin_of(record: Record) -> Origin | None:
    """Where the run that begins with this record was forked; None if it was not."""
    if record.kind != "forked":
        return None
    note = record.note
    return Origin(
        run_id=str(note["parent"]),
        seq=int(note["parent_seq"]),
        head=str(note["parent_head"]),
        fingerprint=str(note["parent_fingerprint"]),
        snapshot=snapshot_from(str(note["snapshot"])),
        failure=_failure(note),
    )


def _failure(note: Mapping[str, str | int]) -> Payload | None:
    if "failed" not in note:
        return None
    event, body = str(note["failed"]), str(note["failure"]).encode()
    return Payload(event, unseal(RUNTIME_EVENTS[event], body), body, digest(body))


def failure_in(record: Record) -> RuntimeEvent | None:
    """The failure that the visit which a fork begins anew answers to."""
    failure = _failure(record.note) if record.kind == "forked" else None
    return failure.value if failure is not None and isinstance(failure.value, RuntimeEvent) else None


def fork(
    spec: MachineSpec, origin: Origin, payload: Payload, memory: bytes | None, *, run_id: str, at_ms: int
) -> Decision:
    """Record 0 of a fork, and where it stands: its visit begins anew with `payload`, or it waits anew."""
    state = origin.snapshot.state
    outcome: Outcome = "waiting" if spec.state[state].kind == "waiting" else "running"
    record = Record(
        seq=0,
        kind="forked",
        at_ms=at_ms,
        source=state,
        state=state,
        outcome=outcome,
        event=payload.event,
        digest=payload.digest,
        memory=digest(memory) if memory is not None else None,
        note={"run_id": run_id, "machine": spec.name, "fingerprint": spec.fingerprint, **origin.note()},
        body=payload.body,
    )
    return Decision(record, apply(spec, Snapshot(), record, memory))
