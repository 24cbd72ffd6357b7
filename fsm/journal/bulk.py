"""Few, large statements: each SQLite call gives up the interpreter lock and has to win it back.

With one computing Python thread beside it, a writer that inserts row by row is ten times slower than one
that inserts in multi-row statements. Chunks come in a few fixed sizes, so that the statements stay in the
connection's cache.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

CHUNKS = (512, 128, 32, 8, 1)

Row = tuple[Any, ...]


def chunks(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """The rows in order, in slices of the fixed sizes."""
    start = 0
    for size in CHUNKS:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


def insert(connection: sqlite3.Connection, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    for chunk in chunks(rows):
        connection.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES {_values(chunk)}", _flat(chunk))


def upsert(connection: sqlite3.Connection, table: str, columns: Sequence[str], keys: str, rows: Sequence[Row]) -> None:
    for chunk in chunks(rows):
        sets = ", ".join(f"{column} = excluded.{column}" for column in columns)
        connection.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES {_values(chunk)}"
            f" ON CONFLICT ({keys}) DO UPDATE SET {sets}",
            _flat(chunk),
        )


def update(connection: sqlite3.Connection, table: str, key: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Each row is the key and then the columns' new values."""
    for chunk in chunks(rows):
        if len(chunk) == 1:
            sets = ", ".join(f"{column} = ?" for column in columns)
            connection.execute(f"UPDATE {table} SET {sets} WHERE {key} = ?", (*chunk[0][1:], chunk[0][0]))
        else:
            sets = ", ".join(f"{column} = v.column{n}" for n, column in enumerate(columns, 2))
            connection.execute(
                f"UPDATE {table} SET {sets} FROM (VALUES {_values(chunk)}) AS v WHERE {table}.{key} = v.column1",
                _flat(chunk),
            )


def select_in(connection: sqlite3.Connection, sql: str, keys: Sequence[Any]) -> list[Row]:
    """All rows of `sql`, in which `{keys}` stands for a list of placeholders."""
    found: list[Row] = []
    for chunk in chunks(keys):
        found += connection.execute(sql.format(keys=", ".join("?" * len(chunk))), tuple(chunk)).fetchall()
    return found


def _values(rows: Sequence[Row]) -> str:
    one = "(" + ", ".join("?" * len(rows[0])) + ")"
    return ", ".join([one] * len(rows))


def _flat(rows: Sequence[Row]) -> Row:
    return tuple(value for row in rows for value in row)
