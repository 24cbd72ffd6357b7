"""`fsm cancel`: ask a run to stop."""

import click

from fsm.cli.parts.options import GOOD, db_option, leave, machine_option, verb


@verb("fsm cancel 42 --by ann --reason 'asked twice'")
@click.argument("run_id", metavar="RUN")
@click.option("--by", default="", help="Who asks; it is recorded.")
@click.option("--reason", default="", help="Why; it is recorded.")
@machine_option
@db_option
def command(run_id: str, by: str, reason: str, targets: tuple[str, ...], db: str | None, as_json: bool) -> None:
    """Ask a run to stop.

    It goes where its machine declares for Cancelled, or ends cancelled; a halted run can be cancelled too, and
    for one that has ended nothing changes. Exits with 0 once the run has ended, 1 if it halted, 3 if it waits
    for somebody.
    """
    from fsm.cli.parts.advance import Stay, advance, at_hand, take_up
    from fsm.cli.parts.closing import close, code
    from fsm.cli.parts.project import here
    from fsm.runner.runner import Runner

    run, machine = at_hand(db, run_id, targets)

    async def act(runner: Runner) -> None:
        await take_up(runner, run)
        await runner.cancel(run.run_id, by=by, reason=reason)

    given = here(db, targets)
    stood = advance(Stay(given, run.run_id, machine, act, as_json, "ours"))
    close(stood, as_json, [("it had ended already; nothing was changed", "yellow")] if run.ended else [])
    leave(GOOD if stood.run.ended and not stood.interrupted else code(stood))
