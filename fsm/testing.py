"""For tests of your machines and agents; our own tests use nothing else.

A clock that moves when told, a journal that is gone afterwards, agents that follow a script, a view to call
an agent with, the table of what every state does with every event, crash points, and the assertions that
every run ends, that promises are kept, and that recorded runs replay.
"""

import asyncio
import contextlib
import inspect
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import define
from pydantic import BaseModel

from fsm import crash
from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.record import MOVES
from fsm.core.snapshot import Snapshot
from fsm.define.events import AgentFailed, CallRefused, CallUnsure, Cancelled, PayloadInvalid, TimedOut
from fsm.define.machine import Machine
from fsm.define.parts import START
from fsm.define.payload import event_name, seal
from fsm.journal.journal import SqliteJournal
from fsm.journal.reader import Reader
from fsm.journal.tallies import tallies
from fsm.replay.against import Today
from fsm.replay.comparison import Held, compared
from fsm.replay.coverage import Coverage, coverage
from fsm.replay.kept import EXPORTED, files, reading
from fsm.replay.replay import replay_run
from fsm.runner.calls import VisitOver
from fsm.runner.stub import StubView
from fsm.show.against import lines as against_lines
from fsm.show.covering import never
from fsm.show.here import Here
from fsm.show.verdict import lines, way
from fsm.verify.check import Report, check
from fsm.verify.promises import Promised

__all__ = [
    "MovableClock",
    "StubView",
    "VisitOver",
    "assert_covered",
    "assert_ends",
    "assert_keeps_promises",
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
        journal = SqliteJournal(Path(folder) / "runs.db", **{"synchronous": "OFF", **options})
        try:
            yield journal
        finally:
            journal.abandon()


def scripted(*results: BaseModel | BaseException | Callable[[Any], Any]) -> Callable[[Any], Any]:
    """An agent that returns, raises or calls the given results in turn; the last one again and again."""
    if not results:
        raise ValueError("scripted() needs at least one result\n  -> scripted(Draft(...))")
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


def table(machine: type[Machine], samples: Sequence[BaseModel]) -> dict[tuple[str, str], str]:
    """What every state does with every sample event: (state, event) to `reject -> research`, or "refused", "stuck"...

    The runtime's own events are added where they can arise: `TimedOut` where there is a timeout, `Cancelled`
    everywhere, the others where an agent works. A run is taken to stand in each state freshly, with all
    counters at zero and an empty memory. Several samples of one class are told apart as `Verdict`,
    `Verdict#2` and so on, in the order given.
    """
    engine, spec = Engine(machine.spec), machine.spec
    named: dict[str, BaseModel] = {}
    for sample in samples:
        event, alike = event_name(type(sample)), sum(type(other) is type(sample) for other in named.values())
        named[f"{event}#{alike + 1}" if alike else event] = sample
    found = {
        (START, name): _cell(engine, Snapshot(), sample, own=True)
        for name, sample in named.items()
        if event_name(type(sample)) in spec.initial.initial
    }
    for state in spec.states:
        snapshot = Snapshot(
            state=state.name, seq=0, entered=0, outcome="waiting" if state.kind == "waiting" else "running"
        )
        own = _RUNTIME if state.kind == "agent" else _RUNTIME[:1] if state.timeout_ms is not None else ()
        if state.kind == "final":
            continue
        for name, sample in named.items():
            returned = state.kind == "agent" and engine.handles(state.name, event_name(type(sample)))
            found[state.name, name] = _cell(engine, snapshot, sample, own=returned)
        for arising in own:
            found[state.name, type(arising).__name__] = _cell(engine, snapshot, arising, own=True)
        found[state.name, "Cancelled"] = _cell(engine, snapshot, Cancelled(), own=False)
    return found


_RUNTIME = (
    TimedOut(timeout_ms=1, attempt=1),
    PayloadInvalid(event="", problems=[], excerpt="", attempt=1),
    CallRefused(call="", code="", numbers={}, attempt=1),
    CallUnsure(call="", key="", arguments="", attempt=1),
    AgentFailed(error_type="", message="", attempt=1),
)


def _cell(engine: Engine, snapshot: Snapshot, sample: BaseModel, own: bool) -> str:
    payload = seal(sample, engine.spec.bounds.payload_bytes_max)
    event = Event(payload=payload, at_ms=0, own=own, event_id=None if own else "sample")
    record = decide(engine, snapshot, event).record
    assert record is not None
    if record.hop:
        return f"{record.hop} -> {record.state}"
    return record.outcome if record.kind in ("halted", "ended") else record.kind


def trace(journal: Reader, run_id: str) -> list[tuple[str, str, str, str, str]]:
    """What a run did, without when and how often it was interrupted: kind, event, hop, state and payload digest."""
    run = journal.run(run_id)
    return [
        (record.kind, record.event, record.hop, record.state, (record.digest or b"").hex())
        for record in journal.records(run.key)
        if record.kind in MOVES or record.kind == "halted"
    ]


def assert_replays(kept: str | os.PathLike[str], machine: type[Machine] | None = None) -> int:
    """Every kept run (of `machine`, if given) replays under today's code; how many there are. For your CI.

    `kept` is a journal, an export (`fsm export`), or a folder of them (`*.db`, `*.jsonl`); nothing in it is changed. A
    run of today's definition has to agree record by record, and so has every run where no machine is given; one that
    was recorded under another definition of the machine has to go the same way today (`fsm replay --against`), whatever
    limits it did not meet. Raises `AssertionError` with what has changed, each kind of difference with its first runs,
    and what to do next, also where no run of `machine` is kept; `FileNotFoundError` for a folder that keeps nothing.
    """
    today = Today(machine.spec) if machine is not None else None
    held: list[Held] = []
    differing: list[str] = []
    for file in files(Path(kept)):
        with reading(file) as (reader, refused):
            differing += refused
            for run in reader.runs(today.spec.name if today is not None else None):
                changed = today is not None and run.fingerprint != today.spec.fingerprint
                replay = today.holds(reader, run) if today and changed else replay_run(reader, run.run_id, machine)
                held.append(Held(str(file), run.machine, replay))
    differing += [str(one.replay) for one in held if not one.replay.agreed and one.kind is None]
    if today is not None:
        found = compared(today, [one for one in held if one.kind is not None or one.replay.agreed])
        differing += [line.text for line in against_lines(found, _onward)] if found.diverging else []
        differing += [AS_WANTED] if differing else []
    if today is not None and not held:
        raise AssertionError(f"{kept} has no run of {today.spec.name}: nothing was held against it\n  -> keep some")
    if differing:
        raise AssertionError("\n".join(differing))
    return len(held)


AS_WANTED = (
    "-> if the machine is to be as it is now, fork what should go on, and replace the kept runs by new ones;"
    " else undo the change"
)
SCRATCH = "scratch.db"  # never the journal that goes on: two that finish the same runs would do everything twice


def _onward(held: Held) -> list[str]:
    divergence = held.replay.divergence
    assert divergence is not None
    run_id, seq = held.replay.run_id, divergence.seq
    exported = held.journal.endswith(EXPORTED)
    here = Here(SCRATCH if exported else held.journal)
    taken_in = [here.command("import", held.journal, "--unfinished")] if exported else []
    fork = [here.command("fork", run_id, "--at", str(seq - 1), machine=held.machine)] if seq else []
    return [*taken_in, here.command("show", run_id, "--seq", str(seq)), *fork]


def assert_covered(
    journal: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], machine: type[Machine], *, min: float = 100
) -> Coverage:
    """At least `min` percent of what this machine declares was taken by these runs. For your CI.

    `journal` is a journal, an export, or a folder of them, as for `assert_replays`, or several of these. Counted as
    `fsm coverage` does: states, ways, each code of each guard, timeouts. Raises `AssertionError` with each that never
    was, and what would take it, and with each run of an export that is not sound.
    """
    counted, differing = [], []
    for kept in [journal] if isinstance(journal, str | os.PathLike) else journal:
        for file in files(Path(kept)):
            with reading(file) as (reader, refused):
                differing += refused
                counted.append(tallies(reader, machine.spec.name))
    found = coverage(machine.spec, counted)
    differing += never(found) if found.is_below(min) else []
    if differing:
        raise AssertionError("\n".join(differing))
    return found


