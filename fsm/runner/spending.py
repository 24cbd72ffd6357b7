"""Spending that must not be lost, and must not count twice."""

from fsm.core.record import NOTHING, Spent
from fsm.define.payload import digest
from fsm.journal.reader import Reader
from fsm.journal.rows import Call
from fsm.runner.live import Live


def reported(tokens: int, usd_micros: int) -> Spent:
    """What an agent reports; `ValueError` unless both are whole numbers, 0 or more."""
    for name, amount in (("tokens", tokens), ("usd_micros", usd_micros)):
        if type(amount) is not int or amount < 0:
            raise ValueError(f"spend({name}={amount!r}): give a whole number, 0 or more")
    return Spent(tokens, usd_micros)


def look_back(live: Live, read: Reader) -> None:
    """What the lost attempts of this visit left: their calls, and what they reported outside of them.

    An attempt that goes on starts the visit from its beginning and reports all that again. A budget must not
    count it twice: what recorded results cost was paid once.
    """
    fresh, rows = live.snapshot.fresh, read.calls(live.run.key, live.snapshot.entered)
    live.earlier = [row for row in rows if row.attempt >= fresh]
    booked: dict[int, Spent] = {}
    for row in rows:
        booked[row.seq] = booked.get(row.seq, NOTHING) + row.spent
    reported = [row.spent for row in live.earlier if row.kind != "outcome"]
    reported += [
        record.spent - booked.get(record.seq - 1, NOTHING)
        for record in read.records(live.run.key, live.snapshot.entered)
        if record.attempt >= fresh
    ]
    live.covered = sum(reported, NOTHING)


def spending_row(live: Live, at_ms: int) -> Call:
    """What an attempt has spent that no other row holds, as a row of its own."""
    snapshot, body = live.snapshot, b"null"
    return Call(
        run=live.run.key,
        seq=snapshot.seq,
        entered=snapshot.entered,
        attempt=snapshot.attempt,
        kind="spent",
        key="",
        name="",
        status="",
        spent=live.book(),
        at_ms=at_ms,
        digest=digest(body),
        body=body,
    )
