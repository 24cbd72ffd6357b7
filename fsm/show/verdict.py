"""What `fsm check` found, as text: the table that a docstring holds, the findings, and the runs that prove them."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

from attrs import frozen

from fsm.show.words import UNITS_MS, duration, money
from fsm.verify.check import Report
from fsm.verify.figures import Figure
from fsm.verify.finding import Finding, Level
from fsm.verify.witness import Leg

LEGS_MAX = 24
NAMES = {"hops": "hops", "tokens": "tokens", "usd_micros": "money", "approvals": "approvals", "ms": "time"}
ENDS = {"ends": "always", "may run for ever": "not always", "not shown to end": "not shown"}

Row = tuple[str, str, str]


@frozen
class Line:
    """A line of text; `tone` where it stands out."""

    text: str
    tone: Level | Literal["good", ""] = ""


def lines(report: Report, *, runs: bool = False, notes: bool = False) -> Iterator[Line]:
    """All there is to say: the verdict, then the rest indented under it.

    `runs`: with the run behind each figure; `notes`: with the notes, which are only counted otherwise.
    """
    worst: Level | Literal["good"] = "error" if report.errors else "warning" if report.warnings else "good"
    yield Line(f"{report.machine}: {report.termination}", worst)
    yield from _indented(2, table(report).splitlines()[1:])
    yield from _runs(report) if runs else ()
    for finding in report.findings:
        if notes or finding.level != "note":
            head, *more = str(finding).splitlines()
            yield Line(f"  {head}", finding.level)
            yield from _indented(2, more)
            yield from _indented(6, _proof(report, finding))
    yield from _assumed(report, runs)
    if report.notes and not notes:
        many, them = (f"{len(report.notes)} notes", "them") if len(report.notes) != 1 else ("1 note", "it")
        yield Line(f"  {many}: --notes shows {them}")


def _runs(report: Report) -> Iterator[Line]:
    """The run behind each figure, once where several have the same."""
    told: dict[tuple[str, ...], str] = {}
    for figure in report.figures:
        steps, name = tuple(way(figure.run)), NAMES[figure.cost]
        if steps and figure.most:
            yield Line(f"  the run that costs most {name}{f': as for {told[steps]}' if steps in told else ':'}")
            yield from _indented(6, steps if steps not in told else ())
            told.setdefault(steps, name)
        if figure.most and figure.counted:
            yield Line(f"  {name}: {figure.counted}")


def _assumed(report: Report, runs: bool) -> Iterator[Line]:
    """That predicates answer in the runs shown as it suits them."""
    shown = [*report.termination.stem, *report.termination.loop, *(leg for one in report.promises for leg in one.run)]
    shown += [leg for figure in report.figures if runs for leg in figure.run]
    asked = next((line for leg in shown for line, _ in leg.move.predicates), None)
    if asked is not None:
        yield Line(f"  ({asked}), (not {asked}): what predicates are taken to answer; your code was not asked")


def _indented(by: int, told: Sequence[str]) -> Iterator[Line]:
    return (Line(f"{' ' * by}{text}") for text in told)


def _proof(report: Report, finding: Finding) -> list[str]:
    """The run that shows what an error says."""
    ends = report.termination
    told: list[str] = []
    if finding.code == "endless" and ends.loop:
        told += [*way(ends.stem), "and then over and over:", *way(ends.loop, len(ends.stem) + 1)]
    for answer in report.promises:
        if (finding.code, finding.attribute) == ("promise-broken", answer.promise.name):
            told += way(answer.run)
    return told


def table(report: Report) -> str:
    """The verdict, the worst case and the promises, a line each, in aligned columns."""
    rows = list(_rows(report))
    first, second = (max(len(row[at]) for row in rows) for at in (0, 1))
    return "\n".join(f"{name:<{first}}  {most:<{second}}  {how}".rstrip() for name, most, how in rows)


def _rows(report: Report) -> Iterator[Row]:
    ends = report.termination
    waits = f", or waits at {' or '.join(ends.waits)}" if ends.waits else ""
    how = ends.how or f"round and round: {', '.join(ends.within)}"
    yield "ends", ENDS[ends.kind] + (", or halts" if ends.halts else "") + waits, how
    for figure in report.figures:
        yield NAMES[figure.cost], _most(figure), _how(figure)
    for answer in report.promises:
        yield answer.promise.name, answer.answer, f"{answer.promise}: {answer.why}"


def _most(figure: Figure) -> str:
    if figure.most is None:
        return figure.mark
    if figure.cost == "ms":
        return duration(_rounded_up(figure.most))
    return money(figure.most) if figure.cost == "usd_micros" else f"{figure.most:,}"


def _rounded_up(ms: int) -> int:
    """To the smaller of the two units that are shown: a bound is never told lower than it is."""
    lengths = [length for _, length in UNITS_MS]
    step = next((smaller for unit, smaller in pairwise(lengths) if ms >= unit), 100 if ms >= 1_000 else 1)
    return -(-ms // step) * step


def _how(figure: Figure) -> str:
    parts: list[str] = [figure.mark] if figure.most is not None else []
    parts += [figure.up_to] if figure.up_to else []
    parts += [f"bound by {figure.binds}"] if figure.binds else []
    return ", ".join([*parts, *([figure.why] if figure.why else [])]).replace("`", "")


def way(legs: Sequence[Leg], first: int = 1) -> list[str]:
    """A run as numbered lines, the counters after each; the middle of a long one is left out."""
    told = [f"{at:3}. {leg}" for at, leg in enumerate(legs, first)]
    if len(told) <= LEGS_MAX:
        return told
    half = LEGS_MAX // 2
    return [*told[:half], f"     ... {len(told) - 2 * half} more ...", *told[-half:]]
