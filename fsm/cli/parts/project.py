"""`[tool.fsm]` of the nearest pyproject.toml: where runs are kept, which machines there are, what need not be said.

    [tool.fsm]
    db = "runs.db"
    machines = ["desk/machine.py:Desk", "billing.flows:Refund"]
    prices = "billing/prices.py:PRICES"

Paths are relative to that file. This is where machines come from when a verb needs the code of a run: the
journal itself never causes an import.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from attrs import field, frozen

from fsm.show.here import Here

DB, FILE = "runs.db", "pyproject.toml"


@frozen
class Project:
    """What the project's file says; the current folder where there is none."""

    folder: Path
    db: str | None = None
    machines: list[str] = field(factory=list)
    prices: str | None = None


def project() -> Project:
    """The project of the current folder. Raises `click.UsageError` where its file is wrong."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        file = folder / FILE
        if file.is_file():
            return _read(file)
    return Project(here)


def journal_path(given: str | None) -> str:
    """The journal to use: the one given, the project's, or runs.db here."""
    path = given if given is not None else _own_journal(project())
    if Path(path).is_dir():
        raise click.UsageError(f"{path} is a folder, and a journal is one file\n  -> --db {Path(path) / DB}")
    return path


def _own_journal(found: Project) -> str:
    return str(found.folder / found.db) if found.db is not None else DB


def here(db: str | None, targets: Sequence[str] = ()) -> Here:
    """What the commands that follow must say again: machines that the project lists need not be named."""
    found = project()
    listed = [_place(target, found.folder) for target in found.machines]
    listed += [(name, "") for _, name in listed if name]  # a plain name is found there too
    unlisted = tuple(target for target in targets if _place(target, Path.cwd()) not in listed)
    return Here(db, unlisted, bool(listed))


def split(target: str) -> tuple[str, str]:
    """The file or module of a target, and the machine's name, "" where it has none."""
    where, colon, name = target.rpartition(":")
    return (where, name) if colon else (target, "")


def _place(target: str, folder: Path) -> tuple[Path | str, str]:
    where, name = split(target)
    return ((folder / where).resolve() if where.endswith(".py") else where), name


def _read(file: Path) -> Project:
    try:
        table: Any = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("fsm", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{file} is no TOML: {error}") from None
    unknown = sorted(set(table) - {"db", "machines", "prices"})
    if unknown:
        raise click.UsageError(f"[tool.fsm] in {file} knows db, machines and prices, not {', '.join(unknown)}")
    db, machines = table.get("db"), table.get("machines", [])
    if not isinstance(db, str | None):
        raise click.UsageError(f'[tool.fsm] in {file}: write db = "runs.db", a path in quotes')
    if not isinstance(machines, list) or not all(isinstance(target, str) for target in machines):
        raise click.UsageError(f'[tool.fsm] in {file}: write machines = ["FILE.py:Machine", ...]')
    prices = table.get("prices")
    if prices is not None and not (isinstance(prices, str) and all(split(prices))):
        raise click.UsageError(f'[tool.fsm] in {file}: write prices = "FILE.py:NAME"')
    return Project(file.parent, db, machines, prices)
