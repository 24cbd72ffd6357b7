"""`fsm export`: runs as JSON lines, so that they can be kept, sent and taken into another journal."""

from typing import TYPE_CHECKING, BinaryIO

import click
from attrs import define, field

from fsm.cli.parts.options import FAILED, db_option, emit, leave, verb
from fsm.cli.parts.outlet import STDOUT, outlet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fsm.journal.reader import Reader
    from fsm.journal.rows import Run


@define
class _Written:
    """What has been written; `unsound` are runs that do not replay, and why."""

    runs: int = 0
    records: int = 0
    unfinished: int = 0
    size: int = 0
    unsound: dict[str, str] = field(factory=dict)


@verb("""fsm export 42 --out run-42.jsonl
fsm export --all | gzip > runs.jsonl.gz""")
@click.argument("run_ids", metavar="RUN...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every run of the journal.")
@click.option(
    "--out", metavar="FILE", default=STDOUT, help="Where to; never replaces a file. Without it, standard output."
)
@db_option
def command(run_ids: tuple[str, ...], everything: bool, out: str, db: str | None, as_json: bool) -> None:
    """Write runs as JSON lines, whole: to keep, to send, to take into another journal.

    Records, payloads, calls, snapshots, and the machines they were recorded under, without code; of runs that
    have not ended also what waits in their inbox and their timers. Not: who advances them, and what runs share
    (breakers, budgets). Each run is replayed first; one that is not sound is written as it is and named, and the
    command exits with 1.
    """
    from fsm.cli.parts.journals import find_run, reading

    if everything == bool(run_ids):
        raise click.UsageError("name runs, or say --all")
    if as_json and out == STDOUT:
        raise click.UsageError("--json tells what was written to a file: say which with --out FILE")
    with reading(db) as reader:
        runs = reader.runs() if everything else [find_run(reader, run_id) for run_id in dict.fromkeys(run_ids)]
        with outlet(out) as stream:
            written = _write(reader, runs, stream)
    if as_json:
        emit(
            {
                "out": out,
                "runs": written.runs,
                "records": written.records,
                "unfinished": written.unfinished,
                "size": written.size,
                "unsound": written.unsound,
            }
        )
    else:
        _tell(written, out)
    if written.unsound:
        leave(FAILED)


def _write(reader: "Reader", runs: "Sequence[Run]", stream: BinaryIO) -> _Written:
    from fsm.core.record import ENDED, HALTED
    from fsm.journal.outgoing import Outgoing
    from fsm.replay.proof import proof

    outgoing, written = Outgoing(reader), _Written()
    written.size += stream.write(outgoing.header())
    for run in runs:
        problem = proof(reader, run.run_id)
        if problem is not None:
            written.unsound[run.run_id] = problem[1]
        for line in outgoing.run(run.run_id):
            written.size += stream.write(line)
            written.records += line.startswith(b'{"record"')
        written.runs += 1
        written.unfinished += run.outcome not in ENDED | HALTED
    written.size += stream.write(outgoing.closing())
    return written


def _tell(written: _Written, out: str) -> None:
    from fsm.show.words import block, count, safe

    aside = out == STDOUT
    for run_id, why in written.unsound.items():
        click.echo(f"✗ run {safe(run_id)} is not sound, and will not be taken in: {block(why)}", err=True)
    told = f"{count(written.runs, 'run')}, {count(written.records, 'record')}"
    click.echo(f"{told}: {written.size:,} bytes" + ("" if aside else f" in {out}"), err=aside)
    if written.unfinished:
        have = "has" if written.unfinished == 1 else "have"
        told = f"  {written.unfinished:,} of them {have} not ended: only one journal may go on with a run"
        click.echo(told, err=aside)
