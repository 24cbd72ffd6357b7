"""How two runs look side by side."""

from fsm.cli.parts.output import Output, Part, cell, widths
from fsm.replay.diff import Diff, Row, Side
from fsm.show.diffing import Specs, beneath, causes, fields, opening, parted, picked, told_side, totals, whose
from fsm.show.path import Gap, PathLine
from fsm.show.words import colour, count, safe

MARK, INDENT = 3, 4
STYLES = {"=": "dim", "~": "yellow", "≠": "bold red", "": ""}
PIECES = {"[-": "red", "{+": "green"}


def print_diff(found: Diff, specs: Specs, everything: bool) -> None:
    output = Output()
    for name, side, other in (("A", found.a, "B"), ("B", found.b, "A")):
        _head(output, name, side, other)
    for change in found.machines:
        output.paragraph(("! ", "yellow"), f"another machine: {change}", hang=2)
    output.line()
    _parting(output, found, specs)
    output.line()
    if everything or any(row.differs for row in found.rows):
        _rows(output, found, specs, everything)
        output.line()
    _table(output, [(whose(found), "A", "B"), *totals(found)])


def _head(output: Output, name: str, side: Side, other: str) -> None:
    run = side.run
    stands: list[Part] = [(run.outcome, colour(run.outcome)), (" in ", "dim"), safe(run.state)]
    output.line((f"{name}  ", "bold"), safe(run.run_id), (" of ", "dim"), safe(run.machine), (": ", "dim"), *stands)
    if side.inherited:
        output.line((f"   {other} was forked from it after record {side.inherited - 1}", "dim"))


def _parting(output: Output, found: Diff, specs: Specs) -> None:
    output.paragraph((opening(found), "bold"))
    for name, step in parted(found):
        output.paragraph((f"{name}  ", "bold"), step, indent=2, hang=3)
    for cause in causes(found, specs):
        output.paragraph(("≠ ", "bold red"), cause, indent=2, hang=2)
    parting = found.parting
    for told in fields(parting.changes) if parting is not None else ():
        output.paragraph(*_worded(told), indent=4, hang=2)


def _rows(output: Output, found: Diff, specs: Specs, everything: bool) -> None:
    items = list(picked(found, everything))
    sides: list[tuple[str, str]] = [_sides(item, found, specs) for item in items if isinstance(item, Row)]
    room = output.width - MARK - 1 if output.width is not None else None
    heads = f"A  {safe(found.a.run.run_id)}", f"B  {safe(found.b.run.run_id)}"
    left, right = widths([heads, *sides], room, (0, 1), gap=0)
    if room is not None and left + right >= room:
        left, right = room // 2, room - room // 2
    told = iter(sides)
    output.line((f"   {cell(heads[0], left)} {cell(heads[1], right)}", "dim"))
    for item in items:
        if isinstance(item, Gap):
            output.line((f"⋮  {count(item.records, 'record')}", "dim"))
            continue
        mark = "" if item.aside else "≠" if not item.same else "~" if item.differs else "="
        a, b = next(told)
        style = STYLES[mark] if mark != "~" else ""
        output.line((f"{mark:<{MARK}}", STYLES[mark]), (cell(a, left), style), " ", (cell(b, right), style))
        for line in beneath(item, specs, everything):
            output.paragraph(*_worded(line), indent=INDENT, hang=2)
    if any(isinstance(item, Gap) for item in items):
        output.line(("--all shows every record", "dim"))


def _sides(row: Row, found: Diff, specs: Specs) -> tuple[str, str]:
    a = told_side(specs.a, found.a.run, row.a)
    b = told_side(specs.b, found.b.run, row.b)
    return _step(a), _step(b)


def _step(line: PathLine | None) -> str:
    if line is None:
        return ""
    way = " ".join([safe(line.hop) or line.kind, *line.caps])
    return f"{line.seq:>3}  {way} → {safe(line.state)}" if line.hop else f"{line.seq:>3}  {way} in {safe(line.state)}"


def _worded(text: str) -> list[Part]:
    """A line, with what is gone and what is new in their colours."""
    parts: list[Part] = []
    rest = text
    while rest:
        starts = [(at, mark) for mark in PIECES if (at := rest.find(mark)) >= 0]
        at, mark = min(starts, default=(len(rest), ""))
        end = rest.find("-]" if mark == "[-" else "+}", at) + 2 if mark else len(rest)
        parts.append((rest[:at], "dim"))
        if mark:
            parts.append((rest[at:end], PIECES[mark]))
        rest = rest[max(end, at + 1) :] if mark else ""
    return parts


def _table(output: Output, rows: list[tuple[str, str, str]]) -> None:
    wide = widths(rows, output.width, (0,))
    for number, (name, a, b) in enumerate(rows):
        style = "dim" if not number else "yellow" if a != b else ""
        output.line((cell(name, wide[0]), "dim"), "  ", (a.rjust(wide[1]), style), "  ", (b.rjust(wide[2]), style))
