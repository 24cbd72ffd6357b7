"""Going on with all the runs that nobody advances."""

import asyncio
from collections.abc import Sequence

import click
from attrs import define, field
from rich.text import Text

from fsm.cli.parts.advance import refusal, shown_on
from fsm.cli.parts.closing import WORDS, steps
from fsm.cli.parts.journals import reading
from fsm.cli.parts.options import FAILED, GOOD, INTERRUPTED, WAITING, emit
from fsm.cli.parts.output import Output, Part
from fsm.cli.parts.screen import screen
from fsm.cli.parts.target import machines, prices
from fsm.cli.parts.watch import Tally
from fsm.clock import SystemClock
from fsm.define.machine import Machine
from fsm.errors import FsmError, RunnerStopped
from fsm.journal.reader import Reader
from fsm.journal.rows import Run
from fsm.runner.runner import Runner
from fsm.show.here import Here
from fsm.show.words import colour, count, duration, safe

NAMED_MAX = 5


@define
class Alone:
    """Runs that are left alone, although nobody advances them: their machine has changed, or is not at hand."""

    changed: list[Run] = field(factory=list)
    unknown: list[Run] = field(factory=list)

    def look(self, read: Reader, known: Sequence[type[Machine]]) -> None:
        names, fingerprints = {m.spec.name for m in known}, {m.spec.fingerprint for m in known}
        for run in read.ownerless(SystemClock().monotonic()):
            if run.fingerprint not in fingerprints:
                (self.changed if run.machine in names else self.unknown).append(run)


def resume_all(here: Here, targets: Sequence[str], as_json: bool) -> int:
    """All of them until they stand still; the exit code."""
    known = machines(targets)
    if not known:
        raise click.UsageError(
            "whose runs? no machine is at hand\n"
            "  -> name it with -m FILE.py:Machine, or list it under machines in [tool.fsm] of pyproject.toml"
        )
    with reading(here.db) as reader:
        path = reader.path
    drawn, clock = screen(as_json), SystemClock()
    tally, alone, began_ms, interrupted = Tally(drawn, clock), Alone(), clock.now_ms(), False

    async def work() -> None:
        async with Runner(path, machines=known, prices=prices(), observers=[tally]) as runner:
            alone.look(runner.journal.read, known)
            if tally.outcomes:
                drawn.say(Text(f"{count(len(tally.outcomes), 'run')} left behind in {safe(path)}", "bold"))
            looking = asyncio.create_task(tally.look_on())
            try:
                await runner.idle()
            finally:
                looking.cancel()

    with shown_on(drawn):
        try:
            asyncio.run(work())
        except (RunnerStopped, asyncio.CancelledError, KeyboardInterrupt):
            interrupted = True
        except FsmError as error:
            raise refusal(error, here) from error
    return _close(here, alone, tally, clock.now_ms() - began_ms, interrupted, as_json)


def _close(here: Here, alone: Alone, tally: Tally, took_ms: int, interrupted: bool, as_json: bool) -> int:
    counted = tally.counted()
    bad = [run_id for run_id, outcome in tally.outcomes.items() if outcome not in ("completed", "waiting", "running")]
    under_way = [run_id for run_id, outcome in tally.outcomes.items() if outcome == "running"]
    commands = [here.command("why", run_id) for run_id in bad[:NAMED_MAX]]
    commands += [here.command("resume", run.run_id) for run in alone.changed[:NAMED_MAX]]
    if interrupted or under_way:
        commands.append(here.command("resume"))
    if as_json:
        emit(
            {
                "runs": tally.outcomes,
                "records": tally.records,
                "left_alone": [run.run_id for run in (*alone.changed, *alone.unknown)],
                "interrupted": interrupted,
                "next": commands,
            }
        )
    else:
        output = Output()
        _tell(output, alone, tally, counted, took_ms, interrupted)
        steps(output, commands)
    if interrupted:
        return INTERRUPTED
    return FAILED if bad or under_way or alone.changed else WAITING if counted.get("waiting") else GOOD


def _tell(output: Output, alone: Alone, tally: Tally, counted: dict[str, int], took_ms: int, interrupted: bool) -> None:
    told: list[Part] = []
    for outcome, number in counted.items():
        told += [", " if told else "", (f"{number:,} {WORDS.get(outcome, outcome)}", colour(outcome))]
    took = f"; {count(tally.records, 'record')} in {duration(took_ms)}" if counted else "nothing to go on with"
    output.paragraph(*told, took)
    if interrupted:
        output.line("  stopped on request; every record is kept")
    for runs, why, style in ((alone.changed, "has changed since", "yellow"), (alone.unknown, "is not at hand", "dim")):
        if runs:
            names = ", ".join(sorted({safe(run.machine) for run in runs}))
            output.paragraph((f"{count(len(runs), 'run')} left alone: {names} {why}", style), indent=2)
