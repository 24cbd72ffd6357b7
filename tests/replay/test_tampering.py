"""Whoever edits a journal with a SQLite shell is found out: which record, and what was done."""

import contextlib
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from fsm import Replay, replay_run
from tests.replay.workshop import Workshop

AT = "WHERE run = :run AND seq ="
COPY = (
    "SELECT NULL, run, {seq}, kind, at_ms, source, state, outcome, hop, event, event_id, own, attempt, digest, detail,"
)
COPY += " body, head FROM record"
CALL = (
    "run, {seq}, entered, attempt, kind, key, name, status, tokens, usd_micros,"
    " at_ms, digest, body, usage, tokens_max, usd_micros_max FROM call"
)

# "otherwise" has the records: 0 started, 1 made, 2 again, 3 made, 4 again, 5 made, 6 again.otherwise, 7 drop;
# "straight": 0 started, 1 made, 2 good, with the seven call rows of one visit between the last two.
TAMPERED = {
    "one byte of a payload": (
        "otherwise",
        [f"UPDATE record SET body = replace(body, '5', '6') {AT} 2"],
        """2: its payload was changed
        recorded: Check #
        now:      Check #: {"score":6}""",
    ),
    "a payload that is no text any more": (
        "otherwise",
        [f"UPDATE record SET body = CAST(x'ff' AS TEXT) {AT} 2"],
        """2: it cannot be read
        recorded: record 2
        now:      SQLite: Could not decode to UTF-8 column 'coalesce(record.body, artifact.body)' with text '\ufffd'""",
    ),
    "a payload in the artifact table": (
        "big",
        [f"UPDATE artifact SET body = replace(body, '11', '12') WHERE digest = (SELECT digest FROM record {AT} 3)"],
        """3: its payload was changed
        recorded: Part #
        now:      Part #: {"text":"1212121212…""",
    ),
    "a row deleted": (
        "otherwise",
        [f"DELETE FROM record {AT} 3"],
        """3: it is missing
        recorded: record 3
        now:      record 4 is the next""",
    ),
    "the first row deleted": (
        "otherwise",
        [f"DELETE FROM record {AT} 0"],
        """0: it is missing
        recorded: record 0
        now:      record 1 is the next""",
    ),
    "the tail cut": (
        "otherwise",
        ["DELETE FROM record WHERE run = :run AND seq >= 4"],
        """4: it is missing: the tail was cut
        recorded: 8 records, as the run's row counts them
        now:      4 records""",
    ),
    "the tail cut, and the run's row made to fit": (
        "otherwise",
        [
            "DELETE FROM record WHERE run = :run AND seq >= 7",
            "UPDATE run SET seq = 6, entered = 6, state = 'desk', outcome = 'waiting' WHERE key = :run",
        ],
        """6: the run's row was changed
        recorded: chain head #
        now:      chain head #""",
    ),
    "all rows deleted": (
        "otherwise",
        ["DELETE FROM record WHERE run = :run"],
        """0: it is missing: all its records are gone
        recorded: 8 records, as the run's row counts them
        now:      0 records""",
    ),
    "a number in a verdict": (
        "otherwise",
        [f"""UPDATE record SET detail = replace(detail, '"fires":1', '"fires":0') {AT} 4"""],
        """4: it was changed after it was written
        recorded: chain head #
        now:      chain head #: taken on Check: test -> make by again""",
    ),
    "a blank in the detail": (
        "otherwise",
        [f"UPDATE record SET detail = replace(detail, ',', ', ') {AT} 4"],
        """4: it was changed after it was written
        recorded: chain head #
        now:      chain head #: taken on Check: test -> make by again""",
    ),
    "the detail made unreadable": (
        "otherwise",
        [f"UPDATE record SET detail = substr(detail, 2) {AT} 4"],
        """4: it cannot be read
        recorded: record 4
        now:      record 4 holds what no release writes…""",
    ),
    "a refusal made an approval": (
        "otherwise",
        [f"UPDATE record SET state = 'make', hop = 'again', outcome = 'running' {AT} 6"],
        "6: it was changed after it was written\n"
        "recorded: chain head #\n"
        "now:      chain head #: taken on Check: test -> make by again"
        " (LoopCap on again refuses (loop_cap: fires 2, fires_max 2))",
    ),
    "the moment of a decision": (
        "otherwise",
        [f"UPDATE record SET at_ms = at_ms - 1 {AT} 2"],
        """2: it was changed after it was written
        recorded: chain head #
        now:      chain head #: taken on Check: test -> make by again""",
    ),
    "two records swapped": (
        "otherwise",
        [
            f"UPDATE record SET seq = -2 {AT} 2",
            f"UPDATE record SET seq = 2 {AT} 4",
            f"UPDATE record SET seq = 4 {AT} -2",
        ],
        """2: it was changed after it was written
        recorded: chain head #
        now:      chain head #: taken on Check: test -> make by again""",
    ),
    "a record inserted": (
        "otherwise",
        [
            "UPDATE record SET seq = seq + 100 WHERE run = :run AND seq >= 3",
            "UPDATE record SET seq = seq - 99 WHERE run = :run AND seq >= 100",
            f"INSERT INTO record {COPY.format(seq=3)} {AT} 2",
            "UPDATE run SET seq = seq + 1 WHERE key = :run",
        ],
        """3: it was changed after it was written
        recorded: chain head #
        now:      chain head #: taken on Check: test -> make by again""",
    ),
    "a record added": (
        "otherwise",
        [f"INSERT INTO record {COPY.format(seq=8)} {AT} 7"],
        """8: it was added
        recorded: 8 records, as the run's row counts them
        now:      ended, failed, on TimedOut: desk -> scrapped by drop""",
    ),
    "a call row deleted": (
        "straight",
        ["DELETE FROM call WHERE id = (SELECT min(id) FROM call WHERE run = :run)"],
        """2: call rows before it were changed, added or deleted
        recorded: call rows #
        now:      5 call rows, #""",
    ),
    "what a call cost": (
        "straight",
        ["UPDATE call SET tokens = 0 WHERE run = :run AND tokens > 0"],
        """2: call rows before it were changed, added or deleted
        recorded: call rows #
        now:      6 call rows, #""",
    ),
    "the usage of a call": (
        "straight",
        ['UPDATE call SET usage = \'[{"model":"cheap","input":1}]\' WHERE run = :run AND tokens > 0'],
        """2: call rows before it were changed, added or deleted
        recorded: call rows #
        now:      6 call rows, #""",
    ),
    "the usage of a call, to nonsense": (
        "straight",
        ["UPDATE call SET usage = '[1' WHERE run = :run AND tokens > 0"],
        """2: a call row before it was changed
        recorded: the call rows after record 1
        now:      a call row after record 1 holds what no release writes…""",
    ),
    "what a call declares": (
        "straight",
        ["UPDATE call SET tokens_max = 1 WHERE run = :run AND kind = 'intent'"],
        """2: call rows before it were changed, added or deleted
        recorded: call rows #
        now:      6 call rows, #""",
    ),
    "a call row added": (
        "straight",
        [f"INSERT INTO call SELECT NULL, {CALL.format(seq='seq')} WHERE run = :run LIMIT 1"],
        """2: call rows before it were changed, added or deleted
        recorded: call rows #
        now:      7 call rows, #""",
    ),
    "a call row added after the end": (
        "straight",
        [f"INSERT INTO call SELECT NULL, {CALL.format(seq='2')} WHERE run = :run LIMIT 1"],
        """3: call rows after the last record were changed, added or deleted
        recorded: call rows (none)
        now:      1 call rows, #""",
    ),
    "a call row added to no record": (
        "straight",
        [f"INSERT INTO call SELECT NULL, {CALL.format(seq='99')} WHERE run = :run LIMIT 1"],
        """99: it was added
        recorded: 3 records, as the run's row counts them
        now:      call rows after record 99""",
    ),
    "the result of a call": (
        "straight",
        ["""UPDATE call SET body = '{"grams":4}' WHERE run = :run AND name = 'weigh' AND kind = 'outcome'"""],
        """2: the body of a call before it was changed
        recorded: outcome of call weigh #
        now:      outcome of call weigh #: {"grams":4}""",
    ),
    "the cap of the stored machine": (
        "otherwise",
        ["""UPDATE machine SET spec = replace(spec, '"limit": 2', '"limit": 5')"""],
        """0: the stored machine was changed
        recorded: machine Workshop with fingerprint #
        now:      a Workshop with fingerprint #""",
    ),
    "the machine deleted": (
        "otherwise",
        ["DELETE FROM machine"],
        """0: the stored machine was changed
        recorded: machine Workshop with fingerprint #
        now:      no machine""",
    ),
    "the machine made unreadable": (
        "otherwise",
        ["""UPDATE machine SET spec = '{"format": 1}'"""],
        """0: the stored machine was changed
        recorded: machine Workshop with fingerprint #
        now:      no machine that can be read…""",
    ),
    "the run's state": (
        "otherwise",
        ["UPDATE run SET state = 'shipped', outcome = 'completed' WHERE key = :run"],
        """7: the run's row was changed
        recorded: state scrapped
        now:      state shipped""",
    ),
    "the run's outcome": (
        "otherwise",
        ["UPDATE run SET outcome = 'completed' WHERE key = :run"],
        """7: the run's row was changed
        recorded: outcome failed
        now:      outcome completed""",
    ),
    "the run's count, to hide the end": (
        "otherwise",
        ["UPDATE run SET seq = 6 WHERE key = :run"],
        """6: the run's row was changed
        recorded: chain head #
        now:      chain head #""",
    ),
    "the run's machine": (
        "otherwise",
        ["UPDATE run SET machine = 'Other' WHERE key = :run"],
        """0: the run's row was changed
        recorded: machine Workshop
        now:      machine Other""",
    ),
    "the run's fingerprint": (
        "otherwise",
        ["UPDATE run SET fingerprint = (SELECT fingerprint FROM run WHERE run_id = 'killed') || '0' WHERE key = :run"],
        """7: the run's row was changed
        recorded: fingerprint #
        now:      fingerprint #""",
    ),
    "another run's records under this name": (
        "otherwise",
        [
            "UPDATE run SET run_id = 'hidden' WHERE key = :run",
            "UPDATE run SET run_id = 'otherwise' WHERE run_id = 'straight'",
        ],
        """0: the run's row was changed
        recorded: run_id straight
        now:      run_id otherwise""",
    ),
    "a counter in a snapshot row": (
        "big",
        ["""UPDATE snapshot SET body = replace(body, '"fires:made":3', '"fires:made":1') WHERE run = :run"""],
        """5: its snapshot row was changed
        recorded: counters {'fires:made': 3}
        now:      counters {'fires:made': 1}""",
    ),
    "the memory in a snapshot row": (
        "big",
        ["""UPDATE snapshot SET memory = replace(memory, '"made":3', '"made":0') WHERE run = :run"""],
        """5: its snapshot row was changed
        recorded: memory #
        now:      memory #""",
    ),
    "a snapshot row made unreadable": (
        "big",
        ["UPDATE snapshot SET body = '[]' WHERE run = :run"],
        """5: its snapshot row was changed
        recorded: the position after record 5
        now:      the snapshot row at record 5 holds what no release writes…""",
    ),
    "a snapshot row where no record is": (
        "big",
        ["UPDATE snapshot SET seq = 77 WHERE run = :run AND seq = 5"],
        """77: it was added
        recorded: 26 records, as the run's row counts them
        now:      a snapshot row at record 77""",
    ),
}


