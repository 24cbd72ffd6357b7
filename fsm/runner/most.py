"""The most that a visit or a call may spend."""

from typing import Protocol

from attrs import frozen

from fsm.core.record import Spent

Refusal = tuple[str, dict[str, int], str]
"""The code, numbers and text of a `CallRefused`."""


class Limited(Protocol):
    """What bounds the spending of one visit: a state, or what stands for one."""

    @property
    def tokens_max(self) -> int | None: ...

    @property
    def usd_micros_max(self) -> int | None: ...


def limits(of: Limited) -> dict[str, int]:
    """The most that a visit may report, by what is spent; what is not limited is absent."""
    declared = {"tokens": of.tokens_max, "usd_micros": of.usd_micros_max}
    return {name: limit for name, limit in declared.items() if limit is not None}


@frozen
class Most:
    """What a call spends at most; None where nothing is declared."""

    tokens_max: int | None = None
    usd_micros_max: int | None = None

    @property
    def spent(self) -> Spent:
        return Spent(self.tokens_max or 0, self.usd_micros_max or 0)


UNDECLARED = Most()


def declared(name: str, tokens_max: int | None, usd_micros_max: int | None) -> Most:
    """What call `name` declares; `ValueError` for anything but whole numbers, 0 or more."""
    for of, most in (("tokens_max", tokens_max), ("usd_micros_max", usd_micros_max)):
        if most is not None and (type(most) is not int or most < 0):
            raise ValueError(f"call {name!r:.200}, {of}={most!r:.80}: give a whole number, 0 or more")
    return Most(tokens_max, usd_micros_max)
