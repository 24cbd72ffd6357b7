"""The runs that a check shows, as files: a scenario for the engine, and the machine's picture with the way marked."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from fsm.core.snapshot import Snapshot
from fsm.define.spec import MachineSpec
from fsm.show.diagram import diagram
from fsm.show.mermaid import mermaid
from fsm.show.overlay import overlay
from fsm.show.verdict import NAMES
from fsm.verify.check import Report
from fsm.verify.witness import Leg, decisions, scenario, scenario_json, without_code

Run = tuple[str, Sequence[Leg], Sequence[Leg]]


def write_scenarios(spec: MachineSpec, report: Report, folder: str) -> list[Path]:
    """`MACHINE.NAME.json` and `.mmd` in the folder, for every run the report shows; the paths of the former.

    A machine loaded from JSON may have any name; what a name leads to stays in the folder.
    """
    written = []
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, legs, loop in _runs(report):
            path = Path(folder) / f"{_file_name(spec.name)}.{_file_name(name)}.json"
            path.write_text(scenario_json(spec, legs, loop), encoding="utf-8")
            path.with_suffix(".mmd").write_text(_picture(spec, [*legs, *loop]), encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise click.ClickException(f"{folder}: {error.strerror}\n  -> name a folder that can be written") from None
    return written


def _file_name(name: str) -> str:
    """The name, with nothing in it that leads elsewhere or that a file system may not take."""
    return re.sub(r"[^\w-]", "_", name)[:100]


def _runs(report: Report) -> Iterator[Run]:
    if report.termination.loop:
        yield "endless", report.termination.stem, report.termination.loop
    yield from ((f"broken-{answer.promise.name}", answer.run, ()) for answer in report.promises if answer.run)
    worst = [figure for figure in report.figures if figure.most and figure.run]
    yield from ((f"most-{NAMES[figure.cost]}", figure.run, ()) for figure in worst)


def _picture(spec: MachineSpec, legs: Sequence[Leg]) -> str:
    events = scenario(spec, legs)["events"]
    records = [decision.record for decision in decisions(without_code(spec), events, Snapshot())]
    return mermaid(diagram(spec), overlay(spec, [record for record in records if record is not None]))
