"""What shows in the shape of a machine alone, whatever its counters do; one pass, in the order of the lines."""

from collections.abc import Iterator

from fsm.define.agent import is_model, returned
from fsm.define.events import RUNTIME_EVENTS
from fsm.define.parts import START, Named, StateSpec, TransitionSpec
from fsm.define.spec import MachineSpec
from fsm.verify.finding import Finding, about, listed
from fsm.verify.graph import reachable
from fsm.verify.move import Move
from fsm.verify.moves import Moves


def structure(moves: Moves) -> list[Finding]:
    """All that is wrong with the shape of a machine."""
    spec = moves.spec
    forth: dict[str, list[tuple[str, None]]] = {}
    back: dict[str, list[tuple[str, None]]] = {}
    for move in moves.all:
        if move.moved:
            forth.setdefault(move.source, []).append((move.target, None))
            back.setdefault(move.target, []).append((move.source, None))
    reached = reachable(forth, [START])
    ending = reachable(back, [state.name for state in spec.states if state.kind == "final"])
    live = [move for move in moves.all if move.source in reached]
    return [
        *_states(spec, reached, ending),
        *_lines(spec, live, reached),
        *_nowhere(spec, live),
        *_failures(spec, live),
    ]


def _states(spec: MachineSpec, reached: set[str], ending: set[str]) -> Iterator[Finding]:
    for state in spec.states:
        if state.name not in reached:
            what = f"no run comes here{_idle(spec, state)}"
            yield about(state, "warning", "unreachable", what, f"lead a line to it, or drop `{state.name}`")
        elif state.name not in ending:
            what = "from here no way leads to a final state, so a run that comes here never completes or fails"
            yield about(state, "error", "no-end", what, f"write {state.name}.to(<a final state>, on=...)")
        elif state.kind != "final" and state.timeout_ms is None:
            what = "a run may wait here for ever: it has no timeout"
            instead = f"give it timeout_s=, and a line {state.name}.to(..., on=TimedOut)"
            yield about(state, "warning", "no-timeout", what, instead)


def _idle(spec: MachineSpec, state: StateSpec) -> str:
    """That only guards lead here which are asked nowhere but at the start."""
    entered = [line for line in spec.transitions if spec.state[line.target].kind != "final"]
    asked = any(event not in RUNTIME_EVENTS for line in entered for event in line.events)
    leading = [line.name for line in spec.everywhere if state.name in line.otherwise.values()]
    if asked or not leading:
        return ""
    return (
        f": it is the otherwise of {listed(leading)}, whose guards are not asked on entering a final state, "
        "nor on the runtime's own events"
    )


def _lines(spec: MachineSpec, live: list[Move], reached: set[str]) -> Iterator[Finding]:
    """Lines that are never the candidate, or never in one of their states."""
    candidates = {(move.source, move.event, move.course.line) for move in live}
    before: dict[tuple[str, str], list[TransitionSpec]] = {}
    for line in spec.transitions:
        pairs = [(source, event) for source in line.sources for event in line.events if source in reached]
        hidden: dict[str, list[str]] = {}
        silent: list[tuple[str, str]] = []
        for pair in pairs:
            first = next((other for other in before.get(pair, ()) if _hides(other, line)), None)
            if first is not None and first.carries:  # a fallback comes first, and from there the line leads on
                continue
            if first is not None:
                hidden.setdefault(first.name, []).append(pair[0])
            elif (*pair, line.name) not in candidates:
                silent.append(pair)
            before.setdefault(pair, []).append(line)
        for name, sources in hidden.items():
            yield _hidden(line, name, sources)
        for source, event in silent:
            yield _silent(line, source, event)
        for source, event in pairs:
            if (source, event) not in silent and not _returns(spec.state[source], event, spec):
                what = f"the agent of `{source}` does not return {event}: only an event from outside takes it there"
                instead = f"add {event} to what the agent returns, or drop the line"
                yield about(line, "note", "not-returned", what, instead)


