"""What the known machines speak of, and how their answers are written down."""

from collections.abc import Mapping

from attrs import field, frozen
from pydantic import BaseModel

from fsm import Machine


class Job(BaseModel):
    text: str = ""


class Done(BaseModel):
    text: str = ""


class Yes(BaseModel):
    by: str = ""


class No(BaseModel):
    by: str = ""


@frozen
class Known:
    """A machine and what is known of it, worked out by hand.

    `ends` is its verdict: True, False, or the states at which it may wait for ever for somebody. `worst` holds the
    most of each cost, `promises` those broken, each with the hops of a shortest run.
    """

    machine: type[Machine]
    ends: bool | tuple[str, ...]
    worst: Mapping[str, int] = field(factory=dict)
    broken: Mapping[str, tuple[str, ...]] = field(factory=dict)
    loop: frozenset[str] = frozenset()
