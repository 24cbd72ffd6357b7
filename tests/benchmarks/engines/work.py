"""One job for every engine alike: draft and review, one kilobyte a hop, agents that do nothing.

Each engine works in a process of its own, in the environment that has its packages, so this module needs only
the standard library. A process is given one `Job`, does it, and prints one line of JSON.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

TEXT = ("Nobody gets through the turnstile without a token. " * 20)[:960]


@dataclass(frozen=True)
class Job:
    """`hops` a run, an even number: a draft and a review in turns. `style`: what agents hand on.

    `plain`: one kilobyte, which replaces the last. `history`: all that was handed on so far, as the engine's users
    keep it. `delta`: the same, as the engine keeps it best, where it has another way.
    `shipped`: SQLite as the engine opens it; otherwise WAL and `synchronous=FULL`, unless it cannot be told so.
    """

    task: str
    db: str
    runs: int = 1
    hops: int = 2
    style: str = "plain"
    shipped: bool = False

    @property
    def names(self) -> list[str]:
        return [f"run-{number}" for number in range(self.runs)]


class Desk:
    """Where agents sit: they do nothing, but in one hop they sit for ever; once all sit, `then` is called."""

    def __init__(self, hop: int = 0, expected: int = 0, then: Callable[[], None] = lambda: None) -> None:
        self._hop, self._expected, self._then = hop, expected, then
        self._lock, self._arrived = threading.Lock(), 0

    def _stays(self, hop: int) -> bool:
        if hop != self._hop:
            return False
        with self._lock:
            self._arrived += 1
            last = self._arrived == self._expected
        if last:
            self._then()
        return True

    def work(self, hop: int) -> None:
        if self._stays(hop):
            threading.Event().wait()

    async def work_async(self, hop: int) -> None:
        if self._stays(hop):
            await asyncio.Event().wait()


class Engine(ABC):
    """An engine on one file, from `async with` to its end; `packages` are the distributions it consists of."""

    packages: tuple[str, ...] = ()

    def __init__(self, job: Job, desk: Desk) -> None:
        self.job, self.desk = job, desk

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(self, *raised: object) -> None: ...

    @abstractmethod
    async def run(self, names: Sequence[str], hops: int) -> None:
        """All these runs at once, from their start until all have ended, every hop durable before the next begins."""

    @abstractmethod
    async def resume(self, name: str) -> None:
        """Go on with a run that a killed process left behind, until it has ended."""

    @abstractmethod
    async def pragma(self, name: str) -> Any:
        """What SQLite says on the connection that writes."""


async def _hops(make: type[Engine], job: Job) -> dict[str, Any]:
    """Microseconds a hop, starts included, by clock and processor; bytes of the closed file; what SQLite promised."""
    async with make(job, Desk()) as engine:
        await engine.run(["first"], 2)  # imports what is imported late, creates the tables
        begun, worked = time.perf_counter(), time.process_time()
        await engine.run(job.names, job.hops)
        seconds, worked = time.perf_counter() - begun, time.process_time() - worked
        mode, level = await engine.pragma("journal_mode"), await engine.pragma("synchronous")
    return {
        "us": seconds / (job.runs * job.hops) * 1e6,
        "processor_us": worked / (job.runs * job.hops) * 1e6,
        "bytes": sum(path.stat().st_size for path in Path(job.db).parent.iterdir()),
        "journal_mode": str(mode).upper(),
        "synchronous": ("OFF", "NORMAL", "FULL", "EXTRA")[int(level)],
    }


async def _live(make: type[Engine], job: Job) -> dict[str, Any]:
    """Bytes of memory that so many runs take whose agents are all at work in their fourth hop."""
    before = 0

    def all_there() -> None:
        _tell({"bytes": resident() - before})
        os._exit(0)

    async with make(job, Desk(4, job.runs, all_there)) as engine:
        await engine.run(["first"], 2)
        before = resident()
        await engine.run(job.names, 4)
    raise AssertionError("no run may end here")


async def _interrupted(make: type[Engine], job: Job) -> dict[str, Any]:
    """Say when the agent of the last hop is at work, and wait to be killed."""
    async with make(job, Desk(job.hops, 1, lambda: _tell({"pid": os.getpid()}))) as engine:
        await engine.run(job.names, job.hops)
    raise AssertionError("should have been killed")


async def _resumed(make: type[Engine], job: Job) -> dict[str, Any]:
    """The moments when everything was imported and when the interrupted agent was called again."""
    imported = time.monotonic()

    def there() -> None:
        _tell({"imported": imported, "called": time.monotonic()})
        os._exit(0)

    async with make(job, Desk(job.hops, 1, there)) as engine:
        await engine.resume(job.names[0])
    raise AssertionError("the interrupted hop was not done again")


async def _versions(make: type[Engine], job: Job) -> dict[str, Any]:
    return {package: version(package) for package in make.packages}


TASKS = {"hops": _hops, "live": _live, "interrupted": _interrupted, "resumed": _resumed, "versions": _versions}


def serve(make: type[Engine]) -> None:
    job = Job(**json.loads(sys.argv[1]))
    _tell(asyncio.run(TASKS[job.task](make, job)))


def _tell(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


def resident() -> int:
    """Bytes of this process that are in memory."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    pid = str(os.getpid())
    return int(subprocess.run(["ps", "-o", "rss=", "-p", pid], check=True, capture_output=True).stdout) * 1024
