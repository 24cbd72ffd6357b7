"""`fsm doctor`: is the journal sound, and does anybody work on it?"""

from typing import TYPE_CHECKING

import click

from fsm.cli.parts.options import FAILED, db_option, emit, leave, verb

if TYPE_CHECKING:
    from fsm.journal.reader import Reader
    from fsm.replay.replay import Replay
    from fsm.show.health import Health


@verb("fsm doctor runs.db")
@click.argument("path", metavar="[DB]", required=False)
@db_option
@click.option("--quick", is_flag=True, help="Do not replay the runs; only look at the file and the runners.")
def command(path: str | None, db: str | None, quick: bool, as_json: bool) -> None:
    """Examine a journal: format, size, chains, runners, agents that hang.

    Every run is replayed from the journal alone, so a changed, missing or added row is found and named.
    Exits with 1 if the journal is not sound.
    """
    from fsm.cli.parts.journals import reading
    from fsm.cli.parts.project import here
    from fsm.clock import SystemClock
    from fsm.show.data import health_data
    from fsm.show.health import examine

    if path is not None and db is not None:
        raise click.UsageError("name the journal once: as DB, or with --db")
    with reading(path or db) as reader:
        health = examine(reader, SystemClock(), here(path or db))
        if not as_json:
            _tell_file(health)
        diverged = [] if quick else _replayed(reader, as_json)
    if as_json:
        emit(health_data(health, diverged))
    else:
        for finding in health.findings:
            mark = "✗" if finding.bad else "!"
            click.echo(f"{mark} {finding.what}\n  -> {finding.next}")
        for replay in diverged:
            click.echo(f"✗ {replay}\n  -> restore this run from a backup; every other run is untouched")
    if diverged or any(finding.bad for finding in health.findings):
        leave(FAILED)


def _replayed(reader: "Reader", quiet: bool) -> "list[Replay]":
    """Every run replayed from the journal alone; those that diverge."""
    from rich.console import Console
    from rich.progress import track

    from fsm.replay.replay import replay_run
    from fsm.show.words import count

    runs, console = reader.runs(), Console(stderr=True)
    shown = track(runs, "replaying", console=console, transient=True, disable=quiet or not console.is_terminal)
    replays = [replay_run(reader, run.run_id) for run in shown]
    diverged = [replay for replay in replays if not replay.agreed]
    records = sum(replay.records for replay in replays)
    if not quiet and runs:
        agree = "every chain holds" if not diverged else f"{len(diverged):,} of {len(runs):,} runs are not sound"
        click.echo(f"replayed  {count(len(runs), 'run')}, {count(records, 'record')}: {agree}")
    return diverged


def _tell_file(health: "Health") -> None:
    from fsm.show.words import count, safe, size

    file = health.file
    sizes = f"{size(file.size)}, {size(file.wal_size)} in its -wal file, {size(file.free_size)} of it free"
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in file.outcomes.items()) or "none"
    workers = [f"{safe(worker.name)} (process {worker.pid})" for worker in health.workers]
    lines = {
        "journal": f"{file.path}, format {file.format}, pages of {file.page_size:,} bytes, SQLite {file.sqlite}",
        "size": sizes,
        "runs": outcomes + (f"; {file.buried:,} deleted, with tombstones" if file.buried else ""),
        "holds": ", ".join(
            [count(file.records, "record"), count(file.calls, "call row"), count(file.machines, "machine")]
        ),
        "runners": ", ".join(workers) or "none at work",
    }
    for name, text in lines.items():
        click.echo(f"{name:<9} {text}")
