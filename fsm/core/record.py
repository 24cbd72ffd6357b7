"""What a run consists of: records, one a decision, each with all that was asked to make it.

A record is covered by the run's hash chain through `header`: everything but the payload's body, which is
covered by its digest and may be erased without breaking the chain.
"""

import hashlib
from collections.abc import Mapping
from typing import Literal

from attrs import field
from pydantic_core import to_json

from fsm.core.used import Uses, joined, used_forms, without
from fsm.define.guard import Ruling, Verdict
from fsm.define.value import value

Kind = Literal[
    "started",
    "forked",
    "taken",
    "refused",
    "unhandled",
    "deferred",
    "retried",
    "resumed",
    "repinned",
    "halted",
    "ended",
]
Outcome = Literal["running", "waiting", "completed", "failed", "cancelled", "stopped", "stuck"]

MOVES: frozenset[str] = frozenset({"started", "taken", "ended"})
ENDED: frozenset[str] = frozenset({"completed", "failed", "cancelled"})
HALTED: frozenset[str] = frozenset({"stopped", "stuck"})


@value
class Spent:
    """Spending: tokens, and millionths of a dollar; and the usage behind them, as far as agents told it."""

    tokens: int = 0
    usd_micros: int = 0
    usage: Uses = ()

    def __add__(self, other: "Spent") -> "Spent":
        if not (self and other):
            return self or other
        usage = joined(self.usage, other.usage) if self.usage and other.usage else self.usage or other.usage
        return Spent(self.tokens + other.tokens, self.usd_micros + other.usd_micros, usage)

    def __sub__(self, other: "Spent") -> "Spent":
        """What goes beyond `other`; never less than nothing."""
        usage = without(self.usage, other.usage) if self.usage and other.usage else self.usage
        return Spent(max(0, self.tokens - other.tokens), max(0, self.usd_micros - other.usd_micros), usage)

    def __bool__(self) -> bool:
        return bool(self.tokens or self.usd_micros or self.usage)


NOTHING = Spent()
NO_NOTE: Mapping[str, str | int] = {}
NO_STRIKES: Mapping[str, int] = {}


@value(kw_only=True)
class Record:
    """One committed decision.

    `source` and `state` are the state before and after, `hop` the declared way taken ("" for none), `own`
    whether the event came from the run's own visit. `predicates` holds each predicate asked, in order, with
    its result (None where it raised); `rulings` each guard's verdict. `spent` and `calls` (a digest) cover
    what happened since the record before. `strikes` holds, of what guards of this machine watch and that was tried
    since, the failures in a row. `outcome` is how the run stands after this record. `note` says what
    else there is to know: `unread`, for one, why the payload could not be read and is not there;
    `charge`, tokens that the guards took for spent and that were not, as the visit went on; `escalated`, the event
    that this `AgentFailed` was before.
    """

    seq: int
    kind: Kind
    at_ms: int
    source: str
    state: str
    outcome: Outcome
    hop: str = ""
    event: str = ""
    event_id: str | None = None
    own: bool = True
    attempt: int = 1
    digest: bytes | None = None
    predicates: tuple[tuple[str, bool | None], ...] = ()
    rulings: tuple[Ruling, ...] = ()
    spent: Spent = NOTHING
    strikes: Mapping[str, int] = NO_STRIKES
    calls: bytes | None = None
    memory: bytes | None = None
    until_ms: int | None = None
    note: Mapping[str, str | int] = NO_NOTE
    body: bytes | None = field(default=None, eq=False, repr=False)
    head: bytes = field(default=b"", eq=False, repr=False)

    def __str__(self) -> str:
        outcome = f", {self.outcome}," if self.kind in ("halted", "ended") else ""
        way = f"{self.source} -> {self.state} by {self.hop}" if self.hop else f"it stays in {self.state}"
        against = "; ".join(str(ruling) for ruling in self.rulings if ruling.verdict.decision != "allow")
        against = against or str(self.note.get("unread", ""))
        return f"{self.kind}{outcome} on {self.event}: {way}" + (f" ({against})" if against else "")

    @property
    def detail(self) -> bytes:
        """What has no column of its own, as compact JSON; absent parts are left out."""
        found: dict[str, object] = {}
        if self.predicates:
            found["predicates"] = [list(pair) for pair in self.predicates]
        if self.rulings:
            found["rulings"] = [_ruling_form(ruling) for ruling in self.rulings]
        if self.spent:
            found["spent"] = [self.spent.tokens, self.spent.usd_micros]
        if self.spent.usage:
            found["usage"] = used_forms(self.spent.usage)
        if self.strikes:
            found["strikes"] = dict(self.strikes)
        if self.calls:
            found["calls"] = self.calls.hex()
        if self.memory:
            found["memory"] = self.memory.hex()
        if self.until_ms is not None:
            found["until_ms"] = self.until_ms
        if self.note:
            found["note"] = dict(self.note)
        return to_json(found) if found else b""

    def header(self, detail: bytes) -> bytes:
        """What the chain covers: every column, the payload by its digest."""
        parts = (
            self.seq,
            self.kind,
            self.at_ms,
            self.source,
            self.state,
            self.outcome,
            self.hop,
            self.event,
            self.event_id,
            self.own,
            self.attempt,
        )
        return to_json(parts) + (self.digest or b"") + detail  # a flat list: canonical as it comes


def link(before: bytes, header: bytes) -> bytes:
    """The chain: sha256 over the head before and this record's header."""
    return hashlib.sha256(before + header).digest()


def _ruling_form(ruling: Ruling) -> list[object]:
    verdict = ruling.verdict
    form: list[object] = [
        ruling.guard,
        ruling.at,
        ruling.standing,
        verdict.decision,
        verdict.code,
        dict(verdict.numbers),
    ]
    if verdict.until_ms is not None or verdict.text or verdict.keep:
        form += [verdict.until_ms, verdict.text]
    if verdict.keep:
        form += [dict(verdict.keep), ruling.nth]
    return form


def ruling_from(form: list[object]) -> Ruling:
    """The ruling that `detail` holds."""
    guard, at, standing, *verdict = form
    return Ruling(guard, at, standing, Verdict(*verdict[:6]), *verdict[6:])  # type: ignore[arg-type]
