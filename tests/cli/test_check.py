"""`fsm check`: the verdict a person reads in ten seconds, and the same for programs."""

import json
from pathlib import Path

import pytest
from attrs import evolve

from fsm.cli.parts.target import machine
from tests.cli.conftest import DOOR, Fsm

GATE = """\
from pydantic import BaseModel

from fsm import AgentFailed, Machine, State, any_of, never, unbound
from guards import LoopCap


class Job(BaseModel):
    text: str = ""

class Yes(BaseModel):
    by: str = ""

class No(BaseModel):
    by: str = ""


class Gate(Machine):
    edit   = State(initial=Job, agent=unbound)
    review = State(agent=unbound)
    live   = State(final="completed")
    failed = State(final="failed")

    written = edit.to(review, on=Job)
    approve = review.to(live, on=Yes)
    back    = review.to(edit, on=No)
    hurry   = edit.to(live, on=Yes)
    broken  = any_of(edit, review).to(failed, on=AgentFailed)

    safe = never(live, before=approve)
    ever = never(review, before=written)
"""
CAPPED = GATE.replace("on=No)", "on=No, guards=[LoopCap(2)], otherwise=failed)").replace(
    "    hurry   = edit.to(live, on=Yes)\n", ""
)


@pytest.fixture
def gate(folder: Path) -> Path:
    (folder / "gate.py").write_text(GATE)
    (folder / "capped.py").write_text(CAPPED)
    return folder


def test_a_machine_that_runs_for_ever_and_breaks_its_promise(fsm: Fsm, gate: Path):
    result = fsm("check", "gate.py")
    assert result.exit_code == 1
    assert (
        result.output
        == """\
Gate: a run may go on for ever in `edit` and `review`
  hops       no end      its loop costs more every time
  tokens     unknown     edit and review declare no tokens_max
  money      unknown     edit and review declare no usd_micros_max
  approvals  unknown     a run may go on for ever
  time       no end      its loop costs more every time
  safe       broken      never(live, before=approve): live happens without approve before it
  ever       kept        never(review, before=written): no declared way breaks it, whatever is counted
  error back  (gate.py:25)
      a run may go on for ever in `edit` and `review`: edit by written -> review by back
      -> cap the line that goes back: guards=[LoopCap(3)], otherwise=failed on `back`
        1. Job: (start) -> edit by start
      and then over and over:
        2. Job: edit -> review by written
        3. No: review -> edit by back
  error safe  (gate.py:29)
      never(live, before=approve) is broken: live happens without approve before it, by edit -> live
      -> let hurry lead elsewhere, or through approve
        1. Job: (start) -> edit by start
        2. Yes: edit -> live by hurry

"""
    )


def test_one_that_ends_and_keeps_its_promises(fsm: Fsm, gate: Path):
    result = fsm("check", "capped.py")
    assert result.exit_code == 0
    assert result.output.startswith("Gate: every run ends  (by its caps)\n  hops       6        exact\n")
    assert "  safe       kept     never(live, before=approve): no declared way" in result.output


def test_warnings_fail_it_only_where_they_are_to(fsm: Fsm, gate: Path):
    (gate / "waits.py").write_text(DOOR.replace("State(timeout_s=days(2))", "State()").replace("leave =", "# "))
    result = fsm("check", "waits.py")
    assert (result.exit_code, fsm("check", "waits.py", "--strict").exit_code) == (0, 1)
    assert result.output.startswith("Door: every run ends or halts, or waits at `hall`  (by its caps)\n")
    assert "  warning hall  (waits.py:" in result.output


def test_notes_are_counted_and_shown_when_asked_for(fsm: Fsm):
    assert fsm("check", "door.py").output.endswith("  1 note: --notes shows it\n\n")
    told = fsm("check", "door.py", "--notes").output
    line = DOOR[: DOOR.index("    stay  =")].count("\n") + 1
    assert f"  note stay  (door.py:{line})\n      only as the default it takes Word with open=False\n" in told


def test_the_worst_case_is_shown_when_asked_for(fsm: Fsm):
    assert (
        """\
  the run that costs most hops:
        1. Knock: (start) -> porch by start
        2. Seen: porch -> hall by seen
        3. Word: hall -> hall by stay (not enter)  [fires:stay 1]
        4. Word: hall -> hall by stay (not enter)  [fires:stay 2]
        5. Word: hall -> inside by enter (enter)  [fires:stay 2]
  the run that costs most approvals: as for hops
"""
        in fsm("check", "door.py", "--runs").output
    )


def test_what_is_written_stays_in_the_folder_whatever_a_machine_is_called(fsm: Fsm, gate: Path):
    spec = evolve(machine("gate.py:Gate").spec, name="../../else where")
    spec = evolve(spec, promises=(evolve(spec.promises[0], name="endless"),))
    (gate / "gate.json").write_text(spec.to_json())
    before = set(gate.parent.iterdir())
    fsm("check", "gate.json", "--scenarios", "runs")
    written = {path.name for path in (gate / "runs").iterdir()}
    assert {"______else_where.endless.json", "______else_where.broken-endless.json"} <= written
    assert set(gate.parent.iterdir()) == before


