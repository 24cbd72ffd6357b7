"""`fsm migrate`, as a user runs it."""

import json
from pathlib import Path

from tests.cli.conftest import DOOR, Fsm
from tests.cli.moving import state_of
from tests.helpers import assert_sound

GONE = DOOR.replace("hall ", "yard ").replace("hall", "yard")


def test_a_dry_run_writes_nothing(fsm: Fsm, folder: Path, two_runs: str):
    (folder / "later.py").write_text(DOOR.replace("LoopCap(2)", "LoopCap(3)"))
    before = (folder / two_runs).read_bytes()
    told = fsm("migrate", two_runs, "--to", "later.py:Door", "--dry-run")
    assert told.exit_code == 0 and "1 run can go on with it" in told.output
    assert [line for line in told.output.splitlines() if "limit" in line] == [
        "  - transitions.stay.guards.0.params.limit: 2 -> 3"
    ]
    assert told.output.endswith("nothing was written; the same without --dry-run lets those go on that can\n")
    assert (folder / two_runs).read_bytes() == before


def test_those_that_can_are_repinned_with_who_and_why(fsm: Fsm, folder: Path, two_runs: str):
    (folder / "later.py").write_text(DOOR.replace("LoopCap(2)", "LoopCap(3)"))
    told = fsm("migrate", two_runs, "--to", "later.py:Door", "--by", "ann", "--reason", "release 12")
    assert told.exit_code == 0 and "1 run repinned" in told.output
    assert "the changed machine was accepted by ann: release 12" in fsm("show", "fast").output
    again = fsm("migrate", two_runs, "--to", "later.py:Door")
    assert again.output == "1 run under this Door already\n"
    sent = fsm("send", "fast", "Word", "--payload", '{"open": true}', "-m", "later.py:Door")
    assert sent.exit_code == 0 and state_of("fast-1").outcome == "completed"
    assert_sound(folder / two_runs)


def test_those_that_cannot_are_told_with_what_to_do(fsm: Fsm, folder: Path, two_runs: str):
    (folder / "gone.py").write_text(GONE)
    told = fsm("migrate", "--to", "gone.py:Door")
    assert told.exit_code == 1
    lines = told.output.splitlines()
    assert "1 run cannot go on with it" in lines
    assert lines[lines.index("✗ it is in state hall, which Door no longer has") + 1] == "  1 run: fast-1"
    assert "    fsm fork fast-1 --at 0 -m gone.py:Door" in lines
    assert state_of("fast-1").seq == 1, "nothing was written"
    (group,) = json.loads(fsm("migrate", "--to", "gone.py:Door", "--dry-run", "--json").output)["unable"]
    assert group["runs"] == ["fast-1"] and group["next"][0]["command"].startswith("fsm fork")


def test_a_journal_that_is_not_there_is_not_made(fsm: Fsm, folder: Path):
    assert fsm("migrate", "none.db", "--to", "door.py:Door").exit_code == 1
    assert not (folder / "none.db").exists()


def test_a_machine_without_unfinished_runs(fsm: Fsm, folder: Path, two_runs: str):
    (folder / "gate.py").write_text(DOOR.replace("class Door", "class Gate"))
    assert fsm("migrate", two_runs, "--to", "gate.py:Gate").output == "no run of Gate is unfinished\n"
