"""Why a run does not move: one sentence with numbers, what was asked last, and what would move it.

From the journal alone. The machine's code, where it is at hand, adds file and line, and tells when it has
changed since.
"""

from collections.abc import Mapping
from typing import Any, Literal

from attrs import frozen

from fsm.core.record import Record
from fsm.define.events import RUNTIME_EVENTS
from fsm.show.asked import Asked, asked, place, takers
from fsm.show.evidence import Evidence
from fsm.show.kinds import kind_of
from fsm.show.moves import Move, moves
from fsm.show.rulings import Given, deciding, deferring, striking
from fsm.show.telling import (
    attempt,
    happened,
    in_a_row,
    not_retriable,
    objections,
    of_limit,
    said,
    sooner,
    tally,
    watched,
)
from fsm.show.time_left import of_attempt, of_wait
from fsm.show.words import ago, count, duration, joined, moment, safe, times

Case = Literal["waits", "stopped", "stuck", "left", "running", "rests", "deferred", "ended"]

ASKED_MAX = 3
CHANGES_MAX = 4


@frozen(kw_only=True)
class Why:
    """The answer. `notes` is what else bears on it, `asked` the decisions behind it, the latest first."""

    run_id: str
    machine: str
    state: str
    outcome: str
    case: Case
    answer: str
    notes: tuple[str, ...]
    asked: tuple[Asked, ...]
    moves: tuple[Move, ...]


def why(found: Evidence) -> Why:
    """The answer to `why does it not move`; for one that does, what it is doing."""
    run = found.run
    case, answer = _answer(found)
    return Why(
        run_id=run.run_id,
        machine=run.machine,
        state=run.state,
        outcome=run.outcome,
        case=case,
        answer=answer,
        notes=tuple(_notes(found, case)),
        asked=_asked(found),
        moves=tuple(moves(found, case)),
    )


def _answer(found: Evidence) -> tuple[Case, str]:
    run = found.run
    if run.ended:
        return "ended", f"ended, {_ended(found)}: nothing to move"
    if run.outcome == "stopped":
        return "stopped", f"{'never started' if found.unstarted else 'halted, stopped'}: {cause(found)}"
    if run.outcome == "stuck":
        return "stuck", f"stuck: {cause(found)}"
    if found.left:
        return "left", _left(found)
    if found.put_off is not None:
        return "deferred", _deferred(found, found.put_off)
    if found.again_ms is not None:
        return "rests", _rests(found, found.again_ms)
    return ("waits", _waits(found)) if run.outcome == "waiting" else ("running", _running(found))


def cause(found: Evidence) -> str:
    """What ended or halted it, in the words of its last record; "" for one that completed."""
    match found.run.outcome:
        case "stopped":
            return _stopped(found)
        case "stuck":
            return _stuck(found)
        case "failed" | "cancelled":
            return "; ".join([happened(found.last), *_against(found)])
        case _:
            return ""


def _ended(found: Evidence) -> str:
    told = f"{found.last.outcome} in `{safe(found.last.state)}`"
    return f"{told} on {cause(found)}" if cause(found) else told


def _waits(found: Evidence) -> str:
    state = found.spec.state[found.run.state]
    events = [safe(event) for event in found.spec.events_from(state.name)]
    told = f"waits in `{safe(state.name)}` for {joined(events, 'or') or 'nothing that could come from outside'}"
    return told + of_wait(found)


def _stopped(found: Evidence) -> str:
    last = found.last
    refusal = deciding(found.spec, last)
    if refusal is None:
        return happened(last)
    return f"{_by(refusal, found)}, and `{safe(refusal.ruling.at)}` declares no otherwise"


