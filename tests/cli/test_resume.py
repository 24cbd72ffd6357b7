"""`fsm resume`: one run, or all that nobody advances."""

import json
from functools import partial
from pathlib import Path

from fsm.testing import assert_replays
from tests.cli.conftest import DOOR, Fsm
from tests.cli.moving import DESK, ORDER, ORDERED, gated, is_calling, started, state_of, until

CODE = ("-m", DESK)


def test_a_halted_run_gets_a_recorded_attempt(fsm: Fsm):
    fsm(*ORDERED, '{"topic": "burst"}', "--run-id", "42")
    result = fsm("resume", "42", "--by", "ann", *CODE)
    assert result.exit_code == 1  # its agent fails again
    assert "▸ resumed on request by ann, attempt 2\n" in result.stderr


def test_a_waiting_run_goes_on_waiting(fsm: Fsm):
    first = fsm(*ORDERED, ORDER, "--run-id", "42")
    result = fsm("resume", "42", *CODE)
    assert (result.exit_code, result.stdout) == (3, first.stdout)


def test_an_ended_run_cannot_be_resumed(fsm: Fsm):
    fsm(*ORDERED, ORDER, "--run-id", "42")
    fsm("cancel", "42", *CODE)
    result = fsm("resume", "42", *CODE)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: run '42' cannot be resumed: it has ended (cancelled)")


def test_a_changed_machine_is_told_and_can_be_accepted(fsm: Fsm, folder: Path):
    fsm("run", "door.py:Door", "--input", '{"by": "ann"}', "--run-id", "42")
    (folder / "later.py").write_text(DOOR.replace("LoopCap(2)", "LoopCap(3)"))
    changed = fsm("send", "42", "Word", "--payload", '{"open": true}', "-m", "later.py:Door")
    assert changed.exit_code == 1 and "Door has changed since run '42' was recorded:\n  - " in changed.stderr
    command = "fsm resume 42 --accept -m later.py:Door"
    assert changed.stderr.endswith(f"or accept the new one: {command}\n")
    accepted = fsm(*command.split()[1:])
    assert accepted.exit_code == 3 and "repinned" in accepted.stderr
    assert fsm("send", "42", "Word", "--payload", '{"open": true}', "-m", "later.py:Door").exit_code == 0


def test_all_that_were_left_go_on_until_they_stand_still(fsm: Fsm, folder: Path):
    fsm(*ORDERED, '{"topic": "burst"}', "--run-id", "halted")
    for run_id in ("a", "b"):
        with started(*ORDERED, gated(folder / "gate"), "--run-id", run_id):
            until(partial(is_calling, run_id))
    (folder / "gate").touch()
    result = fsm("resume", *CODE)
    assert result.stdout.startswith("2 waiting; "), result.output
    assert result.exit_code == 3 and "2 runs left behind in runs.db" in result.stderr
    assert [state_of(run_id).outcome for run_id in ("a", "b", "halted")] == ["waiting", "waiting", "stuck"]
    nothing = fsm("resume", *CODE)
    assert (nothing.exit_code, nothing.stdout) == (0, "nothing to go on with\n")
    assert assert_replays("runs.db") == 3


def test_runs_of_other_machines_are_left_alone_and_named(fsm: Fsm, folder: Path):
    with started(*ORDERED, gated(folder / "gate"), "--run-id", "42"):
        until(lambda: is_calling("42"))
    result = fsm("resume", "-m", "door.py:Door")
    assert result.exit_code == 0
    assert "  1 run left alone: Desk is not at hand\n" in result.stdout
    document = json.loads(fsm("resume", "-m", "door.py:Door", "--json").stdout)
    assert (document["runs"], document["left_alone"]) == ({}, ["42"])


def test_without_a_machine_there_is_nothing_to_go_on_with(fsm: Fsm):
    assert fsm("resume").exit_code == 2
    assert "no machine is at hand\n  -> name it with -m FILE.py:Machine" in fsm("resume").stderr
    assert "for one run: name it" in fsm("resume", "--accept").stderr
