"""`fsm answer`: say what became of a call that a crash left open."""

import click

from fsm.cli.parts.options import db_option, leave, machine_option, verb


@verb("""fsm answer 42 charge --result '{"receipt": "r-17"}' --by ann
fsm answer 42 charge --again --by ann""")
@click.argument("run_id", metavar="RUN")
@click.argument("call")
@click.option("--result", "text", metavar="JSON", help="It was made, and gave this: JSON, @FILE, or - for stdin.")
@click.option("--again", is_flag=True, help="It was not made: make it now, under the same key.")
@click.option("--by", default="", help="Who answers; it is recorded.")
@machine_option
@db_option
def command(
    run_id: str,
    call: str,
    text: str | None,
    again: bool,
    by: str,
    targets: tuple[str, ...],
    db: str | None,
    as_json: bool,
) -> None:
    """Say what became of a call that a crash left open.

    A call made with unsure="ask" is not repeated when its process was lost: the run asks. CALL is its name or
    key. With the answer the visit goes on, and this command stays until the run stands still. Exits as
    `fsm run`.
    """
    from fsm.cli.parts.advance import Stay, advance, at_hand
    from fsm.cli.parts.closing import close, code
    from fsm.cli.parts.given import plain
    from fsm.cli.parts.project import here
    from fsm.runner.runner import Runner

    if again == (text is not None):
        raise click.UsageError("say one of two: --result JSON if the call was made, --again if it was not")
    answered = {"again": True} if text is None else {"result": plain(text, "--result")}
    run, machine = at_hand(db, run_id, targets)

    async def act(runner: Runner) -> None:
        await runner.answer(run.run_id, call, by=by, **answered)

    given = here(db, targets)
    stood = advance(Stay(given, run.run_id, machine, act, as_json, "ours"))
    close(stood, as_json)
    leave(code(stood))