def _by(refusal: Given, found: Evidence) -> str:
    """`LoopCap on reject (desk.py:31) refused firing 4 of 3`; of the user's code that broke, what it raised."""
    ruling, counted = refusal.ruling, tally(refusal.ruling)
    name = f"{_guard(refusal, found)} on {_at(ruling.at, found)}"
    if refusal.guard is not None and (kind := kind_of(refusal.guard)) is not None:
        return f"{name} {kind.answered(refusal.guard, ruling.verdict, found.now_ms)}"
    if ruling.verdict.text:
        return f"{name} refused with {ruling.verdict.code}: {safe(ruling.verdict.text)}"
    of = watched(refusal.guard)
    return f"{name} refused {of_limit(*counted, of and f'`{of}`')}" if counted else f"{name} {said(ruling)}"


def _guard(one: Given, found: Evidence) -> str:
    """`LoopCap`; of one that shares a row, with the name of the row that this run has."""
    row = found.row_of(one.guard)
    return safe(one.ruling.guard) + (f'("{safe(row.name)}")' if row is not None else "")


def _at(attribute: str, found: Evidence) -> str:
    """`reject` (desk.py:31)."""
    where = place(found.places, attribute)
    return f"`{safe(attribute)}`" + (f" ({where})" if where else "")


def _against(found: Evidence) -> list[str]:
    """What objected to the last record's way, and why the attempt before it did not begin again."""
    return [*objections(found.spec, found.last), *not_retriable(found.spec, found.last)]


def _stuck(found: Evidence) -> str:
    last, question = found.last, found.question
    if question is not None and last.event == "CallUnsure":
        return f"{_unsure(question)}, and `{safe(last.source)}` asks a person"
    if last.note.get("unread"):
        return f"{safe(last.event)} arrived, but its class reads it no more: {safe(str(last.note['unread']))}"
    told = f"no transition takes {safe(last.event)} from `{safe(last.source)}`"
    names = {line.name: line.when.name for line in takers(found.spec, last.source, last.event) if line.when}
    noes = [
        f"`{safe(names[line])}` of `{safe(line)}`"
        for line, answer in last.predicates
        if line in names and answer is False
    ]
    if noes:
        return f"{told}; {'predicate' if len(noes) == 1 else 'predicates'} {joined(noes, 'and')} answered no"
    told = f"{happened(last)}, and {told}" if last.event in RUNTIME_EVENTS else told
    return "; ".join([told, *_against(found)])


def _unsure(question: Mapping[str, Any]) -> str:
    call, arguments = safe(str(question["call"])), safe(str(question["arguments"]))
    return f"call `{call}` {arguments} was in flight when its process was lost, and may have happened or not"


def _left(found: Evidence) -> str:
    run, owner = found.run, found.owner
    resume = f"`{found.here.command('resume', run.run_id, machine=run.machine)}` goes on"
    if owner is None:
        return f"nobody advances it: it was let go in `{safe(run.state)}`, its last record is {_aged(found)}; {resume}"
    when = f"died {ago(owner.silent_ms)}" if owner.silent_ms is not None else "has died, or its host was restarted"
    return f"nobody advances it: its runner {safe(owner.name)} (pid {owner.pid}) {when}; {resume}"


def _aged(found: Evidence) -> str:
    told = ago(found.now_ms - found.last.at_ms)
    return "just written" if told == "just now" else f"from {told}"


def _deferred(found: Evidence, record: Record) -> str:
    by = deferring(found.spec, record)
    due_ms = found.due_ms("defer") or 0
    left = due_ms - found.now_ms
    when = f"in {duration(left)}" if left >= 0 else f"due {ago(-left)}"
    name = f" by {_guard(by, found)} on `{safe(by.ruling.at)}`" if by else ""
    told = f"{safe(record.event)} is deferred{name} until {moment(due_ms)}, {when}"
    if by is not None and by.guard is not None and (kind := kind_of(by.guard)) is not None:
        told += f"; {kind.answered(by.guard, by.ruling.verdict, found.now_ms)}"
    return told


def _running(found: Evidence) -> str:
    run, owner = found.run, found.owner
    assert owner is not None
    passed = found.now_ms - found.began_at_ms
    told = (
        f"running: attempt {run.attempt} of `{safe(run.state)}` by runner {safe(owner.name)} (pid {owner.pid}, alive)"
    )
    calls = [f"call `{safe(call.name)}` open for {duration(found.now_ms - call.at_ms)}" for call in found.open_calls]
    return ", ".join([f"{told} for {duration(passed)}{of_attempt(found)}", *calls[:3]])


