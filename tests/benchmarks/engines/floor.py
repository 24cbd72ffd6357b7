"""The floor under every engine: SQLite alone, one row and one COMMIT a hop, WAL and `synchronous=FULL`."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Self

from tests.benchmarks.engines.work import TEXT, Engine, serve


class Floor(Engine):
    async def __aenter__(self) -> Self:
        self.connection = sqlite3.connect(self.job.db, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            self.connection.execute(f"PRAGMA {pragma}")
        self.connection.execute("CREATE TABLE hop (id INTEGER PRIMARY KEY, run TEXT, seq INTEGER, body TEXT)")
        return self

    async def __aexit__(self, *raised: object) -> None:
        self.connection.close()

    async def run(self, names: Sequence[str], hops: int) -> None:
        for seq in range(hops):
            for name in names:
                self.connection.execute("BEGIN IMMEDIATE")
                self.connection.execute("INSERT INTO hop (run, seq, body) VALUES (?, ?, ?)", (name, seq, TEXT))
                self.connection.execute("COMMIT")

    async def resume(self, name: str) -> None:
        raise NotImplementedError

    async def pragma(self, name: str) -> Any:
        return self.connection.execute(f"PRAGMA {name}").fetchone()[0]


if __name__ == "__main__":
    serve(Floor)
