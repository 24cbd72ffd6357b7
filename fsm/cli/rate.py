"""`fsm rate`: how many visits have begun lately, and a person's word on a damaged row."""

import click

from fsm.cli.parts.acting import act_options
from fsm.cli.parts.options import db_option, verb


@verb("""
fsm rate model
fsm rate model --reset --reason 'its row was damaged'
""")
@click.argument("name", metavar="NAME")
@click.option("--reset", is_flag=True, help="As new: nothing has begun lately, and no slot is given ahead.")
@act_options
@db_option
def command(name: str, reset: bool, reason: str, by: str, limit: int, db: str | None, as_json: bool) -> None:
    """Show how many visits of a rate have begun lately, or have it begin as new.

    A reset is recorded with its reason. Runs that were given a slot keep it; after a reset as many more may begin
    as the rate allows, so for one window there may be twice as many. NAME is a name that `fsm guards` lists.
    """
    from fsm.cli.parts.acting import act, check_reason, find, tell
    from fsm.clock import SystemClock
    from fsm.journal.acts import Renew

    check_reason(("reset",) if reset else (), "--reset", reason, by, "its row was damaged")
    found = find(db, "rate", name)
    if reset:
        at_ms = SystemClock().now_ms()
        act(db, Renew(share=found.share, act="reset", at_ms=at_ms, reason=reason.strip(), by=by))
        found = find(db, "rate", name)
    tell(db, found, limit, as_json)
