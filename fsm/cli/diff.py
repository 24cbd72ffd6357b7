"""`fsm diff`: two runs side by side."""

import click

from fsm.cli.parts.options import db_option, emit, verb


@verb("fsm diff 42 43\nfsm diff 42 43 runs.db --all")
@click.argument("run_a", metavar="RUN_A")
@click.argument("run_b", metavar="RUN_B")
@click.argument("path", metavar="[DB]", required=False)
@click.option("--all", "everything", is_flag=True, help="Every record and every field, also where nothing differs.")
@db_option
def command(run_a: str, run_b: str, path: str | None, everything: bool, db: str | None, as_json: bool) -> None:
    """Lay two runs side by side: where they part and why, and what differs on the way.

    First stands where they part: what each decided there, and the predicate, verdict or event that made the
    difference. Then their paths beside each other, `=` the same, `~` the same way with another payload or more
    spent, `≠` another way. At last what each did in all. They may be runs of different machines.
    """
    from fsm.cli.parts.journals import find_run, once, reading
    from fsm.cli.parts.sides import print_diff
    from fsm.replay.diff import diff
    from fsm.show.diffing import Specs, diff_data

    with reading(once(path, db)) as reader:
        a, b = find_run(reader, run_a), find_run(reader, run_b)
        found, specs = diff(reader, a, b), Specs(a=reader.spec(a.fingerprint), b=reader.spec(b.fingerprint))
    if as_json:
        emit(diff_data(found, specs))
    else:
        print_diff(found, specs, everything)
