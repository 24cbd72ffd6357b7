"""`fsm import`: runs of an export into a journal."""

from collections import Counter
from typing import TYPE_CHECKING

import click

from fsm.cli.parts.options import FAILED, db_option, emit, leave, verb

if TYPE_CHECKING:
    from fsm.journal.incoming import Arrival


@verb("fsm import run-42.jsonl --db desk.db")
@click.argument("file", metavar="FILE|-", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--unfinished",
    is_flag=True,
    help="Take in runs that have not ended, too: a runner here goes on with them, so the other journal must not.",
)
@db_option
def command(file: str, unfinished: bool, db: str | None, as_json: bool) -> None:
    """Take runs of an export into a journal, each proven first.

    A run is written only once its chain, payloads, calls, snapshots and machine have proven to be what was
    recorded, whole or not at all. One that is there already, as far along, is left as it is; one that is not
    sound, or another of the same id, is refused and named, and the command exits with 1; all others come in.
    Nothing in the file is evaluated or imported as code.
    """
    from fsm.cli.parts.project import here, journal_path
    from fsm.clock import SystemClock
    from fsm.journal.incoming import take_in
    from fsm.replay.proof import proof

    path, counted, records = journal_path(db), Counter[str](), 0
    refused: list[Arrival] = []
    with click.open_file(file, "rb") as stream:
        for arrival in take_in(stream, file, path, proof, SystemClock().monotonic(), unfinished):
            counted[arrival.what] += 1
            if arrival.what == "taken":
                records += arrival.records
            elif arrival.what == "refused":
                refused.append(arrival)
                if not as_json:
                    _tell(arrival)
    if as_json:
        listed = [{"run_id": a.run_id, "line": a.line, "seq": a.seq, "why": a.why} for a in refused]
        found = {"taken": counted["taken"], "here": counted["here"], "records": records, "refused": listed}
        emit({"journal": path, **found})
    else:
        _close(path, counted, records, here(db).command("runs"))
    if refused:
        leave(FAILED)


def _tell(refused: "Arrival") -> None:
    from fsm.show.words import block, safe

    run = f", run {safe(refused.run_id, 200)}" if refused.run_id else ""
    click.echo(f"✗ line {refused.line:,}{run}: {block(refused.why)}")


def _close(path: str, counted: Counter[str], records: int, look: str) -> None:
    from fsm.show.words import count

    told = [f"{count(counted['taken'], 'run')} taken into {path}, {count(records, 'record')}"]
    told += [f"{counted['here']:,} there already"] if counted["here"] else []
    told += [f"{counted['refused']:,} refused"] if counted["refused"] else []
    click.echo("; ".join(told))
    if counted["taken"]:
        click.echo(f"  -> look at what there is: {look}")
