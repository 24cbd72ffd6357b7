"""Texts, durations and amounts as a reader sees them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm import Spent
from fsm.core.used import Used
from fsm.show.words import ago, block, duration, joined, safe, spending, usage


@pytest.mark.parametrize(
    ("ms", "told"),
    [
        (-5, "0 ms"),
        (0, "0 ms"),
        (999, "999 ms"),
        (1_000, "1 s"),
        (12_340, "12.3 s"),
        (59_949, "59.9 s"),
        (59_950, "59 s"),
        (180_000, "3 min"),
        (185_000, "3 min 5 s"),
        (3_600_000, "1 h"),
        (2 * 86_400_000 - 3_000_000, "1 d 23 h"),
        (2 * 86_400_000, "2 d"),
    ],
)
def test_how_long(ms: int, told: str):
    assert duration(ms) == told


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


@given(st.text())
def test_whatever_a_text_says_is_one_printable_line(text: str):
    told = safe(text, 160).replace("\u200d", "")
    assert told.isprintable()


def test_a_long_text_is_cut():
    assert safe("x" * 200, 160) == "x" * 160 + "…"


def test_spending_is_told_where_there_is_any():
    assert spending(Spent()) == []
    assert spending(Spent(1, 2_000)) == ["1 token", "$0.002"]


def test_usage_is_told_by_model_and_price_version():
    one = Used("gpt-x", "2026-11", 1_500, 600, 400, 300, 3, 12_000)
    assert usage(one) == "gpt-x 1,500 tokens in (600 cached), 400 out (300 reasoning), 3 requests, $0.012 by 2026-11"
    assert (
        usage(Used(input=1, requests=1, unpriced=1))
        == "some model 1 token in, 0 out, 1 request, 1 token of unknown price"
    )


def test_alternatives_are_listed_as_one_says_them():
    assert [joined(list(names), "or") for names in ("", "a", "ab", "abc")] == ["", "a", "a or b", "a, b or c"]
