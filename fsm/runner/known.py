"""What the ledger holds of one call, whichever attempt made it."""

from collections.abc import Iterable

from attrs import frozen

from fsm.journal.rows import Call


@frozen
class Known:
    """`unsure` intents have no outcome: nobody knows whether they were carried out. `outcome` is the one that counts.

    `same` says that all intents have the arguments that were asked about.
    """

    same: bool
    unsure: int
    outcome: Call | None


def known_of(rows: Iterable[Call], key: str, arguments: bytes, *, keyed: bool) -> Known:
    """What these rows, in order, hold of `key`; `arguments` is a digest.

    The first good outcome counts. A failed one counts for the visit that made the call, but not for one that
    the user `keyed`: it is made again.
    """
    same, unsure = True, 0
    good: Call | None = None
    failed: Call | None = None
    for row in rows:
        if row.key != key:
            continue
        match row.kind, row.status:
            case "intent", _:
                same, unsure = same and row.digest == arguments, unsure + 1
            case "outcome", "ok":
                good = good or row
            case "outcome", "failed":
                failed, unsure = failed or row, max(0, unsure - 1)
            case "outcome", _:
                failed, unsure = None, 0
    return Known(same, unsure, good or (None if keyed else failed))
