"""Runs travel as JSON lines and arrive as they left; what was changed on the way stays outside, and is named."""

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from fsm import Machine, SqliteJournal, State, TimedOut, days, read_journal
from fsm.core.record import link
from fsm.define.payload import digest
from fsm.errors import JournalError, NewerFormat
from fsm.journal import exchange
from fsm.journal.outgoing import Outgoing
from fsm.journal.rows import record_from
from fsm.journal.schema import FORMAT, RECORD_COLUMNS
from fsm.testing import MovableClock
from guards import LoopCap
from tests.helpers import assert_sound, in_format, running
from tests.replay.carried import exported, heads, imported
from tests.replay.workshop import Workshop

Row = dict[str, Any]


@pytest.fixture(scope="session")
def text(recorded: Path) -> bytes:
    return exported(recorded)


def of_run(text: bytes, run_id: str) -> list[bytes]:
    """An export of this run alone, its lines."""
    lines = text.splitlines(keepends=True)
    machines = [line for line in lines if line.startswith(b'{"machine"')]
    first = next(n for n, line in enumerate(lines) if line.startswith(b'{"run":{"run_id":"%s"' % run_id.encode()))
    last = next(n for n, line in enumerate(lines) if n > first and line.startswith(b'{"end"'))
    return [lines[0], *machines, *lines[first : last + 1], b'{"done":{"runs":1}}\n']


def test_what_was_exported_imported_and_exported_again_is_the_same_bytes(recorded: Path, text: bytes, db: Path):
    arrivals = imported(text, db)
    assert {arrival.what for arrival in arrivals} == {"taken"}
    assert exported(db) == text
    assert heads(db) == heads(recorded) and len(heads(db)) == len(arrivals) > 30
    assert_sound(db, Workshop)


def test_twice_is_once(text: bytes, db: Path):
    first, second = imported(text, db), imported(text, db)
    assert {arrival.what for arrival in second} == {"here"}
    assert [arrival.records for arrival in first] == [arrival.records for arrival in second]
    assert exported(db) == text


def test_exports_may_follow_each_other_in_one_file(text: bytes, db: Path):
    both = of_run(text, "otherwise") + of_run(text, "straight")
    assert [(arrival.run_id, arrival.what) for arrival in imported(b"".join(both), db)] == [
        ("otherwise", "taken"),
        ("straight", "taken"),
    ]


def test_an_erased_body_stays_erased(recorded: Path, tmp_path: Path, db: Path):
    source = tmp_path / "erased.db"
    shutil.copy(recorded, source)
    with closing(sqlite3.connect(source, isolation_level=None)) as shell:
        shell.execute("UPDATE record SET body = NULL")
        shell.execute("UPDATE call SET body = NULL")
        shell.execute("UPDATE artifact SET body = NULL")
    text = exported(source)
    assert {arrival.what for arrival in imported(text, db)} == {"taken"}
    assert exported(db) == text and heads(db) == heads(recorded)


@pytest.mark.parametrize("version", range(1, FORMAT))
def test_a_journal_of_an_older_format_can_be_exported(version: int, recorded: Path, tmp_path: Path, db: Path):
    source = in_format(Path(shutil.copy(recorded, tmp_path / "source.db")), version)
    arrivals = imported(exported(source), db)
    assert [arrival for arrival in arrivals if arrival.what != "taken"] == []
    assert heads(db) == heads(recorded)


# What is changed in the lines of run "straight" (0 started, 1 made, 2 good, with call rows before the last), where it
# is said to be, and what is said.

Change = Callable[[list[Row]], object]


def nth(rows: list[Row], kind: str, number: int) -> Row:
    return [row for row in rows if kind in row][number][kind]  # type: ignore[no-any-return]


def large(rows: list[Row]) -> Row:
    """The second record, with a body that is kept as an artifact."""
    record = nth(rows, "record", 1)
    record["body"] = '"' + "q" * 99_999 + '"'
    return record


def lose(rows: list[Row]) -> None:
    """The second record."""
    rows.remove([row for row in rows if "record" in row][1])


def lose_uncounted(rows: list[Row]) -> None:
    lose(rows)
    nth(rows, "end", 0)["lines"] -= 1


def add_snapshot(rows: list[Row]) -> None:
    rows.insert(len(rows) - 2, {"snapshot": {"seq": 1, "body": "{}", "memory": None}})
    nth(rows, "end", 0)["lines"] += 1


