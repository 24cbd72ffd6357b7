"""`fsm show`: what a run did, record by record."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from fsm.cli.parts.options import db_option, emit, verb

if TYPE_CHECKING:
    from fsm.cli.parts.lines import Lines
    from fsm.cli.parts.output import Output
    from fsm.journal.reader import Reader
    from fsm.journal.rows import Run
    from fsm.show.path import Gap

POLL_S = 0.1


@verb("fsm show 42\nfsm show 42 --seq 7\nfsm show 42 --follow")
@click.argument("run_id", metavar="RUN")
@click.option("--all", "everything", is_flag=True, help="Every record of a long run; with --seq the whole payload.")
@click.option("--seq", type=click.IntRange(min=0), metavar="N", help="Record N whole: payload, verdicts, calls.")
@click.option("--calls", "with_calls", is_flag=True, help="Each call with its arguments and result.")
@click.option("--follow", is_flag=True, help="Go on with new records as they are written, until the run ends or halts.")
@db_option
def command(
    run_id: str, everything: bool, seq: int | None, with_calls: bool, follow: bool, db: str | None, as_json: bool
) -> None:
    """Show a run: its path, verdicts, calls and spending.

    One line a record: its number, the time since the start, the state entered, the way there with what its guards
    counted (2/3), and the event. Beneath it stand verdicts that objected, and the calls made before the next
    record. Of a long run you see the beginning, the end, and the last refusals between.
    """
    from fsm.cli.parts.journals import find_run, reading

    if seq is not None and follow:
        raise click.UsageError("--seq shows one record, --follow all that come: say one of them")
    with reading(db) as reader:
        run = find_run(reader, run_id)
        if follow:
            with suppress(KeyboardInterrupt):  # the ordinary way to have seen enough
                _follow(reader, run, everything, with_calls, as_json)
        elif seq is not None:
            _one(reader, run, seq, everything, as_json)
        elif as_json:
            _print_document(reader, run)
        else:
            _path(reader, run, everything, with_calls, db)


def _path(reader: "Reader", run: "Run", everything: bool, with_calls: bool, db: str | None) -> None:
    from fsm.cli.parts.output import Output
    from fsm.cli.parts.project import here
    from fsm.show.path import PathLine, path, shown

    output = Output()
    lines = _head(reader, run, output, with_calls)
    spans = shown(reader, run, everything)
    items: Iterable[PathLine | Gap] = path(reader, run, spans)
    if not everything:  # few enough to look at before the first is printed
        items = list(items)
        lines.fit([item for item in items if isinstance(item, PathLine)], run.seq)
    for item in items:
        lines.print(item)
    count = sum(map(len, spans))
    if count <= run.seq or not run.ended:
        output.line()
    if count <= run.seq:
        whole = here(db).command("show", run.run_id, "--all")
        output.line(f"… {run.seq + 1:,} records, {count:,} shown: ", (whole, "cyan"), cut=False)
    if not run.ended:
        words = {"waiting": "waits", "running": "is not further"}
        output.line(
            f"why it {words.get(run.outcome, 'halted')}: ", (here(db).command("why", run.run_id), "cyan"), cut=False
        )


def _head(reader: "Reader", run: "Run", output: "Output", with_calls: bool) -> "Lines":
    from attrs import evolve

    from fsm.cli.parts.lines import Lines, head
    from fsm.clock import SystemClock
    from fsm.journal.search import resting, spent, used
    from fsm.show.evidence import left_of
    from fsm.show.path import caps

    clock = SystemClock()
    left = bool(left_of(reader, [run], clock.monotonic()))
    spec, spending = reader.spec(run.fingerprint), evolve(spent(reader, [run.key])[run.key], usage=used(reader, run))
    now_ms = clock.now_ms()
    again_ms = None if left else resting(reader, [run], now_ms).get(run.key)
    head(output, run, left, spending, caps(reader, run, now_ms), now_ms, again_ms)
    output.line()
    return Lines(output, spec, run.seq, with_calls)


def _one(reader: "Reader", run: "Run", seq: int, everything: bool, as_json: bool) -> None:
    from fsm.cli.parts.lines import whole
    from fsm.cli.parts.output import Output
    from fsm.show.asked import asked
    from fsm.show.data import call_data, record_data
    from fsm.show.path import calls_told

    if seq > run.seq:
        raise click.ClickException(f"run {run.run_id} has records 0 to {run.seq}\n  -> fsm show {run.run_id}")
    record = reader.record(run.key, seq)
    if as_json:
        calls = [call_data(call) for call in reader.calls_at(run.key, seq - 1)]
        emit({**_about(reader, run), "records": [record_data(record)], "calls": calls})
        return
    told = calls_told(reader, run, seq - 1, seq - 1).get(seq - 1, [])
    whole(Output(), run, record, asked(reader.spec(run.fingerprint), record, {}), told, everything)


def _about(reader: "Reader", run: "Run") -> dict[str, Any]:
    from attrs import evolve

    from fsm.clock import SystemClock
    from fsm.journal.search import resting, spent, used
    from fsm.show.data import run_data
    from fsm.show.evidence import left_of

    clock = SystemClock()
    left = bool(left_of(reader, [run], clock.monotonic()))
    again_ms = resting(reader, [run], clock.now_ms()).get(run.key)
    spending = evolve(spent(reader, [run.key])[run.key], usage=used(reader, run))
    return {"run": run_data(run, spending, left, again_ms)}


def _print_document(reader: "Reader", run: "Run") -> None:
    """All of it as one JSON document, written row by row: a long run is never held whole."""
    from fsm.show.data import call_data, record_data
    from fsm.show.path import PAGE

    about = _about(reader, run)
    records = (record_data(record) for record in reader.records(run.key) if record.seq <= run.seq)
    starts = range(0, run.seq + 1, PAGE)
    calls = (call_data(call) for start in starts for call in reader.calls_between(run.key, start, start + PAGE - 1))
    click.echo("{" + "".join(f"{json.dumps(name)}: {_text(value)},\n " for name, value in about.items()), nl=False)
    click.echo(' "records": [', nl=False)
    _echo_items(records)
    click.echo('],\n "calls": [', nl=False)
    _echo_items(calls)
    click.echo("]}")


def _echo_items(items: Iterator[dict[str, Any]]) -> None:
    for number, item in enumerate(items):
        click.echo(f"{',' if number else ''}\n  {_text(item)}", nl=False)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _follow(reader: "Reader", run: "Run", everything: bool, with_calls: bool, as_json: bool) -> None:
    """What there is, then each record as it is committed; the calls before it are told with it."""
    import time

    from fsm.cli.parts.output import Output
    from fsm.show.data import record_data
    from fsm.show.path import calls_told, line, path, shown

    seq, told, lines = -1, 0, None
    if not as_json:
        lines = _head(reader, run, Output(), with_calls)
        for item in path(reader, run, shown(reader, run, everything)):
            lines.print(item)
        seq, told = run.seq, len(calls_told(reader, run, run.seq, run.seq).get(run.seq, []))
    while True:
        version = reader.version()  # taken first: a commit while we read is then noticed
        for record in reader.records(run.key, seq):
            if lines is None:
                click.echo(_text(record_data(record)))
            else:
                lines.calls(calls_told(reader, run, seq, seq).get(seq, [])[told:], record.spent)
                lines.record(line(reader.spec(run.fingerprint), run, record))
            seq, told = record.seq, 0
        run = reader.run_at(run.key)
        if run.seq == seq and (run.ended or run.halted):
            return
        while reader.version() == version:
            time.sleep(POLL_S)
