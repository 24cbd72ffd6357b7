"""`fsm run`: what it takes, what it shows while it works, and how it ends."""

import json
import signal
from pathlib import Path

import pytest

from fsm.testing import assert_replays
from tests.cli.conftest import Fsm
from tests.cli.moving import DEADLINE_S, DESK, ORDER, ORDERED, RALLY, gated, is_calling, started, state_of, until


def test_a_run_is_watched_until_it_waits_and_says_what_to_send(fsm: Fsm):
    result = fsm(*ORDERED, ORDER, "--run-id", "42", "--label", "team=docs")
    assert result.exit_code == 3
    lines = result.stderr.splitlines()
    assert "run 42 of Desk  runs.db" in lines
    assert [line.split()[3:6] for line in lines if line.lstrip()[:1].isdigit()] == [
        ["draft", "start", "Order"],
        ["review", "submit", "Draft"],
        ["person", "approve", "Remark"],
    ]
    told = result.stdout.splitlines()
    assert told[0] == "● waiting in person: for Approval or Rework"
    assert "3 records, 2 hops, 100 tokens, $0.002" in told[1]
    send = f'fsm send 42 Approval --payload \'{{"by": "...", "stars": 1}}\' -m {DESK}'
    assert told[2:] == [f"  → {send}", f'  → fsm send 42 Rework --payload \'{{"gate": "..."}}\' -m {DESK}']
    assert state_of("42").labels == {"team": "docs"}


def test_what_agents_print_and_progress_stay_out_of_the_document(fsm: Fsm):
    result = fsm(*ORDERED, ORDER, "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["outcome"], document["hops"]) == (3, "waiting", 2)
    assert (document["tokens"], document["usd_micros"]) == (100, 2_000)
    assert document["next"][0].startswith(f"fsm send {document['run_id']} Approval")
    assert result.stderr == "an agent talks\n"


def test_a_completed_run_ends_with_0(fsm: Fsm):
    result = fsm("run", RALLY, "--input", '{"left": 30}', "--db", "rally.db")
    assert result.exit_code == 0
    assert result.stdout.startswith("✓ completed in over\n") and "61 records, 60 hops" in result.stdout
    assert len([line for line in result.stderr.splitlines() if " +" in line]) == 61
    assert result.stdout.splitlines()[-1].endswith(" --db rally.db")
    assert assert_replays("rally.db") == 1


@pytest.mark.parametrize(
    ("topic", "outcome", "cause"),
    [
        (
            "burst",
            "stuck",
            "AgentFailed (ValueError: the [red]ball[/red]\\u001b[31m burst at moving_desk.py:51 in write), and no",
        ),
        ("bad", "stopped", "refused firing 2 of 1, and `reject` declares no otherwise"),
    ],
)
def test_a_halted_run_ends_with_1_says_why_and_what_to_do(fsm: Fsm, topic: str, outcome: str, cause: str):
    result = fsm(*ORDERED, json.dumps({"topic": topic}), "--run-id", "42")
    assert result.exit_code == 1
    assert result.stdout.startswith(f"✗ {outcome} in ") and cause in result.stdout
    assert result.stdout.splitlines()[-2:] == ["  → fsm why 42", f"  → fsm resume 42 -m {DESK}"]
    assert "\x1b" not in result.output and "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--input", '{"topik": "doors"}'], "--input is no Order:\n  - topic: Field required"),
        (["--input", '{"topic": 3}'], '  -> it wants {"topic": "..."}'),
        (["--input", "{topic: 3}"], "--input is no JSON: "),
        (["--input", "@none.json"], "--input @none.json: No such file or directory"),
        ([], '--input \'{"topic": "..."}\''),
        (["--input", ORDER, "--event", "Ordre"], "did you mean Order?"),
        (["--input", ORDER, "--label", "docs"], "--label docs: write KEY=VALUE"),
        (["--input", ORDER, "--run-id", ""], "give text of 1 to 200 characters"),
    ],
)
def test_what_was_called_wrongly_ends_with_2_and_says_how(fsm: Fsm, arguments: list[str], told: str):
    result = fsm("run", DESK, *(["--event", "Order"] if "--event" not in arguments else []), *arguments)
    assert result.exit_code == 2
    assert told in result.stderr and not Path("runs.db").exists()


