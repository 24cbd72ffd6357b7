"""How payloads, events, guards and verdicts are said in few words, and safe on any terminal."""

import json
from typing import Any

from fsm.core.record import Record
from fsm.define.events import RUNTIME_EVENTS, invalid_words
from fsm.define.guard import Counter, Placed, Ruling
from fsm.show.words import block, count, duration, moment, money, safe, shown

COUNTED = {"fires": ("time", "times"), "visits": ("visit", "visits"), "hops": ("hop", "hops")}
ORDINAL = {"fires": "firing", "visits": "visit", "hops": "hop", "arrivals": "arrival"}  # counted before it happens
OF_WHAT = {"arrivals": " of the same payload"}
UNITS = {"cycles": "cycles without progress"}
VALUE_MAX, WORD_MAX = 200, 24


def gist(body: bytes | None) -> str:
    """A payload in a few words, its long texts last: `good=false missing=[2] critique="Too short."`."""
    if body is None:
        return "(erased)"
    fields = sorted(json.loads(body).items(), key=lambda field: isinstance(field[1], str) and len(field[1]) > WORD_MAX)
    return " ".join(f"{safe(name)}={_value(value)}" for name, value in fields)


def words(record: Record) -> str:
    """What arrived with a record, in a few words: a payload's fields, or what the runtime's own event says."""
    if record.note.get("unread"):
        return f"(its class reads it no more: {safe(str(record.note['unread']))})"
    if record.event in RUNTIME_EVENTS:
        return own_words(record)
    return gist(record.body) if record.event else ""


def happened(record: Record) -> str:
    """The event of a record; of the runtime's own, what it says: `AgentFailed (ValueError: no answer)`."""
    told = own_words(record)
    return safe(record.event) + (f" ({told})" if told else "")


def own_words(record: Record) -> str:
    """What one of the runtime's own events says of itself; "" for every other."""
    if record.body is None or record.event not in RUNTIME_EVENTS:
        return ""
    body = json.loads(record.body)
    match record.event:
        case "AgentFailed":
            told = f"{body.get('error_type')}: {body.get('message')}" + (
                f" at {body['where']}" if body.get("where") else ""
            )
        case "TimedOut":
            told = f"after {duration(body.get('timeout_ms', 0))}"
        case "PayloadInvalid":
            told = invalid_words(str(body.get("event")), body.get("problems", []))
        case "CallRefused":
            told = f"{'call ' + body['call'] if body.get('call') else 'spending'}: {body.get('code')}"
        case "CallUnsure":
            told = f"call {body.get('call')} may have happened or not"
        case _:
            told = " ".join(filter(None, [body.get("by") and f"by {body['by']}", body.get("reason")]))
    return safe(told)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{len(value)}]" if value else "[]"
    if isinstance(value, dict):
        return "{…}" if value else "{}"
    if isinstance(value, str):
        return f'"{safe(value[:VALUE_MAX])}{"…" if len(value) > VALUE_MAX else ""}"'
    return json.dumps(value)


def tally(ruling: Ruling) -> tuple[str, int, int] | None:
    """What a guard counted, how often, and its limit; None for one that does not count."""
    numbers = ruling.verdict.numbers
    named = next((name for name in numbers if f"{name}_max" in numbers), None)
    return (named, numbers[named], numbers[f"{named}_max"]) if named is not None else None


def of_limit(what: str, number: int, limit: int) -> str:
    """`firing 4 of 3`: the one that is asked for; of spending what there is: `200,120 of 200,000 tokens`."""
    if what in ORDINAL:
        return f"{ORDINAL[what]} {number + 1:,} of {limit:,}{OF_WHAT.get(what, '')}"
    if what == "usd_micros":
        return f"{money(number)} of {money(limit)}"
    return f"{number:,} of {limit:,} {UNITS.get(what, what.replace('_', ' '))}"


def cap(ruling: Ruling) -> str:
    """A cap that allowed, as short as it can be told: `2/3`; "" where nothing is counted."""
    told = tally(ruling)
    if told is None:
        return ""
    what, number, limit = told
    return f"{money(number)}/{money(limit)}" if what == "usd_micros" else f"{number + (what in ORDINAL):,}/{limit:,}"


def said(ruling: Ruling) -> str:
    """What a guard answered, with its numbers: `refused firing 4 of 3`, `allowed 120 of 200,000 tokens`."""
    verdict = ruling.verdict
    word = {"allow": "allowed", "refuse": "refused", "defer": "put it off"}[verdict.decision]
    counted = tally(ruling)
    parts = [f"{word} {of_limit(*counted)}" if counted else word]
    told = {counted[0], f"{counted[0]}_max"} if counted else set()
    left = ", ".join(f"{safe(name)} {number:,}" for name, number in verdict.numbers.items() if name not in told)
    code = verdict.code if verdict.decision != "allow" and not (counted and verdict.code == "loop_cap") else ""
    because = ": ".join(filter(None, [", ".join(filter(None, [safe(code), left])), safe(verdict.text)]))
    until = f" until {moment(verdict.until_ms)}" if verdict.until_ms is not None else ""
    return f"{parts[0]}{until}" + (f" ({because})" if because else "")


def objection(ruling: Ruling) -> str:
    """`LoopCap on reject refused firing 4 of 3`."""
    return f"{safe(ruling.guard)} on {safe(ruling.at)} {said(ruling)}"


def pretty(body: bytes | None, chars_max: int | None = None) -> str:
    """JSON over several lines, safe to print; cut after `chars_max`, with a note of how much is left."""
    if body is None:
        return "(erased)"
    text = block(json.dumps(json.loads(body), indent=2, ensure_ascii=False))
    if chars_max is None or len(text) <= chars_max:
        return text
    return f"{text[:chars_max]}…\n… {len(text) - chars_max:,} more characters: add --all"


def compact(body: bytes | None) -> str:
    """JSON in one line, safe to print."""
    return "(erased)" if body is None else safe(body.decode())


def guard_words(guard: Placed, owner: str) -> str:
    """What a guard demands, after its name: its limit in words, or its parameters. `owner`: where it stands."""
    if guard.counter is not None and guard.limit is not None:
        return _limit_words(guard.counter, guard.limit, owner)
    return ", ".join(f"{shown(key)} {shown(str(value))}" for key, value in guard.params.items())


def _limit_words(counter: Counter, limit: int, owner: str) -> str:
    if counter.of == "usd_micros":
        told = money(limit)
    elif counter.of == "tokens":
        told = count(limit, "token")
    else:
        told = count(limit, *COUNTED[counter.of])
    of = f" of {shown(counter.subject)}" if counter.subject not in ("", owner) else ""
    since = f" since {shown(counter.since)}" if counter.since else ""
    return f"up to {told}{of}{since}"
