"""Moments, numbers and payloads in few words; payloads to fill in."""

import enum
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from fsm.define.guard import Ruling, Verdict, refuse
from fsm.define.shape import shape_of
from fsm.show.skeleton import skeleton
from fsm.show.telling import ago, block, cap, gist, lasting, objection, pretty, safe


@pytest.mark.parametrize(
    ("ms", "told"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_000, "1 s"),
        (12_340, "12.3 s"),
        (180_000, "3 min"),
        (185_000, "3 min 5 s"),
        (3_600_000, "1 h"),
        (2 * 86_400_000 - 3_000_000, "1 d 23 h"),
        (2 * 86_400_000, "2 d"),
    ],
)
def test_how_long(ms: int, told: str):
    assert lasting(ms) == told


def test_how_long_ago():
    assert [ago(ms) for ms in (-5, 900, 4_000, 185_000, 90_000_000)] == [
        "just now",
        "just now",
        "4 s ago",
        "3 min ago",
        "1 d ago",
    ]


def test_what_a_terminal_would_obey_is_shown_instead():
    assert safe("a\x1b[31m\u202e\n\tb  c") == "a\\u001b[31m\\u202e b c"
    assert block("a\x07\n  b") == "a\\u0007\n  b"
    assert safe("fine: äß 東京 👩\u200d💻") == "fine: äß 東京 👩\u200d💻"


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
    assert cap(ruling(Verdict("allow", "", {"tokens": 5_000, "tokens_max": 9_000}))) == "5,000/9,000"
    assert cap(ruling(Verdict("allow"))) == ""
    told = objection(ruling(refuse("loop_cap", fires=3, fires_max=3)))
    assert told == "LoopCap on reject refused firing 4 of 3"
    told = objection(ruling(Verdict("refuse", "guard_error", {}, None, "KeyError: 'x'")))
    assert told == "LoopCap on reject refused (guard_error: KeyError: 'x')"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    n: int = Field(ge=3)


class Form(BaseModel):
    by: str
    level: int
    share: float
    sure: bool
    tags: list[str]
    inner: Inner
    maybe: Inner | None
    kind: Literal["b", "a"]
    colour: Colour
    note: str = ""


def test_a_payload_to_fill_in_satisfies_its_class():
    made = skeleton(shape_of(Form))
    assert "note" not in made
    assert made["inner"] == {"n": 3}
    assert made["by"] == "..."
    Form.model_validate(made)
