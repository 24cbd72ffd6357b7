"""A process that works until it is done or dies: `python -m tests.crash.worker FOLDER ROLE '{"options": 1}'`."""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any

import fsm.journal.journal
import fsm.journal.reader
from fsm import Machine, Record, Run, Runner, SqliteJournal
from fsm.errors import FsmError, RunEnded
from fsm.testing import crash_at
from tests.crash import fuse, gates, mill, purse, ward
from tests.crash.gates import EVENTS, MACHINES, Ball, Rally
from tests.crash.mill import Hint, Mill, Order

STRAYS = 3  # more than a visit of the mill records

Role = Callable[..., Coroutine[Any, Any, None]]


def say(folder: Path, name: str, *facts: Any) -> None:
    """A line in one of the worker's files; what is in it survives this process."""
    out = os.open(folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(out, json.dumps(facts).encode() + b"\n")
    os.close(out)


def acknowledge(folder: Path) -> Callable[[Run, Record], None]:
    """An observer that writes down what it was told: all of it must be in the journal ever after."""

    def told(run: Run, record: Record) -> None:
        digest = (record.digest or b"").hex()
        say(folder, "acknowledged", run.run_id, record.seq, record.kind, record.event, digest, os.getpid())

    return told


# --- roles ----------------------------------------------------------------------------------------


async def work(folder: Path, *, runs: list[str]) -> None:
    """Start these runs of the mill, or go on with them, send each stray events, and see them end."""
    async with Runner(folder / "runs.db", machines=[Mill], observers=[acknowledge(folder)], poll_s=0.01) as runner:
        for run_id in runs:
            await runner.start(Mill, Order(n=1), run_id=run_id)
        await asyncio.gather(*(stray(runner, run_id, f"stray-{n}") for n in range(STRAYS) for run_id in runs))
        for run_id in runs:
            await runner.finished(run_id)


async def stray(runner: Runner, run_id: str, event_id: str) -> None:
    try:
        record = await runner.send(run_id, Hint(text="faster"), event_id=event_id)
    except RunEnded:
        return
    assert record is None or record.kind in ("refused", "unhandled")


async def opener(folder: Path) -> None:
    """Open the file in the moment in which others do."""
    say(folder, "at the door")
    await gates.opened("go")
    await SqliteJournal(folder / "runs.db").close()


async def carry(folder: Path, *, machine: str, run_id: str) -> None:
    """Start this run, or go on with it, and see it end or halt."""
    known = {machine.spec.name: machine for machine in MACHINES}[machine]
    async with Runner(folder / "runs.db", machines=[known], observers=[acknowledge(folder)], poll_s=0.01) as runner:
        await runner.start(known, gates.Ask(), run_id=run_id)
        await runner.finished(run_id)


async def call(folder: Path, *, machine: str, runs: list[str], later_s: float = 0.0, lease_s: float = 10.0) -> None:
    """Start these runs at once, `later_s` from now by the wall clock, and see them end."""
    known = {machine.spec.name: machine for machine in fuse.MACHINES}[machine]
    journal = SqliteJournal(folder / "runs.db", lease_s=lease_s)
    clock = fuse.Later(later_s)
    async with Runner(journal, machines=[known], clock=clock, poll_s=0.01, adopt=False) as runner:
        say(folder, "at the door")
        await gates.opened("door")
        await asyncio.gather(*(runner.start(known, fuse.Job(), run_id=run_id) for run_id in runs))
        await asyncio.gather(*(runner.finished(run_id) for run_id in runs))


async def buy(folder: Path, *, runs: list[str]) -> None:
    """Start these runs at once, or go on with them, and see them end."""
    machines, clock = [purse.Shop], fuse.Quick()
    async with Runner(folder / "runs.db", machines=machines, clock=clock, poll_s=0.01, adopt=False) as runner:
        say(folder, "at the door")
        await gates.opened("door")
        await asyncio.gather(*(runner.start(purse.Shop, purse.Task(), run_id=run_id) for run_id in runs))
        await asyncio.gather(*(runner.finished(run_id) for run_id in runs))


async def nurse(folder: Path, *, runs: list[str]) -> None:
    """Start these runs at once, or go on with them, and see them end; take up what the dead have left, too."""
    async with Runner(folder / "runs.db", machines=[ward.Ward], poll_s=0.01) as runner:
        say(folder, "at the door")
        await gates.opened("door")
        await asyncio.gather(*(runner.start(ward.Ward, ward.Patient(), run_id=run_id) for run_id in runs))
        await asyncio.gather(*(runner.finished(run_id) for run_id in runs))


async def serve(
    folder: Path, *, name: str, lease_s: float = 10.0, stall_s_max: float = 5.0, poll_s: float = 0.01
) -> None:
    """Follow the orders in a file, a line each, until one says stop; answers go into another file."""
    journal = SqliteJournal(folder / "runs.db", lease_s=lease_s, stall_s_max=stall_s_max)
    tasks: set[asyncio.Task[None]] = set()
    async with Runner(
        journal, machines=[Mill, *MACHINES], observers=[acknowledge(folder)], poll_s=poll_s, name=name
    ) as runner:
        say(folder, f"answers-{name}", "ready", os.getpid())
        done = 0
        while True:
            orders = (folder / f"orders-{name}").read_text().splitlines()[done:]
            done += len(orders)
            for order in orders:
                verb, *rest = json.loads(order)
                if verb == "stop":
                    return
                tasks.add(asyncio.create_task(follow(runner, folder / f"answers-{name}", verb, *rest)))
            await asyncio.sleep(0.005)


async def follow(runner: Runner, answers: Path, verb: str, run_id: str, *rest: Any) -> None:
    known: list[type[Machine]] = [Mill, *MACHINES]
    machines = {machine.spec.name: machine for machine in known}
    began, told = time.monotonic(), ""
    try:
        match verb, *rest:
            case "start", str(machine), dict(values):
                payload = Order(**values) if machine == "Mill" else gates.Ask(**values)
                told = (await runner.start(machines[machine], payload, run_id=run_id)).outcome
            case "send", str(event), dict(values), str(event_id):
                record = await runner.send(run_id, EVENTS[event](**values), event_id=event_id)
                told = record.kind if record is not None else "counted"
            case "answer", str(call), dict(options):
                told = (await runner.answer(run_id, call, **options)).outcome
            case "cancel", *_:
                told = (await runner.cancel(run_id)).outcome
            case "finished", *_:
                told = (await runner.finished(run_id)).outcome
            case other:
                raise AssertionError(other)
    except FsmError as error:
        told = type(error).__name__
    say(answers.parent, answers.name, verb, run_id, told, time.monotonic() - began)


async def saturate(folder: Path, *, runs: int) -> None:
    """Keep the journal as busy as this process can."""
    async with Runner(folder / "runs.db") as runner:
        await asyncio.gather(*(runner.start(Rally, Ball(n=0)) for _ in range(runs)))
        say(folder, "saturated", runs)
        await gates.opened("enough")


async def single(folder: Path, *, hops: int) -> None:
    """One run, one decision a commit; each one's latency in seconds is said."""
    moments: list[float] = []
    enough = asyncio.Event()

    def told(run: Run, record: Record) -> None:
        moments.append(time.monotonic())
        if len(moments) > hops:
            enough.set()

    async with Runner(folder / "runs.db", observers=[told]) as runner:
        await runner.start(Rally, Ball(n=0))
        await enough.wait()
    say(folder, "latencies", *(after - before for before, after in pairwise(moments)))


ROLES: dict[str, Role] = {
    "work": work,
    "opener": opener,
    "carry": carry,
    "call": call,
    "buy": buy,
    "nurse": nurse,
    "serve": serve,
    "saturate": saturate,
    "single": single,
}


def main(folder: str, role: str, options: dict[str, Any]) -> None:
    """`crash` maps crash points to arrivals; `boot` names another boot of the host, on which no lease holds."""
    place = Path(folder)
    mill.effects, gates.place = place / "effects", place
    errors = os.open(place / f"stderr-{os.getpid()}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(errors, 2)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    if boot := options.pop("boot", ""):
        for module in (fsm.journal.journal, fsm.journal.reader):
            vars(module)["boot_id"] = lambda: boot
    for point, passes in options.pop("crash", {}).items():
        crash_at(point, passes)
    asyncio.run(ROLES[role](place, **options))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
