"""A record as a line."""

import json
from datetime import UTC, datetime

from attrs import evolve

from fsm.cli.parts.lines import Columns
from fsm.cli.parts.output import text_of
from fsm.core.record import Record
from fsm.define.guard import Ruling, Verdict
from fsm.journal.rows import Run
from fsm.show.path import line
from tests.show.small import Small


def test_a_record_is_never_read_as_markup_or_control_codes():
    refused = Ruling(
        "[b]Cap[/b]", "reject", "transition", Verdict("refuse", "full\x1b[2J", {"n": 1}, text="\u202eback")
    )
    body = json.dumps({"error_type": "E", "message": "[red]\r\x1b]0;x\x07[/red]"}).encode()
    record = Record(
        seq=3,
        kind="halted",
        at_ms=int(datetime(2030, 1, 1, tzinfo=UTC).timestamp() * 1000),
        source="a",
        state="to\ndo",
        outcome="stopped",
        event="AgentFailed",
        rulings=(refused,),
        body=body,
    )
    told, columns = line(Small.spec, run_of(record), record), Columns(3, 6, 8)
    row = text_of(columns.row(told, cut=False)).plain
    assert row.startswith("  3  +84 ms       to do   halted    AgentFailed E: [red] ")
    texts = [row, *(text_of([part]).plain for part in columns.beneath(told))]
    assert all(text.isprintable() and "\u202e" not in text for text in texts)
    assert "✗ [b]Cap[/b] on reject refused (full\\u001b[2J, n 1: \\u202eback)" in texts


def test_a_long_time_stays_in_its_column():
    rows = []
    for after_ms in (84, 109_000, 3_599_000, 86_000_000):
        record = Record(seq=3, kind="halted", at_ms=after_ms, source="a", state="there", outcome="stopped", event="E")
        run = evolve(run_of(record), started_at_ms=0)
        rows.append(text_of(Columns(3, 6, 8).row(line(Small.spec, run, record), cut=False)).plain)
    assert len({row.index("there") for row in rows}) == 1, rows


def test_columns_that_know_their_rows_cut_nothing_and_shift_nothing():
    record = Record(seq=0, kind="halted", at_ms=1, source="a", state="(start)", outcome="stopped", event="E")
    told = line(Small.spec, run_of(record), record)
    lines = [told, evolve(told, state="there", hop="submit.otherwise.payload_size", caps=("1/2 arrivals",))]
    columns = Columns.fitting(lines, 0)
    rows = [text_of(columns.row(one, cut=True)).plain for one in lines]
    assert len({row.rindex("  E ") for row in rows}) == 1, rows
    assert "submit.otherwise.payload_size 1/2 arrivals" in rows[1] and "(start)" in rows[0]
    live = text_of(Columns.of(Small.spec, 0).row(told, cut=True)).plain
    assert "(start)" in live


def run_of(record: Record) -> Run:
    return Run(
        key=1,
        run_id="42",
        machine="M",
        fingerprint="",
        labels={},
        state=record.state,
        outcome=record.outcome,
        seq=record.seq,
        entered=0,
        attempt=1,
        head=b"",
        calls=None,
        dropped=0,
        owner=0,
        started_at_ms=record.at_ms - 84,
        at_ms=record.at_ms,
    )