def assert_ends(machine: type[Machine], *, waits: Collection[str] = (), **most: int) -> Report:
    """Every run of this machine ends, whatever agents and people do; the report that says so. For your CI.

    `waits` names the states where a run may wait for ever for somebody. `most` bounds the worst case: `hops`, `tokens`,
    `usd_micros`, `approvals`, `ms`; of spending, up to the last report of each visit. Raises `AssertionError` with
    all that `fsm check` says, `TypeError` for a cost or state unknown.
    """
    report = check(machine.spec)
    figures = {str(figure.cost): figure.most for figure in report.figures}
    for word, given, known in (("cost", most, figures), ("state", waits, machine.spec.state)):
        if unknown := set(given) - set(known):
            raise TypeError(
                f"assert_ends(): there is no {word} {min(unknown)!r}\n  -> the {word}s are {', '.join(known)}"
            )
    over = [name for name, limit in most.items() if (worst := figures[name]) is None or worst > limit]
    found = list(report.termination.waits)
    wanted = [f"wanted: waits={found}, or that no run waits for ever"] if set(found) - set(waits) else []
    wanted += [f"wanted: at most {most[name]:,} {name}" for name in over]
    if report.termination.kind != "ends" or wanted:
        raise AssertionError("\n".join([*(line.text for line in lines(report, runs=bool(over))), *wanted]))
    return report


def assert_keeps_promises(machine: type[Machine]) -> int:
    """Every promise of this machine is kept, and proved to be; how many there are. For your CI.

    Raises `AssertionError` with each that is not, and the shortest run that breaks it.
    """
    answers = check(machine.spec).promises
    told = ["\n".join([*_broken(answer), *way(answer.run)]) for answer in answers if answer.answer != "kept"]
    if told:
        raise AssertionError("\n".join(told))
    return len(answers)


def _broken(answer: Promised) -> list[str]:
    return [f"{answer.promise.name} = {answer.promise} is {answer.answer}: {answer.why}", f"  -> {answer.instead}"]


def crash_at(point: str, passes: int = 1) -> None:
    """Kill this process, as kill -9 does, at the `passes`-th arrival at a named point (`fsm.crash.POINTS`)."""
    crash.arm(point, passes)
