"""Measure Turnstile: `python -m tests.benchmarks`, or only some of it: `python -m tests.benchmarks hops size`.

Prints one table; a full run also writes the figures, with the machine they were taken on, to `results.json`
beside this file. Nothing of the contract is switched off: `synchronous=FULL`, both guards, the chain, strict
validation. Other work on the machine moves the figures (`load` is how much there was at the start); compare
ratios.
"""

import argparse
import datetime as dt
import json
import os
import platform
import sqlite3
from collections.abc import Callable
from pathlib import Path

from attrs import asdict
from rich.console import Console
from rich.table import Table

from tests.benchmarks import convoy, hops, looking_back, memory, parts, sampled, size
from tests.benchmarks.loop import Figure

RESULTS = Path(__file__).with_name("results.json")

MEASURES: dict[str, tuple[str, Callable[[int], list[Figure]]]] = {
    "hops": ("A hop", hops.measure),
    "size": ("Bytes in the file", lambda rounds: size.measure()),
    "parts": ("A hop by part", parts.measure),
    "samples": ("Where the threads are found at work", sampled.measure),
    "replay": ("Looking back", lambda rounds: looking_back.measure()),
    "memory": ("Memory", lambda rounds: memory.measure()),
    "convoy": ("Company", convoy.measure),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure Turnstile.")
    parser.add_argument("measures", nargs="*", metavar="measure", help=f"of {', '.join(MEASURES)}; default: all")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of what is measured in turns (default: 3)")
    arguments = parser.parse_args()
    names = arguments.measures or list(MEASURES)
    if unknown := [name for name in names if name not in MEASURES]:
        parser.error(f"no measure {', '.join(unknown)}; there are {', '.join(MEASURES)}")

    machine, console, found = _machine(), Console(), {}
    console.width = max(console.width, 110)
    for name in names:
        title, measure = MEASURES[name]
        with console.status(f"{title} ..."):
            found[name] = measure(arguments.rounds)
    if not arguments.measures:
        RESULTS.write_text(_as_json(machine, found), encoding="utf-8")
    console.print(_table(machine, found))


def _machine() -> dict[str, str | float]:
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "cpus": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def _as_json(machine: dict[str, str | float], found: dict[str, list[Figure]]) -> str:
    figures = {
        name: [{**asdict(figure), "value": round(figure.value, 1)} for figure in figures]
        for name, figures in found.items()
    }
    return json.dumps({"machine": machine, "figures": figures}, indent=1) + "\n"


def _table(machine: dict[str, str | float], found: dict[str, list[Figure]]) -> Table:
    title = ", ".join(f"{name} {value}" for name, value in machine.items())
    table = Table("", "figure", "unit", "beside", title=title, title_style="")
    table.columns[1].justify = "right"
    for name, figures in found.items():
        table.add_section()
        table.add_row(MEASURES[name][0], style="bold")
        for figure in figures:
            digits = 1 if abs(figure.value) < 100 else 0
            table.add_row(f"  {figure.what}", f"{figure.value:,.{digits}f}", figure.unit, figure.beside)
    return table


if __name__ == "__main__":
    main()
