"""No handoff larger than the next one can use."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import DefinitionError, Machine, MachineSpec, State, Verdict, everywhere
from guards import PayloadSize
from tests.core.trip import Trip
from tests.guards.desks import sent


class Note(BaseModel):
    text: str = ""


class Desk(Machine):
    read = State(initial=Note)
    archive = State[Any](guards=[PayloadSize(20)])
    again = read.to(read, on=Note, guards=[PayloadSize(15)], otherwise={"payload_size": archive, "*": read})
    back = archive.to(read, on=Note)
    limits = everywhere(PayloadSize(100))


@pytest.mark.parametrize(
    ("text", "hop"), [("x" * 4, "again"), ("x" * 5, "again.otherwise.payload_size"), ("x" * 10, ""), ("é" * 2, "again")]
)
def test_it_counts_the_bytes_that_are_stored(text: str, hop: str) -> None:
    trip = Trip(Desk)
    trip.own(Note())
    assert trip.sent(Note(text=text)).hop == hop


def test_a_refusal_reads_with_its_numbers() -> None:
    trip = Trip(Desk)
    trip.own(Note())
    ruling = trip.sent(Note(text="x" * 1_000)).rulings[0]
    assert ruling.verdict == Verdict("refuse", "payload_size", {"bytes": 1_011, "bytes_max": 15})
    assert str(ruling) == "PayloadSize on again refuses (payload_size: bytes 1011, bytes_max 15)"


async def test_the_record_at_the_trip(db: Path) -> None:
    records = await sent(db, Desk, Note(), Note(text="x" * 5), Note(), Note(text="x" * 5))
    for trip in (records[1], records[3]):
        assert (trip.kind, trip.source, trip.state, trip.hop) == (
            *("taken", "read", "archive", "again.otherwise.payload_size"),
        )
        assert trip.detail == (
            b'{"rulings":[["PayloadSize","again","transition","refuse","payload_size",{"bytes":16,"bytes_max":15}],'
            b'["PayloadSize","limits","run","allow","",{"bytes":16,"bytes_max":100}],'
            b'["PayloadSize","archive","state","allow","",{"bytes":16,"bytes_max":20}]]}'
        )


@pytest.mark.parametrize("bytes_max", [0, -3, "3", 2.0, None, True])
def test_it_needs_a_number_of_at_least_one(bytes_max: Any) -> None:
    what = f"PayloadSize(bytes_max={bytes_max!r})"
    assert PayloadSize(bytes_max).mistake("run") == (what, "give a whole number, 1 or more")


def test_its_ways_out_are_known() -> None:
    with pytest.raises(DefinitionError) as raised:

        class Wrong(Machine):
            read = State(initial=Note)
            again = read.to(read, on=Note, guards=[PayloadSize(9)], otherwise={"too_large": read})

    assert [(found.attribute, found.what) for found in raised.value.mistakes] == [
        ("again", "otherwise= answers to code 'too_large', which nothing here gives"),
        ("again", 'otherwise= has no "*"'),
    ]


def test_it_survives_json() -> None:
    spec = MachineSpec.from_json(Desk.spec.to_json())
    assert (spec, spec.fingerprint) == (Desk.spec, Desk.spec.fingerprint)
    assert spec.state["archive"].guards[0].params == {"bytes_max": 20}
