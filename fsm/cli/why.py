"""`fsm why`: what a run waits for, or what stopped it, and what would move it."""

from typing import TYPE_CHECKING

import click

from fsm.cli.parts.options import FAILED, WAITING, db_option, emit, leave, machine_option, verb

if TYPE_CHECKING:
    from fsm.define.spec import MachineSpec
    from fsm.show.asked import Asked
    from fsm.show.why import Why


@verb("fsm why 42")
@click.argument("run_id", metavar="RUN")
@machine_option
@db_option
def command(run_id: str, targets: tuple[str, ...], db: str | None, as_json: bool) -> None:
    """Say why a run does not move, and what would move it.

    From the journal alone; with the machine's code (--machine, or [tool.fsm]) also file and line of what decided,
    and whether the machine has changed since. Exits with 3 if the run waits for somebody, 1 if it halted.
    """
    import attrs

    from fsm.cli.parts.journals import find_run, reading
    from fsm.cli.parts.project import here
    from fsm.clock import SystemClock
    from fsm.show.data import why_data
    from fsm.show.evidence import evidence
    from fsm.show.here import Here
    from fsm.show.why import why

    with reading(db) as reader:
        run = find_run(reader, run_id)
        code, trouble = _code(targets, run.machine)
        given = here(db, targets) if code is not None or trouble else Here(db)
        answer = why(evidence(reader, run, SystemClock(), code, given))
    if trouble:
        answer = attrs.evolve(answer, notes=(*answer.notes, trouble))
    if as_json:
        emit(why_data(answer))
    else:
        _tell(answer)
    if run.outcome == "waiting":
        leave(WAITING)
    if run.halted:
        leave(FAILED)


def _code(targets: tuple[str, ...], name: str) -> "tuple[MachineSpec | None, str]":
    """The machine of this name at hand; or why the project's code is not, since the journal answers without it."""
    from fsm.cli.parts.target import machines
    from fsm.errors import FsmError

    try:
        found = {machine.spec.name: machine.spec for machine in machines(targets)}
    except (click.ClickException, FsmError) as error:
        if targets:
            raise
        told = error.message if isinstance(error, click.ClickException) else str(error)
        return None, f"the project's machines cannot be loaded: {told.splitlines()[0]}"
    return found.get(name), ""


def _tell(answer: "Why") -> None:
    from fsm.cli.parts.lines import verdicts
    from fsm.cli.parts.output import Output
    from fsm.show.words import block, colour, safe

    output = Output()
    output.line(("run ", "dim"), (safe(answer.run_id), "bold"), (" of ", "dim"), safe(answer.machine))
    output.paragraph((answer.answer, f"bold {colour(answer.outcome)}"))
    for note in answer.notes:
        output.paragraph(("- ", "dim"), note, hang=2)
    for asked in answer.asked:
        output.line()
        output.paragraph(*_heading(asked), hang=2)
        verdicts(output, asked)
    if answer.moves:
        output.line()
        moving = answer.case in ("running", "rests")
        output.line(("What you can do" if moving else "What would move it", "bold"))
    for move in answer.moves:
        output.paragraph(move.text, indent=2)
        if move.command:
            output.line("    ", (block(move.command), "cyan"), cut=False)


def _heading(asked: "Asked") -> list[str | tuple[str, str]]:
    """`Record 12: Verdict in review, refused`."""
    from fsm.show.words import safe

    way = f"took {safe(asked.hop)} to {safe(asked.state)}" if asked.hop else asked.kind
    origin = f" (event id {safe(asked.event_id)})" if asked.event_id else ""
    candidate = f"; candidate {safe(asked.candidate)}" if asked.candidate and asked.candidate != asked.hop else ""
    where = f"  {asked.where}" if asked.where else ""
    return [
        (f"Record {asked.seq}: ", "bold"),
        f"{safe(asked.event)} in {safe(asked.source)}{origin} {way}{candidate}",
        (where, "dim"),
    ]