def to_begin(found: Evidence) -> str:
    """Of a run that rests: `attempt 3 of 5 begins in 12 s`; "" for every other."""
    if found.again_ms is None or found.retried is None:
        return ""
    return f"{attempt(found.retried)} begins in {duration(found.again_ms - found.now_ms)}"


def _rests(found: Evidence, again_ms: int) -> str:
    retried, owner = found.retried, found.owner
    assert retried is not None and owner is not None
    told = f"`{safe(found.run.state)}` is tried again in {duration(again_ms - found.now_ms)} ({attempt(retried)})"
    return f"{told} by runner {safe(owner.name)} (pid {owner.pid}, alive): {happened(retried)}{sooner(retried)}"


def _notes(found: Evidence, case: Case) -> list[str]:
    run, notes = found.run, []
    if found.posted and case != "ended":
        held = "they are decided once it is resumed" if run.halted else "no runner has decided them yet"
        notes.append(f"{count(len(found.posted), 'event')} from outside in its inbox: {held}")
    if case == "waits" and found.question is not None:
        notes.append(_unsure(found.question))
    if case == "left" and found.open_calls:
        names = joined([f"`{safe(call.name)}`" for call in found.open_calls], "and")
        fate = "resumed, it is repeated under the same key, or refused or asked about, as its code says (unsure=)"
        notes.append(f"when it was left, {names} was in flight and may have happened; {fate}")
    if case == "left" and found.put_off is not None:
        notes.append(_deferred(found, found.put_off))
    for kind, told in (("refused", "refused"), ("unhandled", "not taken by any transition")):
        if number := sum(record.kind == kind for record in found.refused):
            notes.append(f"{count(number, 'event')} from outside {told} in this visit")
    if run.dropped:
        notes.append(f"{count(run.dropped, 'more event')} refused and only counted, beyond refusals_max")
    struck = next(filter(None, (striking(found.spec, record) for record in (found.last, found.entry))), None)
    if struck is not None:
        told = f"{struck.name} on {_at(struck.at, found)} refuses calls of `{watched(struck)}`"
        notes.append(f"{told} after {in_a_row(struck.limit or 0)}")
    if case == "left" and (again := to_begin(found)):
        notes.append(f"{again} at the soonest")
    if found.lost:
        notes.append(f"this visit lost its process {found.lost} of at most {found.spec.bounds.resumes_max} times")
    if found.detours and case == "ended":
        ways = ", ".join(f"`{safe(hop)}` {times(number)}" for hop, number in found.detours.items())
        notes.append(f"on the way it took {ways}")
    if found.owner is not None and found.owner.hung:
        names = joined([safe(name) for name in found.owner.hung], "and")
        notes.append(f"runner {safe(found.owner.name)} left behind what does not come back: {names}")
    if found.changed and case != "ended":
        more = f"; {len(found.changed) - CHANGES_MAX} more" if len(found.changed) > CHANGES_MAX else ""
        listing = "; ".join(map(safe, found.changed[:CHANGES_MAX]))
        notes.append(f"{safe(run.machine)} has changed since the run was recorded: {listing}{more}")
    return notes


def _asked(found: Evidence) -> tuple[Asked, ...]:
    """The decisions that matter, the latest first: what halted it, what was refused here, what led here."""
    records = [found.last] if found.run.halted or found.run.ended else []
    records += [record for record in (found.put_off, *reversed(found.refused)) if record is not None]
    records += [found.retried] if found.retried is not None and found.run.outcome == "running" else []
    if any(ruling.verdict.decision != "allow" for ruling in found.entry.rulings) or (
        found.run.outcome == "waiting" and (found.entry.rulings or found.entry.predicates)
    ):
        records.append(found.entry)
    kept = {record.seq: record for record in records if record.event}
    return tuple(asked(found.spec, record, found.places) for record in list(kept.values())[:ASKED_MAX])
