"""Measure Turnstile and, beside it, the others: `python -m tests.benchmarks`, or some of it: `... engines hops`.

Prints tables; a full run also writes the figures, with the machine they were taken on, to `results.json` beside
this file, from which `--table` makes the README's. Nothing of the contract is switched off: `synchronous=FULL`, both
guards, the chain, strict validation. Other work on the machine moves the figures (`load` is how much there was
at the start); compare ratios.
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

from tests.benchmarks import (
    budget,
    convoy,
    guard_costs,
    hops,
    looking_back,
    memory,
    parts,
    proofs,
    sampled,
    sharing,
    size,
)
from tests.benchmarks.compare import FULL, PEERS_PYTHON, QUICK, compare
from tests.benchmarks.loop import Figure
from tests.benchmarks.report import RESULTS, markdown

ENGINES = "engines"

MEASURES: dict[str, tuple[str, Callable[[argparse.Namespace], list[Figure]]]] = {
    "hops": ("A hop", lambda asked: hops.measure(asked.rounds)),
    "size": ("Bytes in the file", lambda asked: size.measure()),
    "parts": ("A hop by part", lambda asked: parts.measure(asked.rounds)),
    "guards": ("A guard", lambda asked: guard_costs.measure(asked.rounds)),
    "samples": ("Where the threads are found at work", lambda asked: sampled.measure(asked.rounds)),
    "replay": ("Looking back", lambda asked: looking_back.measure()),
    "proofs": ("Proofs", lambda asked: proofs.measure()),
    "memory": ("Memory", lambda asked: memory.measure()),
    "convoy": ("Company", lambda asked: convoy.measure(asked.rounds)),
    "sharing": ("What runs share", lambda asked: sharing.measure(asked.rounds)),
    "budget": ("One limit for many runs", lambda asked: budget.measure(asked.peers)),
}


def main() -> None:
    arguments = _arguments()
    if arguments.table:
        print(markdown(), end="")
        return
    names = arguments.measures or ([ENGINES] if arguments.quick else [ENGINES, *MEASURES])
    scale = QUICK if arguments.quick else FULL
    machine, console, found, engines = _machine(), Console(), {}, {}
    console.width = max(console.width, 110)
    for name in names:
        with console.status(f"{name} ...") as status:
            if name == ENGINES:
                engines = compare(scale, arguments.peers, status.update)
            else:
                found[name] = MEASURES[name][1](arguments)
    results = {"machine": machine, "scale": asdict(scale), ENGINES: engines, "figures": _plain(found)}
    if engines:
        print(markdown(results))
    if found:
        console.print(_table(machine, found))
    missing = [engine for engine, told in engines.items() if "missing" in told]
    if missing:
        print(f"not installed, so not measured: {', '.join(missing)}\n  -> `make bench` installs them, with a network")
    if not (arguments.measures or arguments.quick or missing):
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(f"written to {RESULTS.name}; now put `python -m tests.benchmarks --table` into the README")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure Turnstile and others.")
    known = [ENGINES, *MEASURES]
    parser.add_argument("measures", nargs="*", metavar="measure", help=f"of {', '.join(known)}; default: all")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of Turnstile's own measures (default: 3)")
    parser.add_argument("--quick", action="store_true", help="smaller and once: the engines, in a minute or two")
    parser.add_argument("--table", action="store_true", help="print the README's tables from the last full run")
    parser.add_argument("--peers", type=Path, default=PEERS_PYTHON, help="the Python that has the others' packages")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds = 1
    if unknown := [name for name in arguments.measures if name not in known]:
        parser.error(f"no measure {', '.join(unknown)}; there are {', '.join(known)}")
    return arguments


def _machine() -> dict[str, str | float]:
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "cpus": os.cpu_count() or 0,
        "cpu": _cpu(),
        "load": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def _cpu() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or "unknown")


def _plain(found: dict[str, list[Figure]]) -> dict[str, list[dict[str, object]]]:
    return {
        name: [{**asdict(figure), "value": round(figure.value, 1)} for figure in figures]
        for name, figures in found.items()
    }


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
