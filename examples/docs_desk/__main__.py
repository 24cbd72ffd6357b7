"""`python -m examples.docs_desk`: ask a folder of text a question, and watch the answer being made."""

import asyncio
import os
import secrets
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from examples.docs_desk import desk
from examples.docs_desk.library import Index, Listing, list_folder
from examples.docs_desk.report import counted, tell
from examples.docs_desk.watch import indexed, watching
from examples.docs_desk.words import terms
from fsm import FsmError, RunnerStopped, check
from machines.review_loop import Approval, Brief, Refusal

QUESTION = "how do I cancel a slow asyncio task when its timeout expires?"
JOURNAL = "runs.db"
EXIT = {"completed": 0, "waiting": 3}
INTERRUPTED = 130


class AskByDefault(click.Group):
    """A group whose first word may be a question: whatever names no command is asked."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = args[:1] and (args[0] in self.commands or args[0] == "--help")
        return super().parse_args(ctx, args if named else ["ask", *args])


@click.group(cls=AskByDefault)
def main() -> None:
    """Answer a question from a folder of text, Markdown or Python files, with citations.

    Exits with 0 if the answer was published, 3 if the run waits for a person, 1 if anything failed.
    """


DB = click.option(
    "--db",
    default=JOURNAL,
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The journal of all runs.",
)


@main.command()
@click.argument("question", default=QUESTION)
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where to look for the answer; without it, in this Python's standard library.",
)
@DB
@click.option("--run-id", help="Name the run; naming one that was interrupted continues it.")
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
    console.print(about(listing, index), style="dim", highlight=False, soft_wrap=not console.is_terminal)
    console.print(check(desk.desk().spec).headline, style="dim", highlight=False, soft_wrap=not console.is_terminal)
    run_id = run_id or f"desk-{secrets.token_hex(3)}"
    options = [*(["--folder", str(folder)] if folder else []), "--run-id", run_id, *named(db)]
    with watching(console, question, run_id) as watcher:
        brief = Brief(task=question, material=str(listing.folder))
        work = desk.ask(db, brief, run_id, watcher, pace)
        story = followed(work, again=command(question, *options))
    tell(console, story, words_for(run_id, db))
    sys.exit(EXIT.get(story.run.outcome, 1) if story.replay.agreed else 1)


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
    with watching(console, f"{word}, says {by}", run_id) as watcher:
        again = command("send", run_id, word, "--by", by, *named(db))
        story = followed(desk.send(db, run_id, payload, watcher), again)
    tell(console, story, words_for(run_id, db))
    wanted = "published" if word == "approve" else "dropped"
    sys.exit(0 if story.run.state == wanted and story.replay.agreed else 1)


class Interrupted(click.ClickException):
    """Somebody pressed Ctrl-C; the message says how to go on."""

    exit_code = INTERRUPTED

    def show(self, file: Any = None) -> None:
        click.echo(self.message, file=file, err=True)


def followed(work: Coroutine[Any, Any, desk.Story], again: str) -> desk.Story:
    """Carry the work out; an interruption says how to go on, an error of the runtime speaks for itself."""
    try:
        return asyncio.run(work)
    except (RunnerStopped, KeyboardInterrupt):
        raise Interrupted(f"\nInterrupted; every record is kept. To go on:\n {again}") from None
    except FsmError as error:
        raise click.ClickException(str(error)) from error


def about(listing: Listing, index: Index) -> str:
    """What is searched, how long the index took if it was built just now, and what was passed over."""
    told = f"{counted(index.files, 'file')}, {counted(index.passages, 'passage')} in {listing.folder}"
    told += f", indexed in {index.took_s:.1f} s" if index.took_s else ""
    passed_over = {**listing.passed_over, "not UTF-8 text": index.unreadable}
    left = ", ".join(f"{number} {reason}" for reason, number in passed_over.items() if number)
    return told + (f" ({left})" if left else "")


def command(*arguments: str) -> str:
    """This program with these arguments, ready to paste into the shell it was started from."""
    python = sys.executable
    if python == shutil.which("python"):
        python = "python"
    elif Path(python).is_relative_to(Path.cwd()):
        python = os.path.relpath(python)
    return shlex.join([python, "-m", "examples.docs_desk", *arguments])


def words_for(run_id: str, db: Path) -> list[str]:
    """The commands by which a person answers this run."""
    return [command("send", run_id, word, "--by", "YOUR_NAME", *named(db)) for word in ("approve", "refuse")]


def named(db: Path) -> list[str]:
    """The journal as an option, where it is not the usual one."""
    return [] if db == Path(JOURNAL) else ["--db", str(db)]


if __name__ == "__main__":
    main(prog_name="python -m examples.docs_desk")
