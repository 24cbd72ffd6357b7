"""One run, start to standstill, from code that is not async; works in a notebook too."""

import asyncio
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from pydantic import BaseModel

from fsm.define.machine import Machine
from fsm.define.prices import Prices
from fsm.journal.rows import Run
from fsm.runner.observers import Observer
from fsm.runner.runner import Runner


def run(
    machine: type[Machine],
    payload: BaseModel,
    *,
    db: str | os.PathLike[str] = "runs.db",
    run_id: str | None = None,
    labels: Mapping[str, str] | None = None,
    observers: Sequence[Observer] = (),
    prices: Prices | None = None,
) -> Run:
    """Start a run of `machine` and wait until it stands still: ended, halted or waiting.

    With a `run_id` that exists the run goes on where it is. Raises what `Runner.start` and
    `Runner.settled` raise.
    """

    stops: list[Callable[[], object]] = []

    async def settle() -> Run:
        async with Runner(db, adopt=False, observers=observers, prices=prices) as runner:
            stops.append(partial(asyncio.get_running_loop().call_soon_threadsafe, runner.stop))
            started = await runner.start(machine, payload, run_id=run_id, labels=labels)
            return await runner.settled(started.run_id)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(settle())
    results: list[Run] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(asyncio.run(settle()))
        except BaseException as error:
            errors.append(error)
        finally:
            over.set()

    over = threading.Event()  # not join(): interrupted, it takes the thread for ended
    threading.Thread(target=work, name="fsm-run").start()
    try:
        over.wait()
    except BaseException:  # an interrupted notebook cell leaves no run at work behind
        for stop in stops:
            stop()
        over.wait()
        raise
    if errors:
        raise errors[0]
    return results[0]
