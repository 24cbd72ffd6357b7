"""`fsm budget`: what is spent of a budget and who holds some of it, and a person's increase."""

from typing import TYPE_CHECKING

import click

from fsm.cli.parts.acting import act_options
from fsm.cli.parts.options import db_option, verb

if TYPE_CHECKING:
    from fsm.journal.acts import Act
    from fsm.journal.guards import Stored


@verb("""
fsm budget tokens:machine=Desk
fsm budget tokens:machine=Desk --raise 50_000 --reason 'launch day' --by ann
fsm budget usd_micros:label:customer=acme --raise '$1.50' --reason 'they paid'
""")
@click.argument("name", metavar="NAME")
@click.option(
    "--raise", "more", metavar="AMOUNT", help="Add to its limit: 50_000 tokens, or $1.50. -AMOUNT takes that back."
)
@click.option("--reset", is_flag=True, help="Set aside what runs hold, no more; one whose row is damaged begins anew.")
@act_options
@db_option
def command(
    name: str, more: str | None, reset: bool, reason: str, by: str, limit: int, db: str | None, as_json: bool
) -> None:
    """Show what is spent of a budget and who holds some of it, or raise it.

    An act is recorded with its reason, holds from the next question on, in every window, and needs no runner at work:
    visits put off for it go on by themselves, runs that it stopped when they are resumed. It never takes more away
    than was added: the declared limit is the machine's. NAME is a name that `fsm guards` lists.
    """
    from fsm.cli.parts.acting import act, check_reason, find, tell

    acts = (*(("raise",) if more is not None else ()), *(("reset",) if reset else ()))
    check_reason(acts, "--raise or --reset", reason, by, "launch day")
    found = find(db, "budget", name)
    if acts:
        act(db, _deed(db, found, more, reason.strip(), by))
        found = find(db, "budget", name)
    tell(db, found, limit, as_json)


def _deed(db: str | None, found: "Stored", more: str | None, reason: str, by: str) -> "Act":
    from fsm.cli.parts.project import journal_path
    from fsm.clock import SystemClock
    from fsm.journal.acts import Raise, Recount
    from fsm.show.amounts import to_amount, unit_of
    from fsm.show.budgets import limit_of

    at_ms, limit = SystemClock().now_ms(), limit_of(found)
    if more is None:
        path = journal_path(db)
        return Recount(share=found.share, act="reset", at_ms=at_ms, reason=reason, by=by, limit=limit, path=path)
    try:
        number = to_amount(unit_of(found.name), more)
    except ValueError as error:
        raise click.UsageError(f"--raise: {error}") from None
    return Raise(share=found.share, act="raise", at_ms=at_ms, reason=reason, by=by, limit=limit, amount=number)
