"""The form in which runs leave a journal and come into another: JSON lines, a row of the file each.

    {"turnstile": {"format": 1, "journal": 3}}
    {"machine": {...}}                      before the first run that was recorded under it
    {"run": {...}}                          then the rows of that run: timer, inbox, snapshot, record, call
    {"end": {"run_id": "...", "lines": 7}}  after them; how many there were between
    {"done": {"runs": 1}}                   the last line; another export may follow in the same file

Columns stand under their names: blobs in hex, every other value as the file holds it. A body is its text, byte for
byte, also where the file keeps it as an artifact. Of a run all is there but its owner. What runs share is not: the
breakers and budgets of one journal are not those of another.
"""

from collections.abc import Iterator, Mapping
from typing import IO, Any

from attrs import frozen
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from fsm.define.payload import validation_problems
from fsm.journal import timers
from fsm.journal.rows import RUN_COLUMNS
from fsm.journal.schema import CALL_COLUMNS, RECORD_COLUMNS

EXPORT_FORMAT = 1
LINE_BYTES_MAX = 32 << 20

SNAPSHOT_COLUMNS = ("run", "seq", "body", "memory")
INBOX_COLUMNS = ("run", "event_id", "event", "digest", "body", "at_ms")
MACHINE_COLUMNS = ("fingerprint", "name", "spec")
ROWS: Mapping[str, tuple[str, ...]] = {
    "timer": timers.COLUMNS[1:],
    "inbox": INBOX_COLUMNS[1:],
    "snapshot": SNAPSHOT_COLUMNS[1:],
    "record": RECORD_COLUMNS[1:],
    "call": CALL_COLUMNS[1:],
}
CARRIED = tuple(column for column in RUN_COLUMNS if column not in ("key", "owner"))
KINDS = ("turnstile", "machine", "run", *ROWS, "end", "done")

Form = Mapping[str, Any]
_line: TypeAdapter[dict[str, dict[str, str | int | None]]] = TypeAdapter(dict[str, dict[str, str | int | None]])


@frozen
class Line:
    """A line of an export, or why it is none."""

    number: int
    kind: str
    form: Form
    why: str = ""


def line(kind: str, form: Form) -> bytes:
    """One line of an export."""
    plain = {name: value.hex() if isinstance(value, bytes) else value for name, value in form.items()}
    return to_json({kind: plain}) + b"\n"


def lines(stream: IO[bytes]) -> Iterator[Line]:
    """The lines of a stream that nobody vouches for: one at a time, none longer than LINE_BYTES_MAX."""
    number = 0
    while text := stream.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(text) > LINE_BYTES_MAX:
            while text and not text.endswith(b"\n"):
                text = stream.readline(LINE_BYTES_MAX)
            yield Line(number, "", {}, f"it has more than {LINE_BYTES_MAX:,} bytes")
        elif text.strip():
            yield _read(number, text)


def _read(number: int, text: bytes) -> Line:
    try:
        found = _line.validate_json(text, strict=True)
    except ValidationError as error:
        return Line(number, "", {}, f"it is no row: {validation_problems(error)[0]}")
    kind = next(iter(found), "")
    if len(found) != 1 or kind not in KINDS:
        return Line(number, "", {}, f"it is no row: one of {', '.join(KINDS)} is expected")
    return Line(number, kind, found[kind])
