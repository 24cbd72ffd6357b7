"""export, import, prune: runs that leave a journal, come into one, and go."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from fsm.cli.parts.target import machine
from tests.cli.conftest import Fsm
from tests.helpers import assert_sound
from tests.replay.carried import heads


def test_runs_leave_one_journal_and_come_into_another(fsm: Fsm, two_runs: str):
    told = fsm("export", "--all", "--out", "all.jsonl").output
    size = Path("all.jsonl").stat().st_size
    assert told == (
        f"2 runs, 5 records: {size:,} bytes in all.jsonl\n"
        "  1 of them has not ended: only one journal may go on with a run\n"
    )
    result = fsm("import", "all.jsonl", "--db", "other.db")
    assert result.exit_code == 1
    assert result.output == (
        "✗ line 3, run fast-1: it has not ended (waiting), and two journals must not go on with it\n"
        "1 run taken into other.db, 3 records; 1 refused\n"
        "  -> look at what there is: fsm runs --db other.db\n"
    )
    result = fsm("import", "all.jsonl", "--db", "other.db", "--unfinished")
    assert result.exit_code == 0
    assert result.output.startswith("1 run taken into other.db, 2 records; 1 there already\n")
    assert heads(Path("other.db")) == heads(Path(two_runs))
    assert_sound("other.db", machine("door.py:Door"))
    assert fsm("send", "fast", "Word", "--payload", '{"open":true}', "-m", "door.py", "--db", "other.db").exit_code == 0


def test_through_a_pipe_the_lines_are_all_that_standard_output_holds(fsm: Fsm, two_runs: str):
    result = fsm("export", "first")
    assert [next(iter(json.loads(line))) for line in result.stdout.splitlines()] == [
        *("turnstile", "machine", "run", "record", "record", "record", "end", "done")
    ]
    assert "1 run, 3 records" in result.stderr
    assert fsm("import", "-", "--db", "other.db", given=result.stdout).output.startswith("1 run taken into other.db")
    assert fsm("export", "--all", "--db", "other.db").stdout == result.stdout


def test_a_run_that_is_not_sound_leaves_as_it_is_and_stays_outside(fsm: Fsm, two_runs: str):
    with closing(sqlite3.connect(two_runs, isolation_level=None)) as connection:
        connection.executescript("DROP TRIGGER record_fixed; UPDATE record SET state = 'street' WHERE id = 3;")
    result = fsm("export", "--all", "--out", "all.jsonl", "--json")
    told = json.loads(result.output)
    assert result.exit_code == 1 and (told["runs"], list(told["unsound"])) == (2, ["first-1"])
    result = fsm("import", "all.jsonl", "--db", "other.db", "--unfinished", "--json")
    told = json.loads(result.output)
    assert result.exit_code == 1 and (told["taken"], told["here"]) == (1, 0)
    (refused,) = told["refused"]
    assert (refused["run_id"], refused["seq"]) == ("first-1", 0)
    assert json.loads(Path("all.jsonl").read_text().splitlines()[refused["line"] - 1])["record"]["seq"] == 0


def test_export_replaces_nothing_and_says_what_it_needs(fsm: Fsm, two_runs: str):
    assert fsm("export").exit_code == fsm("export", "first", "--all").exit_code == 2
    assert fsm("export", "--all", "--json").exit_code == 2
    result = fsm("export", "--all", "--out", "door.py")
    assert result.exit_code == 2 and "door.py exists already" in result.output
    result = fsm("export", "--all", "--out", "nowhere/all.jsonl")
    assert result.exit_code == 1 and "cannot be written: No such file or directory" in result.output
    assert not list(Path().glob("*.part"))


def test_what_is_no_export_is_said_and_makes_no_journal(fsm: Fsm, folder: Path):
    result = fsm("import", "door.py", "--db", "other.db")
    assert result.exit_code == 1
    assert result.output.startswith("Error: door.py: it is no export of runs: line 1: it is no row")
    assert "-> make one: fsm export --all --out FILE" in result.output
    assert not Path("other.db").exists()
    assert fsm("import", "none.jsonl").exit_code == 2


def test_a_hostile_run_id_does_not_reach_the_terminal_as_it_is(fsm: Fsm, two_runs: str):
    text = fsm("export", "first").stdout.replace('"run_id":"first-1"', '"run_id":"\\u001b[31mfirst"')
    result = fsm("import", "-", "--db", "other.db", given=text)
    assert result.exit_code == 1 and "\x1b" not in result.output and "\\u001b[31mfirst" in result.output


def test_old_runs_go_and_the_journal_still_proves_sound(fsm: Fsm, two_runs: str):
    dry = fsm("prune", "--older-than", "0s", "--dry-run")
    assert dry.exit_code == 0
    assert "1 run, 3 records, about 197 bytes of text would go from runs.db (1 completed)" in dry.output
    assert fsm("prune", "--older-than", "1d").output.startswith("no run of runs.db is to go\n")
    assert fsm("prune", "--older-than", "0s", "--keep", "completed").output.startswith("no run of runs.db is to go\n")
    assert fsm("prune", "--older-than", "0s", "--machine", "Desk").output.startswith("no run of runs.db is to go\n")
    assert fsm("prune", "--older-than", "0s", "-l", "team=fast").output.startswith("no run of runs.db is to go\n")
    told = fsm("prune", "--older-than", "0s", "-l", "team=firs", "--reason", "asked by ann").output
    assert "1 run, 3 records, about 197 bytes of text deleted from runs.db (1 completed); 1 tombstone written" in told
    with closing(sqlite3.connect(two_runs)) as connection:
        assert connection.execute("SELECT run_id, records, reason FROM tombstone").fetchall() == [
            ("first-1", 3, "asked by ann")
        ]
    assert fsm("replay", "--all").exit_code == 0
    doctor = fsm("doctor")
    assert doctor.exit_code == 0 and "1 deleted, with tombstones" in doctor.output


def test_a_cut_journal_does_not(fsm: Fsm, two_runs: str):
    with closing(sqlite3.connect(two_runs, isolation_level=None)) as connection:
        connection.executescript(
            "DROP TRIGGER record_kept; DELETE FROM record WHERE run = 2; DELETE FROM run WHERE key = 2;"
        )
    result = fsm("replay", "--all")
    assert result.exit_code == 1 and "✗ 1 run is gone, and no tombstone says why" in result.output
    result = fsm("doctor", "--quick")
    assert result.exit_code == 1 and "✗ 1 run is gone, and no tombstone says why" in result.output
    assert json.loads(fsm("doctor", "--json").output)["file"]["unburied"]
    result = fsm("replay", "--all", "--json")
    assert result.exit_code == 1 and len(json.loads(result.stdout)) == 1


def test_a_run_that_was_pruned_comes_back_from_its_export(fsm: Fsm, two_runs: str):
    fsm("export", "first", "--out", "first.jsonl")
    before = heads(Path(two_runs))
    fsm("prune", "--older-than", "0s", "--vacuum")
    assert fsm("import", "first.jsonl").exit_code == 0
    assert heads(Path(two_runs)) == before
    assert fsm("doctor").exit_code == 0


def test_prune_says_what_it_needs(fsm: Fsm, two_runs: str):
    for given in ("30", "d", "-1d", "1y", "9999999d"):
        result = fsm("prune", "--older-than", given)
        assert result.exit_code == 2 and "write 30d, 12h, 90min or 45s" in result.output
    assert fsm("prune").exit_code == 2
    everything = [part for outcome in ("completed", "failed", "cancelled") for part in ("--keep", outcome)]
    assert "that keeps every outcome" in fsm("prune", "--older-than", "0s", *everything).output
    told = json.loads(fsm("prune", "runs.db", "--older-than", "0s", "--json").output)
    assert (told["runs"], told["records"], told["outcomes"]) == (1, 3, {"completed": 1})
    assert fsm("prune", "none.db", "--older-than", "0s").exit_code == 1 and not Path("none.db").exists()
