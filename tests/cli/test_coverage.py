"""`fsm coverage`, as a user runs it."""

import json
from pathlib import Path

from tests.cli.conftest import DOOR, Fsm


def test_what_was_never_taken_is_told_with_what_would_take_it(fsm: Fsm, two_runs: str):
    told = fsm("coverage")
    assert told.exit_code == 0
    lines = told.output.splitlines()
    assert lines[0] == "Door  41 %  5 of 12 taken  (2 runs, 5 records)"
    assert ["transitions", "2", "of", "4", "50", "%"] in [line.split() for line in lines]
    never = lines[lines.index("never") + 1 :]
    assert never[0].split() == "state street by leave or stay.otherwise".split()
    assert any(line.split() == "otherwise stay.otherwise stay refused by LoopCap: loop_cap".split() for line in never)
    assert any(line.endswith("nothing arrives within 2 d in hall") for line in never)


def test_below_the_threshold_it_fails(fsm: Fsm, two_runs: str):
    assert fsm("coverage", two_runs, "--min", "41").exit_code == 0
    low = fsm("coverage", two_runs, "--min", "41.9")
    assert low.exit_code == 1 and "41 %, below 41.9 %" in low.output
    assert fsm("coverage", two_runs, "--min", "101").exit_code == 2


def test_against_the_machine_of_today(fsm: Fsm, folder: Path, two_runs: str):
    later = DOOR.replace("street = ", "attic  = State(final='failed')\n    street = ").replace(
        "    enter =", "    come ="
    )
    (folder / "later.py").write_text(later)
    told = fsm("coverage", two_runs, "-m", "later.py:Door", "--all").output
    assert any(line.split()[:2] == ["state", "attic"] and line.endswith("(new)") for line in told.splitlines())
    gone = told[told.index("recorded, and no longer in Door") :].splitlines()
    assert gone[1].split() == ["transition", "enter", "×1"]
    assert any(line.split() == ["state", "porch", "×2"] for line in told.splitlines())


def test_several_journals_count_together(fsm: Fsm, two_runs: str):
    (told,) = json.loads(fsm("coverage", two_runs, two_runs, "--json").output)
    assert (told["machine"], told["runs"], told["percent"]) == ("Door", 4, 41)
    items = {(item["kind"], item["name"]): item for item in told["items"]}
    assert items["state", "porch"]["times"] == 4 and items["state", "porch"]["hint"] is None
    assert items["timeout", "porch"]["hint"] == "its agent gives no answer within 5 min in porch"


def test_a_machine_without_runs_is_not_covered(fsm: Fsm, folder: Path, two_runs: str):
    (folder / "gate.py").write_text(DOOR.replace("class Door", "class Gate"))
    told = fsm("coverage", two_runs, "-m", "gate.py:Gate", "--min", "1")
    assert told.exit_code == 1 and told.output.startswith("Gate  0 %, below 1 %")
    assert "Seen in porch, which no run entered" in told.output
