"""What a command that moved a run says at its end: what was decided, how the run stands, what to paste next."""

from collections.abc import Sequence

from attrs import define

from fsm.cli.parts.advance import Stand
from fsm.cli.parts.options import INTERRUPTED, code_of, emit
from fsm.cli.parts.output import Output, Part
from fsm.core.record import Record, Spent
from fsm.define.spec import MachineSpec
from fsm.show.data import Data, record_data, run_data
from fsm.show.telling import objections, told_fork
from fsm.show.why import cause, to_begin, why
from fsm.show.words import colour, count, duration, joined, moment, safe, spending

MARKS = {"completed": "✓", "waiting": "●", "running": "…"}
WORDS = {"running": "under way"}
CAUSE_MAX = 500


@define
class Sent:
    """The event, the run's last record when it was sent, and the record that decided it.

    Decided without a record: the visit had its `refusals_max`, and it was only counted. Not `decided`: it is in
    the run's inbox.
    """

    event: str
    before: int
    record: Record | None = None
    decided: bool = False

    @property
    def taken(self) -> bool:
        return self.record is not None and self.record.kind not in ("refused", "unhandled")

    def data(self) -> Data:
        return {"decided": self.decided, "decision": record_data(self.record) if self.record is not None else None}

    def told(self, spec: MachineSpec) -> Part:
        """What became of it, in a line."""
        record, event = self.record, safe(self.event)
        if not self.decided:
            return f"… {event} waits in the run's inbox; the runner that advances the run decides it", "yellow"
        if record is None:
            return (
                f"✗ {event} was only counted: this visit has had its {spec.bounds.refusals_max} refused events",
                "red",
            )
        before = f" (decided before, record {record.seq})" if record.seq <= self.before else ""
        objected = objections(spec, record)
        because = "; ".join(objected)
        match record.kind:
            case "refused":
                return f"✗ {event} was refused{before}: {because}", "red"
            case "unhandled":
                takes = joined(list(map(safe, spec.events_from(record.state))), "or") or "nothing from outside"
                return f"✗ {event} was not taken{before}: {safe(record.state)} takes {takes}", "red"
            case "deferred":
                return f"… {event} was put off{before} until {moment(record.until_ms or 0)}: {because}", "yellow"
            case _:
                way = f"{safe(record.source)} → {safe(record.state)} by {safe(record.hop)}"
                return "; ".join([f"✓ {event} was taken{before}: {way}", *objected]), "green"


def close(found: Stand, as_json: bool, first: Sequence[Part] = (), **more: object) -> None:
    """Print the result: for a person, after the lines `first`; for a program, with `more` in the document."""
    if as_json:
        emit({**_document(found), **more})
        return
    output = Output()
    for part in first:
        output.paragraph(part, hang=2)
    _tell(found, output)


def code(found: Stand) -> int:
    return INTERRUPTED if found.interrupted else code_of(found.run.outcome)


def _document(found: Stand) -> Data:
    return {
        **run_data(found.run, _spent(found), found.evidence.left, found.evidence.again_ms, found.evidence.parent),
        "hops": found.snapshot.counters.get("hops", 0),
        "interrupted": found.interrupted,
        "next": _steps(found),
    }


def _spent(found: Stand) -> Spent:
    counters = found.snapshot.counters
    return Spent(counters.get("tokens", 0), counters.get("usd_micros", 0))


def _tell(found: Stand, output: Output) -> None:
    run, outcome = found.run, found.run.outcome
    because = safe(_because(found), CAUSE_MAX)
    head = f"{MARKS.get(outcome, '✗')} {WORDS.get(outcome, outcome)}"
    told: list[Part] = [(head, f"bold {colour(outcome)}"), (f" in {safe(run.state)}", "bold")]
    output.paragraph(*told, f": {because}" if because else "", hang=2)
    hops = count(found.snapshot.counters.get("hops", 0), "hop")
    took = duration(max(run.at_ms, found.snapshot.at_ms) - run.started_at_ms)
    counted = ", ".join([count(run.seq + 1, "record"), hops, *spending(_spent(found)), took])
    parent = f", forked from {told_fork(found.evidence.parent)}" if found.evidence.parent is not None else ""
    output.paragraph(f"run {safe(run.run_id)} of {safe(run.machine)}{parent}: {counted}", indent=2)
    if found.interrupted:
        output.line("  stopped on request; every record is kept")
    elif found.elsewhere:
        output.line("  another runner advances it")
    steps(output, _steps(found))


def steps(output: Output, commands: Sequence[str]) -> None:
    """Commands to paste, so never broken into lines."""
    for command in commands:
        output.line(("  → ", "dim"), (command, "bold"), cut=False)


def _because(found: Stand) -> str:
    """What it waits for, or why it ended or halted; "" where there is nothing to say."""
    if found.run.outcome != "waiting":
        return cause(found.evidence) or to_begin(found.evidence)
    spec, state = found.evidence.spec, found.run.state
    due_ms = found.evidence.due_ms("timeout")
    events = joined(list(map(safe, spec.events_from(state))), "or")
    return f"for {events or 'a timeout'}" + (f", until {moment(due_ms)}" if due_ms is not None else "")


def _steps(found: Stand) -> list[str]:
    """What to do next, each a command to paste."""
    here, run_id = found.evidence.here, found.run.run_id
    if found.run.ended:
        return [here.command("show", run_id)]
    if found.run.halted and found.evidence.question is None:
        return [here.command("why", run_id), here.command("resume", run_id)]
    commands = [move.command for move in why(found.evidence).moves if move.command]
    return commands[:1] if found.elsewhere else commands or [here.command("why", run_id)]
