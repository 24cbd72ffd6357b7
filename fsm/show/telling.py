"""How payloads, events, guards and verdicts are said in few words, and safe on any terminal."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from fsm.core.record import Record
from fsm.define.events import RUNTIME_EVENTS, invalid_words
from fsm.define.guard import Placed, Ruling
from fsm.define.parts import is_retry, retry_id
from fsm.define.spec import MachineSpec
from fsm.show.breaking import is_of_breaker, stands
from fsm.show.kinds import kind_of
from fsm.show.rulings import given
from fsm.show.words import block, count, duration, moment, money, safe

ORDINAL = {  # what is counted before it happens
    **{"fires": "firing", "visits": "visit", "hops": "hop"},
    **{"attempts": "attempt", "arrivals": "arrival"},
}
OWN = frozenset({"fires", "visits", "attempts"})  # what a way or a state counts of itself
OF_WHAT = {"arrivals": " of the same payload"}
UNITS = {"cycles": "cycles without progress"}
NAMED = frozenset({"loop_cap", "strikes", "deadline", "attempts_max"})  # codes that say what the numbers say
ANSWERED = {True: "answered yes", False: "answered no", None: "raised"}  # what a predicate did
AMOUNTS: dict[str, Callable[[int], str]] = {"usd_micros": money, "elapsed_ms": duration}  # with units of their own
VALUE_MAX, WORD_MAX = 200, 24
MANUAL = "For further information visit "
REFUSED = re.compile(r"(?:call '(.*)'|spending) refused: (\w+) \((\w+ -?\d+(?:, \w+ -?\d+)*)\)")  # as `escalated` says


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
            told = f"{body.get('error_type')}: {_brief(str(body.get('message')))}"
            told += f" at {body['where']}" if body.get("where") else ""
        case "TimedOut":
            told = (
                f"after {duration(body['timeout_ms'])}"
                if body.get("timeout_ms")
                else "it came after its run's deadline"
            )
        case "PayloadInvalid":
            told = invalid_words(str(body.get("event")), body.get("problems", []))
        case "CallRefused":
            told = _refused_call(body)
        case "CallUnsure":
            told = f"call {body.get('call')} may have happened or not"
        case _:
            told = " ".join(filter(None, [body.get("by") and f"by {body['by']}", body.get("reason")]))
    return safe(told)


def _brief(message: str) -> str:
    """An error's text, as long as a line bears; pydantic's references to its manual left out; a refusal in words."""
    if refused := REFUSED.fullmatch(message):
        call, code, numbers = refused.groups()
        pairs = (pair.rpartition(" ") for pair in numbers.split(", "))
        return _refused_call({"call": call, "code": code, "numbers": {name: int(value) for name, _, value in pairs}})
    lines = (line for line in message.splitlines() if not line.strip().startswith(MANUAL))
    return safe(" ".join(lines), VALUE_MAX)


def _refused_call(body: dict[str, Any]) -> str:
    """`call search: 3 failures in a row, limit 3 (strikes)`."""
    code, numbers = str(body.get("code")), body.get("numbers") or {}
    if is_of_breaker(code, numbers):
        return f"call {body.get('call')}: {stands(code, numbers)}"
    counted = counted_in(numbers)
    more = "".join(f", {numbers[name]:,} {name}" for name in ("reserved", "asked") if name in numbers)
    told = f"{of_limit(*counted)}{more} ({code})" if counted else code
    text = f": {body['text']}" if body.get("text") else ""
    return f"{'call ' + body['call'] if body.get('call') else 'spending'}: {told}{text}"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{len(value)}]" if value else "[]"
    if isinstance(value, dict):
        return "{…}" if value else "{}"
    if isinstance(value, str):
        return f'"{safe(value[:VALUE_MAX])}{"…" if len(value) > VALUE_MAX else ""}"'
    return json.dumps(value)


def tally(ruling: Ruling) -> tuple[str, int, int] | None:
    """What a guard counted, how often, and its limit; None for one that does not count.

    The cap of a retry counts what comes after the first attempt; it is told as attempts.
    """
    found = counted_in(ruling.verdict.numbers)
    if found is not None and is_retry(ruling.at):
        return "attempts", found[1] + 1, found[2] + 1
    return found


def counted_in(numbers: Mapping[str, int]) -> tuple[str, int, int] | None:
    """The count among a verdict's numbers that has a limit beside it."""
    named = next((name for name in numbers if f"{name}_max" in numbers), None)
    return (named, numbers[named], numbers[f"{named}_max"]) if named is not None else None


def of_limit(what: str, number: int, limit: int, of: str = "") -> str:
    """`firing 4 of 3`: the one that is asked for; else what there is: `200,120 of 200,000 tokens`.

    `of`: what the failures in a row are of.
    """
    if what in ORDINAL:
        return f"{ORDINAL[what]} {number + 1:,} of {limit:,}{OF_WHAT.get(what, '')}"
    if what == "strikes":
        return f"{in_a_row(number, of)}, limit {limit:,}"
    if what in AMOUNTS:
        return f"{AMOUNTS[what](number)} of {AMOUNTS[what](limit)}"
    return f"{number:,} of {limit:,} {UNITS.get(what, what.replace('_', ' '))}"


