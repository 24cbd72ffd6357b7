"""A fork replays by itself; where its parent is at hand, what it holds of that is proven too."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from fsm import Machine, read_journal, replay_run
from fsm.core.record import link
from fsm.define.spec import MachineSpec
from fsm.replay.against import Today
from fsm.replay.divergence import Divergence
from fsm.testing import MovableClock
from tests.helpers import running
from tests.replay.test_tampering import said, tampered
from tests.runner.test_fork import Brief, Loop, driven

EVERYWHERE = pytest.mark.parametrize("machine", [Loop, None], ids=["code", "alone"])
AT = 7
GONE = [f"DELETE FROM {table} WHERE run = :run" for table in ("record", "call")]


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run p, its fork f, and a fork g of that; f goes on, g is where it was forked."""
    db = tmp_path_factory.mktemp("forked") / "runs.db"

    async def record() -> None:
        async with running(db, Loop, clock=MovableClock()) as runner:
            await runner.start(Loop, Brief(), run_id="p")
            await driven(runner, "p")
            await runner.fork("p", at=AT, new_id="f")
            await driven(runner, "f")
            waits = next(r.seq for r in runner.journal.read.records(2) if r.outcome == "waiting")
            await runner.fork("f", at=waits, new_id="g")

    asyncio.run(record())
    return db


@EVERYWHERE
@pytest.mark.parametrize("run_id", ["p", "f", "g"])
def test_forks_and_their_forks_agree(forked: Path, run_id: str, machine: type[Machine] | None) -> None:
    replayed = replay_run(forked, run_id, machine)
    assert replayed.agreed, str(replayed)
    assert replayed.erased == 0


@EVERYWHERE
def test_where_the_parent_is_not_they_agree_as_well(
    forked: Path, tmp_path: Path, machine: type[Machine] | None
) -> None:
    db = tampered(forked, tmp_path, "p", [*GONE, "DELETE FROM run WHERE key = :run"])
    for run_id in ("f", "g"):
        assert replay_run(db, run_id, machine).agreed


async def test_nor_do_they_miss_one_that_was_deleted_and_whose_id_another_has(db: Path) -> None:
    async with running(db, Loop) as runner:
        await runner.start(Loop, Brief(), run_id="p")
        parent = await driven(runner, "p")
        await runner.fork("p", at=AT, new_id="f")
        await driven(runner, "f")
        await runner.journal.bury(parent, "old", 1)
        assert replay_run(db, "f", Loop).agreed
        await runner.start(Loop, Brief(topic="another"), run_id="p")
        await driven(runner, "p")
        assert replay_run(db, "f", Loop).agreed


Change = Callable[[dict[str, Any]], object]


def rewritten(forked: Path, folder: Path, run_id: str, change: Change) -> Path:
    """A copy in which the detail of a run's record 0 is changed, and the chain made to fit."""
    reader = read_journal(forked)
    run = reader.run(run_id)
    statements, head = [], b""
    for record, written in reader.written(run.key):
        detail = _changed(written, change) if record.seq == 0 else written
        head = link(head, record.header(detail))
        text = detail.decode().replace("'", "''")
        at = f"WHERE run = :run AND seq = {record.seq}"
        statements.append(f"UPDATE record SET head = x'{head.hex()}', detail = '{text}' {at}")
    reader.close()
    return tampered(forked, folder, run_id, [*statements, f"UPDATE run SET head = x'{head.hex()}' WHERE key = :run"])


def _changed(detail: bytes, change: Change) -> bytes:
    form = json.loads(detail)
    change(form)
    return json.dumps(form, separators=(",", ":"), ensure_ascii=False).encode()


def in_position(**changes: Any) -> Change:
    def change(form: dict[str, Any]) -> None:
        position = {**json.loads(form["note"]["snapshot"]), **changes}
        form["note"]["snapshot"] = json.dumps(position, separators=(",", ":"), sort_keys=True)

    return change


def in_note(**changes: Any) -> Change:
    return lambda form: form["note"].update(changes)