CHANGED: dict[str, tuple[Change, int | None, str]] = {
    "a payload": (lambda rows: nth(rows, "record", 1).update(body='{"text":"q","weight":1}'), 1, "payload was changed"),
    "a payload that is no JSON": (lambda rows: nth(rows, "record", 1).update(body="{"), 1, "body is no JSON"),
    "a verdict": (lambda rows: nth(rows, "record", 1).update(detail="{}"), 1, "changed after it was written"),
    "a detail that is no JSON": (lambda rows: nth(rows, "record", 1).update(detail="{"), 1, "cannot be read"),
    "a detail of another shape": (lambda rows: nth(rows, "record", 1).update(detail='{"rulings":[[7]]}'), 1, "read"),
    "a head": (lambda rows: nth(rows, "record", 2).update(head="00" * 32), 2, "changed after it was written"),
    "a head that is no hex": (lambda rows: nth(rows, "record", 2).update(head="xyz"), 2, "head is no BLOB"),
    "a record gone": (lose, None, "its end tells of"),
    "a record gone, and not counted": (lose_uncounted, 1, "it is missing"),
    "a record twice": (lambda rows: rows.insert(4, rows[4]), 0, "cannot stand in a journal"),
    "a call": (lambda rows: nth(rows, "call", 0).update(tokens=31), 2, "call rows before it were changed"),
    "the body of a call": (lambda rows: nth(rows, "call", 1).update(body="4"), 2, "the body of a call"),
    "a large body": (lambda rows: nth(rows, "call", 4).update(body='"' + "q" * 99_999 + '"'), None, "was changed"),
    "the outcome": (lambda rows: nth(rows, "run", 0).update(outcome="failed"), 2, "the run's row was changed"),
    "an outcome there is none": (lambda rows: nth(rows, "run", 0).update(outcome="ended"), None, "has not ended"),
    "another run's id": (lambda rows: nth(rows, "run", 0).update(run_id="straighter"), None, "its end tells of"),
    "labels": (lambda rows: nth(rows, "run", 0).update(labels='{"of":1}'), None, "labels are no texts by name"),
    "a column too many": (lambda rows: nth(rows, "record", 1).update(owner=3), 1, "a record has no 'owner'"),
    "the run's key": (lambda rows: nth(rows, "record", 1).update(run=3), 1, "a record has no 'run'"),
    "a column too few": (lambda rows: nth(rows, "record", 1).pop("kind"), 1, "a record needs kind"),
    "a text for a number": (lambda rows: nth(rows, "record", 1).update(at_ms="1"), 1, "at_ms is no INTEGER"),
    "a number too large": (lambda rows: nth(rows, "record", 1).update(at_ms=1 << 64), 1, "at_ms is no INTEGER"),
    "a large body without its digest": (lambda rows: large(rows).pop("digest"), 1, "was changed"),
    "no number of what was dropped": (lambda rows: nth(rows, "run", 0).update(dropped=None), None, "cannot stand in"),
    "nothing where something must be": (lambda rows: nth(rows, "record", 1).update(kind=None), 1, "kind is no TEXT"),
    "a kind of call there is none": (lambda rows: nth(rows, "call", 0).update(kind="guess"), None, "cannot stand in"),
    "a snapshot nobody took": (add_snapshot, 1, "the snapshot row at record 1 holds what no release writes"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_a_changed_run_is_refused_and_named_and_the_others_come_in(text: bytes, db: Path, case: str):
    change, seq, why = CHANGED[case]
    rows = [json.loads(line) for line in of_run(text, "straight")]
    change(rows)
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    arrivals = imported(b"".join([*of_run(text, "big"), *lines, *of_run(text, "otherwise")]), db, unfinished=False)
    assert [arrival.what for arrival in arrivals] == ["taken", "refused", "taken"]
    refused = arrivals[1]
    assert refused.run_id.startswith("straight") and refused.seq == seq and why in refused.why
    begins = len(of_run(text, "big")) + len(lines) - len(rows) + 1
    assert begins < refused.line <= begins + len(lines)
    assert heads(db).keys() == {"big", "otherwise"}
    assert_sound(db, Workshop)


def test_the_line_of_a_record_that_is_not_what_was_written(text: bytes, db: Path):
    lines = of_run(text, "straight")
    place = next(n for n, line in enumerate(lines) if line.startswith(b'{"record":{"seq":1'))
    lines[place] = lines[place].replace(b"test", b"desk")
    (refused,) = imported(b"".join(lines), db)
    assert (refused.line, refused.seq) == (place + 1, 1)


def test_a_machine_that_was_changed_is_no_machine_of_its_runs(text: bytes, db: Path):
    whole = b"".join(of_run(text, "straight"))
    for old, new, why in (
        (b'\\"weight_max\\": 100', b'\\"weight_max\\": 101', "is changed: it is a 'Workshop' with fingerprint"),
        (b'\\"format\\": 1', b'\\"format\\": 9', "cannot be read"),
        (b'"name":"Workshop"', b'"name":"os"', "is changed"),
    ):
        arrivals = imported(whole.replace(old, new), db)
        assert arrivals[0].what == "refused" and arrivals[0].run_id == "" and why in arrivals[0].why
        assert arrivals[-1].run_id == "straight" and "no machine" in arrivals[-1].why
    assert heads(db) == {}


def test_a_chain_made_anew_does_not_make_a_way_that_the_machine_does_not_declare(text: bytes, db: Path):
    """Whoever forges a run and links it properly still has to get past the machine."""
    rows = [json.loads(line) for line in of_run(text, "otherwise")]
    head = b""
    for row in rows:
        if record := row.get("record"):
            if record["seq"] == 6:
                record.update(hop="again", state="make")
            blobs = {**record, "run": 1, "digest": bytes.fromhex(record["digest"]), "head": b""}
            made = record_from(tuple(blobs[column] for column in RECORD_COLUMNS))
            head = link(head, made.header(record["detail"].encode()))
            record["head"] = head.hex()
    nth(rows, "run", 0)["head"] = head.hex()
    (refused,) = imported(b"".join(json.dumps(row).encode() + b"\n" for row in rows), db)
    assert (refused.what, refused.seq) == ("refused", 6) and refused.why.startswith("record 6:")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "it is empty"),
        (b"hello\n", "line 1: it is no row"),
        (b"SQLite format 3\0\x10\x00\xff\xff", "it is no export of runs"),
        (b'{"run":{}}\n', "line 1: a run comes first"),
        (b"[" * 100_000, "line 1: it is no row"),
    ],
)
def test_what_is_no_export_makes_no_journal(text: bytes, why: str, db: Path):
    with pytest.raises(JournalError, match=re.escape(why)):
        imported(text, db)
    assert not db.exists()


