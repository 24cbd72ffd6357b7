"""Processes that are killed, and what must hold in the world they leave behind.

Workers are forked from a server that has imported everything once: a restart then takes milliseconds, and
dozens of kills fit into a test.
"""

import contextlib
import json
import multiprocessing
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, cast

from attrs import define, field, frozen

from fsm import Run, read_journal, replay_run
from fsm.core.recall import recall
from fsm.journal.reader import Reader
from fsm.testing import trace
from tests.crash import worker
from tests.crash.mill import Mill

PATIENCE_S = 30.0

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.crash.worker"])

KILLED = -signal.SIGKILL


@frozen
class Found:
    """What a check went over, for the figures of a campaign."""

    records: int
    calls: int
    repeated: int
    attempts: int


@define
class World:
    """A folder with a journal, the file of effects and the file of what was acknowledged."""

    folder: Path
    _processes: list[ForkServerProcess] = field(factory=list)

    @property
    def db(self) -> Path:
        return self.folder / "runs.db"

    def begin(self, role: str, **options: Any) -> ForkServerProcess:
        """Start a worker; see `worker.py` for the roles."""
        process = processes.Process(target=worker.main, args=(str(self.folder), role, options))
        process.start()
        self._processes.append(process)
        return process

    def run(self, role: str, **options: Any) -> int:
        """A worker from start to end, or to its death; the exit code."""
        return self.ended(self.begin(role, **options))

    def ended(self, process: ForkServerProcess) -> int:
        process.join(PATIENCE_S)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise AssertionError(f"worker {process.pid} did not end\n{self.errors()}")
        return process.exitcode

    def finish(self, role: str, **options: Any) -> None:
        """A worker that must end well."""
        code = self.run(role, **options)
        assert code == 0, f"exit code {code}\n{self.errors()}"

    def errors(self, pid: int | None = None) -> str:
        """What the workers, or one of them, said on standard error."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob(f"stderr-{pid or '*'}")))

    def clear(self) -> None:
        """No process is left behind, whatever a test did to it."""
        for process in self._processes:
            if process.is_alive():
                process.kill()
            process.join()

    def told(self, name: str) -> list[Any]:
        """The lines a worker wrote into one of its files, JSON each; one cut off by a kill is left out."""
        path = self.folder / name
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return [json.loads(line) for line in lines]

    def effects(self) -> Counter[str]:
        """How often each key was executed."""
        path = self.folder / "effects"
        return Counter(path.read_text().split()) if path.exists() else Counter()

    def executed(self, key: str) -> int:
        return self.effects()[key]

    def reader(self) -> Reader:
        return read_journal(self.db)

    def until(self, what: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
        """The first true answer of `what`; an error if there is none in time."""
        end = time.monotonic() + patience_s
        while not (answer := what()):
            assert time.monotonic() < end, f"nothing within {patience_s} s\n{self.errors()}"
            time.sleep(0.005)
        return answer


@define
class Peer:
    """A worker that follows orders, seen from the test."""

    world: World
    name: str
    process: ForkServerProcess

    @classmethod
    def begin(cls, world: World, name: str, **options: Any) -> "Peer":
        """A worker that is ready when this returns."""
        (world.folder / f"orders-{name}").touch()
        peer = cls(world, name, world.begin("serve", name=name, **options))
        peer.answer("ready")
        return peer

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def order(self, *order: Any) -> None:
        with (self.world.folder / f"orders-{self.name}").open("a") as orders:
            orders.write(json.dumps(order) + "\n")

    def answer(self, verb: str, run_id: str = "") -> tuple[str, float]:
        """What came of an order, and after how many seconds."""

        def found() -> list[tuple[str, float]]:
            told = self.world.told(f"answers-{self.name}")
            if verb == "ready":
                return [("", 0.0) for said in told if said[0] == verb]
            return [(said[2], said[3]) for said in told if said[:2] == [verb, run_id]]

        return cast(tuple[str, float], self.world.until(found)[0])

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def pause(self) -> None:
        """Stopped (not killed), but not in the middle of a commit: SQLite's lock would stop everybody with it."""
        while True:
            self.signal(signal.SIGSTOP)
            with contextlib.closing(sqlite3.connect(self.world.db, isolation_level=None, timeout=0.2)) as connection:
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.OperationalError:
                    self.signal(signal.SIGCONT)

    def stop(self) -> None:
        """It must end well."""
        self.order("stop")
        code = self.world.ended(self.process)
        assert code == 0, f"exit code {code}\n{self.world.errors()}"


