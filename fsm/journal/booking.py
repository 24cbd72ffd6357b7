"""What call rows say was spent; also by calls of which nobody knows what became.

A call that declared what it spends at most, and whose attempt is over before its outcome came, is booked at that: a
row of status `unknown` holds what it had not reported. If its outcome comes after all, no more is added than what
goes beyond: the larger of the two counts.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping

from attrs import evolve, frozen

from fsm.core.record import NOTHING, Spent
from fsm.define.payload import digest
from fsm.journal import bulk
from fsm.journal.rows import CALL_SQL, Call, call_from, spent_from

_SINCE = (
    "SELECT run.key, sum(tokens), sum(usd_micros), json_group_array(usage) FILTER (WHERE usage != ''),"
    " coalesce(sum(tokens) FILTER (WHERE status = 'unknown'), 0),"
    " coalesce(sum(usd_micros) FILTER (WHERE status = 'unknown'), 0)"
    " FROM run JOIN call ON call.run = run.key AND call.seq = run.seq WHERE run.key IN ({keys}) GROUP BY run.key"
)
_DECLARED = (  # `+`: by their keys, so that it costs nothing where no call of a long run declares
    f"{CALL_SQL} WHERE +call.run = ?1 AND call.key IN (SELECT key FROM call WHERE run = ?1"
    " AND (tokens_max IS NOT NULL OR usd_micros_max IS NOT NULL)) ORDER BY call.id"
)
_OF_ATTEMPT = (
    f"{CALL_SQL} WHERE call.key = ? AND call.run = ? AND call.entered = ? AND call.attempt = ? ORDER BY call.id"
)
_NULL = b"null"


@frozen
class Booked:
    """What the call rows since a run's last record hold; `unknown` is the part that is only presumed."""

    spent: Spent = NOTHING
    unknown: Spent = NOTHING

    @property
    def note(self) -> Mapping[str, int]:
        """What the record says of the latter."""
        told = {"unknown_tokens": self.unknown.tokens, "unknown_usd_micros": self.unknown.usd_micros}
        return {name: amount for name, amount in told.items() if amount}


NOTHING_BOOKED = Booked()


def booked(connection: sqlite3.Connection, runs: Iterable[int]) -> dict[int, Booked]:
    """Of each of these runs that has call rows since its last record."""
    rows = bulk.select_in(connection, _SINCE, list(runs))
    return {
        key: Booked(spent_from(tokens, usd_micros, *json.loads(usages)), Spent(*unknown))
        for key, tokens, usd_micros, usages, *unknown in rows
    }


def presumed(call: Call, amount: Spent, at_ms: int) -> Call:
    """The row that books what nobody knows of a call; `call` is a row of it."""
    return evolve(
        call,
        kind="spent",
        status="unknown",
        spent=amount,
        tokens_max=None,
        usd_micros_max=None,
        at_ms=at_ms,
        digest=digest(_NULL),
        body=_NULL,
    )


def unknown(connection: sqlite3.Connection, run: int, at_ms: int) -> list[Call]:
    """The rows that book what calls in flight may have spent, now that their runner is gone."""
    open_: dict[tuple[str, int, int], list[Call]] = {}
    for row in map(call_from, connection.execute(_DECLARED, (run,)).fetchall()):
        of = open_.setdefault((row.key, row.entered, row.attempt), [])
        if row.kind == "intent":
            of.append(evolve(row, spent=declared(row)))
        elif of and row.kind == "outcome":
            of.pop()
        elif of and row.status == "unknown":
            of.pop(0)
        elif of:
            of[-1] = evolve(of[-1], spent=of[-1].spent - row.spent)
    return [presumed(row, row.spent, at_ms) for rows in open_.values() for row in rows if row.spent]


def declared(call: Call) -> Spent:
    """The most that the call spends, where its intent says so."""
    return Spent(call.tokens_max or 0, call.usd_micros_max or 0)


def netted(connection: sqlite3.Connection, call: Call, reported: Spent) -> Call:
    """The row, less what was presumed of its call already; `reported` is all that its attempt reported in it so far."""
    rows = list(map(call_from, connection.execute(_OF_ATTEMPT, (call.key, call.run, call.entered, call.attempt))))
    last = max((n for n, row in enumerate(rows) if row.kind == "intent"), default=0)
    since = [row for row in rows[last:] if row.kind != "intent"]
    if not any(row.status == "unknown" for row in since):
        return call
    return evolve(call, spent=reported - sum((row.spent for row in since), NOTHING))
