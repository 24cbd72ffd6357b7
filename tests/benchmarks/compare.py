"""Turnstile beside the others: the same job for every engine, in turns, each in a process of its own.

Every engine works in its fastest documented durable mode, every hop durable before the next begins; its file in
`engines/` says which that is and where it is documented. The rounds are interleaved, so that all see the same disk
in the same minute. Ratios are taken within a round, and the median of the rounds is told.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.benchmarks.loop import scratch

ROOT = Path(__file__).parents[2]
PEERS_PYTHON = ROOT / ".venv" / "peers" / "bin" / "python"  # made by `make bench`

FLOOR, TURNSTILE = "floor", "turnstile"
OURS = (FLOOR, TURNSTILE)
PEERS = ("burr", "langgraph", "dbos")
ENGINES = (*OURS, *PEERS)
UNLIKE_SHIPPED = ("burr", "dbos")  # measured with SQLite as they open it, too
SLOW = ("langgraph", "dbos")  # many runs of these take minutes: they take turns beside the others
STYLES = {
    "turnstile": ("history", "delta"),
    "burr": ("history",),
    "langgraph": ("history", "delta"),
    "dbos": ("delta",),
}

Found = dict[str, Any]
Entry = tuple[str, str]  # an engine, and the name of what is found
Jobs = dict[Entry, dict[str, Any]]


@frozen
class Scale:
    """How much is measured; no further round begins that would end after so many seconds."""

    rounds: int
    seconds_max: float
    many: int
    hops: int
    one: int
    sizes: tuple[int, ...]
    long: tuple[int, ...]  # for Turnstile's payloads alone
    restarts: int
    live: tuple[int, ...]  # the last for Turnstile alone


FULL = Scale(
    rounds=4,
    seconds_max=330,
    many=1_000,
    hops=20,
    one=1_000,
    sizes=(100, 1_000),
    long=(10_000,),
    restarts=3,
    live=(1_000, 10_000),
)
QUICK = Scale(
    rounds=1, seconds_max=30, many=100, hops=20, one=200, sizes=(100,), long=(), restarts=1, live=(100, 1_000)
)


class Missing(Exception):
    """This engine's packages are not there."""


def compare(scale: Scale, peers_python: Path = PEERS_PYTHON, say: Callable[[str], object] = lambda _: None) -> Found:
    """What every engine took, by engine; an engine that is not installed has nothing but `missing`."""
    bench = Bench(peers_python)
    found: dict[str, Found] = {engine: {} for engine in ENGINES}
    for engine in ENGINES:
        try:
            found[engine]["versions"] = bench.ask(engine, "versions")
        except Missing:
            found[engine]["missing"] = True
    there = [engine for engine in ENGINES if "missing" not in found[engine]]
    for part, measure in PARTS.items():
        say(f"Turnstile beside {', '.join(there[2:]) or 'the floor'}: {part} ...")
        measure(bench, scale, there, found)
    return found


@frozen
class Bench:
    peers_python: Path

    def python(self, engine: str) -> str:
        return sys.executable if engine in OURS else str(self.peers_python)

    def command(self, engine: str, task: str, db: Path, **job: Any) -> list[str]:
        told = json.dumps({"task": task, "db": str(db), **job})
        return [self.python(engine), "-m", f"tests.benchmarks.engines.{engine}", told]

    def ask(self, engine: str, task: str, db: Path | None = None, **job: Any) -> Found:
        """What the engine's process told last; on a fresh file unless one is given."""
        with ExitStack() as stack:
            command = self.command(engine, task, db or stack.enter_context(scratch()), **job)
            try:
                done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
            except FileNotFoundError as error:
                raise Missing(engine) from error
        if done.returncode:
            if task == "versions" and "ModuleNotFoundError" in done.stderr:
                raise Missing(engine)
            raise RuntimeError(f"{engine} could not do {task} {job}:\n{done.stderr[-2_000:]}")
        found: Found = json.loads(done.stdout.splitlines()[-1])
        return found

    def restart_s(self, engine: str, hops: int) -> tuple[float, float]:
        """Seconds from the start of a process, and from its last import, until the killed agent is called again."""
        with scratch() as db:
            command = self.command(engine, "interrupted", db, hops=hops)
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
                assert process.stdout is not None and process.stdout.readline(), f"{engine} did not get to its last hop"
                process.kill()
            begun = time.monotonic()
            told = self.ask(engine, "resumed", db, hops=hops)
        return told["called"] - begun, told["called"] - told["imported"]


