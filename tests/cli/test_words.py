"""Numbers, names and examples as the command prints them."""

import json
from datetime import UTC, datetime
from enum import Enum
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from fsm.cli.given import payload, skeleton
from fsm.cli.here import Here
from fsm.cli.telling import Columns, clean, line, numbers, span
from fsm.core.record import Record
from fsm.define.guard import Ruling, Verdict


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    name: str
    size: int = 3


class Whole(BaseModel):
    parts: list[Part] = Field(min_length=2)
    best: Part
    colour: Colour
    kind: Literal["a", "b"]
    stars: int = Field(ge=1, le=5)
    share: float = Field(gt=0)
    due: datetime
    sure: bool
    either: int | str
    names: dict[str, int]
    alias: str = Field(alias="as")
    maybe: str | None = None


class Loose(BaseModel):
    by: str = "you"
    nested: "Loose | None" = None


def test_an_example_of_a_payload_is_one():
    example = skeleton(Whole)
    assert "maybe" not in example and example["as"] == "..."
    assert payload(Whole, json.dumps(example), "--input") == Whole.model_validate(example)
    assert skeleton(Loose) == {"by": "you", "nested": None}


@pytest.mark.parametrize(
    ("ms", "told"),
    [
        (0, "0.000 s"),
        (9_999, "9.999 s"),
        (10_000, "10.0 s"),
        (59_949, "59.9 s"),
        (59_950, "0:59 min"),
        (187_000, "3:07 min"),
        (3_600_000, "1 h 00 min"),
        (273_600_000, "3 d 4 h"),
        (-5, "0.000 s"),
    ],
)
def test_how_long(ms: int, told: str):
    assert span(ms) == told


def test_counts_stand_beside_their_limits():
    assert numbers({"fires": 2, "fires_max": 3}) == "2/3 fires"
    assert numbers({"tokens": 1_500, "tokens_max": 50_000, "left": 7}) == "1,500/50,000 tokens, left 7"
    assert numbers({"usd_micros": 12_345, "usd_micros_max": 1_000_000}) == "$0.0123/$1.0000"
    assert numbers({"words_max": 5}) == "words_max 5"


@given(st.text())
def test_whatever_a_payload_says_is_one_printable_line(text: str):
    told = clean(text)
    assert told.isprintable() and len(told) <= 161


def test_a_record_is_never_read_as_markup_or_control_codes():
    refused = Ruling(
        "[b]Cap[/b]", "reject", "transition", Verdict("refuse", "full\x1b[2J", {"n": 1}, text="\u202eback")
    )
    body = json.dumps({"error_type": "E", "message": "[red]\r\x1b]0;x\x07[/red]"}).encode()
    record = Record(
        seq=3,
        kind="halted",
        at_ms=int(datetime(2030, 1, 1, tzinfo=UTC).timestamp() * 1000),
        source="a",
        state="to\ndo",
        outcome="stopped",
        event="AgentFailed",
        rulings=(refused,),
        body=body,
    )
    told = line(record, record.at_ms - 84, Columns(6, 8)).plain
    assert told.isprintable() and "\u202e" not in told
    assert "  0.084 s  to do   stopped   AgentFailed  ✗ [b]Cap[/b] full" in told and "E: [red] " in told


def test_the_next_command_survives_the_shell():
    here = Here("my runs.db", ("a b.py:M",))
    assert here.command("send", "4'2", "Go") == "fsm send '4'\"'\"'2' Go --db 'my runs.db' -m 'a b.py:M'"
    assert here.command("why", "42", code=False) == "fsm why 42 --db 'my runs.db'"
