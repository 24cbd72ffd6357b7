"""Journals written before there were retries, strikes and fallbacks: their rows are read as they were meant."""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fsm import Machine, Retry, State, unbound
from fsm.core.recall import recall
from fsm.core.record import NO_STRIKES, Record
from fsm.core.snapshot import Snapshot, snapshot_body, snapshot_from
from fsm.define.spec import MachineSpec
from fsm.errors import CallFailed
from fsm.journal.rows import record_from, record_row
from fsm.runner.bodies import decoded
from fsm.testing import scripted
from tests.helpers import assert_sound, running

NEW_IN_SNAPSHOTS = ("given", "kept", "again")


class Job(BaseModel):
    pad: str = ""


class Draft(BaseModel):
    pad: str = ""


class Work(Machine):
    work = State(initial=Job, agent=unbound)
    person = State()
    done = State(final="completed")
    again = work.to(person, on=Draft)
    back = person.to(work, on=Job)
    finish = person.to(done, on=Draft)


def without(body: str, *names: str) -> str:
    return json.dumps({name: value for name, value in json.loads(body).items() if name not in names})


def test_a_snapshot_row_without_what_is_new() -> None:
    before = Snapshot(run_id="r", state="work", seq=7, entered=5, given=5, attempt=2, counters={"hops": 3})
    assert snapshot_from(without(snapshot_body(before), *NEW_IN_SNAPSHOTS), None) == before


def test_a_record_without_what_is_new() -> None:
    record = Record(seq=1, kind="taken", at_ms=1, source="a", state="b", outcome="running", hop="c")
    assert b"strikes" not in record.detail, "what is not there takes no bytes, so old rows hash as they did"
    assert record_from(record_row(1, record, b"", b"")).strikes is NO_STRIKES


def test_a_failed_call_without_what_is_new() -> None:
    body = b'{"retriable":true,"text":"lost","type":"ConnectionError"}'
    with contextlib.suppress(CallFailed):
        decoded("search", "failed", body, None)
        raise AssertionError("it did not fail")


def test_a_machine_without_what_is_new_has_the_fingerprint_it_had() -> None:
    text = Work.spec.to_json()
    assert '"retry"' not in text
    assert '"carries"' not in text
    assert MachineSpec.from_json(text).fingerprint == Work.spec.fingerprint


async def test_a_run_goes_on_from_an_old_snapshot_row_and_replays(db: Path) -> None:
    agent = scripted(Draft(pad="x" * 300_000))
    bound = Work.with_agents(work=agent)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(), run_id="r")
        await runner.settled("r")
        await runner.send("r", Job(pad="y"))
        await runner.settled("r")
    age(db)
    async with running(db, bound) as runner:
        read = runner.journal.read
        key = read.run("r").key
        base = read.snapshot(key)
        assert base is not None
        assert base.given == base.entered
        assert recall(Work.spec, read.records(key, base.seq), base) == recall(Work.spec, read.records(key))
        await runner.send("r", Draft())
        assert (await runner.settled("r")).outcome == "completed"
    assert_sound(db, bound)


def age(db: Path) -> None:
    """Snapshot rows as an older version wrote them."""
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        rows: list[Any] = connection.execute("SELECT run, seq, body FROM snapshot").fetchall()
        assert rows
        for run, seq, body in rows:
            older = without(body, *NEW_IN_SNAPSHOTS)
            connection.execute("UPDATE snapshot SET body = ? WHERE run = ? AND seq = ?", (older, run, seq))
        for _, sql in triggers:
            connection.execute(sql)


async def test_a_retry_that_is_new_in_a_machine_is_another_definition(db: Path) -> None:
    class Tried(Work, machine_name="Work"):
        work = Work.work.but(retry=Retry(base_s=0, cap_s=0))

    assert Work.spec.changes(Tried.spec) == ("states.work.retry: new",)
    bound = Work.with_agents(work=scripted(ConnectionError("lost")))
    async with running(db, bound) as runner:
        await runner.start(bound, Job(), run_id="r")
        assert (await runner.settled("r")).outcome == "stuck"
    again = Tried.with_agents(work=scripted(ConnectionError("lost"), Draft()))
    async with running(db, again) as runner:
        await runner.resume("r", accept=True)
        assert (await runner.settled("r")).outcome == "waiting"
        kinds = [record.kind for record in runner.journal.read.records(1)]
        assert kinds == ["started", "halted", "repinned", "resumed", "retried", "taken"]
