"""`fsm`: one module a verb, imported when it is called, so that help answers at once.

A verb's module is named after it and has its `command`; what verbs share is in `parts`. Exit codes mean
something: 0 good, 1 failed, 2 usage, 3 waiting for somebody, 130 interrupted.
"""

import difflib
import importlib
from keyword import iskeyword

import click

from fsm.cli.parts.options import INTERRUPTED

VERBS = {
    "run": "Start a run and watch it.",
    "resume": "Go on with a run that halted or was left, or with all that were left.",
    "send": "Give a run an event from outside.",
    "answer": "Say what became of a call that a crash left open.",
    "cancel": "Ask a run to stop.",
    "runs": "List runs, the newest first.",
    "show": "Show a run: its path, verdicts, calls and spending.",
    "why": "Say why a run does not move, and what would move it.",
    "replay": "Decide every record of a run again, without agents, and compare.",
    "diagram": "Draw a machine, or a run on its machine.",
    "check": "Prove a machine before it runs: mistakes, endings, worst case, promises.",
    "backtest": "Say where guards would have stopped recorded runs of any system.",
    "machines": "List the machines at hand, and those of a journal.",
    "guards": "Show the guards that runs share: how each stands, who asks it, whose visits hold some of it.",
    "breaker": "Show what has become of a breaker, or have your word on it.",
    "budget": "Show what is spent of a budget and who holds some of it, or raise it.",
    "rate": "Show how many visits of a rate have begun lately, or have it begin as new.",
    "doctor": "Examine a journal: format, size, chains, runners, agents that hang.",
    "backup": "Copy a journal, also while it is being written.",
    "export": "Write runs as JSON lines, whole: to keep, to send, to take into another journal.",
    "import": "Take runs of an export into a journal, each proven first.",
    "prune": "Delete old runs that have ended; a tombstone of each stays.",
}


class Verbs(click.Group):
    """The verbs by name; an error of the runtime speaks for itself."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        found = importlib.import_module(f"fsm.cli.{cmd_name}{'_' * iskeyword(cmd_name)}").command
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f"did you mean 'fsm {near[0]}'?" if near else "'fsm --help' lists the verbs"
            ctx.fail(f"there is no verb {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None
        except Exception as error:
            from fsm.errors import FsmError

            if isinstance(error, FsmError):
                raise click.ClickException(str(error)) from error
            raise


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="turnstile-fsm", prog_name="fsm")
def main() -> None:
    """Multi-agent workflows as explicit finite-state machines: run, look, replay, draw.

    A machine is named as FILE.py:Machine or package.module:Machine. Runs are kept in a journal, one SQLite
    file: --db, or db in [tool.fsm] of pyproject.toml, or else runs.db. A run's id may be abbreviated.

    Every verb has --json, and exits with 0 if all is well, 1 if something failed, 2 if it was called
    wrongly, 3 if a run waits for somebody, 130 if it was interrupted.
    """