def in_a_row(number: int, of: str = "") -> str:
    """`3 failures in a row of tool`."""
    return f"{count(number, 'failure')} in a row" + (f" of {of}" if of else "")


def cap(ruling: Ruling) -> str:
    """A count that allowed, as short as it can be told; "" where there is none, or failures are counted.

    `2/3` of what stands before it: firings, visits, attempts; of anything else with its name: `2/3 arrivals`.
    """
    told = tally(ruling)
    if told is None or told[0] == "strikes":
        return ""
    what, number, limit = told
    if what in AMOUNTS:
        return f"{AMOUNTS[what](number)}/{AMOUNTS[what](limit)}"
    name = "" if what in OWN else f" {what.replace('_', ' ')}"
    return f"{number + (what in ORDINAL):,}/{limit:,}{name}"


def watched(guard: Placed | None) -> str:
    """What a guard counts the failures of; "" for every other."""
    counter = guard.counter if guard is not None else None
    return safe(counter.subject) if counter is not None and counter.of == "strikes" else ""


def said(ruling: Ruling, guard: Placed | None = None) -> str:
    """What a guard answered, with its numbers: `refused firing 4 of 3`, `allowed 120 of 200,000 tokens`."""
    verdict = ruling.verdict
    if guard is not None and (kind := kind_of(guard)) is not None:
        return kind.answered(guard, verdict)
    word = {"allow": "allowed", "refuse": "refused", "defer": "put it off"}[verdict.decision]
    counted = tally(ruling)
    first = f"{word} {of_limit(*counted, watched(guard))}" if counted else word
    found = counted_in(verdict.numbers)
    told = (found[0], f"{found[0]}_max") if found else ()
    left = ", ".join(f"{safe(name)} {number:,}" for name, number in verdict.numbers.items() if name not in told)
    code = verdict.code if verdict.decision != "allow" and not (counted and verdict.code in NAMED) else ""
    because = ": ".join(filter(None, [", ".join(filter(None, [safe(code), left])), safe(verdict.text)]))
    until = f" until {moment(verdict.until_ms)}" if verdict.until_ms is not None else ""
    return f"{first}{until}" + (f" ({because})" if because else "")


def objection(ruling: Ruling, guard: Placed | None = None) -> str:
    """`LoopCap on reject refused firing 4 of 3`."""
    return f"{named(ruling, guard)} on {safe(ruling.at)} {said(ruling, guard)}"


def named(ruling: Ruling, guard: Placed | None) -> str:
    """`LoopCap`; of a guard that shares a row, which one: `Breaker("tool")`."""
    shared = guard.shares if guard is not None else None
    return safe(ruling.guard) + (f'("{safe(shared.name)}")' if shared is not None else "")


def objections(spec: MachineSpec, record: Record) -> list[str]:
    """Every verdict of a record that is no leave, in words; of a retry that was not made it says that."""
    against = [one for one in given(spec, record) if one.ruling.verdict.decision != "allow"]
    return [
        ("not tried again: " if one.retry and one.refuses else "") + objection(one.ruling, one.guard) for one in against
    ]


def not_retriable(spec: MachineSpec, record: Record) -> list[str]:
    """That an attempt did not begin again since the predicate of its state's retry did not say yes."""
    state = spec.state.get(record.source)
    if state is None or state.retry is None or record.kind == "retried":
        return []
    answered = dict(record.predicates)
    hop, when = retry_id(state.name), safe(state.retry.when.name)
    return [f"not tried again: {when} {ANSWERED[answered[hop]]}"] if hop in answered and not answered[hop] else []


def again(record: Record) -> str:
    """Of a retry: `attempt 3 of 5 begins after 4 s`."""
    pause = duration((record.until_ms or 0) - record.at_ms)
    return f"{attempt(record)} begins after {pause}{sooner(record)}"


def sooner(record: Record) -> str:
    """That a retry begins before its server wants it, as its `cap_s` says; "" where it does not."""
    asked_ms = json.loads(record.body or b"{}").get("retry_after_ms") if record.event == "AgentFailed" else None
    if record.until_ms is None or asked_ms is None or asked_ms <= record.until_ms - record.at_ms:
        return ""
    return f" (cap_s; the server asked for {duration(asked_ms)})"


def attempt(record: Record) -> str:
    """Which attempt a retry begins: `attempt 3 of 5`."""
    counted = tally(record.rulings[0]) if record.rulings else None
    return of_limit(*counted) if counted else f"attempt {record.attempt + 1}"


def streaks(record: Record) -> list[str]:
    """The failures in a row that a record tells."""
    return [in_a_row(number, safe(name)) for name, number in record.strikes.items() if number]


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


def pause_words(base_ms: int, cap_ms: int) -> str:
    """`2 s to 1 min apart`."""
    first, most = duration(min(base_ms, cap_ms)), duration(cap_ms)
    return f"{first} apart" if first == most else f"{first} to {most} apart"
