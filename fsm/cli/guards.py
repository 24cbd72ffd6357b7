"""`fsm guards`: how the guards stand that runs share."""

from typing import TYPE_CHECKING

import click

from fsm.cli.parts.options import db_option, emit, verb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fsm.journal.guards import Stored
    from fsm.show.sight import Sight

ALIKE_MAX, HOLDERS_MAX = 3, 3


@verb("""
fsm guards runs.db
fsm guards --name customer=acme
""")
@click.argument("path", metavar="[DB]", required=False)
@click.option("--name", metavar="TEXT", default="", help="Only those whose name holds this.")
@click.option("--all", "everything", is_flag=True, help="All of them, also of a budget with many labels.")
@db_option
def command(path: str | None, name: str, everything: bool, db: str | None, as_json: bool) -> None:
    """Show the guards that runs share: how each stands, who asks it, whose visits hold some of it.

    Each is one row for all runs, processes and machines of the journal that name it. `fsm breaker NAME` and
    `fsm budget NAME` show what has become of one, and move it. Of budgets for each value of a label the fullest
    are shown.
    """
    from fsm.cli.parts.acting import sight_of
    from fsm.cli.parts.journals import once, reading
    from fsm.journal.guards import stored
    from fsm.show.data import shared_data
    from fsm.show.kinds import KINDS, TITLES

    where = once(path, db)
    with reading(where) as reader:
        found = [one for one in stored(reader) if name in one.name]
        sight = sight_of(reader, where, found, HOLDERS_MAX)
    if as_json:
        alike = {kind: [one for one in found if one.share.kind == kind] for kind in KINDS}
        emit({TITLES[kind]: [shared_data(one, sight.now_ms) for one in ones] for kind, ones in alike.items()})
    elif not found:
        click.echo(f"no guard whose name holds {name!r}" if name else "no guard that runs share in this journal")
        click.echo('  -> everywhere(Breaker("search")), or everywhere(TokenBudget(1_000_000, scope="machine"))')
    else:
        _tell(found, sight, everything)


def _tell(found: "list[Stored]", sight: "Sight", everything: bool) -> None:
    from fsm.cli.parts.acting import show
    from fsm.cli.parts.output import Output
    from fsm.show.words import safe

    for alike, title in _groups(found, sight):
        shown = alike if everything else alike[:ALIKE_MAX]
        for one in shown:
            show(one, sight)
        if left := len(alike) - len(shown):
            told = f"and {left:,} more of {safe(title)}, less full: --all, or --name TEXT"
            Output().paragraph((told, "dim"))


def _groups(found: "list[Stored]", sight: "Sight") -> "Iterator[tuple[list[Stored], str]]":
    """Rows that the same guard asks for different runs, the fullest first; with its name."""
    from itertools import groupby

    from fsm.journal.shared import share_of_row
    from fsm.show.kinds import KINDS

    for share, group in groupby(found, lambda one: share_of_row(one.share)):
        kind = KINDS[share.kind]
        yield sorted(group, key=lambda one: -kind.fullness(one, sight.now_ms)), share.name
