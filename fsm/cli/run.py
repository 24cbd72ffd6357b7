"""`fsm run`: start a run and watch it."""

import click

from fsm.cli.parts.options import db_option, label_option, leave, verb


@verb("""fsm run desk.py:Desk --input '{"question": "Why?"}' --label team=docs
fsm run desk.py:Desk --input @question.json --run-id monday""")
@click.argument("target")
@click.option("--input", "-i", "text", metavar="JSON", help="The payload to start with: JSON, @FILE, or - for stdin.")
@click.option("--event", metavar="NAME", help="Which payload, where the machine starts with several.")
@click.option("--run-id", metavar="ID", help="The run's id. One that exists goes on where it is.")
@label_option
@db_option
def command(
    target: str,
    text: str | None,
    event: str | None,
    run_id: str | None,
    labels: dict[str, str],
    db: str | None,
    as_json: bool,
) -> None:
    """Start a run and watch it.

    It stays until the run stands still: ended, halted or waiting. Progress goes to standard error, the result
    to standard output. Exits with 0 if the run completed, 1 if it failed, was cancelled or halted, 3 if it
    waits for somebody. Ctrl-C stops cleanly: every record is kept, and the run goes on with `fsm resume`, or
    with the same command and its --run-id.
    """
    from fsm import ids
    from fsm.cli.parts.advance import Stay, advance
    from fsm.cli.parts.closing import close, code
    from fsm.cli.parts.given import named, payload
    from fsm.cli.parts.project import here
    from fsm.cli.parts.target import machine
    from fsm.runner.entry import name, tags
    from fsm.runner.runner import Runner

    try:
        tags(labels)
        run_id = name("run_id", run_id) if run_id is not None else ids.fresh()
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    found = machine(target)
    spec = found.spec
    first, *others = begins = spec.initial.initial
    if event is None and others:
        raise click.UsageError(f"{spec.name} starts with {' or '.join(begins)}\n  -> say which: --event {first}")
    begun = payload(named(event or first, spec, begins, "starts with"), text, "--input")

    async def act(runner: Runner) -> None:
        await runner.start(found, begun, run_id=run_id, labels=labels)

    given = here(db, (target,))
    stood = advance(Stay(given, run_id, found, act, as_json))
    close(stood, as_json)
    leave(code(stood))
