"""The path of a run: one line a record, with what was counted, what objected, and the calls that followed."""

import json
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

from attrs import frozen

from fsm.core.record import HALTED, MOVES, NOTHING, Record, Spent
from fsm.define.guard import Counter, Placed
from fsm.define.parts import is_retry
from fsm.define.spec import MachineSpec
from fsm.journal.reader import Reader
from fsm.journal.rows import Call, Run
from fsm.journal.search import counted, notable
from fsm.show.rulings import Given, given
from fsm.show.telling import again, cap, not_retriable, objections, streaks, words
from fsm.show.words import moment, safe

WHOLE_MAX, HEAD_MAX, NOTABLE_MAX, TAIL_MAX = 40, 8, 16, 14
PAGE = 500
TAKEN_UP = {
    "lost": "taken up again: its runner was gone",
    "released": "taken up again where it was left",
    "asked": "resumed on request",
    "answered": "resumed with an answer",
}


@frozen
class Cap:
    """A count of the run against its limit; `at` is the attribute whose guard looks at it, of failures what fails."""

    guard: str
    at: str
    of: str
    count: int
    limit: int


@frozen(kw_only=True)
class CallTold:
    """A call: how it went, what it cost, and how long it took, or None while it is open.

    `status`: ok, failed, open, lost (made again under its key), undone (somebody knows that it was not made), unknown
    (it was cut off, and what it had declared is booked), or spent: what an attempt had spent when it was cut off.
    """

    name: str
    key: str
    attempt: int
    status: str
    spent: Spent
    lasted_ms: int | None = None
    arguments: bytes | None = None
    result: bytes | None = None

    @property
    def error(self) -> str:
        """What a failed call failed with."""
        found: Any = json.loads(self.result) if self.status == "failed" and self.result else {}
        return f"{found.get('type')}: {found.get('text')}" if found else ""


@frozen(kw_only=True)
class PathLine:
    """A record in a line. `caps` are those of the way taken, `2/3`; `remark` says what is out of the ordinary.

    `calls` and `spent` are what followed, before the next record.
    """

    seq: int
    after_ms: int
    kind: str
    state: str
    outcome: str
    hop: str
    event: str
    own: bool
    words: str
    caps: tuple[str, ...]
    objections: tuple[str, ...]
    remark: str
    calls: tuple[CallTold, ...] = ()
    spent: Spent = NOTHING


@frozen
class Gap:
    """Records that are not shown."""

    records: int


def caps(reader: Reader, run: Run, now_ms: int) -> list[Cap]:
    """Every cap of the run's machine with its count now, those of the whole run first; of retries this visit's."""
    spec = reader.spec(run.fingerprint)
    placed = [guard for part in (*spec.everywhere, *spec.parts.values()) for guard in part.guards]
    now = spec.state.get(run.state)
    placed += [now.retry.guard] if now is not None and now.retry is not None else []
    found = [(guard, guard.counter, guard.limit) for guard in placed if guard.counter is not None]
    counts = counted(reader, run, {counter for _, counter, _ in found}, now_ms)
    told = [_cap(guard, counter, counts[counter.key], limit or 0) for guard, counter, limit in found]
    return list(dict.fromkeys(told))


def _cap(guard: Placed, counter: Counter, count: int, limit: int) -> Cap:
    if is_retry(guard.at):
        return Cap(guard.name, counter.since, "attempts", count + 1, limit + 1)
    at = counter.subject if counter.of == "strikes" else guard.at
    return Cap(guard.name, at, f"{counter.of} since {counter.since}" if counter.since else counter.of, count, limit)


def shown(reader: Reader, run: Run, everything: bool = False) -> list[range]:
    """Which records to show: all, or of a long run the first, the last, and the last notable ones between."""
    if everything or run.seq < WHOLE_MAX:
        return [range(run.seq + 1)]
    first, last = HEAD_MAX, run.seq - TAIL_MAX + 1
    between = notable(reader, run.key, first, last - 1, NOTABLE_MAX)
    return _joined([range(first), *(range(seq, seq + 1) for seq in between), range(last, run.seq + 1)])


def _joined(spans: Iterable[range]) -> list[range]:
    found: list[range] = []
    for span in spans:
        if found and found[-1].stop == span.start:
            found[-1] = range(found[-1].start, span.stop)
        else:
            found.append(span)
    return found


def path(reader: Reader, run: Run, spans: Iterable[range]) -> Iterator[PathLine | Gap]:
    """The lines of these records, read in pages, with a gap where some are left out."""
    spec, after = reader.spec(run.fingerprint), 0
    for span in spans:
        if span.start > after:
            yield Gap(span.start - after)
        after = span.stop
        for start in range(span.start, span.stop, PAGE):
            last = min(start + PAGE, span.stop) - 1
            calls = calls_told(reader, run, start, last)
            records = reader.span(run.key, start, min(last + 1, run.seq))
            for record, following in zip_longest(records, records[1:]):
                if record.seq <= last:
                    spent = following.spent if following else NOTHING
                    yield line(spec, run, record, calls.get(record.seq, ()), spent)