def check_runs(world: World, machine: Any, run_ids: Iterable[str]) -> int:
    """Nothing lost, nothing twice, no gap, chain and row good, everything acknowledged there; records checked."""
    reader = world.reader()
    try:
        records = {run_id: list(reader.records(reader.run(run_id).key)) for run_id in run_ids}
        for run_id, found in records.items():
            assert [record.seq for record in found] == list(range(len(found)))
            for replayed in (replay_run(reader, run_id, machine), replay_run(reader, run_id)):
                assert replayed.agreed, str(replayed)
            ids = Counter(record.event_id for record in found if record.event_id and record.kind != "deferred")
            assert set(ids.values()) <= {1}, f"{run_id}: decided twice: {ids}"
        for run_id, seq, kind, event, digest, _ in world.told("acknowledged"):
            if run_id in records:
                record = records[run_id][seq]
                assert (record.kind, record.event, (record.digest or b"").hex()) == (kind, event, digest)
        return sum(len(found) for found in records.values())
    finally:
        reader.close()


def check_mill(world: World, run_ids: Iterable[str], undisturbed: World) -> Found:
    """All that must hold of finished runs of the mill, however often their processes died."""
    run_ids = list(run_ids)
    records = check_runs(world, Mill, run_ids)
    reader, other = world.reader(), undisturbed.reader()
    try:
        expected = trace(other, "calm")
        calls = repeated = attempts = 0
        for run_id in run_ids:
            run = reader.run(run_id)
            assert run.outcome == "completed"
            assert trace(reader, run_id) == expected
            assert _counted(reader, run_id) == _counted(other, "calm"), "lost, or counted twice"
            made, again = _check_calls(world, reader, run, undisturbed)
            calls, repeated = calls + made, repeated + again
            attempts += sum(record.kind == "resumed" for record in reader.records(run.key))
        return Found(records, calls, repeated, attempts)
    finally:
        reader.close()
        other.close()


def _check_calls(world: World, reader: Reader, run: Run, undisturbed: World) -> tuple[int, int]:
    """Each call happened, finished ones never again, one in flight once more a loss; (calls, repetitions)."""
    executed = {key: times for key, times in world.effects().items() if key.split(":")[0] == run.run_id}
    intents: Counter[str] = Counter()
    finished: set[str] = set()
    for call in reader.calls(run.key):
        if call.kind == "intent":
            assert call.key not in finished, f"{call.key} was made again after its outcome"
            intents[call.key] += 1
        elif call.kind == "outcome":
            assert call.key not in finished, f"{call.key} has two outcomes"
            finished.add(call.key)
    resumed = [record.seq for record in reader.records(run.key) if record.kind == "resumed"]
    assert finished == set(intents) == set(executed)
    assert Counter(map(_what, executed)) == Counter(map(_what, undisturbed.effects()))
    for key, times in executed.items():
        entered = int(key.split(":")[1].partition(".")[0])
        left = min((r.seq for r in reader.records(run.key, entered) if r.kind in ("taken", "ended")), default=run.seq)
        losses = sum(entered < seq < left for seq in resumed)
        assert times <= intents[key] <= 1 + losses
    return len(executed), sum(executed.values()) - len(executed)


def _what(key: str) -> tuple[str, ...]:
    """A key without run and place: name, digest of the arguments, occurrence."""
    return tuple(key.split(":")[2:])


def _counted(reader: Reader, run_id: str) -> dict[str, int]:
    """Every count of a run: hops, retries among them, spending and strikes."""
    return dict(recall(Mill.spec, reader.records(reader.run(run_id).key)).counters)
