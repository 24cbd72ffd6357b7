"""The rows that guards share, as one who looks at a journal finds them: how they stand, who asks, what was done."""

import json
from collections.abc import Mapping

from attrs import field, frozen

from fsm.core.shares import ROWS, Row
from fsm.define.guard import Placed, Share
from fsm.journal.holding import Holder, holders
from fsm.journal.reader import Reader
from fsm.journal.shared import row_of, share_of_row

_SHARED = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'shared_log'"
_WAITS = "SELECT count(*) FROM pragma_table_info('timer') WHERE name = 'waits'"  # not before format 3
_LOG = (
    "SELECT kind, name, shared_log.at_ms, run_id, before, after, note"
    " FROM shared_log LEFT JOIN run ON run.key = shared_log.run"
)
_LAST = f"{_LOG} WHERE id IN (SELECT max(id) FROM shared_log GROUP BY kind, name)"
_ASKING = (  # of what nobody is under way with any more, the latest definition
    "SELECT fingerprint, name FROM machine WHERE at_ms = (SELECT max(at_ms) FROM machine AS other"
    " WHERE other.name = machine.name) OR EXISTS (SELECT 1 FROM run WHERE run.fingerprint = machine.fingerprint"
    " AND outcome NOT IN ('completed', 'failed', 'cancelled')) ORDER BY at_ms DESC, name"
)


@frozen
class Change:
    """One change of a row's state: by a run, or, where `note` says so, a person's act."""

    at_ms: int
    run_id: str | None
    before: Row
    after: Row
    note: Mapping[str, str]


@frozen
class Asker:
    """A machine with a guard on a row; `guard` says where in it that stands, and what it demands."""

    machine: str
    guard: Placed

    @property
    def at(self) -> str:
        return self.guard.at


@frozen(kw_only=True)
class Stored:
    """A row of a journal; `at_ms` is when it was written last, None if it never was.

    `askers` are all that may be under way, of the latest machine first; `holders` the runs whose visits have set some
    of it aside, the oldest first; `waiting` is how many wait for room in it, and what they ask; `last` its last change.
    """

    share: Share
    row: Row
    at_ms: int | None = None
    askers: tuple[Asker, ...] = ()
    holders: tuple[Holder, ...] = ()
    waiting: tuple[int, int] = (0, 0)
    last: Change | None = None

    @property
    def name(self) -> str:
        return self.share.name

    @property
    def held(self) -> int:
        """What its holders have set aside together."""
        return sum(holder.amount for holder in self.holders)


@frozen
class _Asking:
    """The guards of the machines that may be under way, by what they share."""

    by_share: dict[Share, list[Asker]] = field(factory=dict)

    def of(self, share: Share) -> tuple[Asker, ...]:
        """Those who ask this row; one for a machine, or for the value of a label, has its name at the end."""
        declared = share_of_row(share)
        of_any_value = f"{declared.name}=" if share != declared else share.name
        return tuple(
            asker
            for asker in self.by_share.get(declared, ())
            if row_of(declared, asker.machine, {}).name in (share.name, of_any_value)
        )

    def rows(self) -> list[Share]:
        """Those that are there before anybody writes them: which values a label has, nobody knows."""
        rows = [(share, row_of(share, one.machine, {})) for share, askers in self.by_share.items() for one in askers]
        return [row for share, row in rows if row.name != f"{share.name}="]


def stored(reader: Reader) -> list[Stored]:
    """All rows that machines of this journal ask, and all that somebody wrote, by kind and name; of one moment."""
    reader.query("BEGIN")
    try:
        asking, known, last = _asking(reader), _rows(reader), _last(reader)
        held, waiting = holders(reader), _waiting(reader)
    finally:
        reader.query("COMMIT")
    return [
        Stored(
            share=share,
            row=known[share][0] if share in known else ROWS[share.kind](),
            at_ms=known[share][1] if share in known else None,
            askers=asking.of(share),
            holders=tuple(held.get(share, ())),
            waiting=waiting.get(share, (0, 0)),
            last=last.get(share),
        )
        for share in sorted({*known, *asking.rows(), *held}, key=lambda share: (share.kind, share.name))
    ]


def unwritten(reader: Reader, share: Share) -> Stored | None:
    """A row that machines of this journal would ask for some run, though none has yet; None if there is no such."""
    askers = _asking(reader).of(share)
    return Stored(share=share, row=ROWS[share.kind](), askers=askers) if askers else None


def row_now(reader: Reader, share: Share) -> Row:
    """A row as it is written; a fresh one if nobody has written it yet."""
    sql = "SELECT body FROM shared WHERE kind = ? AND name = ?"
    found = reader.query(sql, share.kind, share.name) if _has_shared(reader) else []
    return ROWS[share.kind].from_json(found[0][0]) if found else ROWS[share.kind]()


def changes(reader: Reader, share: Share, limit: int) -> list[Change]:
    """How a row's state has changed, the latest first."""
    if not _has_shared(reader):
        return []
    sql = f"{_LOG} WHERE kind = ? AND name = ? ORDER BY id DESC LIMIT ?"
    return [_change(*row) for row in reader.query(sql, share.kind, share.name, limit)]


def _asking(reader: Reader) -> _Asking:
    found = _Asking()
    for fingerprint, machine in reader.query(_ASKING):
        for guard in reader.spec(fingerprint).guards:
            if guard.shares is not None:
                askers = found.by_share.setdefault(guard.shares, [])
                askers += [asker] if (asker := Asker(machine, guard)) not in askers else []
    return found


def _rows(reader: Reader) -> dict[Share, tuple[Row, int]]:
    rows = reader.query("SELECT kind, name, body, at_ms FROM shared") if _has_shared(reader) else []
    return {Share(kind, name): (ROWS[kind].from_json(body), at_ms) for kind, name, body, at_ms in rows}


def _last(reader: Reader) -> dict[Share, Change]:
    rows = reader.query(_LAST) if _has_shared(reader) else []
    return {Share(row[0], row[1]): _change(*row) for row in rows}


def _waiting(reader: Reader) -> dict[Share, tuple[int, int]]:
    """How many events were put off for a budget, and what they ask of it."""
    if not reader.query(_WAITS)[0][0]:
        return {}
    rows = reader.query("SELECT waits, count(*), sum(asks) FROM timer WHERE waits IS NOT NULL GROUP BY waits")
    return {Share("budget", name): (runs, asks) for name, runs, asks in rows}


def _change(kind: str, name: str, at_ms: int, run_id: str | None, before: str, after: str, note: str) -> Change:
    read = ROWS[kind].from_json
    return Change(at_ms, run_id, read(before), read(after), json.loads(note))


def _has_shared(reader: Reader) -> bool:
    """A journal of format 1 that nobody has opened for writing since has no such tables."""
    return bool(reader.query(_SHARED)[0][0])
