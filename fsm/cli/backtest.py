"""`fsm backtest`: where guards would have stopped runs of any system, from what these wrote down."""

from typing import TYPE_CHECKING

import click

from fsm.cli.parts.options import emit, verb

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from fsm.cli.parts.output import Output
    from fsm.replay.backtest import Asked, Backtest
    from fsm.replay.traces.files import Format

NEXT = "What stopped a run, and none that is known to be good, as a machine has it:"
NOTHING_NEXT = "No guard here stopped a run without killing a good one\n  -> try other limits"


@verb("""
fsm backtest traces.jsonl --guard 'LoopCap(20)' --guard 'Repeat(3)' --everywhere 'TokenBudget(200_000)'
fsm backtest whowhen/Hand-Crafted --handoffs --runs
""")
@click.argument("traces", nargs=-1, required=True, metavar="TRACES...")
@click.option(
    "--guard",
    "-g",
    "on_transitions",
    multiple=True,
    metavar="GUARD",
    help="A guard for each transition, or for each state if it stands only there. May be repeated.",
)
@click.option(
    "--everywhere",
    "-e",
    "of_run",
    multiple=True,
    metavar="GUARD",
    help="A guard for the whole machine: LoopCap counts the run's hops there. May be repeated.",
)
@click.option("--handoffs", is_flag=True, help="Take all that one agent says in a row as one message.")
@click.option("--runs", is_flag=True, help="Print a line for each run: its stops, each with the message's number.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["auto", "lines", "whowhen"]),
    default="auto",
    show_default=True,
    help="What the traces are written in; auto goes by their shape.",
)
def command(
    traces: tuple[str, ...],
    on_transitions: tuple[str, ...],
    of_run: tuple[str, ...],
    handoffs: bool,
    runs: bool,
    form: "Format",
    as_json: bool,
) -> None:
    """Say where guards would have stopped recorded runs of any system.

    Each run is driven, message by message, through the real engine, on a machine with a state for each agent; each
    guard is asked alone. Without any, the usual ones are asked. A stop is told by its message, counted from 0.

    TRACES are files, folders, or - for standard input; a line is a message:

    \b
      {"run": "7", "agent": "writer", "content": "...", "tokens": 412}
      {"run": "7", "agent": "search", "content": "", "error": "HTTP 503",
       "time": "2026-03-01T10:00:04Z", "outcome": "failed"}

    `run`, `agent` and `content` are needed. `error` is a failure of that agent, for Strikes("search"); `outcome`
    (completed or failed) may be on any line of a run; `label` is a person's: good or bad of a run, mistake on the
    message that decided its failure. Documents of the Who&When format are read as well.

    Saved is told of all runs that are not known to be good. How many good ones are killed is told with its 95 %
    interval, by Wilson's score (JASA 22, 1927).
    """
    import sys

    from fsm.cli.parts import default_guards
    from fsm.cli.parts.guard_text import asked, shipped
    from fsm.replay.backtest import backtest
    from fsm.replay.traces.files import read_traces
    from fsm.replay.traces.trace import by_handoffs
    from fsm.show.backtested import backtest_data

    known = shipped()
    if not (on_transitions or of_run):
        on_transitions, of_run = default_guards.ON_TRANSITIONS, default_guards.EVERYWHERE
    guards: list[Asked] = [asked(text, ("transition", "state"), known) for text in on_transitions]
    guards += [asked(text, ("run",), known) for text in of_run]
    found = read_traces(traces, sys.stdin.buffer, form)
    done = backtest([by_handoffs(trace) for trace in found] if handoffs else found, list(dict.fromkeys(guards)))
    if not done.found:
        why = "".join(f"\n  - {one.text}: {what}" for one, what in done.unasked)
        raise click.UsageError(f"no guard can be asked of these traces:{why}\n  -> ask LoopCap, or add what is missing")
    if as_json:
        emit(backtest_data(done, handoffs))
    else:
        _tell(done, handoffs, runs)


def _tell(done: "Backtest", handoffs: bool, runs: bool) -> None:
    from fsm.cli.parts.output import Output
    from fsm.show import backtested

    output = Output()
    if runs:
        _columns(output, [], list(backtested.runs(done)), gives=(4, 0), right=(2,))
        output.line("")
    output.paragraph((backtested.title(done.traces), "bold"))
    output.line("")
    head, rows = backtested.table(done)
    _columns(output, head, rows, gives=(0,), right=range(1, len(head[0])))
    output.line("")
    for note in backtested.notes(done, handoffs):
        output.paragraph((f"· {note}", "yellow"), hang=2)
    lines = backtested.next_lines(done)
    output.line(NEXT if lines else NOTHING_NEXT)
    for line in lines:
        output.line((f"  → {line}", "cyan"), cut=False)


def _columns(
    output: "Output",
    head: "Sequence[tuple[str, ...]]",
    rows: "Sequence[tuple[str, ...]]",
    gives: "Sequence[int]",
    right: "Collection[int]",
) -> None:
    """Rows in columns; one of a single cell is a heading."""
    from fsm.cli.parts.output import cell, widths

    wide = widths([row for row in (*head, *rows) if len(row) > 1], output.width, gives)
    for number, row in enumerate((*head, *rows)):
        is_heading = len(row) == 1
        cells = [
            text.rjust(width) if place in right else cell(text, width)
            for place, (text, width) in enumerate(zip(row, wide, strict=False))
        ]
        output.line(("  ".join(row if is_heading else cells), "dim" if is_heading or number < len(head) else ""))
