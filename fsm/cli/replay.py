"""`fsm replay`: were the decisions of a run what its machine decides?"""

import click

from fsm.cli.parts.options import FAILED, db_option, emit, leave, machine_option, verb


@verb("fsm replay 42 --machine desk.py:Desk")
@click.argument("run_ids", metavar="RUN...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every run of the journal.")
@click.option("--scenario", metavar="FILE.json", help="A run that `fsm check` drew, instead of one in a journal.")
@machine_option
@click.option("--alone", is_flag=True, help="From the journal alone, even where the machine's code is at hand.")
@db_option
def command(
    run_ids: tuple[str, ...],
    everything: bool,
    scenario: str | None,
    targets: tuple[str, ...],
    alone: bool,
    db: str | None,
    as_json: bool,
) -> None:
    """Decide every record of a run again, without agents, and compare.

    With the machine's code (--machine, or [tool.fsm]) predicates and guards are asked again; without it they
    answer as recorded, and no code of yours is imported. Exits with 1 at the first record that differs,
    saying what was recorded, what would be decided now, and why.
    """
    if scenario is not None:
        from fsm.cli.parts.scenario import replay_scenario

        return replay_scenario(scenario, targets, as_json)

    from fsm.cli.parts.journals import find_run, reading
    from fsm.cli.parts.target import machines
    from fsm.journal.burial import unburied
    from fsm.replay.replay import replay_run
    from fsm.show.data import replay_data

    if not run_ids and not everything:
        raise click.UsageError("name a run, or say --all")
    code = {} if alone else {machine.spec.name: machine for machine in machines(targets)}
    told, agreed = [], True
    with reading(db) as reader:
        for run in reader.runs() if everything else [find_run(reader, run_id) for run_id in run_ids]:
            machine = code.get(run.machine)
            replay = replay_run(reader, run.run_id, machine)
            by = f"with the code of {machine.spec.name}" if machine else "from the journal alone"
            agreed = agreed and replay.agreed
            told.append({**replay_data(replay), "with_code": machine is not None})
            if not as_json:
                click.echo(f"{'✓' if replay.agreed else '✗'} {replay} ({by})")
        for text in unburied(reader) if everything else ():
            agreed = False
            click.echo(f"✗ {text}", err=as_json)
    if as_json:
        emit(told)
    if not agreed:
        leave(FAILED)