def tampered(recorded: Path, folder: Path, run_id: str, statements: list[str]) -> Path:
    """A copy of the journal with its triggers dropped and these statements executed, each with an effect."""
    db = folder / "runs.db"
    shutil.copy(recorded, db)
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        (key,) = connection.execute("SELECT key FROM run WHERE run_id = ?", (run_id,)).fetchone()
        for statement in statements:
            done = connection.execute(statement, {"run": key} if ":run" in statement else {})
            assert done.rowcount > 0, f"no effect: {statement}"
    return db


def said(replayed: Replay) -> list[str]:
    """What is printed, line by line, with # for digests; long repetitions and the words of others are cut."""
    text = re.sub(r"\b[0-9a-f]{16}…", "#", str(replayed))
    text = re.sub(r"(12){6,}1?…", "1212121212…", text)
    text = re.sub(r"(no machine that can be read|holds what no release writes).*", r"\1…", text)
    return [line.strip() for line in text.splitlines()]


@pytest.mark.parametrize("case", TAMPERED, ids=str)
@pytest.mark.parametrize("machine", [Workshop, None], ids=["code", "alone"])
def test_a_tampered_journal_is_found_out(recorded: Path, tmp_path: Path, case: str, machine: type[Workshop] | None):
    run_id, statements, expected = TAMPERED[case]
    replayed = replay_run(tampered(recorded, tmp_path, run_id, statements), run_id, machine)
    assert not replayed.agreed
    lines = [line.strip() for line in expected.splitlines()]
    if case == "the cap of the stored machine" and machine is not None:
        lines[2] = "now:      transitions.again.guards.0.params.limit: 2 -> 5"
    assert said(replayed) == [f"run {run_id} diverges at record {lines[0]}", *lines[1:]]
    assert replayed.divergence is not None
    assert str(replayed.divergence.seq) == lines[0].split(":")[0]
    assert replayed.records <= replayed.divergence.seq + 1


