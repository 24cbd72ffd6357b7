"""`fsm replay --against`: recorded runs held against the machine of today."""

from collections.abc import Iterator, Sequence

import click

from fsm.cli.parts.journals import find_run, reading
from fsm.cli.parts.options import FAILED, emit, leave
from fsm.cli.parts.output import Output
from fsm.cli.parts.project import here
from fsm.cli.parts.target import machine
from fsm.journal.reader import Reader
from fsm.journal.rows import Run
from fsm.replay.against import Today
from fsm.replay.comparison import Held, compared
from fsm.show.against import data, lines

TONES = {"good": "green", "error": "red", "warning": "yellow"}


def replay_against(run_ids: Sequence[str], target: str, db: str | None, as_json: bool) -> None:
    """Hold these runs, or all of the machine's name, against it; leaves with 1 if any would go another way."""
    today = Today(machine(target).spec)
    with reading(db) as reader:
        runs = list(_chosen(reader, run_ids, today.spec.name))
        found = compared(today, (Held(reader.path, run.machine, today.holds(reader, run)) for run in runs))

    def onward(held: Held) -> list[str]:
        divergence = held.replay.divergence
        assert divergence is not None
        again, run_id, seq = here(db, [target]), held.replay.run_id, divergence.seq
        fork = [again.command("fork", run_id, "--at", str(seq - 1))] if seq else []
        return [here(db).command("show", run_id, "--seq", str(seq)), *fork]

    if as_json:
        emit(data(found))
    else:
        output = Output()
        for line in lines(found, onward):
            text = line.text.lstrip()
            indent, tone = len(line.text) - len(text), TONES.get(line.tone, "")
            if text.startswith("→"):  # to be copied whole
                output.line(" " * indent, (text, "cyan"), cut=False)
            else:
                output.paragraph((text, tone), indent=indent, hang=2)
    if found.diverging:
        leave(FAILED)


def _chosen(reader: Reader, run_ids: Sequence[str], name: str) -> Iterator[Run]:
    """The runs named, or all of the machine; refused where they are another's, or there is none."""
    named = [find_run(reader, run_id) for run_id in run_ids]
    other = next((run for run in named if run.machine != name), None)
    if other is not None:
        raise click.UsageError(
            f"run {other.run_id} is of {other.machine}, not of {name}\n  -> --against FILE.py:{other.machine}"
        )
    found = named or reader.runs(name)
    if not found:
        known = ", ".join(sorted({run.machine for run in reader.runs()})) or "no machine at all"
        raise click.ClickException(f"{reader.path} has no run of {name}; it has runs of {known}\n  -> fsm runs")
    yield from found