def test_for_programs(fsm: Fsm, gate: Path):
    told = json.loads(fsm("check", "gate.py", "--json").output)
    (gate_told,) = told
    assert gate_told["target"] == "gate.py" and gate_told["machine"] == "Gate"
    assert gate_told["termination"]["kind"] == "may run for ever"
    assert [answer["answer"] for answer in gate_told["promises"]] == ["broken", "kept"]
    assert [finding["level"] for finding in gate_told["findings"][:2]] == ["error", "error"]
    assert {figure["cost"] for figure in gate_told["worst"]} == {"hops", "tokens", "usd_micros", "approvals", "ms"}


def test_a_spec_without_its_code(fsm: Fsm, gate: Path):
    (gate / "gate.json").write_text(machine("gate.py").spec.to_json())
    told = fsm("check", "gate.json").output
    assert told.startswith("Gate: a run may go on for ever in `edit` and `review`\n") and "  error safe\n" in told
    (gate / "bad.json").write_text("{}")
    assert "bad.json: not a machine in format 1" in fsm("check", "bad.json").output
    assert fsm("check", "none.json").exit_code == 2


def test_every_run_shown_is_written_and_taken_by_the_engine(fsm: Fsm, gate: Path):
    for target in ("gate.py", "capped.py"):
        written = [line.split() for line in fsm("check", target, "--scenarios", "runs").output.splitlines()[-4:]]
        commands = [words[1:] for words in written if words[:2] == ["fsm", "replay"]]
        assert commands
        for command in commands:
            assert fsm(*command).exit_code == 0, command
    names = {path.name for path in (gate / "runs").iterdir()}
    assert names == {
        *("Gate.endless.json", "Gate.endless.mmd", "Gate.broken-safe.json", "Gate.broken-safe.mmd"),
        *("Gate.most-hops.json", "Gate.most-hops.mmd", "Gate.most-time.json", "Gate.most-time.mmd"),
    }
    assert "<b>hurry</b> #215;1" in (gate / "runs" / "Gate.broken-safe.mmd").read_text()


def test_a_folder_that_cannot_be_written(fsm: Fsm, gate: Path):
    result = fsm("check", "gate.py", "--scenarios", "gate.py")
    assert result.exit_code == 1 and "name a folder that can be written" in result.output


def test_only_bounds_where_there_are_too_many_situations(fsm: Fsm, gate: Path):
    told = fsm("check", "capped.py", "--situations-max", "3").output
    assert "  hops       " in told and "upper bound" in told


def listed(folder: Path, *targets: str) -> None:
    (folder / "pyproject.toml").write_text(f"[tool.fsm]\nmachines = {list(targets)}\n")


def test_without_a_target_all_machines_of_the_project_are_checked(fsm: Fsm, gate: Path, monkeypatch):
    listed(gate, "door.py:Door", "capped.py")
    (gate / "below").mkdir()
    monkeypatch.chdir(gate / "below")
    result = fsm("check", "--scenarios", "runs")
    assert result.exit_code == 0
    assert [line.split(":")[0] for line in result.output.splitlines() if ": every run ends" in line] == ["Door", "Gate"]
    commands = [line.split()[1:] for line in result.output.splitlines() if line.startswith("  fsm replay")]
    assert commands and not any("-m" in command for command in commands)
    assert all(fsm(*command).exit_code == 0 for command in commands)


def test_without_a_target_and_a_project_it_says_what_to_write(fsm: Fsm):
    result = fsm("check")
    assert result.exit_code == 2
    assert "no machine is named, and none is listed\n  -> fsm check FILE.py:Machine, or list yours in" in result.output


def test_a_file_stands_for_all_its_machines(fsm: Fsm, gate: Path):
    (gate / "both.py").write_text(CAPPED + "\n\nclass Other(Gate):\n    pass\n")
    told = json.loads(fsm("check", "both.py", "--json").output)
    assert [(entry["target"], entry["machine"]) for entry in told] == [("both.py", "Gate"), ("both.py", "Other")]


def test_one_that_cannot_be_had_does_not_swallow_the_others(fsm: Fsm, gate: Path):
    (gate / "broken.py").write_text("import nowhere_to_be_found\n")
    (gate / "wrong.py").write_text(CAPPED.replace("edit.to(review, on=Job)", "edit.to('review', on=Job)"))
    result = fsm("check", "broken.py", "wrong.py", "capped.py", "--json")
    assert result.exit_code == 1
    broken, wrong, good = json.loads(result.stdout)
    assert broken["target"] == "broken.py" and "No module named 'nowhere_to_be_found'" in broken["error"]
    assert wrong["mistakes"][0]["attribute"] == "written"
    assert good["termination"]["kind"] == "ends"
    told = fsm("check", "broken.py", "capped.py")
    assert told.exit_code == 1 and "broken.py:1: import nowhere" in told.stderr and "Gate: every run" in told.stdout
    listed(gate, "broken.py", "capped.py:Gate")
    assert [entry["machine"] for entry in json.loads(fsm("check", "--json").stdout)] == [None, "Gate"]