def test_the_rest_of_the_journal_is_not_suspected(recorded: Path, tmp_path: Path):
    db = tampered(recorded, tmp_path, "otherwise", [f"DELETE FROM record {AT} 3"])
    assert replay_run(db, "straight", Workshop).agreed
    assert replay_run(db, "big").agreed


def test_the_triggers_stand_in_the_way_of_all_this(recorded: Path, tmp_path: Path):
    db = tmp_path / "runs.db"
    shutil.copy(recorded, db)
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as connection:
        for statement in (
            "UPDATE record SET body = replace(body, '5', '6')",
            "UPDATE record SET at_ms = at_ms + 1",
            "DELETE FROM record WHERE seq = 3",
            "UPDATE call SET tokens = 0",
            "DELETE FROM call",
            "UPDATE artifact SET body = 'x'",
            "UPDATE snapshot SET memory = NULL",
            f"INSERT OR REPLACE INTO record {COPY.format(seq='seq')} WHERE seq = 2",
        ):
            with pytest.raises(sqlite3.IntegrityError, match=r"append-only|only with a tombstone"):
                connection.execute(statement)
    assert replay_run(db, "straight", Workshop).agreed


def test_an_erased_payload_is_said_and_breaks_no_chain(recorded: Path, tmp_path: Path):
    """Erasing is allowed. What followed from the payload is kept; what needs it is not decided again."""
    db = tmp_path / "runs.db"
    shutil.copy(recorded, db)
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as connection:
        connection.execute(
            "UPDATE record SET body = NULL WHERE seq = 3 AND run = (SELECT key FROM run WHERE run_id = 'otherwise')"
        )
    for machine in (Workshop, None):
        replayed = replay_run(db, "otherwise", machine)
        assert str(replayed) == (
            "run otherwise: 8 records, all agree; 1 without payload, which was erased, are not decided again"
        )
        assert replayed.erased == 1
