"""Who has set what aside: the runs under way, by the shared rows of which their visits hold something.

What a visit holds is a fold of its records, and no other visit bears on it; so the records of the visits in progress
are read, without their payloads, in one statement, and those of no other run. 10,000 such runs take half a second.
"""

from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter

from attrs import frozen

from fsm.core.record import Record
from fsm.core.snapshot import NO_HOLDS, held
from fsm.define.guard import Share
from fsm.define.spec import MachineSpec
from fsm.errors import JournalError
from fsm.journal.reader import UNFIT, Reader
from fsm.journal.rows import RUN_COLUMNS, Run, record_from, run_from
from fsm.journal.schema import RECORD_COLUMNS
from fsm.journal.shared import row_of

_VISITS = (
    f"SELECT {', '.join(f'run.{column}' for column in RUN_COLUMNS)},"
    f" {', '.join('NULL' if column == 'body' else f'record.{column}' for column in RECORD_COLUMNS)}"
    " FROM run JOIN record ON record.run = run.key AND record.seq >= run.entered"
    " WHERE run.outcome = 'running' AND run.fingerprint = ? ORDER BY run.key, record.seq"
)


@frozen
class Holder:
    """A run whose visit has set that much aside, since it was entered."""

    run: Run
    amount: int
    since_ms: int


def holders(reader: Reader) -> dict[Share, list[Holder]]:
    """All of them by row, the oldest visits first; a run whose records cannot be read is left out."""
    found: dict[Share, list[Holder]] = {}
    for (fingerprint,) in reader.query("SELECT DISTINCT fingerprint FROM run WHERE outcome = 'running'"):
        if reader.spec(fingerprint).budgets:
            for share, holder in _of_machine(reader, fingerprint):
                found.setdefault(share, []).append(holder)
    return {share: sorted(held, key=lambda holder: holder.since_ms) for share, held in found.items()}


def _of_machine(reader: Reader, fingerprint: str) -> Iterator[tuple[Share, Holder]]:
    spec, columns = reader.spec(fingerprint), len(RUN_COLUMNS)
    for _, group in groupby(reader.query(_VISITS, fingerprint), itemgetter(0)):
        rows = list(group)
        run = run_from(rows[0][:columns])
        try:
            records = [record_from(row[columns:]) for row in rows]
            holds = _holds(reader, spec, run, records)
        except (*UNFIT, JournalError):
            continue  # `fsm doctor` names its damage
        for name, amount in holds.items():
            share = row_of(Share("budget", name), run.machine, run.labels)
            yield share, Holder(run, amount, records[0].at_ms)


def _holds(reader: Reader, spec: MachineSpec, run: Run, visit: list[Record]) -> Mapping[str, int]:
    """What a visit holds after its records; where its machine was changed, a snapshot row says what it held then."""
    found = NO_HOLDS
    if any(record.kind == "repinned" for record in visit) and (known := reader.snapshot(run.key)) is not None:
        found, visit = known.holds, [record for record in visit if record.seq > known.seq]
    for record in visit:
        found = held(spec, found, record)
    return found
