"""`python -m examples.incident`: services fail in six ways, and each time a run tells what it did about it."""

import asyncio
import secrets
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import click

from examples.incident.scenes import SCENES, Scene, Story, play
from fsm import FsmError, Record, Runner
from fsm.show.telling import words

JOURNAL = "runs.db"
MACHINE = "examples.incident.machine:Incident"
SAYS = {"500": "500", "429": "429, Retry-After: 1", "hang": "no answer", "garbage": "HTML", "wrong": "wrong JSON"}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([scene.name for scene in SCENES]), metavar="[SCENE]...")
@click.option(
    "--db",
    default=JOURNAL,
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The journal of all runs.",
)
def main(names: Sequence[str], db: Path) -> None:
    """Play these scenes, or all of them, and tell what became of each.

    Exits with 1 if a run did not file its report, or if journal and services do not tell the same.
    """
    chosen = [scene for scene in SCENES if scene.name in names or not names]
    try:
        good = asyncio.run(told(chosen, db))
    except FsmError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(0 if good else 1)


async def told(scenes: Sequence[Scene], db: Path) -> bool:
    """Play and tell scene after scene; whether all came out well."""
    good = True
    async with Runner(db, adopt=False) as runner:
        for scene in scenes:
            click.secho(f"{scene.name}: {scene.title}", bold=True)
            story = await play(runner, scene, f"{scene.name}-{secrets.token_hex(3)}")
            tell(story, [] if db == Path(JOURNAL) else ["--db", str(db)])
            good = good and story.agreed and story.run.outcome == "completed"
    return good


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
    for verb in ("show", "why", "replay"):
        more = ["-m", MACHINE] if verb == "replay" else []
        click.echo(f"  → {' '.join(['fsm', verb, story.run.run_id, *more, *options])}")
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
