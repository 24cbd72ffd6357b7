"""Counting records by their headers: what many runs did, in one pass of SQLite's, no payload read."""

from collections.abc import Sequence

from attrs import frozen

from fsm.journal.reader import Reader

Objection = tuple[str, str, str]
"""A guard, the attribute it stands on, and the code that it refused or put off with."""

_OBJECTING = "(instr(detail, '\"refuse\"') OR instr(detail, '\"defer\"'))"


@frozen(kw_only=True)
class Tallies:
    """What the runs of one machine did: how often each hop was taken, by the state left and the one entered.

    `verdicts` counts those that refused or put off, by guard, place and code. `timed_out` counts, by state, the
    attempts and waits that took too long. `entered` counts by state.
    """

    runs: int
    records: int
    hops: dict[str, int]
    entered: dict[str, int]
    verdicts: dict[Objection, int]
    timed_out: dict[str, int]


def recorded(reader: Reader) -> dict[str, tuple[int, str]]:
    """Of each machine that has runs the definition last recorded under: when that was, and its fingerprint."""
    rows = reader.query("SELECT machine, max(at_ms), fingerprint FROM run GROUP BY machine ORDER BY machine")
    return {name: (at_ms, fingerprint) for name, at_ms, fingerprint in rows}


def tallies(reader: Reader, machine: str) -> Tallies:
    """All runs of the machine of this name, under whichever definition they were recorded."""
    of = "FROM record JOIN run ON run.key = record.run AND run.machine = ?"
    moves = reader.query(f"SELECT hop, record.state, kind, count(*) {of} GROUP BY hop, record.state, kind", machine)
    verdicts = reader.query(
        f"SELECT {_part(0)}, {_part(1)}, {_part(4)}, count(*) {of}, json_each(detail, '$.rulings') AS ruled"
        f" WHERE {_OBJECTING} AND {_part(3)} != 'allow' GROUP BY 1, 2, 3",
        machine,
    )
    late = reader.query(
        f"SELECT source, count(*) {of} WHERE event = 'TimedOut'"
        " OR (event = 'AgentFailed' AND instr(detail, '\"TimedOut\"')"
        " AND json_extract(detail, '$.note.escalated') = 'TimedOut')"
        " GROUP BY source",
        machine,
    )
    return Tallies(
        runs=int(reader.query("SELECT count(*) FROM run WHERE machine = ?", machine)[0][0]),
        records=sum(number for *_, number in moves),
        hops=_summed([(hop, number) for hop, _, _, number in moves if hop]),
        entered=_summed([(state, number) for hop, state, kind, number in moves if _enters(hop, kind)]),
        verdicts={(guard, at, code): number for guard, at, code, number in verdicts},
        timed_out=dict(late),
    )


def _part(place: int) -> str:
    """A part of a ruling, as a record's detail holds one."""
    return f"json_extract(ruled.value, '$[{place}]')"


def _enters(hop: str, kind: str) -> bool:
    return (hop != "" and kind != "retried") or kind == "forked"


def _summed(pairs: Sequence[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, number in pairs:
        found[name] = found.get(name, 0) + number
    return found


def calls_made(reader: Reader, run: int) -> int:
    """How many calls of a run were begun, each as often as it was."""
    return int(reader.query("SELECT count(*) FROM call WHERE run = ? AND kind = 'intent'", run)[0][0])