ANOTHER = f"record {AT} of its parent p is another: it was written anew, or is another run's"
FORGED: dict[str, tuple[Change, str]] = {
    "what it had spent": (in_position(counters={"tokens": 1}), "its parent p stood otherwise"),
    "how far it was": (in_position(started_at_ms=5), "its parent p stood otherwise"),
    "a blank": (
        lambda form: form["note"].update(snapshot=form["note"]["snapshot"] + " "),
        "its parent's position is not as it is written",
    ),
    "no position": (in_note(snapshot="{}"), "what it holds of its parent cannot be read"),
    "no counters": (in_position(counters=["hops"]), "what it holds of its parent cannot be read"),
    "no numbers": (in_position(at_ms="noon"), "what it holds of its parent cannot be read"),
    "no head": (
        in_note(parent_head="?"),
        ANOTHER,
    ),
    "no parent": (lambda form: form["note"].pop("parent"), "what it holds of its parent cannot be read"),
    "another record": (in_note(parent_seq=AT - 1), "the position it holds is not the one that it was forked at"),
    "another state": (in_position(state="person"), "the position it holds is not the one that it was forked at"),
    "a head": (
        in_note(parent_head="ab" * 32),
        ANOTHER,
    ),
    "a machine": (in_note(parent_fingerprint="ab" * 32), "its parent p was of another machine"),
    "its memory": (lambda form: form.update(memory="ab" * 32), "its parent p had another memory"),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_origin_is_found_out_though_its_chain_holds(forked: Path, tmp_path: Path, what: str) -> None:
    change, why = FORGED[what]
    assert said(replay_run(rewritten(forked, tmp_path, "f", change), "f"))[0] == f"run f diverges at record 0: {why}"


def test_one_whose_chain_does_not_hold_even_more_so(forked: Path, tmp_path: Path) -> None:
    edit = "UPDATE record SET detail = replace(detail, '\"hops', '\"hips') WHERE run = :run AND seq = 0"
    assert "diverges at record 0: it was changed after it was written" in str(
        replay_run(tampered(forked, tmp_path, "f", [edit.replace('"', '\\"')]), "f")
    )


def test_a_parent_that_was_tampered_with_is_told(forked: Path, tmp_path: Path) -> None:
    edit = "UPDATE record SET detail = replace(detail, '[10,0]', '[11,0]') WHERE run = :run AND seq = 1"
    assert said(replay_run(tampered(forked, tmp_path, "p", [edit]), "f"))[0].endswith("its parent p stood otherwise")


def test_its_memory_is_in_its_snapshot_row_only(forked: Path, tmp_path: Path) -> None:
    db = tampered(forked, tmp_path, "f", ["DELETE FROM snapshot WHERE run = :run"])
    assert said(replay_run(db, "f", Loop))[0].endswith("record 0: its snapshot row is missing")
    other = tmp_path / "other"
    other.mkdir()
    edit = "UPDATE snapshot SET memory = replace(memory, 'draft 1', 'draft 9') WHERE run = :run AND seq = 0"
    db = tampered(forked, other, "f", [edit])
    assert said(replay_run(db, "f", Loop))[0].endswith("record 0: its snapshot row was changed")


def against(db: Path, spec: MachineSpec, run_id: str) -> Divergence | None:
    reader = read_journal(db)
    try:
        return Today(spec).holds(reader, reader.run(run_id)).divergence
    finally:
        reader.close()


def test_a_fork_that_would_not_wait_today_goes_another_way(forked: Path) -> None:
    states = [evolve(one, kind="agent" if one.name == "person" else one.kind) for one in Loop.spec.states]
    found = against(forked, evolve(Loop.spec, states=tuple(states)), "g")
    assert found is not None and (found.seq, found.kind) == (0, "outcome_differs")
    assert found.why == "in person it was forked, waiting; today it would be running"
    assert against(forked, Loop.spec, "g") is None


def test_against_another_machine_too_its_memory_has_to_be_what_was_written(forked: Path, tmp_path: Path) -> None:
    edit = "UPDATE snapshot SET memory = replace(memory, 'draft 1', 'draft 9') WHERE run = :run AND seq = 0"
    found = against(tampered(forked, tmp_path, "f", [edit]), Loop.spec, "f")
    assert found is not None and (found.seq, found.kind) == (0, "damaged")


def test_the_forks_of_a_run_are_found_by_an_index(forked: Path) -> None:
    with contextlib.closing(sqlite3.connect(forked)) as connection:
        sql = (
            "EXPLAIN QUERY PLAN SELECT run FROM record WHERE kind = 'forked'"
            " AND CASE WHEN json_valid(detail) THEN json_extract(detail, '$.note.parent') END = 'p'"
        )
        assert "record_parent" in str(connection.execute(sql).fetchall())
