"""For tests of your machines and agents; our own tests use nothing else.

A clock that moves when told, a journal that is gone afterwards, agents that follow a script, a view to call
an agent with, the table of what every state does with every event, crash points, and the assertion that
kept runs replay.
"""

import asyncio
import contextlib
import inspect
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from pydantic import BaseModel, TypeAdapter

from fsm import crash
from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.record import MOVES, Spent
from fsm.core.select import Event
from fsm.core.snapshot import Snapshot
from fsm.define.agent import Unsure
from fsm.define.guard import Ruling
from fsm.define.machine import Machine
from fsm.define.parts import START
from fsm.define.payload import canonical, seal
from fsm.journal.journal import SqliteJournal, read_journal
from fsm.journal.reader import Reader
from fsm.replay.replay import replay_run
from fsm.runner.calls import prepared

__all__ = [
    "MovableClock",
    "StubView",
    "assert_replays",
    "crash_at",
    "hang",
    "scratch_journal",
    "scripted",
    "table",
    "trace",
]


@define
class MovableClock:
    """Stands still until moved; wall clock and monotonic clock move together, `jump_ms` moves the wall clock alone."""

    wall_ms: int = 1_700_000_000_000
    steady_s: float = 1_000.0

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic(self) -> float:
        return self.steady_s

    def advance(self, seconds: float) -> None:
        """Both clocks, by `seconds`."""
        self.wall_ms += round(seconds * 1000)
        self.steady_s += seconds

    def jump_ms(self, ms: int) -> None:
        """The wall clock alone, also backwards: somebody set it."""
        self.wall_ms += ms


@contextlib.contextmanager
def scratch_journal(**options: Any) -> Iterator[SqliteJournal]:
    """A real journal in a temporary folder, without syncs; gone afterwards. Options as for `SqliteJournal`."""
    with tempfile.TemporaryDirectory(prefix="fsm-") as folder:
        yield SqliteJournal(Path(folder) / "runs.db", **{"synchronous": "OFF", **options})


def scripted(*results: BaseModel | BaseException | Callable[[Any], Any]) -> Callable[[Any], Any]:
    """An agent that returns, raises or calls the given results in turn; the last one again and again."""
    assert results, "give at least one result"
    left = list(results)

    async def agent(view: Any) -> BaseModel:
        result = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(result, BaseException):
            raise result
        answer = result(view) if callable(result) and not isinstance(result, BaseModel) else result
        return await answer if inspect.isawaitable(answer) else answer

    return agent


async def hang(view: Any) -> BaseModel:
    """An agent that never answers, and lets itself be cancelled."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


@define(kw_only=True)
class StubView:
    """A `View` to call an agent with: calls are made directly, spending is summed in `spent`."""

    payload: Any
    memory: Any = None
    refusal: Ruling | None = None
    run_id: str = "test"
    visit: int = 1
    attempt: int = 1
    deadline_ms: int | None = None
    remaining: Mapping[str, int] = field(factory=dict)
    spent: Spent = field(factory=Spent)
    calls: list[tuple[str, tuple[Any, ...]]] = field(factory=list)

    def spend(self, *, tokens: int = 0, usd_micros: int = 0) -> None:
        self.spent += Spent(tokens, usd_micros)

    async def call(
        self,
        name: str,
        fn: Callable[..., Any],
        /,
        *args: Any,
        returns: Any = None,
        key: str | None = None,
        timeout_s: float | None = None,
        unsure: Unsure = "repeat",
    ) -> Any:
        result = prepared(fn, key or name)(*args)
        return self._told(name, args, await result if inspect.isawaitable(result) else result, returns)

    def call_sync(
        self,
        name: str,
        fn: Callable[..., Any],
        /,
        *args: Any,
        returns: Any = None,
        key: str | None = None,
        timeout_s: float | None = None,
        unsure: Unsure = "repeat",
    ) -> Any:
        return self._told(name, args, prepared(fn, key or name)(*args), returns)

    def _told(self, name: str, args: tuple[Any, ...], result: Any, returns: Any) -> Any:
        self.calls.append((name, args))
        plain = result.model_dump(mode="json") if isinstance(result, BaseModel) else result
        return TypeAdapter(Any if returns is None else returns).validate_json(canonical(plain))


def table(machine: type[Machine], samples: Sequence[BaseModel]) -> dict[tuple[str, str], str]:
    """What every state does with every sample event: (state, event) to the hop taken, or "refused", "halted"...

    A run is taken to stand in each state freshly, all counters at zero. Several samples of one class are
    told apart as `Verdict`, `Verdict#2` and so on, in the order given.
    """
    engine, found = Engine(machine.spec), {}
    for state in (START, *(state.name for state in machine.spec.states if state.kind != "final")):
        waiting = state != START and machine.spec.state[state].kind == "waiting"
        seen: dict[str, int] = {}
        for sample in samples:
            payload = seal(sample, machine.spec.bounds.payload_bytes_max)
            seen[payload.event] = seen.get(payload.event, 0) + 1
            name = payload.event if seen[payload.event] == 1 else f"{payload.event}#{seen[payload.event]}"
            if state == START and payload.event not in machine.spec.initial.initial:
                continue
            seq = -1 if state == START else 0
            snapshot = Snapshot(state=state, seq=seq, entered=seq, outcome="waiting" if waiting else "running")
            own = not waiting
            record = decide(
                engine, snapshot, Event(payload=payload, at_ms=0, own=own, event_id=None if own else "x")
            ).record
            assert record is not None
            found[state, name] = record.hop or (record.outcome if record.kind in ("halted", "ended") else record.kind)
    return found


def trace(journal: Reader, run_id: str) -> list[tuple[str, str, str, str, str]]:
    """What a run did, without when and how often it was interrupted: kind, event, hop, state and payload digest."""
    run = journal.run(run_id)
    return [
        (record.kind, record.event, record.hop, record.state, (record.digest or b"").hex())
        for record in journal.records(run.key)
        if record.kind in MOVES or record.kind == "halted"
    ]


def assert_replays(db: str | os.PathLike[str], machine: type[Machine] | None = None) -> int:
    """Every run of this journal (of `machine`, if given) replays and agrees; how many. For your CI."""
    reader = read_journal(db)
    try:
        runs = reader.runs(machine.spec.name if machine else None)
        for run in runs:
            replayed = replay_run(reader, run.run_id, machine)
            assert replayed.agreed, str(replayed)
        return len(runs)
    finally:
        reader.close()


def crash_at(point: str, passes: int = 1) -> None:
    """Kill this process, as kill -9 does, at the `passes`-th arrival at a named point (`fsm.crash.POINTS`)."""
    crash.arm(point, passes)
