"""A journal of an earlier format is brought up when it is opened for writing; what it holds stays as it is."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import Machine, Spent, State, read_journal, replay_run
from fsm.cli.main import VERBS
from fsm.core.breaking import BreakerRow
from fsm.define.guard import Share
from fsm.journal.guards import changes, stored
from fsm.journal.schema import FORMAT
from guards import Breaker
from tests.cli.conftest import Fsm, folder, fsm  # noqa: F401 - fixtures
from tests.helpers import assert_sound, in_format, running


class Ask(BaseModel):
    pass


class Word(BaseModel):
    pass


async def call(view: Any) -> Word:
    await view.call("tool", lambda: view.spend(tokens=7, usd_micros=3))
    return Word()


class Talk(Machine):
    desk = State(initial=Ask)
    work = State(agent=call)
    done = State(final="completed")
    begin = desk.to(work, on=Word)
    finish = work.to(done, on=Word)


class Guarded(Machine):
    work = State(initial=Ask, agent=call, guards=[Breaker("tool")])
    done = State(final="completed")
    finish = work.to(done, on=Word)


def schema(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    return set(connection.execute("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"))


@pytest.fixture(params=range(1, FORMAT))
def older(db: Path, request: pytest.FixtureRequest) -> Path:
    """A journal of an earlier format: one run that has ended, and one that waits."""

    async def record() -> None:
        async with running(db, Talk) as runner:
            for run_id in ("ended", "waits"):
                await runner.start(Talk, Ask(), run_id=run_id)
            await runner.send("ended", Word())
            await runner.settled("ended")

    asyncio.run(record())
    return in_format(db, request.param)


def version(db: Path) -> int:
    with contextlib.closing(sqlite3.connect(db)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_who_only_reads_finds_all_of_it_and_leaves_it_as_it_is(older: Path):
    before = version(older)
    assert_sound(older, Talk)
    reader = read_journal(older)
    assert [(row.kind, row.spent, row.tokens_max) for row in reader.calls(reader.run("ended").key)] == [
        ("intent", Spent(), None),
        ("outcome", Spent(7, 3), None),
    ]
    assert not stored(reader) and not changes(reader, Share("breaker", "tool"), 9)
    reader.close()
    assert version(older) == before


async def test_who_reads_while_it_is_brought_up_goes_on(older: Path):
    reader = read_journal(older)
    rows = reader.calls(1)
    async with running(older, Talk) as runner:
        await runner.send("waits", Word())
        await runner.settled("waits")
        assert reader.calls(1) == rows
        assert replay_run(reader, "waits", Talk).agreed
    reader.close()


@pytest.mark.parametrize("verb", ["runs", "machines", "doctor", "guards"])
def test_no_verb_that_looks_misses_the_tables(verb: str, older: Path, fsm: Fsm):  # noqa: F811
    assert verb in VERBS
    before = version(older)
    result = fsm(verb, "--db", str(older))
    assert result.exit_code == 0, result.output
    assert version(older) == before


async def test_opened_for_writing_it_is_brought_up_and_its_runs_go_on(older: Path):
    async with running(older, Talk, Guarded) as runner:
        assert version(older) == FORMAT
        await runner.send("waits", Word())
        assert (await runner.settled("waits")).state == "done"
        await runner.start(Guarded, Ask(), run_id="new")
        assert (await runner.settled("new")).state == "done"
    reader = read_journal(older)
    assert [found.row for found in stored(reader)] == [BreakerRow()]
    assert all(replay_run(reader, run_id).agreed for run_id in ("ended", "waits", "new"))
    reader.close()


async def test_it_is_the_same_as_one_made_today(older: Path, tmp_path: Path):
    new = tmp_path / "new.db"
    for path in (older, new):
        async with running(path, Talk):
            pass
    with contextlib.closing(sqlite3.connect(older)) as old, contextlib.closing(sqlite3.connect(new)) as fresh:
        assert schema(old) == schema(fresh)
