"""Payloads and verdicts in few words."""

import pytest
from attrs import evolve
from pydantic import BaseModel, ValidationError

from fsm import AgentFailed, CallRefused, Guard, Record, Standing
from fsm.define.events import escalated
from fsm.define.guard import Ruling, Verdict, refuse
from fsm.show.demands import guard_words
from fsm.show.telling import cap, gist, objection, pretty, words
from guards import LoopCap, NoProgress, PayloadSize, Repeat
from tests.core.trip import begun
from tests.show.small import Brief, Small


def test_a_payload_in_a_few_words():
    body = (
        b'{"critique":"Too short by far, and nothing is cited.","good":false,'
        b'"missing":["a","b"],"nested":{"x":1},"none":null}'
    )
    assert gist(body) == (
        'good=false missing=[2] nested={…} none=null critique="Too short by far, and nothing is cited."'
    )
    assert gist(None) == "(erased)"


def test_a_long_payload_is_cut_with_a_note():
    body = b'{"text":"' + b"x" * 500 + b'"}'
    told = pretty(body, 100)
    assert told.endswith("more characters: add --all")
    assert len(told) < 200
    assert "x" * 500 in pretty(body)


def ruling(verdict: Verdict) -> Ruling:
    return Ruling("LoopCap", "reject", "transition", verdict)


def test_what_is_counted_is_told_as_the_one_asked_for():
    assert cap(ruling(Verdict("allow", "", {"fires": 1, "fires_max": 3}))) == "2/3"
    assert cap(ruling(Verdict("allow", "", {"tokens": 5_000, "tokens_max": 9_000}))) == "5,000/9,000 tokens"
    assert cap(ruling(Verdict("allow", "", {"usd_micros": 12_345, "usd_micros_max": 1_000_000}))) == "$0.012345/$1"
    assert cap(ruling(Verdict("allow"))) == ""
    told = objection(ruling(refuse("loop_cap", fires=3, fires_max=3)))
    assert told == "LoopCap on reject refused firing 4 of 3"
    told = objection(ruling(Verdict("refuse", "guard_error", {}, None, "KeyError: 'x'")))
    assert told == "LoopCap on reject refused (guard_error: KeyError: 'x')"


def open_points(payload: object) -> int:
    return 0


@pytest.mark.parametrize(
    ("guard", "told"),
    [
        (LoopCap(3), "up to 3 times"),
        (PayloadSize(16_384), "up to 16,384 bytes"),
        (Repeat(3), "up to 2 arrivals of the same payload, among the last 256"),
        (NoProgress(2, of=open_points), "until open_points stays the same for 2 cycles"),
    ],
)
def test_what_a_guard_demands_is_told_in_words(guard: Guard, told: str):
    standing: Standing = "transition"
    assert guard_words(guard.place(standing, "again"), "again") == told


def test_a_long_error_is_cut_and_leaves_the_manual_out():
    class Reply(BaseModel):
        text: str
        points: int

    with pytest.raises(ValidationError) as raised:
        Reply.model_validate({"txt": "<html>" * 50})
    failed = AgentFailed(error_type="ValidationError", message=str(raised.value), attempt=1, where="desk.py:7 in write")
    told = words(recorded(failed))
    assert told.startswith("ValidationError: 2 validation errors for Reply text Field required")
    assert told.endswith("… at desk.py:7 in write")
    assert "https" not in told and len(told) < 300


def test_a_refused_call_is_told_alike_whether_or_not_its_state_takes_it():
    refused = CallRefused(call="tool", code="strikes", numbers={"strikes": 3, "strikes_max": 3}, attempt=1)
    failed = escalated(refused)
    assert failed is not None
    told = "call tool: 3 failures in a row, limit 3 (strikes)"
    assert (words(recorded(refused)), words(recorded(failed))) == (told, f"CallRefused: {told}")


def recorded(event: BaseModel) -> Record:
    record = begun(Small, Brief()).records[0]
    return evolve(record, event=type(event).__name__, body=event.model_dump_json().encode())
