"""`fsm guards`: how the guards stand that runs share."""

from typing import TYPE_CHECKING

import click

from fsm.cli.parts.options import db_option, emit, verb

if TYPE_CHECKING:
    from fsm.journal.guards import Breaker


@verb("fsm guards runs.db")
@click.argument("path", metavar="[DB]", required=False)
@db_option
def command(path: str | None, db: str | None, as_json: bool) -> None:
    """Show the guards that runs share: breakers, what they have counted, when they let pass again.

    A breaker is one row for all runs, processes and machines of the journal that name it. `fsm breaker NAME` shows
    what has become of one, and moves it.
    """
    from fsm.cli.parts.journals import once, reading
    from fsm.clock import SystemClock
    from fsm.journal.guards import breakers
    from fsm.show.data import breaker_data

    with reading(once(path, db)) as reader:
        found, now_ms = breakers(reader), SystemClock().now_ms()
    if as_json:
        emit({"breakers": [breaker_data(one, now_ms) for one in found]})
    elif not found:
        click.echo("no breaker in this journal (shared budgets are not listed here)")
        click.echo('  -> everywhere(Breaker("search")), and view.call("search", ...)')
    for one in found if not as_json else ():
        tell(one, now_ms)


def tell(found: "Breaker", now_ms: int) -> None:
    """A breaker in a few lines."""
    from fsm.cli.parts.output import Output
    from fsm.show.breaking import change_words, demands, now_words, risks
    from fsm.show.words import safe

    output = Output()
    state, words = now_words(found, now_ms)
    colour = {"closed": "green", "open": "red", "unreadable": "red", "forced_open": "red"}.get(state, "yellow")
    output.paragraph((f'Breaker("{safe(found.name)}") ', "bold"), (words, colour), hang=2)
    output.paragraph((f"passes {demands(found.breaking)}", "dim"), indent=2)
    if found.last is not None:
        output.paragraph(change_words(found.last, now_ms), indent=2)
    asked = dict.fromkeys(f"{safe(asker.machine)} on {safe(asker.at)}" for asker in found.askers)
    output.paragraph((f"asked by {', '.join(asked) or 'no machine here'}", "dim"), indent=2)
    if risk := risks(found):
        output.paragraph((f"! {risk}", "yellow"), indent=2)
