"""What the next command must say again: the journal and the machines, where the person had to name them."""

import shlex
from pathlib import Path

import click
from attrs import frozen

from fsm.cli.project import Project, project
from fsm.errors import Fenced, FsmError, MachineChanged, MachineUnknown, RunHalted


@frozen
class Here:
    """The options a command was given, and the commands that follow from them."""

    db: str | None = None
    targets: tuple[str, ...] = ()

    def command(self, verb: str, *words: str, code: bool = True) -> str:
        """A command to paste; `code` where the verb needs the run's machine."""
        parts = ["fsm", verb, *words]
        if self.db is not None:
            parts += ["--db", self.db]
        for target in self.targets if code else ():
            parts += ["-m", target]
        return shlex.join(parts)


def here(db: str | None, *targets: str) -> Here:
    """Machines that the project lists need not be named again."""
    found = project()
    return Here(db, tuple(target for target in targets if not _is_listed(target, found)))


def _is_listed(target: str, found: Project) -> bool:
    return _place(target, Path.cwd()) in [_place(listed, found.folder) for listed in found.machines]


def _place(target: str, folder: Path) -> tuple[Path | str, str]:
    where, _, name = target.rpartition(":") if ":" in target else (target, "", "")
    return ((folder / where).resolve() if where.endswith(".py") else where), name


def refusal(error: FsmError, here: Here) -> click.ClickException:
    """The error in words that fit a command line, where its own speak of code."""
    match error:
        case MachineUnknown(run_id=run_id, machine=machine):
            told = f"run {run_id!r} belongs to machine {machine}, which is not at hand"
            next_ = (
                f"name its code with -m FILE.py:{machine}, or list it under machines in [tool.fsm] of pyproject.toml"
            )
        case MachineChanged(run_id=run_id, machine=machine, changes=changes):
            listed = "".join(f"\n  - {change}" for change in changes)
            told = f"{machine} has changed since run {run_id!r} was recorded:{listed}"
            accept = here.command("resume", run_id, "--accept")
            next_ = f"run it with the old definition, or accept the new one: {accept}"
        case RunHalted(run_id=run_id, outcome=outcome, event=event):
            told = f"run {run_id!r} is halted ({outcome}); {event} was not recorded"
            why, resume = here.command("why", run_id, code=False), here.command("resume", run_id)
            next_ = f"see why, then resume it: {why}; {resume}"
        case Fenced(run_id=run_id, why=why):
            told = f"run {run_id!r}: {why}; nothing was written"
            next_ = f"watch it: {here.command('show', run_id, '--follow', code=False)}"
        case _:
            return click.ClickException(str(error))
    return click.ClickException(f"{told}\n  -> {next_}")