@pytest.mark.parametrize("name", ["format", "journal"])
def test_an_export_of_a_later_release_is_refused(name: str, db: Path):
    header = json.dumps({"turnstile": {"format": 1, "journal": 1, name: 99}}).encode()
    with pytest.raises(NewerFormat, match=f"it has {name} 99, this release reads up to"):
        imported(header, db)
    assert not db.exists()


def test_a_file_that_was_cut_is_said_wherever_it_was_cut(text: bytes, db: Path):
    lines = of_run(text, "straight")
    for kept in range(1, len(lines)):
        arrivals = imported(b"".join(lines[:kept]), db)
        assert "it was cut" in arrivals[-1].why
        assert [a.what for a in arrivals if a.run_id] in ([], ["refused"], ["taken"], ["here"])
    assert heads(db).keys() == {"straight"}


def test_a_line_that_never_ends_is_not_read_whole(text: bytes, db: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exchange, "LINE_BYTES_MAX", 200_000)
    lines = of_run(text, "straight")
    lines.insert(len(lines) - 1, b"x" * 1_000_000 + b"\n")
    arrivals = imported(b"".join(lines), db)
    assert [arrival.what for arrival in arrivals] == ["taken", "refused"]
    assert arrivals[1].why == "it has more than 200,000 bytes"


EDITS = st.tuples(
    st.sampled_from(["replaced", "broken", "another", "doubled", "gone"]),
    st.integers(0, 999),
    st.integers(0, 9_999),
    st.integers(0, 4),
    st.binary(max_size=3),
)
Edit = tuple[str, int, int, int, bytes]


def edited(lines: list[bytes], edit: Edit) -> None:
    """One line changed, but for the first."""
    what, place, at, length, put = edit
    line = lines[place := 1 + place % (len(lines) - 1)]
    at %= len(line) + 1
    lines[place] = {
        "replaced": line[:at] + put + line[at + length :],
        "broken": line[:at] + b"\n" + line[at:],
        "another": lines[at % len(lines)],
        "doubled": line + line,
        "gone": b"",
    }[what]