def test_a_machine_that_starts_in_several_ways_is_told_which(fsm: Fsm):
    result = fsm("run", DESK, "--input", ORDER)
    assert result.exit_code == 2
    assert "Desk starts with Order or Note\n  -> say which: --event Order" in result.stderr
    assert fsm("run", DESK, "--event", "Note", "--run-id", "n").exit_code == 3  # nothing has to be filled in


def test_input_comes_from_a_file_or_from_standard_input(fsm: Fsm):
    Path("order.json").write_text(ORDER)
    assert fsm(*ORDERED, "@order.json").exit_code == 3
    assert fsm(*ORDERED, "-", given=ORDER).exit_code == 3


def test_the_same_id_returns_the_run_and_another_payload_is_a_conflict(fsm: Fsm):
    first, again = (fsm(*ORDERED, ORDER, "--run-id", "42") for _ in range(2))
    assert (first.stdout, first.exit_code) == (again.stdout, again.exit_code)
    assert again.stderr.splitlines() == ["run 42 of Desk, on from record 2 in person  runs.db"]
    other = fsm(*ORDERED, '{"topic": "windows"}', "--run-id", "42")
    assert other.exit_code == 1 and "run '42' exists and began with another Order" in other.stderr


def test_a_machine_of_the_project_need_not_be_named_in_the_next_command(fsm: Fsm):
    Path("pyproject.toml").write_text('[tool.fsm]\nmachines = ["door.py:Door"]\n')
    result = fsm("run", "door.py:Door", "--input", '{"by": "ann"}', "--run-id", "42")
    assert "  → fsm send 42 Word --payload '{\"open\": false}'\n" in result.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_and_the_run_goes_on(fsm: Fsm, folder: Path, number: signal.Signals):
    with started(*ORDERED, gated(folder / "gate"), "--run-id", "42") as process:
        until(lambda: is_calling("42"))
        process.send_signal(number)
        out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert "every record is kept" in out and out.endswith(f"  → fsm resume 42 -m {DESK}\n")
    assert "once more to stop at once" in err and "Traceback" not in err
    assert state_of("42").owner == 0
    (folder / "gate").touch()
    result = fsm("resume", "42", "-m", DESK)
    assert result.exit_code == 3 and result.stdout.startswith("● waiting in person")


def test_an_interrupted_run_still_gives_its_document(folder: Path):
    with started(*ORDERED, gated(folder / "gate"), "--json") as process:
        until(lambda: is_calling(""))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE_S)
    document = json.loads(out)
    assert (process.returncode, document["outcome"], document["interrupted"]) == (130, "running", True)
    assert document["next"] == [f"fsm resume {document['run_id']} -m {DESK}"]
    assert "once more to stop at once" in err


@pytest.mark.parametrize("verb", ["run", "resume", "resume all"])
def test_a_killed_command_leaves_a_run_that_goes_on(fsm: Fsm, folder: Path, verb: str):
    order = (*ORDERED, gated(folder / "gate"), "--run-id", "42")
    with started(*order):
        until(lambda: is_calling("42"))
    (folder / "gate").touch()
    again = {"run": order, "resume": ("resume", "4", "-m", DESK), "resume all": ("resume", "-m", DESK)}
    result = fsm(*again[verb])
    assert result.exit_code == 3, result.output
    assert state_of("42").state == "person" and assert_replays("runs.db") == 1


def test_a_run_that_another_process_advances_is_followed(folder: Path):
    order = (*ORDERED, gated(folder / "gate"), "--run-id", "42")
    with started(*order) as first:
        until(lambda: is_calling("42"))
        with started(*order) as second:
            assert second.stderr is not None
            assert "on from record 0 in draft" in second.stderr.readline()
            (folder / "gate").touch()
            told = [process.communicate(timeout=DEADLINE_S)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [3, 3]
    assert told[0] == told[1]
