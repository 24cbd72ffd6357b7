"""How much of a budget: tokens, money or visits at once, as it is told and as a person writes it."""

import re
from decimal import Decimal, InvalidOperation

from fsm.show.words import count, money

VISITS = "visits"  # one is set aside for each, and none is ever spent: a bulkhead


def unit_of(name: str) -> str:
    """What a row is of: tokens, or usd_micros."""
    return name.partition(":")[0]


def amount(unit: str, number: int) -> str:
    """`1,200 tokens`, `$1.5`."""
    return money(number) if unit == "usd_micros" else count(number, unit.removesuffix("s"))


def bare(unit: str, number: int) -> str:
    """The same where the unit stands behind it already."""
    return money(number) if unit == "usd_micros" else f"{number:,}"


def of_limit(unit: str, number: int, limit: int) -> str:
    """`900 of 1,000 tokens`, `$0.9 of $1`."""
    return f"{bare(unit, number)} of {amount(unit, limit)}"


def to_amount(unit: str, text: str) -> int:
    """What a person writes, in whole tokens or millionths of a dollar: `50_000`, `-$1.50`. `ValueError` says how."""
    plain = text.strip().replace(",", "").replace("_", "")
    if unit == "usd_micros" and "$" in plain:
        try:
            micros = Decimal(plain.replace("$", "", 1)) * 1_000_000
        except InvalidOperation:
            micros = Decimal("NaN")
        if micros.is_finite() and micros == micros.to_integral_value():
            return int(micros)
    elif re.fullmatch(r"[+-]?[0-9]+", plain, re.ASCII):
        return int(plain)
    forms = "$1.50, or 1500000 for millionths of a dollar" if unit == "usd_micros" else "50_000"
    raise ValueError(f"{text!r} is no amount of {'money' if unit == 'usd_micros' else unit}: write {forms}")
