"""Rows, how they are selected, and the values they hold."""

import json
from typing import Any, Literal

from attrs import asdict, field, fields, frozen
from pydantic_core import from_json

from fsm.core.record import ENDED, HALTED, NO_NOTE, NO_STRIKES, NOTHING, Outcome, Record, Spent, ruling_from
from fsm.core.snapshot import Again, Pending, Snapshot
from fsm.core.used import used_forms, used_from, used_from_json, used_json
from fsm.define.guard import Ruling, Verdict
from fsm.define.payload import canonical, digest
from fsm.journal.schema import CALL_COLUMNS, RECORD_COLUMNS

ARTIFACT_BYTES = 64 << 10

RecordRow = tuple[Any, ...]


@frozen(kw_only=True)
class Run:
    """A run as its row tells it: where it is, how it stands, who advances it (`owner` 0: nobody)."""

    key: int
    run_id: str
    machine: str
    fingerprint: str
    labels: dict[str, str]
    state: str
    outcome: Outcome
    seq: int
    entered: int
    attempt: int
    head: bytes = field(repr=False)
    calls: bytes | None = field(repr=False)
    dropped: int
    owner: int
    started_at_ms: int
    at_ms: int

    def __str__(self) -> str:
        return f"run {self.run_id} of {self.machine}: {self.outcome} in {self.state}, {self.seq + 1} records"

    @property
    def ended(self) -> bool:
        return self.outcome in ENDED

    @property
    def halted(self) -> bool:
        return self.outcome in HALTED

    @property
    def settled(self) -> bool:
        """Whether it moves no further by itself: ended, halted or waiting."""
        return self.outcome != "running"


RUN_COLUMNS = tuple(attribute.name for attribute in fields(Run))
RUN_SQL = f"SELECT {', '.join(RUN_COLUMNS)} FROM run"
RECORD_SQL = "SELECT " + ", ".join(
    "coalesce(record.body, artifact.body)" if column == "body" else f"record.{column}" for column in RECORD_COLUMNS
)
RECORD_SQL += " FROM record LEFT JOIN artifact ON artifact.digest = record.digest"
CALL_SQL = "SELECT call.id, " + ", ".join(
    "coalesce(call.body, artifact.body)" if column == "body" else f"call.{column}" for column in CALL_COLUMNS
)
CALL_SQL += " FROM call LEFT JOIN artifact ON artifact.digest = call.digest"


def run_from(row: tuple[Any, ...]) -> Run:
    values = dict(zip(RUN_COLUMNS, row, strict=True))
    return Run(**{**values, "labels": json.loads(values["labels"])})


def record_row(run: int, record: Record, detail: bytes, head: bytes) -> RecordRow:
    """The columns of a record; a large body stays out, its artifact is found by the digest."""
    body = record.body
    kept = body.decode() if body is not None and len(body) <= ARTIFACT_BYTES else None
    return (
        run,
        record.seq,
        record.kind,
        record.at_ms,
        record.source,
        record.state,
        record.outcome,
        record.hop,
        record.event,
        record.event_id,
        int(record.own),
        record.attempt,
        record.digest,
        detail.decode(),
        kept,
        head,
    )


_NO_DETAIL: dict[str, Any] = {}


def record_from(row: RecordRow) -> Record:
    """The record of a row selected by RECORD_SQL, its body from the artifact where it is one."""
    _, seq, kind, at_ms, source, state, outcome, hop, event, event_id, own, attempt, digest_, text, body, head = row
    detail = from_json(text) if text else _NO_DETAIL
    calls, memory = detail.get("calls"), detail.get("memory")
    predicates, rulings = detail.get("predicates"), detail.get("rulings")
    return Record(
        seq=seq,
        kind=kind,
        at_ms=at_ms,
        source=source,
        state=state,
        outcome=outcome,
        hop=hop,
        event=event,
        event_id=event_id,
        own=bool(own),
        attempt=attempt,
        digest=digest_,
        predicates=tuple([(name, result) for name, result in predicates]) if predicates else (),
        rulings=tuple([ruling_from(form) for form in rulings]) if rulings else (),
        spent=_spent(detail) if "spent" in detail else NOTHING,
        strikes=detail.get("strikes", NO_STRIKES),
        calls=bytes.fromhex(calls) if calls else None,
        memory=bytes.fromhex(memory) if memory else None,
        until_ms=detail.get("until_ms"),
        note=detail.get("note", NO_NOTE),
        body=body.encode() if body is not None else None,
        head=head,
    )


def _spent(detail: dict[str, Any]) -> Spent:
    tokens, usd_micros = detail["spent"]
    return Spent(tokens, usd_micros, used_from(detail["usage"]) if "usage" in detail else ())


