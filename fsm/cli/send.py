"""`fsm send`: give a run an event from outside."""

import click

from fsm.cli.parts.options import FAILED, GOOD, db_option, leave, machine_option, verb


@verb("""fsm send 42 Approval --payload '{"by": "ann"}'
fsm send 42 Approval --payload @approval.json --event-id mail-7""")
@click.argument("run_id", metavar="RUN")
@click.argument("event")
@click.option("--payload", "-p", "text", metavar="JSON", help="The event's payload: JSON, @FILE, or - for stdin.")
@click.option("--event-id", metavar="ID", help="Sent twice under one id it counts once.")
@click.option("--no-wait", is_flag=True, help="Leave once it is decided; the next visit is for a runner to begin.")
@machine_option
@db_option
def command(
    run_id: str,
    event: str,
    text: str | None,
    event_id: str | None,
    no_wait: bool,
    targets: tuple[str, ...],
    db: str | None,
    as_json: bool,
) -> None:
    """Give a run an event from outside.

    It says what was decided. If no other runner advances the run, this one does, and stays until the run stands
    still. Exits with 1 if the event was refused or the run's state does not take it, else as `fsm run`.
    """
    from fsm.cli.parts.advance import Stay, advance, at_hand, take_up
    from fsm.cli.parts.closing import Sent, close, code
    from fsm.cli.parts.given import named, payload
    from fsm.cli.parts.project import here
    from fsm.define.events import RUNTIME_EVENTS
    from fsm.errors import RunnerStopped
    from fsm.runner.entry import name
    from fsm.runner.runner import Runner

    try:
        given_id = name("event_id", event_id) if event_id is not None else None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    run, machine = at_hand(db, run_id, targets)
    spec = machine.spec
    taken = {name for line in spec.transitions for name in line.events if name not in RUNTIME_EVENTS}
    body = payload(named(event, spec, taken, "takes", run.state), text, "--payload")
    sent = Sent(event, run.seq)

    async def act(runner: Runner) -> None:
        if no_wait:
            runner.stop()  # no visit begins here
        else:
            await take_up(runner, run)
        try:
            sent.record = await runner.send(run.run_id, body, event_id=given_id)
            sent.decided = True
        except RunnerStopped:
            if not no_wait:
                raise

    given = here(db, targets)
    stood = advance(Stay(given, run.run_id, machine, act, as_json, "done" if no_wait else "ours"))
    close(stood, as_json, [sent.told(spec)], **sent.data())
    if sent.decided and not sent.taken and not stood.interrupted:
        leave(FAILED)
    leave(code(stood) if sent.decided or stood.interrupted else GOOD)
