"""Forks as a journal holds them: where runs come from, which came from them, and what a fork does once more."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from attrs import frozen

from fsm.core.snapshot import Snapshot, snapshot_from
from fsm.journal.reader import Reader
from fsm.journal.rows import Run
from fsm.journal.search import KEYS_MAX


def _detail(path: str) -> str:
    """A part of a record's detail, as SQL; none where that is damaged."""
    return f"CASE WHEN json_valid(detail) THEN json_extract(detail, '$.{path}') END"


def _note(name: str) -> str:
    return _detail(f"note.{name}")


MEMORY = _detail("memory")
INDEX = f"CREATE INDEX record_parent ON record({_note('parent')}) WHERE kind = 'forked';"


@frozen
class Fork:
    """One end of a fork: the run there, and the record of the parent at which it was forked."""

    run_id: str
    seq: int


@frozen
class Effects:
    """The calls that a run has made from a visit on, by name; a fork that begins the visit anew makes them again.

    `keyed` are those of earlier visits whose keys the user gave: the run would not make them twice, its fork does.
    """

    made: Mapping[str, int]
    keyed: Mapping[str, int]


def parents(reader: Reader, runs: Iterable[Run]) -> dict[int, Fork]:
    """Where each of these runs was forked, by key; those are left out that were not."""
    keys = [run.key for run in runs]
    found: dict[int, Fork] = {}
    for start in range(0, len(keys), KEYS_MAX):
        some = keys[start : start + KEYS_MAX]
        rows = reader.query(
            f"SELECT run, {_note('parent')}, {_note('parent_seq')} FROM record"
            f" WHERE seq = 0 AND kind = 'forked' AND run IN ({', '.join('?' * len(some))})",
            *some,
        )
        found |= {key: Fork(run_id, seq) for key, run_id, seq in rows}
    return found


def forks_of(reader: Reader, run_id: str) -> list[Fork]:
    """The forks of a run that are in this journal, in the order made."""
    rows = reader.query(
        f"SELECT run.run_id, {_note('parent_seq')} FROM record JOIN run ON run.key = record.run"
        f" WHERE kind = 'forked' AND {_note('parent')} = ? ORDER BY run.key",
        run_id,
    )
    return [Fork(*row) for row in rows]


def is_buried(reader: Reader, run_id: str) -> bool:
    """Whether a run of this id was deleted; another may have the id since."""
    return bool(reader.query("SELECT 1 FROM tombstone WHERE run_id = ? LIMIT 1", run_id))


def fingerprint_at(reader: Reader, run: Run, seq: int) -> str:
    """The definition that was in force after this record."""
    rows = reader.query(
        f"SELECT coalesce({_note('to')}, {_note('fingerprint')}) FROM record"
        " WHERE run = ? AND seq <= ? AND (seq = 0 OR kind = 'repinned') ORDER BY seq DESC LIMIT 1",
        run.key,
        seq,
    )
    return str(rows[0][0])


def position_at(reader: Reader, run: Run, seq: int) -> Snapshot | None:
    """The last snapshot row until this record."""
    sql = "SELECT body, memory FROM snapshot WHERE run = ? AND seq <= ? ORDER BY seq DESC LIMIT 1"
    rows = reader.query(sql, run.key, seq)
    return snapshot_from(*rows[0]) if rows else None


def memory_at(reader: Reader, run: Run, seq: int) -> bytes | None:
    """The digest of the memory after this record; None if no record until then has changed it."""
    rows = reader.query(
        f"SELECT {MEMORY} FROM record WHERE run = ? AND seq <= ? AND {MEMORY} IS NOT NULL ORDER BY seq DESC LIMIT 1",
        run.key,
        seq,
    )
    return bytes.fromhex(rows[0][0]) if rows else None


def effects(reader: Reader, run: Run, entered: int) -> Effects:
    """What the run has done in the visit entered there and since; not what somebody has said was not done."""
    begun: dict[str, tuple[str, int]] = {}
    sql = "SELECT entered, kind, status, key, name FROM call WHERE run = ? ORDER BY id"
    for visit, kind, status, key, name in reader.query(sql, run.key):
        if kind == "intent":
            begun[key] = name, visit
        elif status == "undone":
            begun.pop(key, None)
    of_visits = {key: name for key, (name, visit) in begun.items() if visit >= entered}
    keyed = {key: name for key, (name, visit) in begun.items() if visit < entered and not by_place(run, key, name)}
    return Effects(Counter(of_visits.values()), Counter(keyed.values()))


def by_place(run: Run, key: str, name: str) -> bool:
    """Whether a call's key is made of visit, name, argument digest and occurrence: the user gave it none."""
    own, called = re.escape(run.run_id), re.escape(name)
    return re.fullmatch(rf"{own}:-?\d+(\.\d+)?:{called}:[0-9a-f]{{16}}:\d+", key) is not None
