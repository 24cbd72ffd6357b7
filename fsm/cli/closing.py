"""The closing block: how a run stands, what it spent, and the command to paste next."""

import json
import sys
from collections.abc import Sequence

import click
from rich.console import Console
from rich.text import Text

from fsm.cli.advance import Stand
from fsm.cli.given import json_line, skeleton
from fsm.cli.here import Here
from fsm.cli.options import INTERRUPTED, code_of, emit
from fsm.cli.telling import clean, failure, many, moment, objection, span, spending, style
from fsm.show.data import Data, run_data

MARKS = {"completed": "✓", "waiting": "●", "running": "…"}
WORDS = {"running": "under way"}


def close(found: Stand, here: Here, as_json: bool, first: Sequence[Text] = (), **more: object) -> None:
    """Print the result: for a person, after the lines `first`; for a program, with `more` in the document."""
    if as_json:
        emit({**document(found, here), **more})
    else:
        write([*first, *block(found, here)])


def code(found: Stand) -> int:
    return INTERRUPTED if found.interrupted else code_of(found.run.outcome)


def document(found: Stand, here: Here) -> Data:
    told = run_data(found.run)
    counters = found.snapshot.counters
    told["hops"] = counters.get("hops", 0)
    told["spent"] = {"tokens": counters.get("tokens", 0), "usd_micros": counters.get("usd_micros", 0)}
    told["interrupted"] = found.interrupted
    told["next"] = steps(found, here)
    return told


def block(found: Stand, here: Here) -> list[Text]:
    run, outcome = found.run, found.run.outcome
    head = Text(f"{MARKS.get(outcome, '✗')} {WORDS.get(outcome, outcome)}", f"bold {style(outcome)}")
    head.append(f" in {clean(run.state)}", "bold")
    cause = because(found)
    if cause:
        head.append(f": {cause}", "default")
    took = span(max(run.at_ms, found.snapshot.at_ms) - run.started_at_ms)
    told = ", ".join([many(run.seq + 1, "record"), *spending(found.snapshot.counters), took])
    lines = [head, Text(f"  run {run.run_id} of {clean(run.machine)}: {told}")]
    if found.interrupted:
        lines.append(Text("  stopped on request; every record is kept"))
    elif found.elsewhere:
        lines.append(Text("  another runner advances it"))
    return lines + [Text("  → ", "dim").append(step, "bold") for step in steps(found, here)]


def because(found: Stand) -> str:
    """Why it stands where it stands, in the last record's words."""
    record = found.last
    if found.run.outcome == "waiting":
        timeout_ms = found.spec.state[record.state].timeout_ms if record.state in found.spec.state else None
        events = " or ".join(map(clean, found.spec.events_from(record.state)))
        until = f", until {moment(found.snapshot.entered_at_ms + timeout_ms)}" if timeout_ms is not None else ""
        return f"for {events or 'a timeout'}{until}"
    if found.run.outcome in ("completed", "running"):
        return ""
    objected = [objection(ruling) for ruling in record.rulings if ruling.verdict.decision == "refuse"]
    failed = failure(record)
    stuck = [f"no transition takes {clean(record.event)}"] if found.run.outcome == "stuck" and not _asks(found) else []
    return "; ".join([*objected, *([failed] if failed else []), *stuck])


def steps(found: Stand, here: Here) -> list[str]:
    """What to do next, each a command to paste."""
    run_id, outcome = found.run.run_id, found.run.outcome
    if outcome == "waiting":
        classes = found.spec.classes
        return [
            here.command("send", run_id, event, "--payload", json_line(skeleton(classes[event])))
            for event in found.spec.events_from(found.run.state)
            if event in classes
        ] or [here.command("why", run_id, code=False)]
    if outcome == "running" and found.elsewhere:
        return [here.command("show", run_id, "--follow", code=False)]
    if outcome == "running":
        return [here.command("resume", run_id)]
    if found.run.halted and (call := _asks(found)):
        given, again = ("--result", "JSON"), ("--again",)
        return [here.command("answer", run_id, call, *words) for words in (given, again)]
    if found.run.halted:
        return [here.command("why", run_id, code=False), here.command("resume", run_id)]
    return [here.command("show", run_id, code=False)]


def _asks(found: Stand) -> str:
    """The call whose fate a halted run asks for; "" where it asks nothing."""
    if found.last.event != "CallUnsure" or found.last.body is None:
        return ""
    return str(json.loads(found.last.body)["call"])


def write(lines: Sequence[Text]) -> None:
    """On standard output: coloured on a terminal, else plain. A command is never broken into lines."""
    if not sys.stdout.isatty():
        for told in lines:
            click.echo(told.plain)
        return
    console = Console(highlight=False)
    for told in lines:
        console.print(told, soft_wrap=True)
