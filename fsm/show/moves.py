"""What would move a run: commands to paste, and changes to its machine."""

import json
from collections.abc import Iterable

from attrs import evolve, frozen

from fsm.core.record import Record
from fsm.define.events import RUNTIME_EVENTS
from fsm.define.guard import Placed, Verdict
from fsm.define.parts import START
from fsm.show.asked import takers
from fsm.show.evidence import Evidence
from fsm.show.kinds import kind_of
from fsm.show.rulings import Given, deciding, deferring
from fsm.show.skeleton import skeleton
from fsm.show.words import duration, joined, moment, safe

CODE = ("predicate_error", "guard_error", "remember_error")


@frozen
class Move:
    """Something that would move the run: `text` says what it does, `command` is what to type, if that does it."""

    text: str
    command: str = ""


def moves(found: Evidence, case: str) -> list[Move]:
    """For each case what helps, the surest first."""
    match case:
        case "waits":
            sending = [] if found.overdue else _sending(found)  # an event would come too late
            later = [
                evolve(move, text=f"for the runs after it: {move.text}")
                for move in _remedy(found, deciding(found.spec, found.entry))
            ]
            return [*_resumed_if_due(found), *_answering(found), *sending, *_waiting(found), *later]
        case "deferred":
            return [_going_on(found), *_remedy(found, _put_off(found)), *_instead(found)]
        case "left":
            resume = _resume(found, "resume it: it goes on where it is, with a new attempt")
            return [resume, *_remedy(found, _put_off(found))]
        case "running" | "rests":
            return [
                Move("watch it", _command("show", found, "--follow")),
                Move("stop it", _command("cancel", found)),
            ]
        case "stopped":
            return _unstopped(found)
        case "stuck":
            return _unstuck(found)
        case _:
            return []


def _command(verb: str, found: Evidence, *more: str) -> str:
    return found.here.command(verb, found.run.run_id, *more, machine=found.run.machine)


def _resume(found: Evidence, text: str) -> Move:
    """Resuming, and what it costs a halted run; where the machine at hand has changed, accepting it."""
    if found.run.halted and found.made_again:
        text += f"; its finished calls are made again, under new keys: {joined(_quoted(found.made_again), 'and')}"
    if found.changed:
        return Move(f"{text}, under the changed machine", _command("resume", found, "--accept"))
    return Move(text, _command("resume", found))


def _quoted(names: Iterable[str]) -> list[str]:
    return [f"`{safe(name)}`" for name in names]


def _sending(found: Evidence, but: str = "") -> list[Move]:
    spec, state = found.spec, found.run.state
    shapes = {shape.name: shape for shape in spec.payloads}
    sent = []
    for event in (event for event in spec.events_from(state) if event != but):
        ways = [f"`{safe(line.name)}` to {safe(line.target)}" for line in takers(spec, state, event)]
        body = json.dumps(skeleton(shapes[event]) if event in shapes else {}, ensure_ascii=False)
        sent.append(
            Move(
                f"send {safe(event)}: it takes {joined(ways, 'or')}", _command("send", found, event, "--payload", body)
            )
        )
    return sent


def _going_on(found: Evidence) -> Move:
    left_ms = (found.due_ms("defer") or 0) - found.now_ms
    when = f"in {duration(left_ms)}" if left_ms > 0 else "now"
    return Move(f"wait: it goes on by itself, asked again {when} by any runner of this machine, until it is let pass")


def _instead(found: Evidence) -> list[Move]:
    """Events that lead elsewhere, where a person's waits; the one that waits already would be put off no less."""
    waiting = found.put_off
    return [] if waiting is None or waiting.own else _sending(found, but=waiting.event)


def _resumed_if_due(found: Evidence) -> list[Move]:
    if found.posted:
        return [_resume(found, "resume it: a runner decides what waits in the inbox")]
    if found.overdue:
        return [_resume(found, "resume it: a runner sees that the time is over")]
    return []


def _answering(found: Evidence) -> list[Move]:
    """A call's fate is in question: it gave a result, or was never made."""
    if found.question is None:
        return []
    call = str(found.question["call"])
    return [
        Move(f"it happened: say what call `{safe(call)}` gave", _command("answer", found, call, "--result", "JSON")),
        Move("it did not: have it made again", _command("answer", found, call, "--again")),
    ]


