"""The rows that guards share, as one who looks at a journal finds them: how they stand, who asks, what was done."""

import json
from collections.abc import Iterator, Mapping

from attrs import frozen

from fsm.core.breaking import BreakerRow, Breaking
from fsm.core.shares import breaking
from fsm.journal.reader import Reader

_SHARED = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'shared_log'"
_LOG = "SELECT shared_log.at_ms, run_id, before, after, note FROM shared_log LEFT JOIN run ON run.key = shared_log.run"
_ASKING = (  # of what nobody is under way with any more, the latest definition
    "SELECT fingerprint, name FROM machine WHERE at_ms = (SELECT max(at_ms) FROM machine AS other"
    " WHERE other.name = machine.name) OR EXISTS (SELECT 1 FROM run WHERE run.fingerprint = machine.fingerprint"
    " AND outcome NOT IN ('completed', 'failed', 'cancelled')) ORDER BY at_ms DESC, name"
)


@frozen
class Change:
    """One change of a breaker's state: by a run, or, where `note` says so, a person's act."""

    at_ms: int
    run_id: str | None
    before: BreakerRow
    after: BreakerRow
    note: Mapping[str, str]


@frozen
class Asker:
    """A machine with a guard on a row, and where in it that stands."""

    machine: str
    at: str
    breaking: Breaking


@frozen(kw_only=True)
class Breaker:
    """A breaker of a journal; `at_ms` is when its row was written last, None if it never was.

    `breaking` are the parameters of the latest machine that has it; `askers` all that may be under way.
    """

    name: str
    breaking: Breaking
    row: BreakerRow
    at_ms: int | None
    askers: tuple[Asker, ...]
    last: Change | None

    @property
    def disagreeing(self) -> bool:
        """Whether those who ask it do so with different parameters."""
        return len({asker.breaking for asker in self.askers}) > 1


def breakers(reader: Reader) -> list[Breaker]:
    """All that machines of this journal ask, and all that have a row, by name."""
    rows = {name: (BreakerRow.from_json(body), at_ms) for name, body, at_ms in _rows(reader)}
    askers: dict[str, list[Asker]] = {name: [] for name in rows}
    for fingerprint, machine in reader.query(_ASKING):
        for guard in reader.spec(fingerprint).guards:
            if guard.shares is not None and guard.shares.kind == "breaker":
                askers.setdefault(guard.shares.name, []).append(Asker(machine, guard.at, breaking(guard)))
    return [
        Breaker(
            name=name,
            breaking=askers[name][0].breaking if askers[name] else Breaking(name=name),
            row=rows[name][0] if name in rows else BreakerRow(),
            at_ms=rows[name][1] if name in rows else None,
            askers=tuple(dict.fromkeys(askers[name])),
            last=next(iter(changes(reader, name, 1)), None),
        )
        for name in sorted(askers)
    ]


def changes(reader: Reader, name: str, limit: int) -> list[Change]:
    """How a breaker's state has changed, the latest first."""
    if not _has_shared(reader):
        return []
    sql = f"{_LOG} WHERE kind = 'breaker' AND name = ? ORDER BY id DESC LIMIT ?"
    return [
        Change(at_ms, run_id, BreakerRow.from_json(before), BreakerRow.from_json(after), json.loads(note))
        for at_ms, run_id, before, after, note in reader.query(sql, name, limit)
    ]


def _rows(reader: Reader) -> Iterator[tuple[str, str, int]]:
    if _has_shared(reader):
        yield from reader.query("SELECT name, body, at_ms FROM shared WHERE kind = 'breaker'")


def _has_shared(reader: Reader) -> bool:
    """A journal of format 1 that nobody has opened for writing since has no such tables."""
    return bool(reader.query(_SHARED)[0][0])
