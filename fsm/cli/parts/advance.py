"""A runner under a command: progress while it works, a clean stop, and what came of it."""

import asyncio
import contextlib
import logging
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Literal

import click
from attrs import define, frozen
from rich.text import Text

from fsm.cli.parts.journals import find_run, reading
from fsm.cli.parts.options import INTERRUPTED
from fsm.cli.parts.project import journal_path
from fsm.cli.parts.screen import Screen, screen
from fsm.cli.parts.target import machines, prices
from fsm.cli.parts.watch import Watch, head, position
from fsm.clock import SystemClock
from fsm.core.record import ENDED, Record
from fsm.core.snapshot import Snapshot
from fsm.define.machine import Machine
from fsm.errors import Fenced, FsmError, MachineChanged, MachineUnknown, RunHalted, RunnerStopped, RunNotFound
from fsm.journal.rows import Run
from fsm.runner.runner import Runner
from fsm.show.evidence import Evidence, evidence
from fsm.show.here import Here
from fsm.show.words import safe

Act = Callable[[Runner], Awaitable[object]]


@frozen
class Stand:
    """How a run stands once the command is through with it."""

    evidence: Evidence
    snapshot: Snapshot
    interrupted: bool = False

    @property
    def run(self) -> Run:
        return self.evidence.run

    @property
    def elsewhere(self) -> bool:
        """Whether another runner advances it."""
        owner = self.evidence.owner
        return self.run.outcome == "running" and owner is not None and owner.alive


@define
class Stay:
    """One run: what is done to it, and how long to stay with it.

    `until` "still": until it stands still, whoever advances it; "ours": only if this process does; "done": until
    the act is done.
    """

    here: Here
    run_id: str
    machine: type[Machine]
    act: Act
    quiet: bool = False
    until: Literal["still", "ours", "done"] = "still"


def advance(stay: Stay) -> Stand:
    """Act on a run, and stay with it. Interrupted before there is a run, the command ends here."""
    path = journal_path(stay.here.db)
    drawn = screen(stay.quiet)
    interrupted = False
    with shown_on(drawn):
        try:
            asyncio.run(_advance(stay, path, drawn))
        except (RunnerStopped, asyncio.CancelledError, KeyboardInterrupt):
            interrupted = True
        except FsmError as error:
            raise refusal(error, stay.here) from error
        except Exception as error:
            raise stopped(error, stay) from error
    try:
        return stand(stay, interrupted)
    except RunNotFound:
        click.echo("stopped before the run began", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None


async def _advance(stay: Stay, path: str, drawn: Screen) -> None:
    async with Runner(path, machines=[stay.machine], prices=prices(), adopt=False) as runner:
        read, clock = runner.journal.read, SystemClock()
        before = position(read, stay.run_id)
        if before.outcome not in ENDED:  # it does not go on
            drawn.say(head(stay.run_id, stay.machine.spec.name, before, path))
        await stay.act(runner)
        run = read.run(stay.run_id)
        watch = Watch(read, run, stay.machine.spec, before, drawn, clock)
        async with watch.shown():
            if stay.until == "still" or (stay.until == "ours" and run.owner == runner.journal.epoch):
                await runner.settled(run.run_id)


def at_hand(db: str | None, run_id: str, targets: Sequence[str]) -> tuple[Run, type[Machine]]:
    """The run of this id, which may be abbreviated, and its machine, which must be known."""
    with reading(db) as reader:
        run = find_run(reader, run_id)
    known = [machine for machine in machines(targets) if machine.spec.name == run.machine]
    known.sort(key=lambda machine: machine.spec.fingerprint == run.fingerprint)
    if not known:
        raise refusal(MachineUnknown(run_id=run.run_id, machine=run.machine), Here(db, tuple(targets)))
    return run, known[-1]


def stand(stay: Stay, interrupted: bool = False) -> Stand:
    """The run as its journal tells it."""
    with reading(stay.here.db) as reader:
        run = reader.run(stay.run_id)
        found = evidence(reader, run, SystemClock(), stay.machine.spec, stay.here)
        return Stand(found, position(reader, run.run_id), interrupted)


async def take_up(runner: Runner, run: Run) -> None:
    """Take up a run that was left behind; if another runner advances it, that one decides."""
    if run.outcome == "running":
        with contextlib.suppress(Fenced):
            await runner.resume(run.run_id)


def refusal(error: FsmError, here: Here) -> click.ClickException:
    """The error in words that fit a command line, where its own speak of code."""
    match error:
        case MachineUnknown(run_id=run_id, machine=machine):
            told = f"run {run_id!r} belongs to machine {machine}, which is not at hand"
            next_ = (
                f"name its code with -m FILE.py:{machine}, or list it under machines in [tool.fsm] of pyproject.toml"
            )
        case MachineChanged(run_id=run_id, machine=machine, changes=changes):
            listed = "".join(f"\n  - {change}" for change in changes)
            told = f"{machine} has changed since run {run_id!r} was recorded:{listed}"
            accept = here.command("resume", run_id, "--accept")
            next_ = f"run it with the old definition, or accept the new one: {accept}"
        case RunHalted(run_id=run_id, outcome=outcome, event=event):
            told = f"run {run_id!r} is halted ({outcome}); {event} was not recorded"
            why, resume = here.command("why", run_id), here.command("resume", run_id)
            next_ = f"see why, then resume it: {why}; {resume}"
        case Fenced(run_id=run_id, why=why):
            told = f"run {run_id!r}: {why}; nothing was written"
            next_ = f"watch it: {here.command('show', run_id, '--follow')}"
        case _:
            return click.ClickException(str(error))
    return click.ClickException(f"{told}\n  -> {next_}")


def stopped(error: Exception, stay: Stay) -> click.ClickException:
    """An error that is none of ours: the runner's own trouble, or an agent's that reached too far."""
    told = safe(f"{type(error).__name__}: {error}")
    goes_on = f"every record is kept; go on with: {stay.here.command('resume', stay.run_id)}"
    return click.ClickException(f"the run stopped here: {told}\n  -> {goes_on}")


@contextlib.contextmanager
def shown_on(drawn: Screen) -> Iterator[None]:
    """While runs are under way: what agents print goes to standard error, warnings go onto the screen."""
    log, handler = logging.getLogger("fsm"), Warnings(drawn)
    propagated = log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        drawn.close()
        log.removeHandler(handler)
        log.propagate = propagated


class Warnings(logging.Handler):
    """The runtime's warnings as lines on the screen; records, and runs left alone, are shown by other means."""

    def __init__(self, drawn: Screen) -> None:
        super().__init__(logging.WARNING)
        self._drawn = drawn

    def emit(self, record: logging.LogRecord) -> None:
        parts = record.args if isinstance(record.args, tuple) else ()
        if any(isinstance(part, Record | MachineUnknown | MachineChanged) for part in parts):
            return
        self._drawn.warn(Text(safe(record.getMessage()), "yellow"))
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, FsmError):
            self._drawn.warn(Text("".join(traceback.format_exception(error)).rstrip(), "dim"))
