"""`fsm send` and `fsm cancel`: what was decided, who goes on with the run, and how the command ends."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import AliasChoices, BaseModel, Field, model_validator

from fsm.cli.parts.given import payload
from tests.cli.conftest import Fsm
from tests.cli.moving import DEADLINE_S, DESK, ORDER, ORDERED, gated, is_calling, started, state_of, until

APPROVAL = '{"by": "ann", "stars": 5}'
CODE = ("-m", DESK)


@pytest.fixture
def waiting(fsm: Fsm) -> str:
    """A run that waits for a person."""
    assert fsm(*ORDERED, ORDER, "--run-id", "order-42").exit_code == 3
    return "order-42"


def test_an_event_moves_the_run_and_the_run_is_watched_to_its_end(fsm: Fsm, waiting: str):
    result = fsm("send", "order", "Approval", "--payload", APPROVAL, *CODE)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:2] == [
        "✓ Approval was taken: person → published by accept",
        "✓ completed in published",
    ]
    assert "accept" in result.stderr
    late = fsm("send", waiting, "Approval", "--payload", APPROVAL, *CODE)
    assert late.exit_code == 1 and "has ended (completed); Approval was not recorded" in late.stderr


def test_a_refused_event_shows_the_numbers_and_ends_with_1(fsm: Fsm, waiting: str):
    first = fsm("send", waiting, "Rework", *CODE)  # nothing in it has to be filled in
    assert first.exit_code == 3 and "✓ Rework was taken: person → draft by rework" in first.stdout
    assert "approve" in first.stderr  # this process went on with the run, until it waited again
    second = fsm("send", waiting, "Rework", *CODE)
    assert second.exit_code == 1
    assert second.stdout.startswith(
        "✗ Rework was refused: LoopCap on rework refused firing 2 of 1\n● waiting in person"
    )


def test_an_event_its_state_does_not_take_ends_with_1_and_says_what_it_takes(fsm: Fsm, waiting: str):
    result = fsm("send", waiting, "Draft", "--payload", '{"text": "mine"}', *CODE)
    assert result.exit_code == 1
    assert result.stdout.startswith("✗ Draft was not taken: person takes Approval or Rework\n")


def test_a_payload_of_an_unknown_name_is_met_with_the_nearest(fsm: Fsm, waiting: str):
    result = fsm("send", waiting, "Aproval", "--payload", APPROVAL, *CODE)
    assert result.exit_code == 2
    assert "Desk takes no event 'Aproval'; did you mean Approval?\nperson takes:\n  Approval {" in result.stderr
    assert "\n  Rework {" in result.stderr.partition("Other states of Desk take:\n  Draft {")[0]
    result = fsm("send", waiting, "Approval", "--payload", '{"by": ""}', *CODE)
    assert result.exit_code == 2
    assert "  - by: String should have at least 1 character" in result.stderr
    assert '  -> it wants {"by": "...", "stars": 1}' in result.stderr


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ("approve", "approve is a transition; it takes Remark"),
        ("TimedOut", "only the runtime sends it"),
    ],
)
def test_what_is_no_event_from_outside_is_told_apart(fsm: Fsm, waiting: str, event: str, told: str):
    result = fsm("send", waiting, event, *CODE)
    assert result.exit_code == 2
    assert f"Desk takes no event '{event}'; {told}\n" in result.stderr


def test_a_field_that_the_payload_does_not_have_is_refused(fsm: Fsm, waiting: str):
    result = fsm("send", waiting, "Rework", "--payload", '{"gat": "x"}', *CODE)
    assert result.exit_code == 2
    assert "  - gat: there is no such field; did you mean gate?\n  -> it wants" in result.stderr


def test_a_class_that_takes_what_is_given_to_it_is_not_second_guessed():
    class Open(BaseModel, extra="allow"):
        tone: str = ""

    class Renamed(BaseModel):
        tone: str = Field(default="", validation_alias=AliasChoices("tone", "tonne"))

    class Reader(BaseModel):
        tone: str = ""

        @model_validator(mode="before")
        @classmethod
        def read(cls, data: Any) -> Any:
            return {"tone": data["tonne"]}

    for cls in (Open, Renamed, Reader):
        assert payload(cls, '{"tonne": "dry"}', "--payload").model_dump()["tone"] in ("dry", "")


def test_the_same_event_id_counts_once_and_the_document_holds_the_decision(fsm: Fsm, waiting: str):
    send = ("send", waiting, "Rework", "--event-id", "mail-7", "--json", *CODE)
    first, again = (json.loads(fsm(*send).stdout) for _ in range(2))
    assert first["decision"] == again["decision"]
    assert (first["decision"]["hop"], first["decided"], first["outcome"]) == ("rework", True, "waiting")
    assert first["records"] == again["records"]
    assert "(decided before, record 3)" in fsm(*(word for word in send if word != "--json")).stdout


def test_without_waiting_the_next_visit_is_left_to_a_runner(fsm: Fsm, waiting: str):
    result = fsm("send", waiting, "Rework", "--no-wait", *CODE)
    assert result.exit_code == 0
    assert result.stdout.startswith("✓ Rework was taken: person → draft by rework\n… under way in draft")
    assert result.stdout.endswith(f"  → fsm resume {waiting} -m {DESK}\n")
    assert "an agent talks" not in result.stderr
    assert fsm("resume", waiting, *CODE).exit_code == 3


def test_a_run_that_another_process_advances_stays_with_it(fsm: Fsm, folder: Path):
    with started(*ORDERED, gated(folder / "gate"), "--run-id", "42") as process:
        until(lambda: is_calling("42"))
        result = fsm("send", "42", "Approval", "--payload", APPROVAL, *CODE)
        assert result.exit_code == 1
        assert "✗ Approval was not taken: draft takes Draft" in result.stdout
        assert "another runner advances it" in result.stdout
        assert result.stdout.endswith("  → fsm show 42 --follow\n")
        resumed = fsm("resume", "42", *CODE)
        assert resumed.exit_code == 1 and "another runner advances it; nothing was written" in resumed.stderr
        (folder / "gate").touch()
        process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 3


def test_a_run_left_behind_is_taken_up_to_decide_the_event(fsm: Fsm, folder: Path):
    with started(*ORDERED, gated(folder / "gate"), "--run-id", "42"):
        until(lambda: is_calling("42"))
    (folder / "gate").touch()
    posted = fsm("send", "42", "Approval", "--payload", APPROVAL, "--no-wait", "--event-id", "mail-7", *CODE)
    assert posted.exit_code == 0
    assert posted.stdout.startswith("… Approval waits in the run's inbox")
    result = fsm("send", "42", "Approval", "--payload", APPROVAL, "--event-id", "mail-8", *CODE)
    assert result.exit_code in (0, 1, 3)  # it arrived in draft, in review or in person
    assert state_of("42").settled


def test_without_its_code_an_event_cannot_be_read(fsm: Fsm, waiting: str):
    result = fsm("send", waiting, "Approval", "--payload", APPROVAL)
    assert result.exit_code == 1
    assert "belongs to machine Desk, which is not at hand\n  -> name its code with -m FILE.py:Desk" in result.stderr


def test_a_waiting_run_is_cancelled(fsm: Fsm, waiting: str):
    result = fsm("cancel", waiting, "--by", "ann", "--reason", "[b]late\x1b[0m", *CODE)
    assert result.exit_code == 0
    assert result.stdout.startswith("✗ cancelled in person: Cancelled (by ann [b]late\\u001b[0m)\n")
    again = fsm("cancel", waiting, *CODE)
    assert again.exit_code == 0 and again.stdout.startswith("it had ended already; nothing was changed\n")
    assert json.loads(fsm("cancel", waiting, "--json", *CODE).stdout)["outcome"] == "cancelled"


def test_a_halted_run_is_cancelled(fsm: Fsm):
    fsm(*ORDERED, '{"topic": "burst"}', "--run-id", "42")
    assert fsm("cancel", "42", *CODE).exit_code == 0
    assert state_of("42").outcome == "cancelled"


def test_a_run_at_work_elsewhere_is_cancelled_there(fsm: Fsm, folder: Path):
    with started(*ORDERED, gated(folder / "gate"), "--run-id", "42") as process:
        until(lambda: is_calling("42"))
        assert fsm("cancel", "42", *CODE).exit_code == 0
        out, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1 and out.startswith("✗ cancelled in draft")


def test_a_run_left_behind_is_cancelled(fsm: Fsm, folder: Path):
    with started(*ORDERED, gated(folder / "gate"), "--run-id", "42"):
        until(lambda: is_calling("42"))
    assert fsm("cancel", "42", *CODE).exit_code == 0
    assert state_of("42").outcome == "cancelled"
