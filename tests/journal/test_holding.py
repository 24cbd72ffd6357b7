"""Who holds what of a shared row: always just what the row says is set aside."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import Cancelled, Machine, Retry, State, View, everywhere, read_journal
from fsm.define.guard import Share
from fsm.journal.guards import stored
from fsm.journal.holding import holders
from fsm.journal.reader import Reader
from guards import Bulkhead, TokenBudget
from tests.helpers import running

DESK, DB, POOL = "tokens:machine=Desk", "visits:pool:db", "tokens:pool:x"


class Brief(BaseModel):
    fails: int = 0
    broken: bool = False


class Draft(BaseModel):
    pass


async def write(view: View[Any]) -> Draft:
    if view.payload.broken:
        raise ValueError("its own fault")
    if view.attempt <= view.payload.fails:
        view.spend(tokens=10)
        raise ConnectionError("lost")
    await asyncio.get_running_loop().create_future()
    return Draft()


class Desk(Machine):
    draft = State(
        initial=Brief,
        agent=write,
        tokens_max=100,
        retry=Retry(attempts_max=3, base_s=0, cap_s=0),
        guards=[Bulkhead("db", 3)],
    )
    done = State[Any](final="completed")
    gone = State[Any](final="failed")
    end = draft.to(done, on=Draft)
    stop = draft.to(gone, on=Cancelled)
    limits = everywhere(TokenBudget(1_000, scope="machine"), TokenBudget(1_000, scope="pool:x"))


First = Desk


def changed() -> type[Machine]:
    """The same machine another day: with a higher limit, and of no pool."""

    class Desk(First):
        limits = everywhere(TokenBudget(2_000, scope="machine"))

    return Desk


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


async def begin(db: Path, made: type[Machine], **payloads: Brief) -> None:
    """These runs, each until it can do no more, and then left."""
    async with running(db, made, adopt=False) as runner:
        for run_id, payload in payloads.items():
            await runner.start(made, payload, run_id=run_id)
        await asyncio.sleep(0)
        while not all(_at_rest(runner.journal.read, run_id) for run_id in payloads):
            await asyncio.sleep(0.005)


def _at_rest(reader: Reader, run_id: str) -> bool:
    run = reader.run(run_id)
    first = reader.record(run.key, 0)
    fails = Brief.model_validate_json(first.body or b"{}").fails
    return run.outcome != "running" or run.attempt > fails


def held(reader: Reader) -> dict[str, dict[str, int]]:
    """Of each row what each run holds; the row says the same in all."""
    found = {one.name: {holder.run.run_id: holder.amount for holder in one.holders} for one in stored(reader)}
    for one in stored(reader):
        assert one.row.reserved == one.held, one.name
    return found


async def test_a_visit_holds_until_it_is_over_also_while_it_is_tried_again(db: Path) -> None:
    await begin(db, Desk, plain=Brief(), again=Brief(fails=2), stuck=Brief(broken=True))
    reader = read_journal(db)
    both = {"plain": 100, "again": 100}
    assert held(reader) == {DESK: both, POOL: both, DB: {"plain": 1, "again": 1}}
    async with running(db, Desk) as runner:
        await runner.cancel("again")
        await runner.settled("again")
    assert held(reader) == {DESK: {"plain": 100}, POOL: {"plain": 100}, DB: {"plain": 1}}
    reader.close()


async def test_who_is_put_off_holds_nothing(db: Path) -> None:
    await begin(db, Desk, a=Brief(), b=Brief(), c=Brief())
    async with running(db, Desk, adopt=False) as runner:
        await runner.start(Desk, Brief(), run_id="late")
    reader = read_journal(db)
    assert held(reader)[DB] == {"a": 1, "b": 1, "c": 1}
    waiting = {one.name: one.waiting for one in stored(reader)}
    assert waiting[DB] == (1, 1)
    reader.close()


async def test_what_a_visit_holds_is_known_after_its_machine_was_changed(db: Path) -> None:
    await begin(db, Desk, left=Brief())
    async with running(db, changed(), adopt=False) as runner:
        await runner.resume("left", accept=True)
    reader = read_journal(db)
    assert held(reader) == {DESK: {"left": 100}, DB: {"left": 1}, POOL: {}}
    reader.close()


async def test_a_run_whose_records_cannot_be_read_hides_no_other(db: Path) -> None:
    await begin(db, Desk, good=Brief(), bad=Brief())
    reader = read_journal(db)
    other = _Damaged(reader, "bad")
    assert [holder.run.run_id for holder in holders(other)[Share("budget", DB)]] == ["good"]  # type: ignore[arg-type]
    reader.close()


class _Damaged:
    """A reader that finds the details of one run's records damaged."""

    def __init__(self, reader: Reader, run_id: str) -> None:
        self._reader, self._run_id = reader, run_id
        self.statements = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        self.statements += 1
        rows = self._reader.query(sql, *parameters)
        return [
            tuple("{" if value and row[1] == self._run_id and str(value).startswith('{"r') else value for value in row)
            if len(row) > 1
            else row
            for row in rows
        ]


async def test_it_takes_no_statement_more_for_more_runs(db: Path) -> None:
    await begin(db, Desk, a=Brief(), b=Brief(), c=Brief())
    reader = read_journal(db)
    counting = _Damaged(reader, "")
    holders(counting)  # type: ignore[arg-type]
    assert counting.statements == 2
    reader.close()
