"""A record in one line, and numbers as people read them.

Everything that came from outside is made printable, and put together as rich `Text`: what a payload says is
never read as markup, nor as a command to the terminal.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from attrs import frozen
from rich.text import Text

from fsm.core.record import Record
from fsm.define.events import RUNTIME_EVENTS
from fsm.define.guard import Ruling
from fsm.define.spec import MachineSpec

STYLES = {"completed": "green", "waiting": "yellow", "running": "cyan"}
TEXT_MAX = 160
UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"
HOP_MIN, COLUMN_MAX = 7, 22
WHY = {"lost": "its runner was gone", "released": "where it was left", "asked": "resumed"}


def style(outcome: str) -> str:
    return STYLES.get(outcome, "red")


def clean(text: str) -> str:
    """One line of printable characters, not too long."""
    told = "".join(char if char.isprintable() else " " if char.isspace() else UNPRINTABLE for char in text[:TEXT_MAX])
    return told if len(text) <= TEXT_MAX else told + "…"


def many(number: int, one: str) -> str:
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"


def span(ms: int) -> str:
    """How long: 0.084 s, 12.3 s, 3:07 min, 2 h 05 min, 3 d 4 h."""
    s = max(0, ms) / 1000
    if s < 9.9995:
        return f"{s:.3f} s"
    if s < 59.95:
        return f"{s:.1f} s"
    minutes, hours = int(s) // 60, int(s) // 3600
    if hours == 0:
        return f"{minutes}:{int(s) % 60:02} min"
    return f"{hours} h {minutes % 60:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def moment(ms: int) -> str:
    """A wall clock time, here."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC).astimezone():%a %d %b %H:%M:%S}"


def money(usd_micros: int) -> str:
    return f"${usd_micros / 1_000_000:,.4f}"


def spending(counters: Mapping[str, int]) -> list[str]:
    """Hops, tokens and money, where there are any."""
    told = [many(counters.get("hops", 0), "hop")]
    if tokens := counters.get("tokens", 0):
        told.append(many(tokens, "token"))
    if usd_micros := counters.get("usd_micros", 0):
        told.append(money(usd_micros))
    return told


@frozen
class Columns:
    """How wide the names of a machine are."""

    state: int
    hop: int

    @classmethod
    def of(cls, spec: MachineSpec) -> "Columns":
        """From names as written in the class; the ids of `otherwise` hops are longer, and rare."""
        state = max(len(state.name) for state in spec.states)
        hop = max((len(line.name) for line in spec.transitions), default=0)
        return cls(min(state, COLUMN_MAX), min(max(hop, HOP_MIN), COLUMN_MAX))


def line(record: Record, started_at_ms: int, columns: Columns) -> Text:
    """When, the state entered, by which way, on what, and what the guards said."""
    objected = any(ruling.verdict.decision != "allow" for ruling in record.rulings)
    way = record.hop or (record.outcome if record.kind in ("halted", "ended") else record.kind)
    way_style = "red" if record.kind == "halted" else "yellow" if objected or not record.hop else "default"
    told = Text(no_wrap=True, overflow="ellipsis")
    told.append(f"{span(record.at_ms - started_at_ms):>9}  ", "dim")
    told.append(f"{clean(record.state):<{columns.state}}  ", style(record.outcome))
    told.append(f"{clean(way):<{columns.hop}}  ", way_style)
    told.append(clean(record.event))
    for part, part_style in _remarks(record):
        if part:
            told.append("  ").append(part, part_style)
    return told


def _remarks(record: Record) -> Iterator[tuple[str, str]]:
    for ruling in record.rulings:
        if ruling.verdict.decision != "allow":
            yield objection(ruling), "red" if ruling.verdict.decision == "refuse" else "yellow"
    if told := failure(record):
        yield told, "red"
    if why := record.note.get("why"):
        yield f"attempt {record.attempt}, {WHY.get(str(why), clean(str(why)))}", "dim"
    if by := record.note.get("by"):
        yield f"by {clean(str(by))}", "dim"
    if record.until_ms is not None:
        yield f"put off until {moment(record.until_ms)}", "yellow"
    for ruling in record.rulings:
        if ruling.verdict.decision == "allow" and (ruling.standing != "run" or _half_used(ruling.verdict.numbers)):
            yield numbers(ruling.verdict.numbers), "dim"


def _half_used(found: Mapping[str, int]) -> bool:
    """Whether a cap of the whole run is worth a word beside each record."""
    return any(2 * value >= found[f"{name}_max"] for name, value in found.items() if f"{name}_max" in found)


def objection(ruling: Ruling) -> str:
    verdict = ruling.verdict
    mark = "✗" if verdict.decision == "refuse" else "…"
    parts = (mark, ruling.guard, verdict.code, numbers(verdict.numbers), verdict.text)
    return clean(" ".join(part for part in parts if part))


def numbers(found: Mapping[str, int]) -> str:
    """`2/3 fires` for a count and its limit, `name 5` for any other number."""
    told: list[str] = []
    for name, value in found.items():
        limit = found.get(f"{name}_max")
        if limit is not None:
            told.append(f"{money(value)}/{money(limit)}" if name == "usd_micros" else f"{value:,}/{limit:,} {name}")
        elif not (name.endswith("_max") and name.removesuffix("_max") in found):
            told.append(f"{name} {value:,}")
    return clean(", ".join(told))


def failure(record: Record) -> str:
    """What one of the runtime's own events says of itself."""
    if record.event not in RUNTIME_EVENTS or record.body is None:
        return ""
    body = json.loads(record.body)
    match record.event:
        case "AgentFailed":
            told = f"{body.get('error_type')}: {body.get('message')}"
        case "TimedOut":
            told = f"no answer within {span(body.get('timeout_ms', 0))}"
        case "PayloadInvalid":
            told = "; ".join([str(body.get("event")), *map(str, body.get("problems", []))])
        case "CallRefused":
            told = f"{body.get('call') or 'spending'}: {body.get('code')} {numbers(body.get('numbers', {}))}"
        case "CallUnsure":
            told = f"was {body.get('call')} made? {body.get('arguments')}"
        case _:
            told = " ".join(filter(None, (body.get("by") and f"by {body['by']}", body.get("reason"))))
    return clean(told)