@frozen(kw_only=True)
class Call:
    """One row of the call ledger: an intent, an outcome, or spending that came without either.

    `seq` is the run's last record when it was written, `key` the idempotency key. `body` holds the
    arguments of an intent, the result or the error of an outcome. An outcome `undone` takes the intents
    before it back: somebody knows that the call was not made. `tokens_max` and `usd_micros_max` are what an intent
    declares that the call spends at most; spending of status `unknown` is the rest of that, booked as nobody knows
    what became of the call. `permits` are the generations in which shared guards let it be made; no row holds them.
    """

    id: int = 0
    run: int
    seq: int
    entered: int
    attempt: int
    kind: Literal["intent", "outcome", "spent"]
    key: str
    name: str
    status: Literal["", "ok", "failed", "undone", "unknown"]
    spent: Spent
    tokens_max: int | None = None
    usd_micros_max: int | None = None
    at_ms: int
    digest: bytes
    body: bytes | None
    permits: tuple[int, ...] = field(default=(), eq=False)

    def sealed(self) -> bytes:
        """What the chain covers of this row."""
        parts = (self.seq, self.entered, self.attempt, self.kind, self.key, self.name, self.status)
        since = {"usage": used_forms(self.spent.usage), "max": [self.tokens_max, self.usd_micros_max]}
        told = since if self.spent.usage or self.declares else None  # absent from rows that have none: as it was
        rest = (self.spent.tokens, self.spent.usd_micros, self.at_ms, *([told] if told else []))
        return canonical((*parts, *rest)) + self.digest

    @property
    def declares(self) -> bool:
        """Whether it says what the call spends at most."""
        return self.tokens_max is not None or self.usd_micros_max is not None


def call_row(call: Call) -> tuple[Any, ...]:
    kept = call.body.decode() if call.body is not None and len(call.body) <= ARTIFACT_BYTES else None
    return (
        call.run,
        call.seq,
        call.entered,
        call.attempt,
        call.kind,
        call.key,
        call.name,
        call.status,
        call.spent.tokens,
        call.spent.usd_micros,
        used_json(call.spent.usage),
        call.tokens_max,
        call.usd_micros_max,
        call.at_ms,
        call.digest,
        kept,
    )


def call_from(row: tuple[Any, ...]) -> Call:
    id, run, seq, entered, attempt, kind, key, name, status, *spent, tokens_max, usd_micros_max, at_ms = row[:-2]
    digest_, body = row[-2:]
    return Call(
        id=id,
        run=run,
        seq=seq,
        entered=entered,
        attempt=attempt,
        kind=kind,
        key=key,
        name=name,
        status=status,
        spent=spent_from(*spent),
        tokens_max=tokens_max,
        usd_micros_max=usd_micros_max,
        at_ms=at_ms,
        digest=digest_,
        body=body.encode() if body is not None else None,
    )


def spent_from(tokens: int, usd_micros: int, *usages: str) -> Spent:
    """Spending as call rows hold it; of several with the usage of each."""
    return Spent(tokens, usd_micros, used_from_json(*usages))


def rolled(before: bytes | None, call: Call) -> bytes:
    """The digest of the call rows since the last record, with one more."""
    return digest((before or b"") + call.sealed())


def snapshot_body(snapshot: Snapshot) -> str:
    """A snapshot as JSON, without its memory."""
    form = asdict(snapshot, recurse=False, filter=lambda attribute, _: attribute.name != "memory")
    form["counters"] = dict(snapshot.counters)
    form["kept"] = {place: dict(kept) for place, kept in snapshot.kept.items()}
    form["holds"] = dict(snapshot.holds)
    form["settled"] = [snapshot.settled.tokens, snapshot.settled.usd_micros]
    form["pending"] = asdict(snapshot.pending) if snapshot.pending else None
    form["again"] = asdict(snapshot.again) if snapshot.again else None
    refusal = snapshot.refusal
    form["refusal"] = asdict(refusal) if refusal else None
    return canonical(form).decode()


def snapshot_bytes(snapshot: Snapshot) -> int:
    """How large the row of a snapshot is; the next one is written when as much has been folded again."""
    return len(snapshot_body(snapshot).encode()) + len(snapshot.memory or b"")


def snapshot_from(body: str, memory: str | None) -> Snapshot:
    form = json.loads(body)
    form.setdefault("given", form["entered"])  # a row written before a visit could have another's payload
    pending, again, refusal = form.pop("pending"), form.pop("again", None), form.pop("refusal")
    settled = form.pop("settled", (0, 0))
    return Snapshot(
        **form,
        settled=Spent(*settled),
        pending=Pending(**pending) if pending else None,
        again=Again(**again) if again else None,
        refusal=_ruling(refusal) if refusal else None,
        memory=memory.encode() if memory is not None else None,
    )


def _ruling(form: dict[str, Any]) -> Ruling:
    return Ruling(**{**form, "verdict": Verdict(**form["verdict"])})
