"""check, machines, replay, doctor, backup: verbs that look after machines and journals."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from fsm.cli.parts.target import machine
from tests.cli.conftest import DOOR, Fsm
from tests.helpers import assert_sound

ROOT = Path(__file__).parents[2]

WRONG = (
    DOOR
    + """

class Wrong(Door):
    far = Door.hall.to("attic", on=Word)
    lost = State()
"""
)


def tampered(db: str, sql: str) -> None:
    connection = sqlite3.connect(db)
    connection.executescript(f"DROP TRIGGER record_fixed; DROP TRIGGER record_kept; {sql};")
    connection.close()


def test_check_says_that_a_machine_has_no_mistakes(fsm: Fsm):
    result = fsm("check", "door.py")
    assert result.exit_code == 0 and result.output.startswith("Door: every run ends or halts  (by its caps)\n")


def test_check_tells_all_mistakes_with_their_lines(fsm: Fsm, folder: Path):
    (folder / "wrong.py").write_text(WRONG)
    result = fsm("check", "door.py", "wrong.py:Wrong")
    assert result.exit_code == 1
    assert f"far  (wrong.py:{DOOR.count(chr(10)) + 4})" in result.output
    told = json.loads(fsm("check", "wrong.py", "--json").output)
    assert {mistake["attribute"] for mistake in told[0]["mistakes"]} >= {"far"}
    assert all(mistake["instead"] for mistake in told[0]["mistakes"])


def test_machines_lists_those_at_hand_and_those_recorded(fsm: Fsm, folder: Path, two_runs: str):
    assert fsm("machines").output.split()[2:] == ["2", "runs", "in", "the", "journal", "only"]
    (folder / "pyproject.toml").write_text('[tool.fsm]\nmachines = ["door.py:Door"]\n')
    assert fsm("machines").output.split()[2:] == ["2", "runs", "door:Door"]
    (folder / "pyproject.toml").unlink()
    (folder / "door.py").write_text(DOOR.replace("LoopCap(2)", "LoopCap(3)"))
    (folder / "other.py").write_text(DOOR.replace("LoopCap(2)", "LoopCap(4)"))
    told = json.loads(fsm("machines", "-m", "other.py", "--json").output)
    assert [(found["machine"], found["code"], found["runs"]) for found in told] == [
        ("Door", "other:Door", 0),
        ("Door", None, 2),
    ]


def test_machines_without_any_says_how_to_name_them(fsm: Fsm):
    assert "[tool.fsm] machines" in fsm("machines").output


def test_replay_says_whether_the_code_was_asked(fsm: Fsm, two_runs: str):
    assert fsm("replay", "first-1").output == "✓ run first-1: 3 records, all agree (from the journal alone)\n"
    with_code = fsm("replay", "--all", "-m", "door.py:Door")
    assert with_code.exit_code == 0
    assert with_code.output.count("(with the code of Door)") == 2
    assert "journal alone" in fsm("replay", "first-1", "-m", "door.py:Door", "--alone").output


def test_a_replay_that_diverges_fails(fsm: Fsm, two_runs: str):
    tampered(two_runs, "UPDATE record SET body = replace(body, 'ann', 'bob') WHERE run = 2 AND seq = 0")
    result = fsm("replay", "first-1")
    assert result.exit_code == 1
    assert result.output.startswith("✗ run first-1 diverges at record 0: its payload was changed\n  recorded: Knock ")
    told = json.loads(fsm("replay", "first-1", "--json").output)[0]
    assert (told["agreed"], told["divergence"]["seq"]) == (False, 0)


def test_replay_wants_a_run(fsm: Fsm, two_runs: str):
    assert fsm("replay").exit_code == 2


def test_doctor_finds_a_sound_journal_sound(fsm: Fsm, two_runs: str):
    result = fsm("doctor", two_runs)
    assert result.exit_code == 0
    assert "1 completed, 1 waiting" in result.output
    assert "none at work" in result.output
    assert result.output.endswith("replayed  2 runs, 5 records: every chain holds\n")


def test_doctor_names_the_run_whose_chain_is_broken(fsm: Fsm, two_runs: str):
    tampered(two_runs, "DELETE FROM record WHERE run = 1 AND seq = 1")
    result = fsm("doctor", two_runs)
    assert result.exit_code == 1
    assert "✗ run fast-1 diverges at record 1: it is missing" in result.output
    assert fsm("doctor", two_runs, "--quick").exit_code == 0
    told = json.loads(fsm("doctor", two_runs, "--json").output)
    assert [found["run_id"] for found in told["diverged"]] == ["fast-1"]


LEFT = """
import asyncio, os
from door import Door, Knock
from fsm import Runner
from fsm.testing import hang

async def main():
    async with Runner("runs.db") as runner:
        await runner.start(Door.with_agents(porch=hang), Knock(by="ann"), run_id="left")
        os._exit(0)

asyncio.run(main())
"""


def test_doctor_finds_runs_that_nobody_advances_and_events_that_nobody_reads(fsm: Fsm, folder: Path):
    subprocess.run([sys.executable, "-c", LEFT], check=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)})
    connection = sqlite3.connect("runs.db")
    with connection:
        connection.execute("UPDATE runner SET expires = 0")  # ten seconds later
        connection.execute("INSERT INTO inbox VALUES (1, 1, 'e', 'Word', x'00', '{}', 0)")
    connection.close()
    result = fsm("doctor", "runs.db")
    assert result.exit_code == 0
    command = "fsm resume --db runs.db -m FILE.py:Machine"
    assert f"1 run is under way, and nobody advances it: left\n  -> {command}\n" in result.output
    assert "1 event waits in an inbox, and no runner is at work" in result.output
    assert "replayed  1 run, 1 record: every chain holds\n" in result.output


@pytest.mark.parametrize("name", ["copy.db", "sub/copy.db"])
def test_backup_makes_a_copy_that_is_whole(fsm: Fsm, folder: Path, two_runs: str, name: str):
    (folder / "sub").mkdir()
    result = fsm("backup", name)
    assert result.exit_code == 0
    assert f"fsm doctor {name}" in result.output
    assert_sound(folder / name, machine("door.py:Door"))
    assert sorted(path.name for path in (folder / name).parent.glob("copy*")) == ["copy.db"]


def test_backup_replaces_nothing(fsm: Fsm, folder: Path, two_runs: str):
    (folder / "copy.db").write_text("precious")
    result = fsm("backup", "copy.db")
    assert result.exit_code == 1
    assert "copy.db: it exists already" in result.output
    assert (folder / "copy.db").read_text() == "precious"
    missing = fsm("backup", "no/such/folder.db")
    assert missing.exit_code == 1
    assert "no/such/folder.db: it cannot be opened" in missing.output
