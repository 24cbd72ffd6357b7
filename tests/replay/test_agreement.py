"""Every recorded run replays: with code and without, without agents, anywhere."""

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsm import Runner, SqliteJournal, read_journal, replay_run
from fsm.core.recall import position, recall
from fsm.core.record import Record
from fsm.core.snapshot import fold
from fsm.journal.reader import Reader
from fsm.journal.rows import ARTIFACT_BYTES
from fsm.testing import assert_replays
from tests.replay.again import without_agents
from tests.replay.workshop import PLANS, ROOT, Check, Go, Older, Order, Part, Workshop


@pytest.fixture(scope="module")
def reader(recorded: Path) -> Iterator[Reader]:
    reader = read_journal(recorded)
    yield reader
    reader.close()


def records_of(reader: Reader, run_id: str) -> list[Record]:
    return list(reader.records(reader.run(run_id).key))


def test_the_journal_holds_every_kind_of_record_and_what_can_be_in_one(reader: Reader):
    records = [record for run in reader.runs() for record in reader.records(run.key)]
    kinds = Counter(record.kind for record in records)
    assert set(kinds) == {
        *("started", "taken", "refused", "unhandled", "deferred", "retried", "resumed", "repinned", "halted", "ended")
    }
    assert {record.outcome for record in records} == {
        *("running", "waiting", "completed", "failed", "cancelled", "stopped", "stuck")
    }
    assert {record.note["why"] for record in records if record.kind == "resumed"} == {"asked", "released", "lost"}
    assert {ruling.verdict.code for record in records for ruling in record.rulings} == {
        *("", "untitled", "later", "too_heavy", "wet", "loop_cap", "token_budget", "closed", "unsigned"),
        *("predicate_error", "guard_error", "remember_error", "defer_exhausted", "attempts_max"),
    }
    assert {kind for run in reader.runs() for kind in (call.kind for call in reader.calls(run.key))} == {
        *("intent", "outcome")
    }
    assert {result for record in records for _, result in record.predicates} == {True, False, None}
    assert any(record.body and len(record.body) > ARTIFACT_BYTES for record in records)
    assert any(record.calls and record.spent for record in records)
    assert {record.note["escalated"] for record in records if "escalated" in record.note} == {
        *("TimedOut", "PayloadInvalid", "CallRefused")
    }
    assert any("horn" in record.strikes for record in records)
    assert any("superseded" in record.note for record in records)
    assert any("dropped" in record.note for record in records)
    assert any(record.hop.endswith(".otherwise") for record in records)
    assert reader.snapshots(reader.run("big").key)


def test_every_run_agrees_with_its_machine_though_every_agent_would_raise(reader: Reader):
    machines = without_agents()
    for run in reader.runs():
        replayed = replay_run(reader, run.run_id, machines[run.fingerprint])
        assert replayed.agreed, str(replayed)
        assert (replayed.records, replayed.erased) == (run.seq + 1, 0)
        assert str(replayed) == f"run {run.run_id}: {run.seq + 1} records, all agree"


def test_every_run_agrees_from_the_journal_alone(reader: Reader, recorded: Path):
    assert assert_replays(recorded) == len(reader.runs()) > 25


def test_an_accepted_change_is_replayed_by_the_definition_of_its_time(reader: Reader):
    """Each part of the run by its own machine; the code of the old one is as good for its part as its JSON."""
    assert any(record.kind == "repinned" for record in records_of(reader, "repinned"))
    for machine in (Workshop, None):
        assert replay_run(reader, "repinned", machine).agreed
    decided_by_older = replay_run(reader, "repinned", Older).divergence
    assert decided_by_older is None or decided_by_older.seq > 5