def _in_turns(bench: Bench, scale: Scale, lineups: list[Jobs], found: dict[str, Found]) -> None:
    """Microseconds a hop of each entry: the median, and the medians of the ratios to the floor and to Turnstile."""
    laps: list[dict[Entry, Found]] = []
    begun = time.monotonic()
    while len(laps) < len(lineups) or (len(laps) < scale.rounds and _fits(begun, len(laps), scale.seconds_max)):
        jobs = lineups[len(laps) % len(lineups)]
        laps.append({entry: bench.ask(entry[0], "hops", **job) for entry, job in jobs.items()})
    for engine, name in {entry: None for lap in laps for entry in lap}:
        took = [lap for lap in laps if (engine, name) in lap]
        us = [lap[engine, name]["us"] for lap in took]
        unit = name.removesuffix("_shipped")
        found[engine][name] = {
            "us": round(statistics.median(us), 1),
            "processor_us": round(statistics.median(lap[engine, name]["processor_us"] for lap in took), 1),
            "of_floor": round(_ratio(took, (engine, name), (FLOOR, unit)), 2),
            "of_turnstile": round(_ratio(took, (engine, name), (TURNSTILE, unit)), 2),
            "rounds": len(took),
            "journal_mode": took[0][engine, name]["journal_mode"],
            "synchronous": took[0][engine, name]["synchronous"],
        }


def _fits(begun: float, laps: int, seconds_max: float) -> bool:
    return (time.monotonic() - begun) * (laps + 1) / laps <= seconds_max


def _ratio(laps: list[dict[Entry, Found]], entry: Entry, other: Entry) -> float:
    return statistics.median(float(lap[entry]["us"]) / float(lap[other]["us"]) for lap in laps)


def _many(bench: Bench, scale: Scale, engines: list[str], found: dict[str, Found]) -> None:
    job = {"runs": scale.many, "hops": scale.hops}
    quick = [engine for engine in engines if engine not in SLOW]
    slow = [engine for engine in engines if engine in SLOW]
    lineups = [quick, *([*quick, engine] for engine in slow)][bool(slow) :]
    _in_turns(bench, scale, [{(engine, "many"): job for engine in lineup} for lineup in lineups], found)


def _one(bench: Bench, scale: Scale, engines: list[str], found: dict[str, Found]) -> None:
    jobs: Jobs = {(engine, "one"): {"hops": scale.one} for engine in engines}
    shipped = [engine for engine in engines if engine in UNLIKE_SHIPPED]
    jobs |= {(engine, "one_shipped"): {"hops": scale.one, "shipped": True} for engine in shipped}
    _in_turns(bench, scale, [jobs], found)


def _sizes(bench: Bench, scale: Scale, engines: list[str], found: dict[str, Found]) -> None:
    """Bytes and microseconds a hop by style and length; the bytes beyond those of a run of two hops."""
    for engine in engines:
        for style in STYLES.get(engine, ()):
            short = bench.ask(engine, "hops", hops=2, style=style)["bytes"]
            lengths = [*scale.sizes, *(scale.long if (engine, style) == (TURNSTILE, "delta") else ())]
            sizes = found[engine].setdefault("sizes", {}).setdefault(style, {})
            for hops in lengths:
                told = bench.ask(engine, "hops", hops=hops, style=style)
                sizes[str(hops)] = {"bytes": round((told["bytes"] - short) / (hops - 2)), "us": round(told["us"])}


def _restarts(bench: Bench, scale: Scale, engines: list[str], found: dict[str, Found]) -> None:
    engines = [engine for engine in engines if engine != FLOOR]
    laps = [{engine: bench.restart_s(engine, hops=100) for engine in engines} for _ in range(scale.restarts)]
    for engine in engines:
        whole, imported = (statistics.median(lap[engine][part] for lap in laps) for part in (0, 1))
        found[engine]["restart_ms"] = {"from_start": round(whole * 1_000), "from_import": round(imported * 1_000)}


def _live(bench: Bench, scale: Scale, engines: list[str], found: dict[str, Found]) -> None:
    """Bytes of memory a run, by the number of runs that are live at once."""
    for engine in engines:
        if engine != FLOOR:
            numbers = scale.live if engine == TURNSTILE else scale.live[:1]
            taken = {runs: bench.ask(engine, "live", runs=runs, hops=4)["bytes"] / runs for runs in numbers}
            found[engine]["live"] = {str(runs): round(per_run) for runs, per_run in taken.items()}


PARTS = {"one run": _one, "sizes": _sizes, "restarts": _restarts, "memory": _live, "many runs": _many}
