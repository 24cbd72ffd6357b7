"""Payloads and verdicts in few words."""

import pytest

from fsm import Guard, Standing
from fsm.define.guard import Ruling, Verdict, refuse
from fsm.show.demands import guard_words
from fsm.show.telling import cap, gist, objection, pretty
from guards import LoopCap, NoProgress, PayloadSize, Repeat


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
