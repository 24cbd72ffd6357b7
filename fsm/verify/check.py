"""All that can be said of a machine before it runs: `check(spec)`, a report a person reads in ten seconds."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from attrs import frozen

from fsm.define.guard import Counter
from fsm.define.machine import Machine
from fsm.define.spec import MachineSpec
from fsm.verify.bounds import Unbounded, longest
from fsm.verify.caps import caps
from fsm.verify.choice import choosing, covered
from fsm.verify.costs import SPENDING, Costs, Vector, costs_of
from fsm.verify.cure import cure
from fsm.verify.figures import Figure, Known, amount, figures, in_common, overstepped
from fsm.verify.finding import Finding, about, listed
from fsm.verify.move import Move
from fsm.verify.moves import Moves, moves_of
from fsm.verify.product import SITUATIONS_MAX, Explored, Situations, explore, situations_of
from fsm.verify.promises import Promised, promised, promising
from fsm.verify.pursuit import pursue
from fsm.verify.structure import structure
from fsm.verify.termination import Arc, arcs_of, endless, inner
from fsm.verify.views import unviewed
from fsm.verify.witness import Leg
from fsm.verify.worst import Worst, endless_run, is_real, worst

Kind = Literal["ends", "may run for ever", "not shown to end"]
LEVELS = ("error", "warning", "note")


@frozen(eq=False, kw_only=True)
class Termination:
    """Whether every run ends: completed, failed or cancelled; or `halts`, though no predicate or guard fails.

    `waits` are the states where it may wait for ever instead; `stem` and `loop` show a run without end.
    `within` names the states of a component that nothing was shown to leave.
    """

    kind: Kind
    how: str = ""
    waits: tuple[str, ...] = ()
    halts: bool = False
    stem: tuple[Leg, ...] = ()
    loop: tuple[Leg, ...] = ()
    within: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.kind == "ends":
            waits = f", or waits at {listed(list(self.waits), 'or')}" if self.waits else ""
            return f"every run ends{' or halts' if self.halts else ''}{waits}  ({self.how})"
        if self.kind == "may run for ever":
            return f"a run may go on for ever in {listed(list(self.within))}"
        return f"not shown that every run leaves {listed(list(self.within))}  ({self.how})"

    @property
    def data(self) -> dict[str, Any]:
        told: dict[str, Any] = {"kind": self.kind, "how": self.how, "waits": list(self.waits), "halts": self.halts}
        return {
            **told,
            "within": list(self.within),
            "stem": [str(leg) for leg in self.stem],
            "loop": [str(leg) for leg in self.loop],
        }


@frozen(eq=False, kw_only=True)
class Report:
    """What `check` found: the verdict on termination, the worst case, promises, and findings, errors first."""

    machine: str
    states: int
    situations: int | None
    termination: Termination
    figures: tuple[Figure, ...]
    promises: tuple[Promised, ...] = ()
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return self._of("error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return self._of("warning")

    @property
    def notes(self) -> tuple[Finding, ...]:
        return self._of("note")

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        most = [_amount(figure) for figure in self.figures if figure.most and figure.cost != "ms"]
        broken = [answer.promise.name for answer in self.promises if answer.answer != "kept"]
        told = [f"{self.machine}: {self.termination}"]
        told += [f"at most {', '.join(most)}"] if most else []
        told += [f"{len(self.promises) - len(broken)} of {len(self.promises)} promises kept"] if self.promises else []
        return "; ".join(told)

    def _of(self, level: str) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.level == level)

    def __str__(self) -> str:
        """The verdict, then errors and warnings; `fsm.show.verdict` has the table of the worst case."""
        return "\n".join([self.headline, *(str(finding) for finding in (*self.errors, *self.warnings))])

    @property
    def data(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "termination": self.termination.data,
            "worst": [figure.data for figure in self.figures],
            "promises": [answer.data for answer in self.promises],
            "findings": [finding.data for finding in self.findings],
        }


def _amount(figure: Figure) -> str:
    told = amount(figure.cost, figure.most or 0)
    return f"{told} ({figure.up_to})" if figure.up_to else told


def check(machine: MachineSpec | type[Machine], situations_max: int = SITUATIONS_MAX) -> Report:
    """Everything that can be found out about the machine, looking at no more than so many situations."""
    spec = machine if isinstance(machine, MachineSpec) else machine.spec
    moves = moves_of(spec)
    arcs, costs = arcs_of(moves), costs_of(moves)
    stuck = endless(arcs)
    above = None if stuck is not None else _above(arcs, costs)
    explored, found = _explored(moves, costs, arcs, above, situations_max)
    settled = stuck is None or (explored.complete and not found.loop)
    if stuck is not None and not settled:
        found = _loop(explored.situations, found, stuck, situations_max)
    termination = _termination(moves, arcs, stuck, settled, explored, found)
    known = Known(moves, arcs, costs, explored, found, above, termination.kind == "ends")
    answers = promised(explored.situations, situations_max)
    findings = [*_endless(spec, termination), *promising(answers), *structure(moves), *caps(known)]
    costing = figures(known)
    findings += [*unviewed(moves), *choosing(spec), *overstepped(known), *in_common(known, costing)]
    return Report(
        machine=spec.name,
        states=len(spec.states),
        situations=len(explored.arcs) if explored.complete else None,
        termination=termination,
        figures=costing,
        promises=answers,
        findings=tuple(sorted(findings, key=lambda finding: LEVELS.index(finding.level))),
    )


def _above(arcs: list[Arc], costs: Costs) -> Vector | None:
    try:
        return longest(arcs, costs, 0)
    except Unbounded:
        return None


def _explored(
    moves: Moves, costs: Costs, arcs: list[Arc], above: Vector | None, situations_max: int
) -> tuple[Explored, Worst]:
    """All situations, counters left out that never reach a limit: it makes no difference how far they are.

    Of hops the bound by components may say so; of spending the worst case itself, found without the budgets: what
    cannot be spent before one trips is not spent with them either.
    """
    states = {arc.move.target for arc in arcs}
    known = {of for of, kind in SPENDING.items() if not any(costs.unbounded(state, kind) for state in states)}
    few = frozenset(c for c in moves.counters if c.of == "hops" and above and above[0] < _least(moves, c))
    unspent = frozenset(c for c in moves.counters if c.of in known)
    while True:
        explored = explore(situations_of(moves, few | unspent), situations_max)
        found = worst(explored, costs) if explored.complete else endless_run(explored)
        most = found.most if explored.complete else above
        left = frozenset(c for c in unspent if most and most[SPENDING[c.of]] < _least(moves, c))
        if left == unspent:
            return explored, found
        unspent = left


def _loop(situations: Situations, found: Worst, stuck: Sequence[Move], situations_max: int) -> Worst:
    """A loop that can happen as it is told: one seen, one without needless spending, one chased; empty if none is."""
    if _is_shown(situations, found):
        return found
    frugal = situations_of(situations.moves, frugal=True)
    found = endless_run(explore(frugal, situations_max))
    if not _is_shown(frugal, found):
        found = pursue(frugal, stuck)
    return found if _is_shown(frugal, found) else Worst()


def _is_shown(situations: Situations, found: Worst) -> bool:
    return bool(found.loop) and is_real(situations, (*found.stem, *found.loop))


def _least(moves: Moves, counter: Counter) -> int:
    """The lowest limit it is held against."""
    return min(cap.limit for cap in moves.caps if cap.counter == counter and cap.limit is not None)


def _termination(
    moves: Moves, arcs: Sequence[Arc], stuck: Sequence[Move] | None, settled: bool, explored: Explored, found: Worst
) -> Termination:
    names = explored.states if explored.complete else {move.target for move in moves.all}
    waits = tuple(
        state.name
        for state in moves.spec.states
        if state.kind != "final" and state.timeout_ms is None and state.name in names
    )
    if stuck is None or settled:
        known = "by its caps" if inner(arcs) else "it has no loops"
        how = known if stuck is None else f"all {len(explored.arcs):,} situations"
        return Termination(kind="ends", how=how, waits=waits, halts=_halts(moves, explored))
    if found.loop:
        within = tuple(dict.fromkeys(leg.move.source for leg in found.loop))
        return Termination(kind="may run for ever", stem=found.stem, loop=found.loop, within=within)
    within = tuple(dict.fromkeys(move.source for move in stuck))
    how = "it depends on what its visits spend" if explored.complete else f"more than {len(explored.arcs):,} situations"
    return Termination(kind="not shown to end", how=how, within=within)


def _halts(moves: Moves, explored: Explored) -> bool:
    """Whether a run may halt though no predicate or guard fails and no call is unsure: those two may be anywhere."""
    made = explored.made if explored.complete else moves.all
    halting = [move for move in made if move.outcome in ("stopped", "stuck") and not move.fault]
    halting = [move for move in halting if move.event != "CallUnsure"]
    sure = covered(moves.spec) if halting else set()
    return any(move.outcome == "stopped" or (move.source, move.event) not in sure for move in halting)


def _endless(spec: MachineSpec, termination: Termination) -> Iterator[Finding]:
    if termination.kind == "ends":
        return
    attribute, why, instead = cure(spec, [leg.move for leg in termination.loop], termination.within)
    turn = " -> ".join(f"{leg.move.source} by {leg.move.hop}" for leg in termination.loop)
    what = "\n    ".join(filter(None, [f"{termination}: {turn}" if turn else str(termination), why]))
    yield about(spec.parts.get(attribute), "error", "endless", what, instead)
