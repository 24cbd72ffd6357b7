"""`fsm diagram`: from code, from JSON, and from a journal alone."""

import json
from pathlib import Path

import pytest

from fsm.cli.parts.target import machine
from tests.cli.conftest import Fsm


def test_a_machine_is_drawn_as_a_tree(fsm: Fsm):
    told = fsm("diagram", "door.py").output
    assert told.startswith("Door  Somebody knocks, somebody decides.\n")
    assert "├─ enter" in told and "Word when is_yes → inside" in told


@pytest.mark.parametrize(("form", "head"), [("mermaid", "flowchart TD"), ("dot", "digraph")])
def test_and_as_text_for_other_programs(fsm: Fsm, form: str, head: str):
    told = fsm("diagram", "door.py:Door", "--format", form).output
    assert head in told and "enter" in told


def test_a_run_is_drawn_on_its_machine_without_any_code(fsm: Fsm, folder: Path, two_runs: str):
    (folder / "door.py").write_text("raise RuntimeError('a journal imports nothing')")
    told = fsm("diagram", "first", "--db", two_runs).output
    assert "completed in inside: 3 records, 2 hops" in told
    assert "enter" in told and "×1" in told
    data = json.loads(fsm("diagram", "first", "--db", two_runs, "--json").output)
    assert (data["run_id"], data["overlay"]["state"]) == ("first-1", "inside")
    assert {"state": "hall", "hop": "enter", "times": 1} in data["overlay"]["taken"]
    assert [box["name"] for box in data["diagram"]["boxes"]][:4] == ["porch", "hall", "inside", "street"]


def test_a_spec_in_a_file_is_drawn(fsm: Fsm, folder: Path):
    (folder / "door.json").write_text(machine("door.py").spec.to_json())
    assert fsm("diagram", "door.json").output == fsm("diagram", "door.py").output
    (folder / "bad.json").write_text("[]")
    refused = fsm("diagram", "bad.json")
    assert refused.exit_code == 1, "as for fsm check"
    assert "bad.json: not a machine" in refused.output and "-> write it with spec.to_json()" in refused.output


def test_what_is_not_there_is_said(fsm: Fsm, two_runs: str):
    assert fsm("diagram", "nobody", "--db", two_runs).exit_code == 1
    assert fsm("diagram", "none.py").exit_code == 2