def _hides(first: TransitionSpec, line: TransitionSpec) -> bool:
    """Whether the one before always matches where this one does."""
    return first.when is None or (line.when is not None and _same(first.when, line.when))


def _same(one: Named, other: Named) -> bool:
    return one == other and one.fn is other.fn and one.fn is not None  # two functions may have one name


def _hidden(line: TransitionSpec, name: str, sources: list[str]) -> Finding:
    everywhere = "" if set(sources) == set(line.sources) else f" from {listed(list(dict.fromkeys(sources)))}"
    what = f"never the candidate{everywhere}: `{name}`, written before it, matches whenever it does"
    return about(line, "warning", "shadowed", what, f"write it before `{name}`, or give `{name}` a when= of its own")


def _silent(line: TransitionSpec, source: str, event: str) -> Finding:
    why = {"TimedOut": "it has no timeout", "AgentFailed": "it has no agent, and its timeout leads elsewhere"}
    what = f"never taken from `{source}`: {event} does not come up there, {why.get(event, 'it has no agent')}"
    instead = "give the state timeout_s=" if event == "TimedOut" else f"drop {event}, or `{source}`, from the line"
    return about(line, "warning", "never-taken", what, instead)


def _returns(state: StateSpec, event: str, spec: MachineSpec) -> bool:
    """Whether the agent may return it, as far as its annotation tells; what is not said may be."""
    cls = spec.classes.get(event)
    if event in RUNTIME_EVENTS or state.agent is None or cls is None:
        return True
    parts = returned(state.agent)
    return not parts or any(not is_model(part) or issubclass(cls, part) for part in parts)


def _nowhere(spec: MachineSpec, live: list[Move]) -> Iterator[Finding]:
    """Guards whose refusal halts the run, as no otherwise says where it leads."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for move in live:
        if move.outcome == "stopped" and not move.fault:
            asked = [asked for asked in move.course.asked if asked.code][-1]
            sources = found.setdefault((asked.guard.at, asked.guard.name, asked.code or ""), [])
            if move.source not in sources:
                sources.append(move.source)
    for (at, guard, code), sources in found.items():
        if sources == [START]:
            what = f"where {guard} refuses ({code}), a run does not begin: it halts before its first state"
        else:
            states = listed([source for source in sources if source != START])
            what = f"where {guard} refuses ({code}), a run in {states} halts: no otherwise says where it leads"
        yield about(spec.parts[at], "warning", "nowhere-to-go", what, f"give `{at}` an otherwise=")


def _failures(spec: MachineSpec, live: list[Move]) -> Iterator[Finding]:
    """Agents whose failure nobody handles."""
    states = list(dict.fromkeys(move.source for move in live if (move.outcome, move.event) == ("stuck", "AgentFailed")))
    agents = [spec.state[name] for name in states if spec.state[name].kind == "agent"]
    if agents:
        names = listed([state.name for state in agents])
        refused = f", or {watching} refuses a call of it," if (watching := _watching(spec, agents)) else ""
        what = f"when the agent of {names} fails{refused or ','} the run halts: no line takes AgentFailed there"
        yield about(agents[0], "warning", "failure-halts", what, "write any_of(...).to(..., on=AgentFailed)")


def _watching(spec: MachineSpec, agents: list[StateSpec]) -> str:
    """The guards that may refuse a call in the midst of a visit, where no line takes that either."""
    taken = {source for line in spec.transitions if "CallRefused" in line.events for source in line.sources}
    places = [state for state in agents if state.name not in taken]
    guards = [guard for place in places for guard in place.guards]
    guards += spec.machine_wide if places else ()
    struck = [guard for guard in guards if guard.counter is not None and guard.counter.of == "strikes"]
    open_ = [guard for guard in guards if guard.shares is not None and guard.shares.kind == "breaker"]
    return " or ".join(dict.fromkeys(guard.name for guard in (*struck, *open_)))
