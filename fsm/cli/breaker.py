"""`fsm breaker`: what has become of a breaker, and a person's word on it."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from fsm.cli.parts.acting import MAINTENANCE, act_options
from fsm.cli.parts.options import GOOD, db_option, emit, leave, verb

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
@act_options
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
    from fsm.cli.parts.acting import act, check_reason, find, tell
    from fsm.clock import SystemClock
    from fsm.journal.acts import Force
    from fsm.show.breaking import limits_of

    if diagram:
        leave(_draw(as_json))
    if name is None:
        raise click.UsageError("name the breaker: fsm guards lists them")
    check_reason(acts, "--open, --close, --observe, --disable or --reset", reason, by, MAINTENANCE)
    found = find(db, "breaker", name)
    for one in acts:
        at_ms, limits = SystemClock().now_ms(), limits_of(found)
        act(db, Force(share=found.share, act=one, at_ms=at_ms, reason=reason.strip(), by=by, breaking=limits))
        found = find(db, "breaker", name)
    tell(db, found, limit, as_json)


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
