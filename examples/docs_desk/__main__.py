"""`python -m examples.docs_desk`: ask a folder of text a question, and watch the answer being made."""

import asyncio
import sys
import sysconfig
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from examples.docs_desk import desk
from examples.docs_desk.folder import list_folder
from examples.docs_desk.screen import tell
from examples.docs_desk.story import Story, Watcher
from examples.docs_desk.telling import COMMAND, counted
from examples.docs_desk.watch import indexed, watching
from examples.docs_desk.words import terms
from fsm.errors import FsmError
from machines.review_loop import Approval, Brief, Refusal

QUESTION = "how do I cancel a slow asyncio task when its timeout expires?"
EXIT = {"completed": 0, "waiting": 3}


class AskByDefault(click.Group):
    """A group whose first word may be a question: whatever names no command is asked."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = args[:1] and (args[0] in self.commands or args[0] == "--help")
        return super().parse_args(ctx, args if named else ["ask", *args])


@click.group(cls=AskByDefault, context_settings={"help_option_names": ["--help"]})
def main() -> None:
    """Answer a question from a folder of text, Markdown or Python files, with citations.

    Exits with 0 if the answer was published, 3 if the run waits for a person, 1 if anything failed.
    """


DB = click.option(
    "--db",
    default="runs.db",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The journal of all runs.",
)


@main.command()
@click.argument("question", default=QUESTION)
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="Where to look for the answer; without it, in this Python's standard library.",
)
@DB
@click.option("--run-id", default=None, help="Name the run; naming one that was killed continues it.")
@click.option(
    "--pace",
    type=click.FloatRange(0, 60),
    default=0.0,
    help="Seconds that pass before each agent works, to watch or to kill it.",
)
def ask(question: str, folder: Path | None, db: Path, run_id: str | None, pace: float) -> None:
    """Ask QUESTION, watch the run, read the answer."""
    console = Console()
    if not terms(question):
        raise click.UsageError("the question names nothing to look for: stop words alone are not enough")
    listing = list_folder(folder or Path(sysconfig.get_path("stdlib")))
    index = indexed(console, listing)
    if not index.passages:
        raise click.ClickException(f"no text, Markdown or Python files in {listing.folder}")
    left = ", ".join(f"{number} {reason}" for reason, number in listing.passed_over.items())
    told = f"{counted(index.files, 'file')}, {counted(index.passages, 'passage')} in {listing.folder}"
    told += f", indexed in {index.took_s:.1f} s" if index.took_s else ""
    console.print(
        told + (f" ({left})" if left else ""),
        style="dim",
        highlight=False,
        soft_wrap=True,
    )
    brief = Brief(task=question, material=str(listing.folder))
    with watching(console, question) as watcher:
        story = followed(desk.ask(db, brief, run_id, watcher, pace), watcher)
    tell(console, story, str(db))
    sys.exit(EXIT.get(story.outcome, 1) if story.agreed else 1)


@main.command()
@click.argument("run_id")
@click.argument("word", type=click.Choice(["approve", "refuse"]))
@click.option("--by", required=True, help="Who decides.")
@click.option("--note", default="", help="Why; it is recorded.")
@DB
def send(run_id: str, word: str, by: str, note: str, db: Path) -> None:
    """Give the run RUN_ID, which waits for a person, its WORD: approve or refuse.

    Exits with 0 if the run took the word, 1 if not.
    """
    console = Console()
    if not db.is_file():
        raise click.ClickException(f"there is no journal {db}: name it with --db")
    payload = Approval(by=by, note=note) if word == "approve" else Refusal(by=by, reason=note)
    with watching(console, f"{word} {run_id}") as watcher:
        story = followed(desk.send(db, run_id, payload, watcher), watcher)
    tell(console, story, str(db))
    wanted = "published" if word == "approve" else "dropped"
    sys.exit(0 if story.state == wanted and story.agreed else 1)


def followed(work: Coroutine[Any, Any, Story], watcher: Watcher) -> Story:
    """Carry the work out; an interruption says how to go on, an error of the runtime speaks for itself."""
    try:
        return asyncio.run(work)
    except FsmError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        again = f": {COMMAND} ... --run-id {watcher.run_id}" if watcher.run_id else ""
        click.echo(f"\nInterrupted. Every record is kept; the same command continues the run{again}", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main(prog_name=COMMAND)
