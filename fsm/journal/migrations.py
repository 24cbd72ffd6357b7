"""How a journal comes from one format to the next, by sqlite-utils' own record of what has been applied."""

import sqlite3

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from fsm.journal.schema import (
    APPLICATION_ID,
    CALL_COLUMNS,
    FORMAT,
    SHARED,
    TABLES,
    USAGE,
    VIEWS,
    WAITS,
    erasable_only,
    triggers,
)

migrations = Migrations("turnstile")


@migrations()
def format_1(db: Database) -> None:
    """The first format."""
    for statement in _statements(TABLES + triggers() + VIEWS):
        db.execute(statement)


@migrations()
def format_2(db: Database) -> None:
    """What runs share: a row each, and a log of how its state changed."""
    for statement in _statements(SHARED):
        db.execute(statement)


@migrations()
def format_3(db: Database) -> None:
    """What an event waits for that was put off."""
    for statement in _statements(WAITS):
        db.execute(statement)


@migrations()
def format_4(db: Database) -> None:
    """What calls declare, and the usage behind what they spent."""
    for statement in _statements(USAGE + erasable_only("call", CALL_COLUMNS)):
        db.execute(statement)


def _statements(script: str) -> list[str]:
    found, rest = [], ""
    for part in script.split(";"):
        rest += part + ";"
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to this format, in the write transaction that is open; so of several processes one does it."""
    try:
        migrations.apply(Database(connection))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
