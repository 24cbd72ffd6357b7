"""`fsm backup`: a copy of the journal, whole, while others write it."""

import click

from fsm.cli.parts.options import db_option, emit, verb


@verb("fsm backup runs-2026-11-22.db")
@click.argument("target", metavar="COPY")
@db_option
def command(target: str, db: str | None, as_json: bool) -> None:
    """Copy a journal, also while it is being written.

    The copy is one file, as of one moment, and never replaces another. `fsm doctor COPY` examines it.
    """
    from fsm.cli.parts.project import journal_path
    from fsm.journal.facts import copy

    source = journal_path(db)
    size = copy(source, target)
    if as_json:
        emit({"journal": source, "copy": target, "size": size})
    else:
        click.echo(f"{source} copied to {target}: {size:,} bytes\n  -> examine it: fsm doctor {target}")
