"""How a journal fares: its file, who is at work on it, and what somebody should look at."""

import json
from collections.abc import Iterator

from attrs import frozen

from fsm.clock import Clock, boot_id
from fsm.journal.facts import FileFacts, facts
from fsm.journal.guards import Breaker, breakers
from fsm.journal.reader import Reader, RunnerRow
from fsm.show.breaking import risks
from fsm.show.here import Here
from fsm.show.words import count

WAL_BYTES_MAX = 64 << 20


@frozen
class Finding:
    """Something to look at, and what to do; `bad` where the journal itself is not as it should be."""

    what: str
    next: str
    bad: bool = False


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
    left = [run.run_id for run in reader.ownerless(now)]
    findings = (*_findings(file, workers, left, here), *_shared(breakers(reader), here))
    return Health(file, workers, findings)


def _shared(found: list[Breaker], here: Here) -> Iterator[Finding]:
    for one in found:
        if one.row.state == "unreadable":
            told = f"the row of breaker {one.name!r} is damaged, and so it refuses everything"
            yield Finding(
                told, here.command("breaker", one.name, "--reset", "--reason", "its row was damaged"), bad=True
            )
        if risk := risks(one):
            yield Finding(f"breaker {one.name!r}: {risk}", "give them the same parameters, or names of their own")


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
