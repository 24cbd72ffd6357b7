"""`fsm migrate`: which unfinished runs can go on with a changed machine, and letting them."""

from typing import TYPE_CHECKING

import click

from fsm.cli.parts.options import FAILED, GOOD, db_option, emit, leave, verb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fsm.cli.parts.output import Output
    from fsm.define.machine import Machine
    from fsm.define.spec import MachineSpec
    from fsm.runner.migrate import Candidate
    from fsm.show.migrating import Migration

CHANGES_MAX = 8


@verb("""fsm migrate runs.db --to desk.py:Desk --dry-run
fsm migrate runs.db --to desk.py:Desk --by ann --reason 'release 12'""")
@click.argument("path", metavar="[DB]", required=False)
@click.option("--to", "target", required=True, metavar="FILE.py:Machine", help="The machine as it is now.")
@click.option("--dry-run", "dry", is_flag=True, help="Look only; nothing is written.")
@click.option("--by", default="", help="Who accepts it; it is recorded.")
@click.option("--reason", default="", help="Why; it is recorded.")
@db_option
def command(path: str | None, target: str, dry: bool, by: str, reason: str, db: str | None, as_json: bool) -> None:
    """Say which unfinished runs can go on with a changed machine, and let them.

    Each that can is recorded as belonging to it from then on, as `fsm resume RUN --accept` does for one; nothing is
    run. The others are told by what stands in the way: a state that is gone, a payload that today's code does not read,
    a memory that cannot be folded. A run that a living runner advances is left to it. Exits with 1 if any is left.
    """
    from fsm.cli.parts.journals import once, reading
    from fsm.cli.parts.project import here
    from fsm.cli.parts.target import machine
    from fsm.show.migrating import migration, migration_data

    where, to = once(path, db), machine(target)
    found = _candidates(where, to) if dry else _migrated(where, to, by, reason)
    with reading(where) as reader:
        told = migration(reader, to.spec, found, here(where, (target,)))
        changes = _changes(reader.spec, found, to)
    if as_json:
        emit(migration_data(told, dry))
    else:
        _print(told, changes, dry, here(where, (target,)).command("resume"))
    leave(GOOD if told.all_well else FAILED)


def _candidates(where: str | None, to: "type[Machine]") -> "list[Candidate]":
    from fsm.cli.parts.journals import reading
    from fsm.clock import SystemClock
    from fsm.runner.migrate import candidates

    with reading(where) as reader:
        return list(candidates(reader, to, SystemClock()))


def _migrated(where: str | None, to: "type[Machine]", by: str, reason: str) -> "list[Candidate]":
    import asyncio

    from fsm.cli.parts.journals import reading
    from fsm.clock import SystemClock
    from fsm.journal.journal import SqliteJournal
    from fsm.runner.migrate import migrate

    async def work(path: str) -> "list[Candidate]":
        journal, clock = SqliteJournal(path), SystemClock()
        await journal.open(clock, "migrate")
        try:
            return await migrate(journal, to, clock, by=by, reason=reason)
        finally:
            await journal.close()

    with reading(where) as reader:  # one that is not there is not made
        path = reader.path
    return asyncio.run(work(path))


def _changes(spec_of: "Callable[[str], MachineSpec]", found: "Sequence[Candidate]", to: "type[Machine]") -> list[str]:
    """How the machine differs from those that the runs were recorded under, a line each."""
    olds = dict.fromkeys(one.run.fingerprint for one in found if one.run.fingerprint != to.spec.fingerprint)
    return list(dict.fromkeys(change for old in olds for change in spec_of(old).changes(to.spec)))


def _print(found: "Migration", changes: "Sequence[str]", dry: bool, resume: str) -> None:
    from fsm.cli.parts.output import Output
    from fsm.show.migrating import counts
    from fsm.show.words import count, safe

    output = Output()
    if changes:
        output.line((safe(found.spec.name), "bold"), " has changed since its unfinished runs were recorded:")
    for change in changes[:CHANGES_MAX]:
        output.paragraph(("- ", "dim"), safe(change), indent=2, hang=2)
    if len(changes) > CHANGES_MAX:
        output.line((f"  and {count(len(changes) - CHANGES_MAX, 'change')} more", "dim"))
    for text, style in counts(found, dry):
        output.paragraph((text, style), hang=2)
    for group in found.groups:
        output.line()
        output.paragraph(("✗ ", "red"), (safe(group.title), "bold"), hang=2)
        output.paragraph((f"{count(len(group.runs), 'run')}: ", "dim"), group.ids, indent=2, hang=2)
        if group.example:
            output.paragraph((safe(group.example), "dim"), indent=2, hang=2)
        for what, step in group.next:
            output.paragraph(("→ ", "cyan"), what + (":" if step else ""), indent=2, hang=2)
            if step:
                output.line("    ", (step, "cyan"), cut=False)
    _print_next(output, found, dry, resume)


def _print_next(output: "Output", found: "Migration", dry: bool, resume: str) -> None:
    if dry and found.able:
        output.line()
        output.paragraph("nothing was written; the same without --dry-run lets those go on that can")
    elif any(run.outcome == "running" for run in found.able):
        output.line()
        output.line("those under way go on with: ", (resume, "cyan"), cut=False)
