"""How moments, numbers, payloads and verdicts are said: in few words, and safe on any terminal."""

import json
from datetime import UTC, datetime
from typing import Any

from fsm.core.record import Record
from fsm.define.events import RUNTIME_EVENTS
from fsm.define.guard import Ruling

UNITS_MS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000))
ORDINAL = {"fires": "firing", "visits": "visit", "hops": "hop"}  # what is counted before it happens
JOINER = "\u200d"  # holds the parts of one emoji together
VALUE_MAX, WORD_MAX = 200, 24


def safe(text: str) -> str:
    """One line of it, without anything that a terminal would obey instead of show."""
    return " ".join("".join(map(_shown, text)).split())


def block(text: str) -> str:
    """The same, its lines kept."""
    return "\n".join("".join(map(_shown, line)) for line in text.split("\n"))


def _shown(char: str) -> str:
    if char.isprintable() or char == JOINER:
        return char
    return " " if char in "\n\r\t" else f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"


def count(number: int, one: str) -> str:
    """`1 record`, `9,940 records`."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"


def listed(names: list[str], word: str) -> str:
    """`a, b or c`."""
    return f" {word} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def lasting(ms: int) -> str:
    """How long: the two largest units from a minute on, `1 d 23 h`; below that `12.3 s`, `85 ms`."""
    ms = max(ms, 0)
    if ms < 1_000:
        return f"{ms} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f}".removesuffix(".0") + " s"
    parts: list[str] = []
    for unit, length in UNITS_MS:
        number, ms = divmod(ms, length)
        if parts or number:
            parts.append(f"{number} {unit}" if number else "")
    return " ".join(filter(None, parts[:2]))


def ago(ms: int) -> str:
    """How long ago, as coarsely as one says it: `3 min ago`."""
    for unit, length in UNITS_MS:
        if ms >= length:
            return f"{ms // length} {unit} ago"
    return "just now"


def moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


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
    return own_words(record) or (gist(record.body) if record.event else "")


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
            told = f"{body.get('error_type')}: {body.get('message')}"
        case "TimedOut":
            told = f"after {lasting(body.get('timeout_ms', 0))}"
        case "PayloadInvalid":
            told = "; ".join([str(body.get("event")), *body.get("problems", [])])
        case "CallRefused":
            told = (
                f"call {body.get('call')}: {body.get('code')}" if body.get("call") else f"spending: {body.get('code')}"
            )
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
        return f"{ORDINAL[what]} {number + 1:,} of {limit:,}"
    return f"{number:,} of {limit:,} {what.replace('_', ' ')}"


def cap(ruling: Ruling) -> str:
    """A cap that allowed, as short as it can be told: `2/3`; "" where nothing is counted."""
    told = tally(ruling)
    return f"{told[1] + (told[0] in ORDINAL):,}/{told[2]:,}" if told else ""


def said(ruling: Ruling) -> str:
    """What a guard answered, with its numbers: `refused firing 4 of 3`, `allowed 120 of 200,000 tokens`."""
    verdict = ruling.verdict
    word = {"allow": "allowed", "refuse": "refused", "defer": "put it off"}[verdict.decision]
    counted = tally(ruling)
    parts = [f"{word} {of_limit(*counted)}" if counted else word]
    shown = {f"{counted[0]}", f"{counted[0]}_max"} if counted else set()
    left = ", ".join(f"{safe(name)} {number:,}" for name, number in verdict.numbers.items() if name not in shown)
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
