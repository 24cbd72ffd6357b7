"""`python -m examples.incident`: services fail in six ways, each time a run tells what it did, and then many do."""

import asyncio
import secrets
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import click

from examples.incident.acts import Told, outage
from examples.incident.scenes import SCENES, Scene, Story, play
from fsm import FsmError, Record, Runner
from fsm.cli import guards
from fsm.show.telling import words

JOURNAL = "runs.db"
MACHINE = "examples.incident.machine:Incident"
OUTAGE = "outage"
TITLE = "Part two: many runs at once, which share a circuit breaker and a budget."
SAYS = {"500": "500", "429": "429, Retry-After: 1", "hang": "no answer", "garbage": "HTML", "wrong": "wrong JSON"}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*(scene.name for scene in SCENES), OUTAGE]), metavar="[SCENE]...")
@click.option(
    "--db",
    default=JOURNAL,
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The journal of all runs.",
)
def main(names: Sequence[str], db: Path) -> None:
    """Play these scenes, or all of them and the outage, and tell what became of each.

    Exits with 1 if a run did not file its report, or if journal and services do not tell the same.
    """
    chosen = [scene for scene in SCENES if scene.name in names or not names]
    try:
        good = asyncio.run(played(chosen, OUTAGE in names or not names, db))
    except FsmError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(0 if good else 1)


async def played(scenes: Sequence[Scene], with_outage: bool, db: Path) -> bool:
    """Play and tell scene after scene, and act after act; whether all came out well."""
    good, options = True, [] if db == Path(JOURNAL) else ["--db", str(db)]
    async with Runner(db, adopt=False) as runner:
        for scene in scenes:
            click.secho(f"{scene.name}: {scene.title}", bold=True)
            story = await play(runner, scene, named(scene.name))
            tell(story, options)
            good = good and story.agreed and story.run.outcome == "completed"
        if with_outage:
            click.secho(f"{OUTAGE}: {TITLE}", bold=True)
            incident = named(OUTAGE)
            async for told in outage(runner, incident):
                tell_act(told, db)
                good = good and told.agreed and all(run.outcome == "completed" for run in told.runs)
            further(
                f"why {incident}-refused-1", "breaker metrics", f"runs --label incident={incident}", options=options
            )
    return good


def named(what: str) -> str:
    return f"{what}-{secrets.token_hex(3)}"


def tell(story: Story, options: Sequence[str]) -> None:
    """What the services did, what the run did, that they agree, and where to look further."""
    for service, troubles in groupby(story.log, lambda entry: entry[0]):
        click.echo(f"  {service:8} {'; '.join(SAYS.get(trouble, trouble) for _, trouble in troubles)}")
    before = story.records[0].at_ms
    for record in story.records:
        way = record.hop or record.kind
        click.echo(f"  {record.at_ms - before:6} ms  {way:18} {record.state:17} {why(record)}".rstrip())
    seen, attempts = counted(story.seen), counted(story.attempts)
    same = "= attempts in the journal" if seen == attempts else f"but attempts in the journal: {attempts}"
    click.echo(f"  requests seen by the services: {seen} {same}; filed: {story.filed}")
    click.echo(f"  {story.replay}")
    run = story.run.run_id
    further(f"show {run}", f"why {run}", f"replay {run} -m {MACHINE}", options=options)


def tell_act(told: Told, db: Path) -> None:
    """Which ways the runs went, what the services saw of them, and how the breaker stands once it has refused."""
    click.echo(f"  {told.act.title}")
    for way, runs in told.ways.most_common():
        click.echo(f"    {runs} x {way}")
    out = f"; of them while the probe was out: {told.while_out} to metrics" if told.act.probe else ""
    same = "all replayed" if told.agreed else f"but attempts in the journal: {counted(told.attempts)}"
    click.echo(f"    requests seen by the services: {counted(told.seen)}{out}; {same}")
    if told.act.name == "refused":
        click.echo(f"  $ fsm guards {db}")
        guards.command.main([str(db)], standalone_mode=False)


def further(*commands: str, options: Sequence[str]) -> None:
    """Where to look further."""
    for command in commands:
        click.echo(f"  → {' '.join(['fsm', command, *options])}")
    click.echo()


def why(record: Record) -> str:
    """What arrived with a record, and what a guard had against it."""
    against = [str(ruling) for ruling in record.rulings if ruling.verdict.decision != "allow"]
    return "; ".join([words(record), *against])


def counted(requests: Counter[str]) -> str:
    """`4 (metrics 3, reports 1)`."""
    return f"{requests.total()} ({', '.join(f'{name} {number}' for name, number in sorted(requests.items()))})"


if __name__ == "__main__":
    main(prog_name="python -m examples.incident")
