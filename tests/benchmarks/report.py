"""The README's tables, from the figures of a full run in `results.json`."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.budget import BILL, LIMIT, RUNS

RESULTS = Path(__file__).with_name("results.json")
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

NAMES = {
    "floor": "SQLite alone, a COMMIT a hop",
    "turnstile": "Turnstile",
    "burr": "Apache Burr",
    "langgraph": "LangGraph",
    "dbos": "DBOS",
}
KEPT = {
    ("turnstile", "history"): "a memory, by `remember=`",
    ("turnstile", "delta"): "payloads that carry the change",
    ("burr", "history"): "a list, by `State.append`",
    ("langgraph", "history"): "a list, by reducer",
    ("langgraph", "delta"): "a list in a `DeltaChannel` (beta)",
    ("dbos", "delta"): "what steps return",
}

Found = dict[str, Any]


def markdown(results: Found | None = None) -> str:
    """Everything between the README's markers."""
    results = results or json.loads(RESULTS.read_text("utf-8"))
    engines, scale = results["engines"], results["scale"]
    figures = results.get("figures", {})
    beside = *_guards(figures.get("guards", ())), *_budget(figures.get("budget", ()))
    parts = (_machine(results), *_speed(engines, scale), "", *_history(engines, max(scale["sizes"])), *beside)
    return "\n".join([BEGIN, *parts, END]) + "\n"


def _machine(results: Found) -> str:
    machine = results["machine"]
    cpu = f"{machine['cpus']} cores ({machine['cpu']})"
    python = f"Python {machine['python']}, SQLite {machine['sqlite']}"
    return f"{machine['date']}, {cpu}, {machine['system']}, {python}; load {machine['load']} before it began.\n"


def _speed(engines: dict[str, Found], scale: Found) -> Iterator[str]:
    yield _row(
        "",
        f"{scale['many']:,} runs at once, {scale['hops']} hops each: µs a hop (times Turnstile's)",
        "of it processor time",
        f"one run, {scale['one']:,} hops: µs a hop (times the floor)",
        "SQLite",
        "restart: ms from start (from imported)",
        f"memory: KiB a run, {' and '.join(f'{live:,}' for live in scale['live'])} live",
    )
    yield "| --- | ---: | ---: | ---: | --- | ---: | ---: |"
    for engine, found in engines.items():
        if "missing" not in found:
            yield from _rows(engine, found)


def _rows(engine: str, found: Found) -> Iterator[str]:
    many, one = found["many"], found["one"]
    restart, live = found.get("restart_ms"), found.get("live", {})
    yield _row(
        _title(engine, found),
        _us(many, "of_turnstile"),
        f"{many['processor_us']:,.0f}",
        _us(one, "of_floor"),
        _sqlite(one),
        f"{restart['from_start']:,} ({restart['from_import']:,})" if restart else "",
        " and ".join(f"{per_run / 1024:,.0f}" for per_run in live.values()),
    )
    if shipped := found.get("one_shipped"):
        yield _row(f"{NAMES[engine]}, SQLite as it ships", "", "", _us(shipped, "of_floor"), _sqlite(shipped), "", "")


def _title(engine: str, found: Found) -> str:
    main = next(iter(found["versions"].values()), "")
    return f"{NAMES[engine]} {main}".strip()


def _us(figure: Found, ratio: str) -> str:
    return f"{figure['us']:,.0f} ({figure[ratio]:.1f})"


def _sqlite(figure: Found) -> str:
    return f"{figure['journal_mode']}, {figure['synchronous']}"


def _history(engines: dict[str, Found], timed: int) -> Iterator[str]:
    """Bytes a hop by length; the time of the longest that all were asked for."""
    lengths = sorted({int(hops) for found in engines.values() for size in _sizes(found) for hops in size[1]})
    yield _row("history kept in", *(f"{hops:,} hops: bytes a hop" for hops in lengths), f"µs a hop at {timed:,}")
    yield "| --- |" + " ---: |" * (len(lengths) + 1)
    for engine, found in engines.items():
        for style, by_hops in _sizes(found):
            cells = [f"{by_hops[str(hops)]['bytes']:,}" if str(hops) in by_hops else "" for hops in lengths]
            yield _row(f"{NAMES[engine]}: {KEPT[engine, style]}", *cells, f"{by_hops[str(timed)]['us']:,}")


def _sizes(found: Found) -> list[tuple[str, Found]]:
    return list(found.get("sizes", {}).items())


def _guards(figures: Sequence[Found]) -> Iterator[str]:
    """What each adds, beside the transition without any, which comes first."""
    if not figures:
        return
    bare, *guards = figures
    yield from (
        "",
        _row("a guard, on one transition", f"µs more than the {bare['value']:,.0f} without"),
        "| --- | ---: |",
    )
    for figure in guards:
        yield _row(figure["what"], f"{figure['value']:,.0f} ({figure['beside']})")


def _budget(figures: Sequence[Found]) -> Iterator[str]:
    if not figures:
        return
    yield from (
        "",
        _row(f"{RUNS} runs of {BILL} tokens, {LIMIT:,} for all of them together", "tokens spent", "runs"),
        "| --- | ---: | --- |",
    )
    for figure in figures:
        yield _row(figure["what"], f"{figure['value']:,.0f}", figure["beside"])


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
