"""What there is to show as plain JSON data: the same names everywhere a program reads them."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from attrs import asdict

from fsm.core.record import Record, Spent
from fsm.define.guard import Ruling
from fsm.errors import Mistake
from fsm.journal.rows import Call, Run

if TYPE_CHECKING:  # to list runs needs none of these
    from fsm.journal.guards import Change, Stored
    from fsm.replay.replay import Replay
    from fsm.show.diagram import Diagram
    from fsm.show.health import Health
    from fsm.show.overlay import Overlay, Tally
    from fsm.show.why import Why

Data = dict[str, Any]


def run_data(run: Run, spent: Spent, left: bool, again_at_ms: int | None) -> Data:
    """A run; `left` where it is under way and nobody advances it, `again_at_ms` where it rests before an attempt."""
    return {
        "run_id": run.run_id,
        "machine": run.machine,
        "state": run.state,
        "outcome": run.outcome,
        "left": left,
        "again_at_ms": again_at_ms,
        "records": run.seq + 1,
        "labels": run.labels,
        **_spent_data(spent),
        "started_at_ms": run.started_at_ms,
        "at_ms": run.at_ms,
    }


def _spent_data(spent: Spent) -> Data:
    """Spending flat; the usage behind it, by model and price version, where any was told."""
    usage = {"usage": [asdict(one) for one in spent.usage]} if spent.usage else {}
    return {"tokens": spent.tokens, "usd_micros": spent.usd_micros, **usage}


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
        "verdicts": [_verdict_data(ruling) for ruling in record.rulings],
        **_spent_data(record.spent),
        "strikes": dict(record.strikes),
        "until_ms": record.until_ms,
        "note": dict(record.note),
        "memory": record.memory.hex() if record.memory else None,
        "digest": record.digest.hex() if record.digest else None,
        "payload": json.loads(record.body) if record.body is not None else None,
    }


def _verdict_data(ruling: Ruling) -> Data:
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
        **_spent_data(call.spent),
        **{name: most for name in ("tokens_max", "usd_micros_max") if (most := getattr(call, name)) is not None},
        "at_ms": call.at_ms,
        "body": json.loads(call.body) if call.body is not None else None,
    }


def diagram_data(diagram: "Diagram", run_id: str | None = None, overlay: "Overlay | None" = None) -> Data:
    return {"diagram": asdict(diagram), "run_id": run_id, "overlay": _overlay_data(overlay) if overlay else None}


def _overlay_data(overlay: "Overlay") -> Data:
    """`taken` and `unhandled` as lists, since their keys are pairs; spending flat, as everywhere."""
    return {
        **_flat(overlay),
        "by": _verdict_data(overlay.by) if overlay.by is not None else None,
        "states": {name: _flat(tally) for name, tally in overlay.states.items()},
        "taken": [{"state": state, "hop": hop, "times": times} for (state, hop), times in overlay.taken.items()],
        "unhandled": [
            {"state": state, "event": event, "times": times} for (state, event), times in overlay.unhandled.items()
        ],
    }


def _flat(found: "Overlay | Tally") -> Data:
    told: Data = asdict(found)
    del told["spent"]
    return {**_spent_data(found.spent), **told}


def shared_data(found: "Stored", now_ms: int) -> Data:
    """A row that guards share as it stands at that moment; `last` is its last change of state."""
    from fsm.show.kinds import KINDS

    return {
        "name": found.name,
        **KINDS[found.share.kind].data(found, now_ms),
        "at_ms": found.at_ms,
        "now_ms": now_ms,
        "askers": [{"machine": asker.machine, "at": asker.at} for asker in found.askers],
        "last": change_data(found, found.last) if found.last is not None else None,
    }


def change_data(found: "Stored", change: "Change") -> Data:
    """A change of a row's state; of a person's act, with its name and reason."""
    from fsm.show.kinds import KINDS

    return {
        "at_ms": change.at_ms,
        "run_id": change.run_id,
        **KINDS[found.share.kind].change_data(change),
        **{name: change.note.get(name) for name in ("act", "by", "reason")},
    }


def why_data(why: "Why") -> Data:
    return asdict(why)


def replay_data(replay: "Replay") -> Data:
    return {**asdict(replay), "agreed": replay.agreed}


def health_data(health: "Health", diverged: "Iterable[Replay]") -> Data:
    """`diverged` are the replays that found a record which is not what was written."""
    return {**asdict(health), "diverged": [replay_data(replay) for replay in diverged]}


def mistake_data(mistake: Mistake) -> Data:
    return {
        "attribute": mistake.attribute,
        "where": mistake.where,
        "what": mistake.what,
        "instead": mistake.instead,
    }
