"""How a journal fares: its file, who is at work on it, and what somebody should look at."""

import json
from collections.abc import Iterable, Iterator

from attrs import frozen

from fsm.clock import Clock, boot_id
from fsm.journal.facts import FileFacts, facts
from fsm.journal.guards import Stored, stored
from fsm.journal.reader import Reader, RunnerRow
from fsm.show.budgets import left_words
from fsm.show.here import Here
from fsm.show.kinds import KINDS
from fsm.show.sight import Finding, Sight, left_among, resume, run_names
from fsm.show.words import count, joined

WAL_BYTES_MAX = 64 << 20
ROWS_MAX = 3


@frozen
class Worker:
    """A runner whose lease holds, and the agents on threads that it had to leave behind."""

    name: str
    pid: int
    hung: tuple[str, ...]


@frozen
class Health:
    file: FileFacts
    workers: tuple[Worker, ...]
    findings: tuple[Finding, ...]


def examine(reader: Reader, clock: Clock, here: Here) -> Health:
    """All but the chains of the runs, which replay looks at."""
    file = facts(reader, clock.now_ms())
    boot, now = boot_id(), clock.monotonic()
    workers = tuple(
        Worker(row.name, row.pid, tuple(json.loads(row.hung))) for row in reader.runners() if _lives(row, boot, now)
    )
    runs = reader.ownerless(now)
    sight = Sight(now_ms=clock.now_ms(), here=here, left=frozenset(run.key for run in runs))
    left = [run.run_id for run in runs]
    shared = stored(reader)
    findings = (*_findings(file, workers, left, here), *_held(shared, sight), *_shared(shared, sight))
    return Health(file, workers, findings)


def _held(found: Iterable[Stored], sight: Sight) -> Iterator[Finding]:
    """What runs have set aside of shared rows that nobody advances: all others have to do without it."""
    held = [one for one in found if left_among(one.holders, sight)]
    if held:
        runs = {holder.run.key: holder for one in held for holder in left_among(one.holders, sight)}
        told = [left_words(one, sight) for one in held[:ROWS_MAX]]
        told += [f"of {len(held) - ROWS_MAX:,} rows more"] if len(held) > ROWS_MAX else []
        hold = "holds" if len(runs) == 1 else "hold"
        what = f"{run_names([*runs.values()])}, which nobody advances, {hold} {joined(told, 'and')}"
        yield Finding(what, resume([*runs.values()], sight.here))


def _shared(found: Iterable[Stored], sight: Sight) -> Iterator[Finding]:
    return (fault for one in found for fault in KINDS[one.share.kind].faults(one, sight))


def _lives(row: RunnerRow, boot: str, now: float) -> bool:
    return not row.closed and row.boot == boot and row.expires > now


def _findings(file: FileFacts, workers: tuple[Worker, ...], left: list[str], here: Here) -> Iterator[Finding]:
    for text in file.damage:
        yield Finding(f"the file is damaged: {text}", "restore a backup; sqlite3's .recover may save more", bad=True)
    for text in file.unburied:
        yield Finding(text, "somebody deleted rows by hand: restore a backup, or import the runs", bad=True)
    for worker in workers:
        for agent in worker.hung:
            told = f"an agent hangs in runner {worker.name} (process {worker.pid}): {agent}"
            yield Finding(told, "its run went on without it; the thread ends with its process")
    if left:
        named = ", ".join(left[:3]) + (", ..." if len(left) > 3 else "")
        verb, them = ("is", "it") if len(left) == 1 else ("are", "them")
        told = f"{count(len(left), 'run')} {verb} under way, and nobody advances {them}: {named}"
        yield Finding(told, here.command("resume"))
    if workers:
        return
    if file.posted:
        told = count(file.posted, "event waits in an inbox", "events wait in inboxes")
        yield Finding(f"{told}, and no runner is at work", here.command("resume"))
    if file.overdue:
        told = count(file.overdue, "timer has", "timers have")
        yield Finding(f"{told} run out, and no runner is at work", here.command("resume"))
    if file.wal_size > WAL_BYTES_MAX:
        told = f"the -wal file holds {file.wal_size / (1 << 20):,.0f} MiB, and no runner is at work"
        yield Finding(told, "any runner that opens and closes the journal folds it in")
