"""Watching a run while it moves.

What is shown is read from the journal, so it is the same whether this process advances the run or another.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from attrs import define, field
from rich.text import Text

from fsm.cli.parts.lines import Columns
from fsm.cli.parts.output import text_of
from fsm.cli.parts.screen import TICK_S, Screen
from fsm.clock import Clock
from fsm.core.counters import with_told
from fsm.core.record import Record, Spent
from fsm.core.snapshot import Snapshot, apply, fold
from fsm.define.spec import MachineSpec
from fsm.errors import FsmError, RunNotFound
from fsm.journal.reader import Reader
from fsm.journal.rows import Run
from fsm.show.path import line
from fsm.show.words import colour, count, duration, moment, safe, spending

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def position(read: Reader, run_id: str) -> Snapshot:
    """Where a run stands, memory left aside; before its beginning if there is none of this id."""
    try:
        run = read.run(run_id)
    except RunNotFound:
        return Snapshot()
    base = read.snapshot(run.key)
    return fold(read.spec(run.fingerprint), read.records(run.key, base.seq if base else -1), base)


def head(run_id: str, machine: str, before: Snapshot, path: str) -> Text:
    """Which run is watched from here on, and where it stands."""
    told = Text(f"run {run_id} of {safe(machine)}", "bold")
    if before.seq >= 0:
        told.append(f", on from record {before.seq} in {safe(before.state)}", "default")
    return told.append(f"  {safe(path)}", "dim")


def _spinner(at_ms: int) -> Text:
    """How a line that lives begins."""
    return Text(f"{SPINNER[at_ms // 100 % len(SPINNER)]} ", "cyan", no_wrap=True, overflow="ellipsis")


@define(eq=False)
class Watch:
    """A run on a screen; `snapshot` is as far as it has been shown."""

    read: Reader
    run: Run
    spec: MachineSpec
    snapshot: Snapshot
    screen: Screen
    clock: Clock
    _columns: Columns = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._columns = Columns.of(self.spec, self.run.seq)

    @contextlib.asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Look again and again; once more at the end."""
        task = asyncio.create_task(self._look_on())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(FsmError):
                self.look()

    async def _look_on(self) -> None:
        while True:
            with contextlib.suppress(FsmError):  # what is wrong with the journal the runner says
                self.look()
            await asyncio.sleep(TICK_S)

    def look(self) -> None:
        """Show what has been committed since the last look."""
        fresh = list(self.read.records(self.run.key, self.snapshot.seq))
        for record in fresh:
            self.snapshot = apply(self.spec, self.snapshot, record)
        self.screen.records(fresh, self._line)
        self.screen.status(self._status(quiet=not fresh))

    def _line(self, record: Record) -> Text:
        """As `fsm show` shows it, but for calls."""
        told, columns = line(self.spec, self.run, record), self._columns
        beneath = [text_of([" " * columns.indent, part]) for part in columns.beneath(told)]
        return Text("\n").join([text_of(columns.row(told, cut=False)), *beneath])

    def _status(self, quiet: bool) -> Text:
        """State, visit, spending, how long; while nothing else happens, the call that is under way."""
        now, at_ms = self.snapshot, self.clock.now_ms()
        counters, under_way = now.counters, ""
        if quiet:
            calls = self.read.calls_at(self.run.key, now.seq)
            for call in calls:
                counters = with_told(self.spec, now.counters, call.spent) if call.spent else counters
            answered = {call.key for call in calls if call.kind == "outcome"}
            under_way = next((c.name for c in calls if c.kind == "intent" and c.key not in answered), "")
        told = _spinner(at_ms)
        told.append(safe(now.state), f"bold {colour(now.outcome)}")
        spent = Spent(counters.get("tokens", 0), counters.get("usd_micros", 0))
        hops = count(counters.get("hops", 0), "hop")
        parts = [f"visit {counters.get(f'visits:{now.state}', 1)}", hops, *spending(spent)]
        parts.append(duration(at_ms - self.run.started_at_ms))
        if now.again is not None and now.rests(at_ms):
            parts.append(f"tried again in {duration(now.again.at_ms - at_ms)}")
        if now.pending is not None:
            parts.append(f"put off until {moment(now.pending.until_ms)}")
        if under_way:
            parts.append(f"calling {safe(under_way)}")
        return told.append("".join(f" · {part}" for part in parts), "default")


@define(eq=False)
class Tally:
    """Many runs on a screen, as counts; an observer."""

    screen: Screen
    clock: Clock
    outcomes: dict[str, str] = field(factory=dict)
    records: int = 0
    _began_ms: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._began_ms = self.clock.now_ms()

    def __call__(self, run: Run, record: Record) -> None:
        self.outcomes[run.run_id] = run.outcome
        self.records += 1

    def counted(self) -> dict[str, int]:
        found = list(self.outcomes.values())
        return {outcome: found.count(outcome) for outcome in dict.fromkeys(sorted(found))}

    async def look_on(self) -> None:
        while True:
            at_ms = self.clock.now_ms()
            told = _spinner(at_ms)
            for outcome, number in self.counted().items():
                told.append(f"{number:,} {outcome}", colour(outcome)).append(" · ")
            told.append(f"{count(self.records, 'record')} · {duration(at_ms - self._began_ms)}")
            self.screen.status(told)
            await asyncio.sleep(TICK_S)
