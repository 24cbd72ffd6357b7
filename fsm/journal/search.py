"""Looking for runs, and for the records of a long run that matter, so that a big journal answers at once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from fsm.core.record import Spent
from fsm.core.snapshot import Snapshot
from fsm.core.used import Uses, used_from_json
from fsm.define.guard import Counter
from fsm.define.parts import START
from fsm.journal.reader import Reader
from fsm.journal.rows import RUN_SQL, Run, run_from

KEYS_MAX = 1_000
_ENTERS = "hop != '' AND kind != 'retried'"


@frozen(kw_only=True)
class Search:
    """What the runs have in common; everything left out matches. `outcomes` are alternatives, labels all hold.

    `before_ms`: their last record is older.
    """

    machine: str | None = None
    state: str | None = None
    outcomes: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(factory=dict)
    before_ms: int | None = None

    def where(self) -> tuple[str, list[Any]]:
        """The condition on the table of runs, and its parameters."""
        parts: list[str] = []
        parameters: list[Any] = []
        for column, value in (("machine", self.machine), ("state", self.state)):
            if value is not None:
                parts.append(f"{column} = ?")
                parameters.append(value)
        if self.before_ms is not None:
            parts.append("at_ms < ?")
            parameters.append(self.before_ms)
        if self.outcomes:
            parts.append(f"outcome IN ({', '.join('?' * len(self.outcomes))})")
            parameters += sorted(self.outcomes)
        for name, value in self.labels.items():
            parts.append(
                "EXISTS (SELECT 1 FROM json_each(run.labels) AS label WHERE label.key = ? AND label.value = ?)"
            )
            parameters += [name, value]
        return " AND ".join(parts) or "1", parameters


def find(reader: Reader, search: Search, limit: int) -> list[Run]:
    """The runs looked for, the newest first."""
    where, parameters = search.where()
    return [
        run_from(row) for row in reader.query(f"{RUN_SQL} WHERE {where} ORDER BY key DESC LIMIT ?", *parameters, limit)
    ]


def count(reader: Reader, search: Search) -> int:
    """How many runs there are that one looks for."""
    where, parameters = search.where()
    return int(reader.query(f"SELECT count(*) FROM run WHERE {where}", *parameters)[0][0])


def spent(reader: Reader, runs: Sequence[int]) -> dict[int, Spent]:
    """What these runs, given by key, have spent; of an attempt still at work as far as it is written."""
    totals = f"{_total('tokens', 0)}, {_total('usd_micros', 1)}"
    found: dict[int, Spent] = {}
    for start in range(0, len(runs), KEYS_MAX):
        keys = runs[start : start + KEYS_MAX]
        rows = reader.query(f"SELECT key, {totals} FROM run WHERE key IN ({', '.join('?' * len(keys))})", *keys)
        found |= {key: Spent(tokens, usd_micros) for key, tokens, usd_micros in rows}
    return found


def used(reader: Reader, run: Run) -> Uses:
    """The usage that a run's agents told of, by model and price version: that of its records, and of rows since."""
    told = reader.query(
        "SELECT json_extract(detail, '$.usage') FROM record WHERE run = ? AND instr(detail, '\"usage\":') > 0", run.key
    )
    rows = reader.query("SELECT usage FROM call WHERE run = ? AND seq >= ? AND usage != ''", run.key, run.seq)
    return used_from_json(*(text for (text,) in (*told, *rows) if text))


def _total(name: str, place: int) -> str:
    """The last snapshot's, and that of the records and the call rows since."""
    return (
        "coalesce(json_extract((SELECT body FROM snapshot WHERE snapshot.run = run.key ORDER BY seq DESC LIMIT 1),"
        f" '$.counters.{name}'), 0)"
        f" + (SELECT coalesce(sum(json_extract(nullif(detail, ''), '$.spent[{place}]')), 0) FROM record"
        " WHERE record.run = run.key AND record.seq >"
        " coalesce((SELECT max(seq) FROM snapshot WHERE snapshot.run = run.key), -1))"
        f" + (SELECT coalesce(sum({name}), 0) FROM call WHERE call.run = run.key AND call.seq >= run.seq)"
    )


