"""Opening a journal to look into it, and finding a run by the beginning of its id."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from fsm.cli.parts.project import journal_path
from fsm.errors import RunNotFound
from fsm.journal.reader import Reader, read_journal
from fsm.journal.rows import Run

SHOWN_MAX = 5


@contextmanager
def reading(db: str | None) -> Iterator[Reader]:
    """The journal, for reading only."""
    reader = read_journal(journal_path(db))
    try:
        yield reader
    finally:
        reader.close()


def once(path: str | None, db: str | None) -> str | None:
    """The journal that was named, as an argument or as an option."""
    if path is not None and db is not None:
        raise click.UsageError("name the journal once: as DB, or with --db")
    return path if path is not None else db


def find_run(reader: Reader, run_id: str) -> Run:
    """The run of this id, or the only one whose id begins so. Raises `RunNotFound`, or says which it may be."""
    found = reader.runs_like(run_id, SHOWN_MAX + 1)
    exact = [run for run in found if run.run_id == run_id]
    if exact or len(found) == 1:
        return (exact or found)[0]
    if not found:
        raise RunNotFound(run_id=run_id, journal=reader.path)
    known = ", ".join(run.run_id for run in found[:SHOWN_MAX]) + (", ..." if len(found) > SHOWN_MAX else "")
    raise click.UsageError(f"several runs begin with {run_id!r}: {known}")
