"""Bytes a hop in the file: flat, however long the run, while payloads are one kilobyte each."""

import asyncio
from pathlib import Path

from fsm import SqliteJournal
from tests.benchmarks.loop import PAYLOAD_BYTES, Figure, record, scratch

HOPS = (100, 1_000, 10_000)


def measure() -> list[Figure]:
    with scratch() as db:
        asyncio.run(SqliteJournal(db).close())
        empty = _bytes(db)
    return [Figure("an empty journal", empty, "bytes"), *(_figure(hops, empty) for hops in HOPS)]


def _figure(hops: int, empty: int) -> Figure:
    with scratch() as db:
        asyncio.run(record(db, runs=1, hops=hops))
        per_hop = (_bytes(db) - empty) / hops
    return Figure(f"one run, {hops:,} hops", per_hop, "bytes a hop", f"{per_hop / PAYLOAD_BYTES:.2f} of the payloads")


def _bytes(db: Path) -> int:
    """All that lies beside the journal counts: what is left in its log was not put in order."""
    return sum(path.stat().st_size for path in db.parent.iterdir())
