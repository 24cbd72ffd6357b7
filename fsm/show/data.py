"""What there is to show as plain JSON data: the same names everywhere a program reads them."""

import json
from typing import Any

from attrs import asdict

from fsm.core.record import Record
from fsm.define.guard import Ruling
from fsm.errors import Mistake
from fsm.journal.rows import Call, Run
from fsm.show.overlay import Overlay

Data = dict[str, Any]


def run_data(run: Run) -> Data:
    return {
        "run_id": run.run_id,
        "machine": run.machine,
        "state": run.state,
        "outcome": run.outcome,
        "records": run.seq + 1,
        "labels": run.labels,
        "started_at_ms": run.started_at_ms,
        "at_ms": run.at_ms,
    }


def record_data(record: Record) -> Data:
    """A record; `payload` is None where it was erased, `memory` the digest of the memory where that changed."""
    return {
        "seq": record.seq,
        "kind": record.kind,
        "at_ms": record.at_ms,
        "source": record.source,
        "event": record.event,
        "event_id": record.event_id,
        "own": record.own,
        "attempt": record.attempt,
        "hop": record.hop,
        "state": record.state,
        "outcome": record.outcome,
        "predicates": dict(record.predicates),
        "rulings": [ruling_data(ruling) for ruling in record.rulings],
        "tokens": record.spent.tokens,
        "usd_micros": record.spent.usd_micros,
        "until_ms": record.until_ms,
        "note": dict(record.note),
        "memory": record.memory.hex() if record.memory else None,
        "digest": record.digest.hex() if record.digest else None,
        "payload": json.loads(record.body) if record.body is not None else None,
    }


def ruling_data(ruling: Ruling) -> Data:
    verdict = ruling.verdict
    return {
        "guard": ruling.guard,
        "at": ruling.at,
        "decision": verdict.decision,
        "code": verdict.code,
        "numbers": dict(verdict.numbers),
        "until_ms": verdict.until_ms,
        "text": verdict.text,
    }


def call_data(call: Call) -> Data:
    """A row of the call ledger; `body` holds the arguments of an intent, the result of an outcome."""
    return {
        "seq": call.seq,
        "attempt": call.attempt,
        "kind": call.kind,
        "name": call.name,
        "key": call.key,
        "status": call.status,
        "tokens": call.spent.tokens,
        "usd_micros": call.spent.usd_micros,
        "at_ms": call.at_ms,
        "body": json.loads(call.body) if call.body is not None else None,
    }


def overlay_data(overlay: Overlay) -> Data:
    """A run on its diagram; `taken` and `unhandled` as lists, since their keys are pairs."""
    return {
        **asdict(overlay),
        "taken": [{"state": state, "hop": hop, "times": times} for (state, hop), times in overlay.taken.items()],
        "unhandled": [
            {"state": state, "event": event, "times": times} for (state, event), times in overlay.unhandled.items()
        ],
    }


def mistake_data(mistake: Mistake) -> Data:
    return {
        "attribute": mistake.attribute,
        "where": mistake.where,
        "what": mistake.what,
        "instead": mistake.instead,
    }
