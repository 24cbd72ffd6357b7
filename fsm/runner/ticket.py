"""A call under way."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from attrs import define

from fsm.journal.rows import Call
from fsm.runner.live import Purse, calling


@define(frozen=True)
class Ticket:
    """A call whose intent is committed; `outcome` is for those who want to make the same meanwhile."""

    key: str
    name: str
    arguments: tuple[Any, ...]
    returns: Any
    digest: bytes
    purse: Purse
    outcome: "asyncio.Future[Call | None]"


@contextlib.contextmanager
def inside(ticket: Ticket) -> Iterator[None]:
    """What is reported in here was spent in this call."""
    calling.set(ticket.purse)
    try:
        yield
    finally:
        calling.set(ticket.purse.outer)
