"""The usage behind what was spent, by model and price version: lines that add and subtract."""

from collections.abc import Callable, Iterable, Mapping
from operator import add
from typing import Any

from attrs import asdict, fields
from pydantic_core import from_json, to_json

from fsm.define.usage import Usage
from fsm.define.value import value


@value
class Used:
    """What one `model` was used for, priced by one version of `prices` ("" where the agent said what it cost).

    The counts are those of `Usage`; `usd_micros` is what that cost, and `unpriced` how many of its tokens had no price.
    """

    model: str = ""
    prices: str = ""
    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    requests: int = 0
    usd_micros: int = 0
    unpriced: int = 0

    @property
    def line(self) -> tuple[str, str]:
        return self.model, self.prices

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple([getattr(self, name) for name in _COUNTS])


Uses = tuple[Used, ...]
"""In the order of their models and prices, each once; a line that counts nothing is not there."""
_COUNTS = tuple(attribute.name for attribute in fields(Used))[2:]


def used(model: str, usage: Usage, prices: str = "", usd_micros: int = 0, unpriced: int = 0) -> Uses:
    """One usage as a line."""
    counts = usage.input, usage.cached, usage.output, usage.reasoning, usage.requests
    return _lines([Used(model, prices, *counts, usd_micros, unpriced)])


def joined(some: Uses, others: Iterable[Used]) -> Uses:
    return _combined(some, others, add)


def without(some: Uses, others: Uses) -> Uses:
    """What goes beyond `others`; never less than nothing."""
    return _combined(some, others, lambda one, other: max(0, one - other))


def _combined(some: Uses, others: Iterable[Used], by: Callable[[int, int], int]) -> Uses:
    found = {one.line: one for one in some}
    for other in others:
        before = found.get(other.line, Used(*other.line))
        found[other.line] = Used(*other.line, *map(by, before.counts, other.counts))
    return _lines(found.values())


def _lines(found: Iterable[Used]) -> Uses:
    return tuple(sorted((one for one in found if any(one.counts)), key=lambda one: one.line))


def used_forms(uses: Uses) -> list[dict[str, Any]]:
    """As plain data; what counts nothing is left out."""
    return [{name: part for name, part in asdict(one).items() if part not in ("", 0)} for one in uses]


def used_from(forms: Iterable[Mapping[str, Any]]) -> Uses:
    return joined((), (Used(**form) for form in forms))


def used_json(uses: Uses) -> str:
    """As a row of the call ledger has it; "" where there is none."""
    return to_json(used_forms(uses)).decode() if uses else ""


def used_from_json(*texts: str) -> Uses:
    """All of it together; texts are as `used_json` wrote them."""
    return used_from(form for text in texts if text for form in from_json(text))
