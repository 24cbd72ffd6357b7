"""`fsm check`: a machine's definition, and all that is wrong with it."""

import click

from fsm.cli.parts.options import FAILED, emit, leave, verb


@verb("fsm check desk.py:Desk")
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
def command(targets: tuple[str, ...], as_json: bool) -> None:
    """Say what is wrong with a machine's definition.

    All mistakes at once, each with its attribute, file and line, and what to write instead. Exits with 1 if
    there is any.
    """
    from fsm.cli.parts.target import machine
    from fsm.errors import DefinitionError
    from fsm.show.data import mistake_data

    told: list[dict[str, object]] = []
    for target in targets:
        try:
            spec = machine(target).spec
        except DefinitionError as error:
            mistakes = [mistake_data(mistake) for mistake in error.mistakes]
            told.append({"target": target, "machine": error.machine, "mistakes": mistakes})
            if not as_json:
                click.echo(f"{error}\n")
            continue
        told.append({"target": target, "machine": spec.name, "fingerprint": spec.fingerprint, "mistakes": []})
        if not as_json:
            agents = sum(state.kind == "agent" for state in spec.states)
            counts = f"{len(spec.states)} states, {agents} with an agent, {len(spec.transitions)} transitions"
            click.echo(f"{spec.name}: {counts}, no mistakes")
    if as_json:
        emit(told)
    if any(found["mistakes"] for found in told):
        leave(FAILED)
