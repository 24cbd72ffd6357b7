"""Runs that leave one journal and come into another, as the verbs do it."""

import io
from pathlib import Path

from fsm import read_journal
from fsm.journal.incoming import Arrival, take_in
from fsm.journal.outgoing import Outgoing
from fsm.replay.proof import proof


def exported(db: Path) -> bytes:
    """Every run of a journal, as `fsm export --all` writes it."""
    reader = read_journal(db)
    try:
        outgoing = Outgoing(reader)
        rows = [line for run in reader.runs() for line in outgoing.run(run.run_id)]
        return b"".join([outgoing.header(), *rows, outgoing.closing()])
    finally:
        reader.close()


def imported(text: bytes, db: Path, unfinished: bool = True) -> list[Arrival]:
    """What became of each run, as `fsm import` tells it."""
    return list(take_in(io.BytesIO(text), "export.jsonl", str(db), proof, 0.0, unfinished))


def heads(db: Path) -> dict[str, tuple[bytes, ...]]:
    """The chain of each run."""
    reader = read_journal(db)
    try:
        return {run.run_id: tuple(record.head for record in reader.records(run.key)) for run in reader.runs()}
    finally:
        reader.close()
