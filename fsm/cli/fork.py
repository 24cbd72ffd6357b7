"""`fsm fork`: continue a run from one of its records, as a run of its own."""

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from fsm.cli.parts.options import db_option, label_option, leave, machine_option, verb

if TYPE_CHECKING:
    from pydantic import BaseModel

    from fsm.define.spec import MachineSpec
    from fsm.journal.forks import Effects
    from fsm.journal.reader import Reader
    from fsm.journal.rows import Run


@verb("""fsm fork 42 --at 7
fsm fork 42 --at 7 --payload '{"text": "shorter"}' --as second-try --yes
fsm fork 42 --at 7 --agent review=strict.py:judge""")
@click.argument("run_id", metavar="RUN")
@click.option(
    "--at", required=True, type=click.IntRange(min=0), metavar="SEQ", help="The record after which the fork goes on."
)
@click.option("--payload", "text", metavar="JSON", help="What its visit works on instead: JSON, @FILE, or - for stdin.")
@click.option("--event", metavar="NAME", help="Which payload that is, if another than it was.")
@click.option(
    "--agent",
    "agents",
    metavar="STATE=FILE.py:FUNCTION",
    multiple=True,
    help="Another agent for a state, in this process only. May be repeated.",
)
@click.option("--as", "new_id", metavar="ID", help="The fork's id. One that exists, forked there, goes on where it is.")
@label_option
@click.option("--yes", is_flag=True, help="Do not ask; the calls that happen again may.")
@machine_option
@db_option
def command(
    run_id: str,
    at: int,
    text: str | None,
    event: str | None,
    agents: tuple[str, ...],
    new_id: str | None,
    labels: dict[str, str],
    yes: bool,
    targets: tuple[str, ...],
    db: str | None,
    as_json: bool,
) -> None:
    """Continue a run from one of its records, as a run of its own.

    The fork stands where the run stood after record SEQ, with its memory, counts, spending and labels, and its visit
    there begins anew, under the machine as it is today. The run itself is left as it is. What the run called from that
    visit on is listed, for it happens again, under new keys: it asks first, or wants --yes. Exits as `fsm run`.
    """
    from fsm import ids
    from fsm.cli.parts.advance import Stay, advance, at_hand
    from fsm.cli.parts.closing import close, code
    from fsm.cli.parts.journals import reading
    from fsm.cli.parts.project import here
    from fsm.cli.parts.target import with_agents
    from fsm.runner.entry import name, tags
    from fsm.runner.fork import forking
    from fsm.runner.runner import Runner

    try:
        tags(labels)
        fork_id = name("--as", new_id) if new_id is not None else ids.fresh()
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    run, found = at_hand(db, run_id, targets)
    machine = with_agents(found, agents)
    with reading(db) as reader:
        payload = _payload(reader, run, machine.spec, at, text, event) if text is not None else None
        effects = forking(reader, run, machine.spec, at, payload).effects
    _agree(run, effects, yes)

    async def act(runner: Runner) -> None:
        await runner.fork(run.run_id, at=at, payload=payload, new_id=fork_id, labels=labels)

    stood = advance(Stay(here(db, targets), fork_id, machine, act, as_json))
    close(stood, as_json, effects={**effects.made}, effects_keyed={**effects.keyed})
    leave(code(stood))


def _payload(
    reader: "Reader", run: "Run", spec: "MachineSpec", at: int, text: str, event: str | None
) -> "BaseModel | None":
    """The payload in `text`, of a class that arrives where the run stood; None where no fork can be."""
    from fsm.cli.parts.given import named, payload
    from fsm.core.fork import NotForkable
    from fsm.runner.entry import entrants
    from fsm.runner.fork import forking

    state = reader.record(run.key, at).state if at <= run.seq else ""
    if state not in spec.state:
        return None
    arrive = entrants(spec, state)
    if not arrive:
        raise click.UsageError(f"{state} works on the runtime's own events only\n  -> leave --payload out")
    if event is None:
        with suppress(NotForkable):  # as it was
            event = forking(reader, run, spec, at).payload.event
    if event is None and len(arrive) > 1:
        raise click.UsageError(f"in {state} arrive {', '.join(arrive)}\n  -> say which: --event {arrive[0]}")
    return payload(named(event or arrive[0], spec, arrive, f"enters {state} with"), text, "--payload")


def _agree(run: "Run", effects: "Effects", yes: bool) -> None:
    """Say what happens again; without anybody's word it does not."""
    from fsm.show.words import safe, times

    told = [f"{safe(name)} {times(number)}" for name, number in effects.made.items()]
    keyed = [f"{safe(name)} {times(number)}" for name, number in effects.keyed.items()]
    if not told and not keyed:
        return
    lines = []
    if told:
        lines.append(f"run {safe(run.run_id)} called from there on, and its fork will call again: {', '.join(told)}")
    if keyed:
        lines.append(f"called before with keys of their own, and again if the fork asks for them: {', '.join(keyed)}")
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("\n".join([*lines, "  -> if these may happen again: --yes"]))
    click.echo("\n".join(lines), err=True)
    if not yes:
        click.confirm("Go on?", abort=True, err=True)