def _waiting(found: Evidence) -> list[Move]:
    due_ms = found.due_ms("timeout")
    lines = takers(found.spec, found.run.state, "TimedOut") or takers(found.spec, found.run.state, "AgentFailed")
    if due_ms is None or due_ms < found.now_ms:
        return []
    where = f"`{safe(lines[0].name)}` to {safe(lines[0].target)}" if lines else "nothing: it is stuck then"
    return [Move(f"or wait: at {moment(due_ms)} TimedOut takes {where}")]


def _unstopped(found: Evidence) -> list[Move]:
    decided = deciding(found.spec, found.last)
    if decided is None:
        return [_resume(found, "resume it: it tries again, with a new attempt")]
    refusal, guard = decided.ruling, decided.guard
    at = f"`{safe(refusal.at)}`{_where(refusal.at, found)}"
    if refusal.verdict.code in CODE:
        return [Move(f"correct {safe(refusal.guard)} of {at}"), _resume(found, "then resume it")]
    if guard is not None and guard.limit is not None:
        accept = _command("resume", found, "--accept")
        return [
            Move(f"raise {_written(guard)} on {at}, or give it an otherwise; then accept the changed machine", accept),
            _resume(found, "or resume it as it is: it goes on if its agent returns what another line takes"),
        ]
    if _lets_pass(found, decided):
        return [_resume(found, "there is room now: resume it")]
    if remedy := _remedy(found, decided):
        return [
            *remedy,
            _resume(found, "then resume it, or once it lets pass by itself"),
            Move(f"or give {at} an otherwise, so that a refusal leads somewhere"),
        ]
    return [
        _resume(found, "resume it: it tries again, with a new attempt"),
        Move(f"or give {at} an otherwise, so that a refusal leads somewhere"),
    ]


def _put_off(found: Evidence) -> Given | None:
    """What its event waits for, if one waits."""
    return deferring(found.spec, found.put_off) if found.put_off is not None else None


def _remedy(found: Evidence, one: Given | None) -> list[Move]:
    """What to do about the row that a guard shares with other runs."""
    guard, kind = (one.guard, kind_of(one.guard)) if one is not None else (None, None)
    row = found.row_of(guard)
    if one is None or guard is None or kind is None or row is None or _lets_pass(found, one):
        return []
    return [Move(*remedy) for remedy in kind.remedies(row.name, guard, _again(found, one), found.here)]


def _lets_pass(found: Evidence, one: Given) -> bool:
    return _again(found, one).decision == "allow"


def _again(found: Evidence, one: Given) -> Verdict:
    """What the guard would answer now, where a row that it shares tells."""
    kind, row = kind_of(one.guard), found.row_of(one.guard)
    if one.guard is None or kind is None or row is None or row not in found.rows:
        return one.ruling.verdict
    return kind.again(one.guard, one.ruling.verdict, found.rows[row], found.now_ms)


def _unstuck(found: Evidence) -> list[Move]:
    last = found.last
    if last.event == "CallUnsure":
        return _answering(found)
    state, event = safe(last.source), safe(last.event)
    again = _resume(found, "resume it: its agent tries again" if last.source != START else "resume it: it starts again")
    lines = takers(found.spec, last.source, last.event)
    if lines:
        names = joined([f"`{safe(line.name)}`{_where(line.name, found)}" for line in lines], "or")
        return [again, Move(f"or let one line always match: leave out when= of {names}")]
    line = f"`{_fresh(event)} = {state}.to(..., on={_on(last)})`"
    return [again, Move(f"or declare where it leads: {line}{_where(last.source, found)}")]


def _fresh(event: str) -> str:
    return {"AgentFailed": "broken", "TimedOut": "lapse"}.get(event, "then")


def _on(record: Record) -> str:
    """What the state should have handled: of an escalated event the one that came first."""
    if record.event != "AgentFailed" or record.body is None:
        return safe(record.event)
    kind = json.loads(record.body).get("error_type")
    return kind if kind in RUNTIME_EVENTS else "AgentFailed"


def _where(attribute: str, found: Evidence) -> str:
    return f" ({found.places[attribute]})" if attribute in found.places else ""


def _written(guard: Placed) -> str:
    """A guard as it is written: `LoopCap(3)`, `Deadline(120)`."""
    if guard.counter is not None and guard.counter.of == "elapsed_ms" and guard.limit is not None:
        return f"{guard.name}({guard.limit / 1000:_.10g})"
    values = [f"{value:_}" if isinstance(value, int) else repr(value) for value in guard.params.values()]
    named = [f"{name}={value}" for name, value in zip(guard.params, values, strict=True)]
    return f"{guard.name}({', '.join([*values[:1], *named[1:]])})"