def replayed_elsewhere(journal: Path, seed: str, *, wal: bool = False) -> subprocess.CompletedProcess[str]:
    """Another process, another hash seed, a folder and files that cannot be written to; they must stay as they are."""
    with tempfile.TemporaryDirectory(prefix="fsm-") as folder:
        db = Path(folder) / "runs.db"
        for end in ("", "-wal") if wal else ("",):
            shutil.copy(f"{journal}{end}", f"{db}{end}")
            Path(f"{db}{end}").chmod(0o444)
        Path(folder).chmod(0o555)
        before = {path.name: hashlib.sha256(path.read_bytes()).digest() for path in Path(folder).iterdir()}
        done = subprocess.run(
            [sys.executable, "-m", "tests.replay.again", str(db)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert {path.name: hashlib.sha256(path.read_bytes()).digest() for path in Path(folder).iterdir()} == before
        Path(folder).chmod(0o755)
    return done


@pytest.mark.parametrize("seed", ["1", "20251"])
def test_replay_elsewhere_writes_nothing_asks_nobody_and_says_the_same(reader: Reader, recorded: Path, seed: str):
    done = replayed_elsewhere(recorded, seed)
    assert done.returncode == 0, done.stderr
    machines = without_agents()
    assert json.loads(done.stdout) == [
        [
            run.run_id,
            str(replay_run(reader, run.run_id, machines[run.fingerprint])),
            str(replay_run(reader, run.run_id)),
        ]
        for run in reader.runs()
    ]


def test_a_read_only_copy_whose_last_records_are_in_its_wal_is_refused_rather_than_read_without_them(tmp_path: Path):
    with contextlib.closing(sqlite3.connect(tmp_path / "runs.db")) as holding:  # so that nobody empties the WAL

        async def main() -> None:
            async with Runner(SqliteJournal(tmp_path / "runs.db"), machines=[Workshop], handle_signals=False) as runner:
                holding.execute("SELECT count(*) FROM run").fetchall()
                PLANS["r"] = {"make": [Part(text="p")], "test": [Check(score=9)]}
                await runner.start(Workshop, Order(title="r"), run_id="r")
                await runner.settled("r")
                holding.execute("BEGIN")
                holding.execute("SELECT count(*) FROM run").fetchall()

        asyncio.run(main())
        done = replayed_elsewhere(tmp_path / "runs.db", "0", wal=True)
    assert done.returncode != 0
    assert "its last records are in its -wal file" in done.stderr


def test_snapshot_rows_are_the_fold_and_resuming_from_one_is_resuming_from_the_start(reader: Reader):
    run = reader.run("big")
    records = records_of(reader, "big")
    folded = {record.seq: recall(Workshop.spec, records[: record.seq + 1]) for record in records}
    rows = reader.snapshots(run.key)
    assert rows
    for seq, row in rows.items():
        assert row == folded[seq]
        assert len(row.memory or b"") > ARTIFACT_BYTES
        assert recall(Workshop.spec, reader.records(run.key, seq), row) == folded[run.seq]
    assert (folded[run.seq].state, folded[run.seq].outcome) == (run.state, run.outcome)


def test_where_the_code_is_not_at_hand_the_position_is_folded_all_the_same(reader: Reader):
    for run_id in ("otherwise", "big", "ships", "waits", "stuck", "door", "later"):
        run, records = reader.run(run_id), records_of(reader, run_id)
        stored = reader.spec(run.fingerprint)
        assert fold(stored, records) == position(recall(Workshop.spec, records))
        assert recall(stored, records).memory is None


def test_a_run_that_moves_on_while_it_is_replayed_is_not_accused(tmp_path: Path):
    """The row of the run is read first; what is committed after that is left for the next replay."""
    db, over = tmp_path / "runs.db", threading.Event()

    async def work() -> None:
        async with Runner(SqliteJournal(db, synchronous="OFF"), machines=[Workshop], handle_signals=False) as runner:
            for number in range(6):
                run_id = f"busy-{number}"
                PLANS[run_id] = {"make": [Part(text="p")], "test": [Check(score=5)]}
                await runner.start(Workshop, Order(title="busy"), run_id=run_id)
                for _ in range(10):
                    await runner.settled(run_id)
                    await runner.send(run_id, Go(urgent=True))

    def main() -> None:
        try:
            asyncio.run(work())
        finally:
            over.set()

    SqliteJournal(db)._writer.stop()
    thread = threading.Thread(target=main)
    thread.start()
    met = set()
    reader = read_journal(db)
    try:
        while not over.is_set():
            for run in reader.runs()[-1:]:
                replayed = replay_run(reader, run.run_id, Workshop)
                assert replayed.agreed, str(replayed)
                met.add((run.run_id, replayed.records))
    finally:
        thread.join()
        reader.close()
    assert len(met) > 1
    assert assert_replays(db, Workshop) == 6
