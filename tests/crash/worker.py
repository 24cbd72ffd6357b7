"""A process that works until it is done or dies: `python -m tests.crash.worker FOLDER ROLE '{"options": 1}'`."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import fsm.journal.journal
import fsm.journal.reader
from fsm import Record, Run, Runner, SqliteJournal
from fsm.errors import RunEnded
from fsm.testing import crash_at
from tests.crash import mill
from tests.crash.mill import Hint, Mill, Order

Role = Callable[..., Awaitable[None]]


def say(folder: Path, name: str, *facts: Any) -> None:
    """A line in one of the worker's files; what is in it survives this process."""
    out = os.open(folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(out, json.dumps(facts).encode() + b"\n")
    os.close(out)


def acknowledge(folder: Path) -> Callable[[Run, Record], None]:
    """An observer that writes down what it was told: all of it must be in the journal ever after."""

    def told(run: Run, record: Record) -> None:
        say(folder, "acknowledged", run.run_id, record.seq, record.kind, record.event, (record.digest or b"").hex())

    return told


async def work(folder: Path, *, runs: list[str], lease_s: float = 10.0) -> None:
    """Start these runs of the mill, or go on with them, send each a stray event, and see them end."""
    journal = SqliteJournal(folder / "runs.db", lease_s=lease_s, stall_s_max=lease_s)
    async with Runner(journal, machines=[Mill], observers=[acknowledge(folder)], poll_s=0.01) as runner:
        for run_id in runs:
            await runner.start(Mill, Order(n=1), run_id=run_id)
        await asyncio.gather(*(stray(runner, run_id) for run_id in runs))
        for run_id in runs:
            await runner.finished(run_id)


async def stray(runner: Runner, run_id: str) -> None:
    try:
        record = await runner.send(run_id, Hint(text="faster"), event_id=f"stray-{run_id}")
    except RunEnded:
        return
    assert record is not None
    assert record.kind in ("refused", "unhandled")


ROLES: dict[str, Role] = {"work": work}


def main(folder: str, role: str, options: dict[str, Any]) -> None:
    """`crash` maps crash points to arrivals; `boot` names another boot of the host, on which no lease holds."""
    place = Path(folder)
    mill.effects = place / "effects"
    errors = os.open(place / f"stderr-{os.getpid()}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(errors, 2)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    if boot := options.pop("boot", ""):
        fsm.journal.journal.boot_id = fsm.journal.reader.boot_id = lambda: boot
    for point, passes in options.pop("crash", {}).items():
        crash_at(point, passes)
    asyncio.run(ROLES[role](place, **options))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
