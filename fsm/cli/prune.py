"""`fsm prune`: old runs go, their tombstones stay."""

import re
from collections import Counter
from typing import TYPE_CHECKING

import click
from attrs import define

from fsm.cli.parts.options import db_option, emit, label_option, verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fsm.journal.burial import Prunable

ENDINGS = ("completed", "failed", "cancelled")


def _span(context: click.Context, option: click.Parameter, given: str) -> int:
    from fsm.show.words import UNITS_MS

    found = re.fullmatch(r"(\d{1,6})(d|h|min|s)", given)
    if found is None:
        raise click.UsageError(f"--older-than {given}: write 30d, 12h, 90min or 45s")
    return int(found[1]) * dict(UNITS_MS)[found[2]]


@define
class _Gone:
    """How many runs went, and what the file has to give back."""

    runs: int = 0
    free: int = 0
    shrunk: int = 0


@verb("""fsm prune --older-than 30d --keep failed --dry-run
fsm prune runs.db --older-than 12h --label team=docs --reason 'docs are rebuilt daily'""")
@click.argument("path", metavar="[DB]", required=False)
@click.option(
    "--older-than", metavar="TIME", callback=_span, required=True, help="Since their last record: 30d, 12h, 90min, 45s."
)
@click.option(
    "--keep",
    multiple=True,
    type=click.Choice(ENDINGS),
    metavar="OUTCOME",
    help=f"Leave those that are {', '.join(ENDINGS)}. May be repeated.",
)
@click.option("--machine", "-m", metavar="NAME", help="Runs of this machine.")
@label_option
@click.option("--reason", default="", help="Why they go; it stands on their tombstones.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--vacuum", is_flag=True, help="Afterwards write the file anew, smaller; no runner may be at work.")
@db_option
def command(
    path: str | None,
    older_than: int,
    keep: tuple[str, ...],
    machine: str | None,
    labels: dict[str, str],
    reason: str,
    dry_run: bool,
    vacuum: bool,
    db: str | None,
    as_json: bool,
) -> None:
    """Delete old runs that have ended; a tombstone of each stays.

    A tombstone keeps how many records there were, the head of their chain and the reason, so a pruned journal
    still proves sound, and one from which rows were cut does not. Runs that wait, halted or are under way are
    never deleted. It works in small transactions, also while runners are at work; of `fsm export` nothing is lost.
    """
    from fsm.cli.parts.journals import once, reading
    from fsm.clock import SystemClock
    from fsm.journal.burial import prunable
    from fsm.journal.search import Search
    from fsm.show.words import duration

    now_ms = SystemClock().now_ms()
    outcomes = frozenset(ENDINGS) - frozenset(keep)
    if not outcomes:
        raise click.UsageError("that keeps every outcome: leave a --keep out")
    search = Search(machine=machine, outcomes=outcomes, labels=labels, before_ms=now_ms - older_than)
    with reading(once(path, db)) as reader:
        found, journal = prunable(reader, search), reader.path
    text = reason.strip() or f"fsm prune: older than {duration(older_than)}"
    gone = _Gone() if dry_run else _prune(journal, found, text, now_ms, vacuum)
    if as_json:
        emit(_data(journal, found, gone, dry_run))
    else:
        _tell(journal, found, gone, dry_run, vacuum)


def _prune(journal: str, found: "Sequence[Prunable]", reason: str, now_ms: int, vacuum: bool) -> _Gone:
    from fsm.clock import SystemClock
    from fsm.journal.alone import alone
    from fsm.journal.burial import Prune, batches
    from fsm.journal.facts import free_size

    gone = _Gone()
    with alone(journal, SystemClock().monotonic()) as writing:
        for batch in batches(found):
            gone.runs += writing.write(Prune(runs=[run.key for run in batch], reason=reason, at_ms=now_ms))
        gone.shrunk = writing.vacuum() if vacuum else 0
        gone.free = free_size(writing.read)
    return gone


def _data(journal: str, found: "Sequence[Prunable]", gone: _Gone, dry_run: bool) -> dict[str, object]:
    return {
        "journal": journal,
        "dry_run": dry_run,
        "runs": len(found) if dry_run else gone.runs,
        "records": sum(run.records for run in found),
        "bytes": sum(run.size for run in found),
        "outcomes": dict(Counter(run.outcome for run in found)),
        "free": gone.free,
        "shrunk": gone.shrunk,
    }


def _tell(journal: str, found: "Sequence[Prunable]", gone: _Gone, dry_run: bool, vacuum: bool) -> None:
    from fsm.show.words import count, size

    records, octets = sum(run.records for run in found), sum(run.size for run in found)
    by = ", ".join(f"{number:,} {outcome}" for outcome, number in sorted(Counter(run.outcome for run in found).items()))
    told = f"{count(len(found), 'run')}, {count(records, 'record')}, about {size(octets)} of text"
    if not found:
        click.echo(f"no run of {journal} is to go")
    elif dry_run:
        click.echo(f"{told} would go from {journal} ({by})\n  -> leave --dry-run out")
    else:
        click.echo(f"{told} deleted from {journal} ({by}); {count(gone.runs, 'tombstone')} written")
    if vacuum and not dry_run:
        click.echo(f"the file is {size(gone.shrunk)} smaller")
    elif gone.free:
        click.echo(f"the file keeps its size, {size(gone.free)} of it free for what comes")
        click.echo("  -> give that back while no runner is at work: fsm prune ... --vacuum")