def line(
    spec: MachineSpec, run: Run, record: Record, calls: Iterable[CallTold] = (), spent: Spent = NOTHING
) -> PathLine:
    return PathLine(
        seq=record.seq,
        after_ms=record.at_ms - run.started_at_ms,
        kind=record.kind,
        state=record.state,
        outcome=record.outcome,
        hop=record.hop,
        event=record.event,
        own=record.own,
        words=words(record),
        caps=_caps(spec, record),
        objections=(*objections(spec, record), *not_retriable(spec, record)),
        remark="; ".join(filter(None, [_remark(record), *_streaks(record)])),
        calls=tuple(calls),
        spent=spent,
    )


def _caps(spec: MachineSpec, record: Record) -> tuple[str, ...]:
    """What the way taken, or the state entered, counts over the run; the run's own counts stand in the head.

    A guard that let pass where another one refused has counted nothing, and the size of one payload is no count.
    """
    counting = [one for one in given(spec, record) if _happened(one, record) and _counts(one)]
    return tuple(sorted(filter(None, (cap(one.ruling) for one in counting)), key=lambda told: " " in told))


def _happened(one: Given, record: Record) -> bool:
    """Whether what the guard stands on was taken, entered, or tried again."""
    at, retried = one.ruling.at, record.kind == "retried"
    if not record.hop or one.ruling.verdict.decision != "allow" or one.retry is not retried:
        return False
    return at == record.hop or (at == record.state and not retried)


def _counts(one: Given) -> bool:
    """Whether it counts something over the run: in a counter of the kernel's, or in what it keeps."""
    return bool(one.ruling.verdict.keep) or (one.guard is not None and one.guard.counter is not None)


def _streaks(record: Record) -> list[str]:
    """Where no refusal tells them."""
    return [] if any(ruling.verdict.code == "strikes" for ruling in record.rulings) else streaks(record)


def _remark(record: Record) -> str:
    by = f" by {safe(str(record.note['by']))}" if record.note.get("by") else ""
    match record.kind:
        case "resumed":
            why = str(record.note.get("why"))
            return f"{TAKEN_UP.get(why, 'taken up again')}{by}, attempt {record.attempt}"
        case "repinned":
            reason = f": {safe(str(record.note['reason']))}" if record.note.get("reason") else ""
            return f"the changed machine was accepted{by}{reason}"
        case "forked":
            return f"forked from {safe(str(record.note['parent']))} at record {record.note['parent_seq']}"
        case "retried":
            return again(record)
        case "deferred":
            return f"put off until {moment(record.until_ms)}" if record.until_ms is not None else "put off"
        case "refused":
            return "refused; it stays"
        case "unhandled":
            return "nothing takes it here; it stays"
        case _ if record.outcome in HALTED:
            return f"halted, {record.outcome}"
        case kind if record.outcome not in ("running", "waiting") or kind not in MOVES:
            return f"{record.kind}, {record.outcome}"
        case _:
            return "waits" if record.outcome == "waiting" else ""


def calls_told(reader: Reader, run: Run, first: int, last: int) -> dict[int, list[CallTold]]:
    """The calls begun after each of these records, and before the next; an outcome is found wherever it came."""
    rows = reader.calls_between(run.key, first, last)
    found: dict[int, list[CallTold]] = {}
    following: dict[str, Call] = {}
    for row in reversed(rows):
        if row.kind == "intent":
            found.setdefault(row.seq, []).append(_told(row, following.get(row.key) or _later(reader, row)))
        elif row.kind == "spent" and not _settles(row, following.get(row.key)):
            found.setdefault(row.seq, []).append(_told(row, None))
        if _settles(row, following.get(row.key)):
            following[row.key] = row
    return {seq: found[seq][::-1] for seq in sorted(found)}


def _later(reader: Reader, intent: Call) -> Call | None:
    """What became of the intent after these rows, if anything has by now."""
    found: Call | None = None
    for row in reversed([row for row in reader.calls_of(intent.run, intent.key) if row.id > intent.id]):
        found = row if _settles(row, found) else found
    return found


def _settles(row: Call, following: Call | None) -> bool:
    """Whether it says what became of the intent before it; what was only presumed does not, where that is known."""
    if row.kind != "spent":
        return True
    return row.status == "unknown" and (following is None or following.attempt != row.attempt)


def _told(row: Call, following: Call | None) -> CallTold:
    """Where another intent follows under its key, the attempt was lost, and the call made again."""
    outcome = following if following is not None and following.kind != "intent" else None
    if row.kind == "spent":
        status = "spent"
    elif outcome is not None:
        status = str(outcome.status)
    else:
        status = "lost" if following is not None else "open"
    return CallTold(
        name=row.name,
        key=row.key,
        attempt=row.attempt,
        status=status,
        spent=row.spent + (outcome.spent if outcome else Spent()),
        lasted_ms=outcome.at_ms - row.at_ms if outcome and outcome.kind == "outcome" else None,
        arguments=row.body,
        result=outcome.body if outcome and outcome.kind == "outcome" else None,
    )
