"""`fsm answer`: a run whose process was lost in a call that must not be repeated asks, and goes on with the answer."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Fsm
from tests.cli.moving import DESK, ORDERED, is_calling, started, state_of, until

CODE = ("-m", DESK)


@pytest.fixture
def asking(fsm: Fsm, folder: Path) -> str:
    """A run that asks whether its call was made."""
    given = json.dumps({"topic": "pay", "gate": str(folder / "gate")})
    with started(*ORDERED, given, "--run-id", "42"):
        until(lambda: is_calling("42"))
    (folder / "gate").touch()
    result = fsm("resume", "42", *CODE)
    assert result.exit_code == 1
    assert "✗ stuck in draft: call `model` [" in result.stdout
    told = [f"  → fsm answer 42 model --result JSON -m {DESK}", f"  → fsm answer 42 model --again -m {DESK}"]
    assert result.stdout.splitlines()[-2:] == told
    return "42"


def test_what_the_call_gave_is_taken_for_its_result(fsm: Fsm, asking: str):
    result = fsm("answer", asking, "model", "--result", '"bad"', "--by", "ann", *CODE)
    assert result.exit_code == 1 and result.stdout.startswith("✗ stopped in review: LoopCap")
    assert any("by ann" in line for line in result.stderr.splitlines())


def test_a_call_that_was_not_made_is_made_again(fsm: Fsm, asking: str):
    result = fsm("answer", asking, "model", "--again", "--json", *CODE)
    assert (result.exit_code, json.loads(result.stdout)["state"]) == (3, "person")
    late = fsm("answer", asking, "model", "--again", *CODE)
    assert late.exit_code == 1 and "does not ask about call 'model'" in late.stderr


def test_one_of_two_answers_is_needed(fsm: Fsm, asking: str):
    assert fsm("answer", asking, "model", *CODE).exit_code == 2
    assert fsm("answer", asking, "model", "--again", "--result", "1", *CODE).exit_code == 2
    broken = fsm("answer", asking, "model", "--result", "paid", *CODE)
    assert broken.exit_code == 2 and "text goes in double quotes: '\"...\"'" in broken.stderr
    assert state_of(asking).outcome == "stuck"