def counted(reader: Reader, run: Run, counters: Iterable[Counter], now_ms: int) -> dict[str, int]:
    """What the run has counted so far, by key: as its last snapshot says, and by its records since, none of them read.

    Spending that is in call rows only is included; time goes on until the run has ended.
    """
    base = reader.snapshot(run.key)
    found: dict[str, int] = {}
    for counter in counters:
        if counter.of == "elapsed_ms":
            found[counter.key] = max(0, (run.at_ms if run.ended else now_ms) - run.started_at_ms)
        elif counter.of == "strikes":
            found[counter.key] = _strikes(reader, run, counter, base)
        else:
            found[counter.key] = _counted(reader, run, counter, base)
    return found


def _strikes(reader: Reader, run: Run, counter: Counter, base: Snapshot | None) -> int:
    """As the last record tells them that does."""
    sql = (
        "SELECT told.value FROM record, json_each(nullif(detail, ''), '$.strikes') AS told"
        " WHERE run = ? AND seq > ? AND told.key = ? ORDER BY seq DESC LIMIT 1"
    )
    after, number = (base.seq, base.counters.get(counter.key, 0)) if base is not None else (-1, 0)
    found = reader.query(sql, run.key, after, counter.subject)
    return int(found[0][0]) if found else number


def resting(reader: Reader, runs: Iterable[Run], now_ms: int) -> dict[int, int]:
    """When the next attempt begins of those that rest before one, by key."""
    sql = (
        "SELECT json_extract(detail, '$.until_ms') FROM record"
        " WHERE run = ? AND seq > ? AND kind = 'retried' ORDER BY seq DESC LIMIT 1"
    )
    found: dict[int, int] = {}
    for run in runs:
        if run.outcome == "running" and (rows := reader.query(sql, run.key, run.entered)) and rows[0][0] > now_ms:
            found[run.key] = rows[0][0]
    return found


def _counted(reader: Reader, run: Run, counter: Counter, base: Snapshot | None) -> int:
    after, number = (base.seq, base.counters.get(counter.key, 0)) if base is not None else (-1, 0)
    if counter.since:
        sql = f"SELECT max(seq) FROM record WHERE run = ? AND seq > ? AND state = ? AND {_ENTERS}"
        (entered,) = reader.query(sql, run.key, after, counter.since)[0]
        after, number = (entered, 0) if entered is not None else (after, number)
    what, *parameters = {
        "fires": ("count(*)", "hop = ?", counter.subject),
        "visits": ("count(*)", f"{_ENTERS} AND state = ?", counter.subject),
        "hops": ("count(*)", "hop != '' AND source != ?", START),
        "tokens": ("sum(json_extract(nullif(detail, ''), '$.spent[0]'))", "?", 1),
        "usd_micros": ("sum(json_extract(nullif(detail, ''), '$.spent[1]'))", "?", 1),
    }[counter.of]
    where, subject = parameters
    sql = f"SELECT coalesce({what}, 0) FROM record WHERE run = ? AND seq > ? AND {where}"
    number += reader.query(sql, run.key, after, subject)[0][0]
    if counter.of in ("tokens", "usd_micros"):
        sql = f"SELECT coalesce(sum({counter.of}), 0) FROM call WHERE run = ? AND seq >= ?"
        number += reader.query(sql, run.key, run.seq)[0][0]
    return int(number)


def notable(reader: Reader, run: int, first: int, last: int, limit: int) -> list[int]:
    """The seqs of the last `limit` records between `first` and `last` that did not simply go on.

    Refused, put off, tried again, taken up again, halted, or led away by a refusal or a failure.
    """
    sql = (
        "SELECT seq FROM record WHERE run = ? AND seq BETWEEN ? AND ?"
        " AND (kind NOT IN ('started', 'taken') OR instr(hop, '.') > 0) ORDER BY seq DESC LIMIT ?"
    )
    return [seq for (seq,) in reversed(reader.query(sql, run, first, last, limit))]


def detours(reader: Reader, run: int) -> dict[str, int]:
    """How often a run took each way that a refusal or a failure opened: retries, fallbacks, `otherwise`."""
    sql = "SELECT hop, count(*) FROM record WHERE run = ? AND instr(hop, '.') > 0 GROUP BY hop ORDER BY min(seq)"
    return dict(reader.query(sql, run))
