"""A folder of the user's, with a machine in a file, and the command run in it."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fsm import Runner
from fsm.cli.main import main
from fsm.cli.parts.target import machine

Fsm = Callable[..., Result]

DOOR = '''\
"""A door with a person behind it."""

from pydantic import BaseModel

from fsm import Machine, State, TimedOut, View, days
from guards import LoopCap


class Knock(BaseModel):
    by: str

class Seen(BaseModel):
    face: str

class Word(BaseModel):
    open: bool


async def look(view: View[Knock]) -> Seen:
    return Seen(face=view.payload.by)

def is_yes(word: Word) -> bool:
    return word.open


class Door(Machine):
    """Somebody knocks, somebody decides."""

    porch  = State(initial=Knock, agent=look)
    hall   = State(timeout_s=days(2))
    inside = State(final="completed")
    street = State(final="failed")

    seen  = porch.to(hall, on=Seen)
    enter = hall.to(inside, on=Word, when=is_yes)
    stay  = hall.to(hall, on=Word, guards=[LoopCap(2)], otherwise=street)
    leave = hall.to(street, on=TimedOut)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with `door.py`; what is imported from it is forgotten afterwards."""
    (tmp_path / "door.py").write_text(DOOR)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def fsm(folder: Path) -> Fsm:
    """Runs the command in that folder, as in `fsm("replay", "42")`; its result has exit code and output."""

    def call(*arguments: str, given: str | None = None) -> Result:
        result = CliRunner().invoke(main, arguments, input=given, prog_name="fsm")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture
def two_runs(folder: Path) -> str:
    """A journal of two runs of `Door`: `fast-1` waits in the hall, `first-1` has ended."""
    door = machine("door.py:Door")
    knock, word = door.spec.classes["Knock"], door.spec.classes["Word"]

    async def record() -> None:
        async with Runner("runs.db", handle_signals=False) as runner:
            for run_id in ("fast-1", "first-1"):
                await runner.start(door, knock(by="ann"), run_id=run_id, labels={"team": run_id[:4]})
                await runner.settled(run_id)
            await runner.send("first-1", word(open=True))

    asyncio.run(record())
    return "runs.db"
