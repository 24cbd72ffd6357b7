"""What `fsm check` found, as text: a table for a docstring, and the runs that prove it."""

from collections.abc import Iterator, Sequence

from fsm.show.words import duration, money
from fsm.verify.check import NAMES, Report
from fsm.verify.figures import Figure
from fsm.verify.witness import Leg

LEGS_MAX = 24
ENDS = {"ends": "always", "may run for ever": "not always", "not shown to end": "not shown"}

Row = tuple[str, str, str]


def table(report: Report) -> str:
    """The verdict, the worst case and the promises, a line each, in aligned columns."""
    rows = list(_rows(report))
    first, second = (max(len(row[at]) for row in rows) for at in (0, 1))
    return "\n".join(f"{name:<{first}}  {most:<{second}}  {how}".rstrip() for name, most, how in rows)


def _rows(report: Report) -> Iterator[Row]:
    ends = report.termination
    waits = f", or waits at {' or '.join(ends.waits)}" if ends.waits else ""
    how = ends.how or f"round and round: {', '.join(ends.within)}"
    yield "ends", ENDS[ends.kind] + waits, how
    for figure in report.figures:
        yield NAMES[figure.cost], _most(figure), _how(figure)
    for answer in report.promises:
        yield answer.promise.name, answer.answer, f"{answer.promise}: {answer.why}"


def _most(figure: Figure) -> str:
    if figure.most is None:
        return figure.mark
    if figure.cost == "ms":
        return duration(figure.most)
    return money(figure.most) if figure.cost == "usd_micros" else f"{figure.most:,}"


def _how(figure: Figure) -> str:
    parts: list[str] = [figure.mark] if figure.most is not None else []
    parts += [f"bound by {figure.binds}"] if figure.binds else []
    return ", ".join([*parts, *([figure.why] if figure.why else [])]).replace("`", "")


def way(legs: Sequence[Leg], first: int = 1) -> list[str]:
    """A run as numbered lines, the counters after each; the middle of a long one is left out."""
    told = [f"{at:3}. {leg}" for at, leg in enumerate(legs, first)]
    if len(told) <= LEGS_MAX:
        return told
    half = LEGS_MAX // 2
    return [*told[:half], f"     ... {len(told) - 2 * half} more ...", *told[-half:]]
