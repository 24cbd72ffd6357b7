"""A journal for one run at a time, in a folder of its own: what comes from outside is looked at here first."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field
from pydantic_core import from_json

from fsm.define.payload import digest
from fsm.define.spec import MachineSpec
from fsm.journal.connect import open_writer
from fsm.journal.exchange import CARRIED, MACHINE_COLUMNS, ROWS, Form
from fsm.journal.operations import ARTIFACT_SQL
from fsm.journal.reader import Reader
from fsm.journal.rows import ARTIFACT_BYTES

INTEGER_MAX = (1 << 63) - 1
COLUMNS = {"run": CARRIED, "machine": MACHINE_COLUMNS, **ROWS}


class Unfit(Exception):
    """What an export holds that cannot stand in a journal, in words."""


@define
class Staging:
    """Rows are put in and read; `clear` forgets the run, the machines stay. Raises `Unfit`."""

    connection: sqlite3.Connection
    read: Reader
    _run: int | None = None
    _types: dict[str, dict[str, tuple[str, bool]]] = field(factory=dict)

    def clear(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self._run = None

    def put_machine(self, form: Form) -> None:
        """A definition, as JSON: it is read, never evaluated, and must have the fingerprint that it is told to have."""
        row = self._fit("machine", form)
        try:
            spec = MachineSpec.from_json(row["spec"])
            found = spec.fingerprint, spec.name
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise Unfit(f"the machine {row['name']!r} cannot be read: {error}") from None
        if found != (row["fingerprint"], row["name"]):
            told = f"it is a {found[1]!r} with fingerprint {found[0][:16]}…"
            raise Unfit(f"the machine {row['name']!r} with fingerprint {row['fingerprint'][:16]}… is changed: {told}")
        self._insert("machine", {**row, "at_ms": 0}, "ON CONFLICT DO NOTHING")

    def put_run(self, form: Form) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        row = self._fit("run", form)
        labels = _json("labels", row["labels"])
        if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
            raise Unfit("labels are no texts by name")
        if row["seq"] < 0 or (row.get("dropped") or 0) < 0:
            raise Unfit("seq and dropped are never below 0")
        self._run = self._insert("run", row)

    def put(self, kind: str, form: Form) -> None:
        """A row of the run; a large body becomes an artifact, as it was."""
        row = self._fit(kind, form)
        if row.get("body") is not None:
            self._put_body(kind, row)
        self._insert(kind, {"run": self._run, **row})

    def _put_body(self, kind: str, row: dict[str, Any]) -> None:
        body = row["body"]
        _json("body", body)
        large = kind in ("record", "call") and len(body) > ARTIFACT_BYTES // 4 and len(body.encode()) > ARTIFACT_BYTES
        if (kind == "inbox" or large) and digest(body.encode()) != row.get("digest"):
            raise Unfit(f"the body of a row of {kind} was changed")
        if large:
            self._execute(ARTIFACT_SQL, (row["digest"], body))
            row["body"] = None

    def _insert(self, table: str, row: Form, rest: str = "") -> int:
        marks = ", ".join("?" * len(row))
        sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks}) {rest}"
        return self._execute(sql, tuple(row.values())).lastrowid or 0

    def _execute(self, sql: str, values: tuple[Any, ...]) -> sqlite3.Cursor:
        try:
            return self.connection.execute(sql, values)
        except sqlite3.IntegrityError as error:
            raise Unfit(f"it cannot stand in a journal: {error}") from None

    def _fit(self, table: str, form: Form) -> dict[str, Any]:
        """The row that a line tells, each value of its column's type. What may be empty may be missing."""
        types = self._types_of(table)
        unknown = sorted(form.keys() - types.keys())
        if unknown:
            raise Unfit(f"a {table} has no {unknown[0][:40]!r}; a later release may have written it")
        missing = [name for name, (_, needed) in types.items() if needed and name not in form]
        if missing:
            raise Unfit(f"a {table} needs {', '.join(missing)}")
        return {name: _value(name, *types[name], value) for name, value in form.items()}

    def _types_of(self, table: str) -> dict[str, tuple[str, bool]]:
        """Of each column that an export carries its type, and whether it must be there."""
        if table not in self._types:
            sql = 'SELECT name, type, "notnull", dflt_value FROM pragma_table_info(?)'
            told = self.connection.execute(sql, (table,))
            types = {name: (kind, bool(needed), default) for name, kind, needed, default in told}
            self._types[table] = {
                name: (types[name][0], types[name][1] and types[name][2] is None) for name in COLUMNS[table]
            }
        return self._types[table]


@contextmanager
def staging() -> Iterator[Staging]:
    """An empty one, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="fsm-") as folder:
        path = str(Path(folder) / "staging.db")
        connection = open_writer(path, synchronous="OFF")
        try:
            yield Staging(connection, Reader(path, connection))
        finally:
            connection.close()


def _value(name: str, kind: str, needed: bool, value: str | int | None) -> Any:
    if value is None and not needed:
        return None
    if kind == "INTEGER" and isinstance(value, int) and abs(value) <= INTEGER_MAX:
        return value
    if kind == "TEXT" and isinstance(value, str):
        return value
    if kind == "BLOB" and isinstance(value, str):
        try:
            return bytes.fromhex(value)
        except ValueError:
            pass
    raise Unfit(f"{name} is no {kind}")


def _json(name: str, text: str) -> Any:
    try:
        return from_json(text)
    except ValueError as error:
        raise Unfit(f"{name} is no JSON: {error}") from None
