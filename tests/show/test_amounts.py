"""Amounts of a budget, as they are told and as a person writes them."""

import pytest

from fsm.show.amounts import amount, of_limit, to_amount


@pytest.mark.parametrize(
    ("unit", "text", "number"),
    [
        ("tokens", "50_000", 50_000),
        ("tokens", " 50,000 ", 50_000),
        ("tokens", "-7", -7),
        ("visits", "3", 3),
        ("usd_micros", "$1.50", 1_500_000),
        ("usd_micros", "-$1,000", -1_000_000_000),
        ("usd_micros", "$-0.000001", -1),
        ("usd_micros", "1_500_000", 1_500_000),
    ],
)
def test_what_a_person_writes(unit: str, text: str, number: int) -> None:
    assert to_amount(unit, text) == number


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        ("tokens", "$5"),
        ("tokens", "5.5"),
        ("tokens", ""),
        ("usd_micros", "1.50"),
        ("usd_micros", "$0.0000001"),
        ("usd_micros", "$nan"),
        ("usd_micros", "$"),
        ("usd_micros", "$$5"),
        ("usd_micros", "five"),
    ],
)
def test_what_is_none_says_how_to_write_it(unit: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"is no amount of .*: write "):
        to_amount(unit, text)


def test_what_is_told() -> None:
    assert [amount("tokens", 1), amount("visits", 2), amount("usd_micros", 5)] == ["1 token", "2 visits", "$0.000005"]
    assert of_limit("usd_micros", 900_000, 1_000_000) == "$0.9 of $1"
