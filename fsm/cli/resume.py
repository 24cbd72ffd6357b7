"""`fsm resume`: go on with a run that halted or was left, or with all that were left."""

import click

from fsm.cli.parts.options import db_option, leave, machine_option, verb


@verb("""fsm resume 42 --by ann
fsm resume""")
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--accept", is_flag=True, help="Take the machine as it is now, although it has changed; it is recorded.")
@click.option("--by", default="", help="Who resumes it; it is recorded.")
@machine_option
@db_option
def command(run_id: str | None, accept: bool, by: str, targets: tuple[str, ...], db: str | None, as_json: bool) -> None:
    """Go on with a run that halted or was left, or with all that were left.

    It stays until they stand still. One run: a halted one gets a new attempt, which is recorded; one whose
    process died goes on where it was; one that waits goes on waiting. Without RUN: every run of the machines at
    hand that is under way and that nobody advances, as well as events and timers that wait; halted runs are
    left alone. Exits as `fsm run`; for many, with 1 if any failed or halted, else 3 if any waits for somebody.
    """
    from fsm.cli.parts.project import here

    given = here(db, targets)
    if run_id is None:
        if accept or by:
            raise click.UsageError("--accept and --by are for one run: name it")
        from fsm.cli.parts.resuming import resume_all

        leave(resume_all(given, targets, as_json))

    from fsm.cli.parts.advance import Stay, advance, at_hand
    from fsm.cli.parts.closing import close, code
    from fsm.runner.runner import Runner

    run, machine = at_hand(db, run_id, targets)

    async def act(runner: Runner) -> None:
        await runner.resume(run.run_id, accept=accept, by=by)

    stood = advance(Stay(given, run.run_id, machine, act, as_json))
    close(stood, as_json)
    leave(code(stood))
