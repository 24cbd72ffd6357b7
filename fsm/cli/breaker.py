"""`fsm breaker`: what has become of a breaker, and a person's word on it."""

import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fsm.cli.parts.options import GOOD, db_option, emit, leave, verb

if TYPE_CHECKING:
    from fsm.core.breaker import Act
    from fsm.journal.guards import Breaker

LIMIT = 20

F = TypeVar("F", bound=Callable[..., Any])


def _act(name: str, text: str) -> Callable[[F], F]:
    return click.option(f"--{name}", "acts", flag_value=name, multiple=True, help=text)


@verb("""
fsm breaker search
fsm breaker search --open --reason 'maintenance until noon' --by ann
fsm breaker --diagram
""")
@click.argument("name", metavar="[NAME]", required=False)
@_act("open", "Refuse all, until the next act.")
@_act("close", "Let pass again, as if the other side were well; it counts from nothing.")
@_act("observe", "Let all pass and count, and only say what it would refuse.")
@_act("disable", "Let all pass, and count nothing.")
@_act("reset", "As new; also for one whose row is damaged.")
@click.option("--reason", default="", help="Why; it is recorded, and needed.")
@click.option("--by", default="", help="Who acts; it is recorded.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=LIMIT, show_default=True, help="Of its past.")
@click.option("--diagram", is_flag=True, help="Draw the machine that every breaker is.")
@db_option
def command(
    name: str | None,
    acts: tuple[str, ...],
    reason: str,
    by: str,
    limit: int,
    diagram: bool,
    db: str | None,
    as_json: bool,
) -> None:
    """Show what has become of a breaker, or have your word on it.

    An act is recorded with its reason, holds for every run of the journal from its next question on, and needs no
    runner at work. NAME is what the breaker watches: `fsm guards` lists them.
    """
    if diagram:
        leave(_draw(as_json))
    if name is None:
        raise click.UsageError("name the breaker: fsm guards lists them")
    if len(acts) > 1:
        raise click.UsageError(f"one act at a time, not --{' and --'.join(acts)}")
    if acts and not reason.strip():
        raise click.UsageError(f"--{acts[0]} needs a reason: --reason 'maintenance until noon'")
    if not acts and (reason or by):
        raise click.UsageError("--reason and --by are for an act: --open, --close, --observe, --disable or --reset")
    found = _found(db, name)
    if acts:
        _force(db, found, acts[0], reason.strip(), by)  # type: ignore[arg-type]
        found = _found(db, name)
    _tell(db, found, limit, as_json)


def _found(db: str | None, name: str) -> "Breaker":
    from fsm.cli.parts.journals import reading
    from fsm.journal.guards import breakers

    with reading(db) as reader:
        known = {found.name: found for found in breakers(reader)}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "`fsm guards` lists those there are"
    raise click.ClickException(f"no machine of this journal asks a breaker {name!r}\n  -> {hint}")


def _force(db: str | None, found: "Breaker", act: "Act", reason: str, by: str) -> None:
    import asyncio

    from fsm.cli.parts.project import journal_path
    from fsm.clock import SystemClock
    from fsm.journal.acts import Force
    from fsm.journal.journal import SqliteJournal

    clock = SystemClock()

    async def force() -> None:
        journal = SqliteJournal(journal_path(db))
        try:
            await journal.open(clock, "fsm breaker")
            await journal.force(Force(breaking=found.breaking, act=act, at_ms=clock.now_ms(), reason=reason, by=by))
        finally:
            await journal.close()

    asyncio.run(force())


def _tell(db: str | None, found: "Breaker", limit: int, as_json: bool) -> None:
    from fsm.cli.guards import tell
    from fsm.cli.parts.journals import reading
    from fsm.cli.parts.output import Output
    from fsm.clock import SystemClock
    from fsm.journal.guards import changes
    from fsm.show.breaking import change_words
    from fsm.show.data import breaker_data, change_data

    now_ms = SystemClock().now_ms()
    with reading(db) as reader:
        past = changes(reader, found.name, limit)
    if as_json:
        emit({**breaker_data(found, now_ms), "changes": [change_data(change) for change in past]})
        return
    tell(found, now_ms)
    output = Output()
    for change in past[1:]:
        output.paragraph((change_words(change, now_ms), "dim"), indent=2)


def _draw(as_json: bool) -> int:
    from rich.console import Console

    from fsm.core.breaker import SPEC
    from fsm.show.data import diagram_data
    from fsm.show.diagram import diagram
    from fsm.show.terminal import tree

    if as_json:
        emit(diagram_data(diagram(SPEC)))
    else:
        Console(highlight=False).print(tree(diagram(SPEC), None))
    return GOOD
