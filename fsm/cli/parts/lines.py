"""How a run's path looks: its head, a line a record, one record whole."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from attrs import frozen

from fsm.cli.parts.output import Output, Part, cell
from fsm.core.record import NOTHING, Record, Spent
from fsm.define.parts import START, retry_id
from fsm.define.spec import MachineSpec
from fsm.journal.rows import Run
from fsm.show.asked import Asked
from fsm.show.path import CallTold, Cap, Gap, PathLine
from fsm.show.telling import AMOUNTS, again, compact, pretty, streaks
from fsm.show.words import ago, colour, count, duration, moment, safe, spending, told_again, usage

STATE_MAX, HOP_MAX, NAME, TIME = 16, 22, 10, len("59 min 59 s")
BODY_MAX, CALL_MAX, SHORT = 4_000, 200, 60
MARKS = {"allow": ("✓", "green"), "refuse": ("✗", "red"), "defer": ("…", "yellow")}
CAPS = {"strikes": "failures in a row", "elapsed_ms": "time", "usd_micros": "money"}
OF_PLACES = frozenset({"fires", "visits", "attempts", "strikes"})
STATUS = {"ok": "green", "failed": "red", "spent": "dim"}


def head(
    output: Output, run: Run, left: bool, spent: Spent, caps: Iterable[Cap], now_ms: int, again_ms: int | None = None
) -> None:
    """What the run is, how it stands, and what it has used of what it may; `again_ms`: when its attempt begins."""
    name = (safe(run.run_id), "bold")
    stands = _stands(run, left, told_again(again_ms, now_ms))
    output.line(("run ", "dim"), name, (" of ", "dim"), safe(run.machine), (": ", "dim"), *stands)
    if run.labels:
        output.paragraph(
            *named("labels", " ".join(f"{safe(k)}={safe(v)}" for k, v in run.labels.items())), hang=NAME + 2
        )
    over = run.ended or run.halted
    lasted = f"took {duration(run.at_ms - run.started_at_ms)}" if over else f"last record {ago(now_ms - run.at_ms)}"
    output.line(*named("started", f"{moment(run.started_at_ms)}, {ago(now_ms - run.started_at_ms)}; {lasted}"))
    found = list(caps)
    output.line(*named("so far", ", ".join([count(run.seq + 1, "record"), *spending(spent)])))
    for one in spent.usage:
        output.paragraph(*named("usage", usage(one)), hang=NAME + 2)
    if found:
        output.paragraph(*named("caps", ", ".join(map(_cap, found))), hang=NAME + 2)


def named(name: str, text: str) -> tuple[Part, ...]:
    return (f"  {name:<{NAME}}", "dim"), text


def _stands(run: Run, left: bool, again: str) -> tuple[Part, ...]:
    nobody = (", nobody at work", "bold yellow") if left else ""
    return (run.outcome, f"bold {colour(run.outcome)}"), nobody, (" in ", "dim"), safe(run.state), again


def _cap(cap: Cap) -> str:
    of, _, since = cap.of.partition(" since ")
    mark = f" since {safe(since)}" if since else ""
    if of in AMOUNTS:
        return f"{CAPS.get(of, of)} {AMOUNTS[of](cap.count)} of {AMOUNTS[of](cap.limit)}{mark}"
    told = f"{cap.count:,} of {cap.limit:,}{mark}"
    return f"{safe(cap.at)} {told} {CAPS.get(of, of)}" if of in OF_PLACES else f"{of.replace('_', ' ')} {told}"


@frozen
class Columns:
    """How wide the columns of a path are, and what its lines are made of."""

    seq: int
    state: int
    hop: int

    @classmethod
    def of(cls, spec: MachineSpec, last: int) -> "Columns":
        """For the records of this machine up to `last`."""
        return cls(
            seq=max(len(str(last)), 3),
            state=min(max(len(name) for name in (START, *(state.name for state in spec.states))), STATE_MAX),
            hop=min(max(map(len, ["unhandled", *spec.hops, *_counted(spec)])), HOP_MAX),
        )

    @classmethod
    def fitting(cls, lines: Iterable[PathLine], last: int) -> "Columns":
        """For just these lines, of a run of so many records: nothing in them is cut, or shifts what follows."""
        found = [(len(safe(line.state)), len(_way(line))) for line in lines]
        state, hop = (max((width[at] for width in found), default=0) for at in (0, 1))
        return cls(seq=max(len(str(last)), 3), state=min(state, 2 * STATE_MAX), hop=min(hop, 2 * HOP_MAX))

    @property
    def indent(self) -> int:
        """Of what stands beneath a record."""
        return self.seq + TIME + 4

    def row(self, line: PathLine, cut: bool) -> list[Part]:
        """A record in one line; names too long for their column are `cut` only where the line is."""
        way = _way(line)
        return [
            (f"{line.seq:>{self.seq}}  ", "dim"),
            (f"+{duration(line.after_ms):<{TIME}} ", "dim"),
            (cell(safe(line.state), self.state), f"bold {_moved(line)}" if line.hop else "dim"),
            "  ",
            (cell(way, self.hop) if cut else f"{way:<{self.hop}}", "yellow" if line.objections or not line.hop else ""),
            "  ",
            (safe(line.event), "bold" if not line.own else ""),
            (f" {line.words}" if line.words else "", "dim"),
        ]

    def beneath(self, line: PathLine) -> list[Part]:
        """Verdicts that objected, and what is out of the ordinary, a line each."""
        found: list[Part] = [(f"✗ {objection}", "red") for objection in line.objections]
        if line.remark and line.remark != "waits":
            found.append((f"▸ {line.remark}", _moved(line) or "yellow"))
        return found


def _way(line: PathLine) -> str:
    """The way taken, or what happened instead, with what was counted on it."""
    return " ".join([safe(line.hop) or line.kind, *line.caps])


def _moved(line: PathLine) -> str:
    return colour(line.outcome) if line.outcome != "running" else ""


class Lines:
    """Prints the lines of a path."""

    def __init__(self, output: Output, spec: MachineSpec, last: int, with_calls: bool) -> None:
        self.output, self.with_calls, self.columns = output, with_calls, Columns.of(spec, last)

    def fit(self, lines: Iterable[PathLine], last: int) -> None:
        """Make the columns as wide as these lines need them."""
        self.columns = Columns.fitting(lines, last)

    def print(self, item: PathLine | Gap) -> None:
        if isinstance(item, Gap):
            self.output.line((f"{'⋮':>{self.columns.seq}}  {count(item.records, 'record')}", "dim"))
            return
        self.record(item)
        self.calls(item.calls, item.spent)

    def record(self, line: PathLine) -> None:
        self.output.line(*self.columns.row(line, cut=self.output.width is not None))
        for part in self.columns.beneath(line):
            self.output.paragraph(part, indent=self.columns.indent, hang=2)

    def calls(self, calls: Sequence[CallTold], spent: Spent) -> None:
        """The calls that followed and all that was spent, in one line; or each call with arguments and result."""
        if self.with_calls:
            for call in calls:
                self._call(call)
            calls = ()
        parts: list[Part] = []
        for (name, status, error), alike in groupby(calls, lambda call: (call.name, call.status, call.error)):
            group = list(alike)
            times = f" {len(group)} times" if len(group) > 1 else ""
            because = f" ({safe(error)[:CALL_MAX]})" if error else ""
            parts += [
                ", " if parts else ("· ", "dim"),
                (told_name(name), ""),
                (f" {status}{times}{because}", STATUS.get(status, "yellow")),
            ]
            parts += [(f" {_spent(group)}", "dim")] if _spent(group) else []
        if spent.tokens and spent.tokens != sum(call.spent.tokens for call in calls):
            total = count(spent.tokens, "token")
            parts += [("; " if parts else "· ", "dim"), (f"{total} in all" if calls else total, "dim")]
        if parts:
            self.output.paragraph(*parts, indent=self.columns.indent, hang=2)

    def _call(self, call: CallTold) -> None:
        self.output.paragraph(*call_parts(call), indent=self.columns.indent, hang=2)
        for mark, body in (("(", call.arguments), ("=", call.result)):
            if body is not None and call.status != "spent":
                self.output.line(" " * (self.columns.indent + 2), (f"{mark} {compact(body)[:BODY_MAX]}", "dim"))


def _counted(spec: MachineSpec) -> list[str]:
    """The transitions and retries with their caps at the limit, as wide as they get."""
    made = [(state.name, state.retry.attempts_max) for state in spec.states if state.retry is not None]
    again = [f"{retry_id(name)} {most:,}/{most:,}" for name, most in made]
    return again + [
        " ".join([line.name, *(f"{guard.limit:,}/{guard.limit:,}" for guard in line.guards if guard.limit is not None)])
        for line in spec.transitions
    ]


def told_name(name: str) -> str:
    return safe(name) or "spending of an attempt that was cut off"


def _spent(calls: Iterable[CallTold]) -> str:
    return ", ".join(spending(sum((call.spent for call in calls), NOTHING)))


def call_parts(call: CallTold) -> list[Part]:
    """`· model ok 84 ms 120 tokens, attempt 2`."""
    told = [duration(call.lasted_ms) if call.lasted_ms is not None else "", _spent([call])]
    told.append(f"attempt {call.attempt}" if call.attempt > 1 else "")
    more = "".join(f", {part}" for part in told if part)
    return [("· ", "dim"), told_name(call.name), (f" {call.status}", STATUS.get(call.status, "yellow")), (more, "dim")]


def verdicts(output: Output, asked: Asked, indent: int = 2) -> None:
    """What was asked for a record: each predicate with its answer, each guard with its numbers."""
    for answer in asked.predicates:
        where = f"  {answer.where}" if answer.where else ""
        mark, colour = ("✓", "green") if answer.result else ("·", "dim") if answer.result is False else ("✗", "red")
        told = f"{safe(answer.transition)}: {safe(answer.predicate)} {answer.said}"
        output.paragraph((f"{mark} ", colour), told, (where, "dim"), indent=indent, hang=2)
    for ruled in asked.verdicts:
        mark, colour = MARKS[ruled.decision]
        nowhere = "; so it is not tried again" if ruled.retry else "; it declares no otherwise"
        led = f"; led to {safe(ruled.to)} by {safe(ruled.hop)}" if ruled.to else nowhere if ruled.decides else ""
        where = f"  {ruled.where}" if ruled.where else ""
        text = f"{safe(ruled.guard)} on {safe(ruled.at)} {ruled.said}{led}"
        output.paragraph(
            (f"{mark} ", colour), (text, "bold" if ruled.decides else ""), (where, "dim"), indent=indent, hang=2
        )


def whole(output: Output, run: Run, record: Record, asked: Asked, calls: Iterable[CallTold], everything: bool) -> None:
    """One record, with all that was asked, its payload, and the calls that led to it."""
    most = None if everything else BODY_MAX
    way = (
        f"{safe(record.source)} → {safe(record.state)} by {safe(record.hop)}"
        if record.hop
        else f"it stays in {safe(record.state)}"
    )
    output.line(
        ("record ", "dim"),
        (str(record.seq), "bold"),
        (" of run ", "dim"),
        safe(run.run_id),
        (": ", "dim"),
        f"{record.kind}, {way}",
    )
    output.line(*named("at", f"{moment(record.at_ms)}, {duration(record.at_ms - run.started_at_ms)} after the start"))
    if record.event:
        origin = (
            f"of attempt {record.attempt}" if record.own else f"from outside, event id {safe(record.event_id or '')}"
        )
        output.line(*named("event", f"{safe(record.event)}, {origin}"))
    output.line((f"  {'outcome':<{NAME}}", "dim"), (record.outcome, colour(record.outcome)))
    if record.kind == "retried":
        output.line(*named("again", f"{again(record)}, at {moment(record.until_ms or 0)}"))
    elif record.until_ms is not None:
        output.line(*named("until", moment(record.until_ms)))
    if record.strikes:
        output.line(*named("failures", ", ".join(streaks(record)) or "none in a row"))
    if record.spent:
        output.line(*named("spent", ", ".join(spending(record.spent))))
    for one in record.spent.usage:
        output.paragraph(*named("usage", usage(one)), hang=NAME + 2)
    output.line(*named("memory", f"sha256 {record.memory.hex()}" if record.memory else "unchanged"))
    for name, value in record.note.items():
        output.line(*named("note", f"{safe(name)}: {safe(str(value))}"))
    if asked.predicates or asked.verdicts:
        output.line()
        output.line(("asked", "bold"), (f"  candidate: {safe(asked.candidate) or 'none'}", "dim"))
        verdicts(output, asked)
    if record.event:
        output.line()
        output.line(("payload", "bold"))
        output.block(pretty(record.body, most), 2)
    found = list(calls)
    if found:
        output.line()
        output.line(("calls that led here", "bold"))
    for call in found:
        output.paragraph(*call_parts(call), indent=2, hang=2)
        for title, body in (("arguments", call.arguments), ("result", call.result)):
            if body is not None:
                text = compact(body)
                short = len(text) <= SHORT
                output.line((f"    {title:<{NAME}}", "dim"), text if short else "")
                if not short:
                    output.block(pretty(body, most), 6)
