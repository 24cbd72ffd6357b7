"""Runs at a desk: every payload comes from outside, and every time another runner takes the run up."""

from pathlib import Path

from pydantic import BaseModel

from fsm import Machine, Record, read_journal
from fsm.core.snapshot import Snapshot, fold
from tests.helpers import running


async def sent(db: Path, machine: type[Machine], *payloads: BaseModel) -> list[Record]:
    """Starts with the first, sends the others, each by a runner of its own; the records of it all.

    The journal is sound after each, which includes that all replays agree, with code and without.
    """
    first, *others = payloads
    async with running(db, machine) as runner:
        await runner.start(machine, first, run_id="r")
    for payload in others:
        async with running(db, machine) as runner:
            await runner.send("r", payload)
    reader = read_journal(db)
    try:
        return list(reader.records(reader.run("r").key))
    finally:
        reader.close()


def folded(db: Path, machine: type[Machine]) -> tuple[Snapshot, Snapshot | None]:
    """The run as its journal, opened anew, has it: all records folded, and its last snapshot row."""
    reader = read_journal(db)
    try:
        key = reader.run("r").key
        return fold(machine.spec, reader.records(key)), reader.snapshot(key)
    finally:
        reader.close()