@cache
def two_runs(recorded: Path) -> list[bytes]:
    text = exported(recorded)
    return [line for run_id in ("otherwise", "straight") for line in of_run(text, run_id)]


@settings(max_examples=25)
@given(edits=st.lists(EDITS, min_size=1, max_size=3))
def test_whatever_becomes_of_the_bytes_only_whole_runs_come_in(
    edits: list[Edit], recorded: Path, tmp_path_factory: pytest.TempPathFactory
):
    db = tmp_path_factory.mktemp("hostile") / "runs.db"
    lines = list(two_runs(recorded))
    for edit in edits:
        edited(lines, edit)
    known = heads(recorded)
    imported(b"".join(lines), db)
    assert all(known[run_id] == chain for run_id, chain in heads(db).items())
    assert_sound(db, Workshop)


# Runs that have not ended.


class Knock(BaseModel):
    by: str = "ann"


class Word(BaseModel):
    open: bool = True


class Door(Machine):
    hall = State(initial=Knock, timeout_s=days(2))
    inside = State(final="completed")
    street = State(final="failed")
    enter = hall.to(inside, on=Word)
    again = hall.to(hall, on=Knock, guards=[LoopCap(3)])
    leave = hall.to(street, on=TimedOut)


async def test_a_run_that_has_not_ended_comes_in_only_if_asked_for_and_its_time_goes_on(db: Path, tmp_path: Path):
    clock, other = MovableClock(), tmp_path / "other.db"
    async with running(db, Door, clock=clock) as runner:
        await runner.start(Door, Knock(), run_id="r")
        text = exported(db)
    (refused,) = imported(text, other, unfinished=False)
    assert refused.why == "it has not ended (waiting), and two journals must not go on with it"
    assert heads(other) == {}
    (taken,) = imported(text, other)
    assert taken.what == "taken" and exported(other) == text
    async with running(other, Door, clock=clock) as runner:
        clock.advance(2 * 24 * 3600 + 1)
        assert (await runner.finished("r")).state == "street"


async def test_what_waits_in_an_inbox_comes_along(db: Path, tmp_path: Path):
    other = tmp_path / "other.db"
    async with running(db, Door) as runner:
        await runner.start(Door, Knock(), run_id="r")
    journal = SqliteJournal(db)  # a sender that is gone before anybody decides
    payload = Door.spec.stored("Word", b'{"open":true}', digest(b'{"open":true}'))
    await journal.open(MovableClock(), "sender")
    await journal.post("r", "e1", payload, 1, 100)
    await journal.close()
    imported(exported(db), other)
    async with running(other, Door) as runner:
        assert (await runner.finished("r")).state == "inside"
    with closing(read_journal(other)) as reader:
        assert reader.record_of(reader.run("r").key, "e1") is not None


async def test_a_run_that_has_gone_on_here_is_not_taken_back(db: Path, tmp_path: Path):
    other = tmp_path / "other.db"
    async with running(db, Door) as runner:
        await runner.start(Door, Knock(), run_id="r")
        before = exported(db)
        await runner.send("r", Word())
    (refused,) = imported(before, db)
    assert refused.why == "the run of this id in the journal has gone on since: 2 records there, 1 here"
    async with running(other, Door) as runner:
        await runner.start(Door, Knock(by="eve"), run_id="r")
        kept = heads(other)
    (refused,) = imported(before, other)
    assert refused.why == "the run of this id in the journal is another one: 1 records there, 1 here"
    assert heads(other) == kept


async def test_a_run_that_moves_on_while_it_leaves_leaves_as_it_stood(db: Path, tmp_path: Path):
    async with running(db, Door) as runner:
        await runner.start(Door, Knock(), run_id="r")
        with closing(read_journal(db)) as reader:
            outgoing = Outgoing(reader)
            lines = [outgoing.header()]
            rows = outgoing.run("r")
            lines.append(next(rows))
            lines.append(next(rows))
            await runner.send("r", Word())
            lines += [*rows, outgoing.closing()]
    (taken,) = imported(b"".join(lines), tmp_path / "other.db")
    assert (taken.what, taken.records) == ("taken", 1)
