"""`fsm diagram`: a machine, or a run on its machine, as a picture in text."""

from typing import TYPE_CHECKING

import click

from fsm.cli.parts.options import db_option, emit, verb

if TYPE_CHECKING:
    from fsm.define.spec import MachineSpec
    from fsm.show.overlay import Overlay

FORMATS = ("text", "mermaid", "dot")


@verb("""
fsm diagram desk.py:Desk
fsm diagram 42 --format mermaid > run-42.mmd
fsm diagram desk.py:Desk --format dot | dot -Tsvg > desk.svg
""")
@click.argument("what", metavar="TARGET|RUN")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="text", help="What to write: text is for a terminal."
)
@db_option
def command(what: str, form: str, db: str | None, as_json: bool) -> None:
    """Draw a machine, or a run on its machine.

    TARGET is FILE.py:Machine, the name of a machine of [tool.fsm], or a .json file that holds a machine's spec.
    For a RUN nothing is imported: the journal knows its machine, and the picture shows visits, hops taken,
    refusals, and where the run stands.
    """
    from fsm.show.data import diagram_data
    from fsm.show.diagram import diagram
    from fsm.show.dot import dot
    from fsm.show.mermaid import mermaid

    spec, run_id, overlay = _found(what, db)
    drawn = diagram(spec)
    if as_json:
        emit(diagram_data(drawn, run_id, overlay))
    elif form == "text":
        from rich.console import Console

        from fsm.show.terminal import tree

        Console(highlight=False).print(tree(drawn, overlay))
    else:
        click.echo((mermaid if form == "mermaid" else dot)(drawn, overlay), nl=False)


def _found(what: str, db: str | None) -> "tuple[MachineSpec, str | None, Overlay | None]":
    """The machine to draw, and the run to draw on it."""

    if what.endswith((".json", ".py")) or ":" in what:
        from fsm.cli.parts.specs import spec_of

        return spec_of(what), None, None
    from fsm.cli.parts.target import of_project

    own = of_project(what)
    if own is not None:
        return own.spec, None, None
    from fsm.cli.parts.journals import find_run, reading
    from fsm.show.overlay import overlay

    with reading(db) as reader:
        run = find_run(reader, what)
        spec = reader.spec(run.fingerprint)
        return spec, run.run_id, overlay(spec, reader.records(run.key))
