"""What stands written at a box and at an arrow, line by line, for every format that writes at pictures."""

from typing import Literal

from attrs import evolve, frozen

from fsm.define.compile import DEFAULT_TIMEOUT_S
from fsm.define.events import RUNTIME_EVENTS
from fsm.define.retry import retriable
from fsm.show.diagram import Arrow, Box, Check, Diagram
from fsm.show.overlay import Overlay
from fsm.show.telling import pause_words
from fsm.show.words import count, duration, listed, money, shown, times

Tone = Literal["plain", "failing", "otherwise", "stopped"]

SPOKES_MAX = 4  # more of them bury the picture


@frozen
class Label:
    """A name, how often it was passed ("" without a run), and what else is known, a line each.

    `seen`: the run passed here. `noted` holds what the run adds: refusals, events nothing took.
    """

    name: str
    times: str
    facts: tuple[str, ...]
    noted: tuple[str, ...] = ()
    seen: bool = True


def box_label(box: Box, run: Overlay | None) -> Label:
    checks = check_lines(box.guards, box.stays)
    if box.kind == "anywhere":
        noted = refusal_lines(run, box.name)
        return Label(f"everywhere: {shown(box.name)}", "", checks, noted, run is None or bool(noted))
    if box.kind == "stopped":
        halts = sum(run.halts.values()) if run else 0
        return Label(box.name, _times(halts), (), seen=run is None or halts > 0)
    if box.kind == "start":
        return Label("", "", ())
    visits = run.visits(box.name) if run else 0
    facts = (*state_facts(box), *(f"entry: {line}" for line in checks))
    facts = (count(visits, "visit"), *facts) if visits else facts
    noted = tuple(f"entry {line}" for line in refusal_lines(run, box.name))
    return Label(shown(box.name), "", facts, (*noted, *state_notes(box, run)), run is None or visits > 0)


def arrow_label(arrow: Arrow, run: Overlay | None) -> Label:
    """What stands at an arrow; a halt and an `otherwise` are named for the line that was refused."""
    passed = passages(arrow, run)
    seen = run is None or passed > 0
    codes = (listed(arrow.codes),) if arrow.rest and arrow.codes else ()  # a single code is in the hop's id
    match arrow.kind:
        case "start":
            return Label("", "", (listed(arrow.events),), seen=seen)
        case "stopped":
            return Label(f"{shown(arrow.line)} refused", _times(passed), codes, seen=seen)
        case "otherwise":
            return Label(shown(arrow.hop), _times(passed), codes, seen=seen)
        case "retry":
            return Label(shown(arrow.hop), _times(passed), retry_lines(arrow), refusal_lines(run, arrow.hop), seen)
        case _:
            facts = (event_words(arrow), *carried(arrow), *check_lines(arrow.guards, arrow.stays))
            return Label(shown(arrow.hop), _times(passed), facts, refusal_lines(run, arrow.line), seen)


def spokes(arrow: Arrow) -> tuple[str, ...]:
    """The sources drawn with an arrow to their junction; of too many none is, and the label names them."""
    return arrow.sources if len(arrow.sources) <= SPOKES_MAX else ()


def junction_label(arrow: Arrow, diagram: Diagram, run: Overlay | None) -> Label:
    """What stands at the junction of a line from several states."""
    label = arrow_label(arrow, run)
    if spokes(arrow) == arrow.sources:
        return label
    names = {box.id: box.name for box in diagram.boxes}
    left = ((names[source], run.times(arrow.hop, names[source]) if run else 0) for source in arrow.sources)
    noted = tuple(f"from {shown(name)} {times(number)}" for name, number in left if number)
    return evolve(label, facts=(*label.facts, from_words(arrow, diagram)), noted=(*noted, *label.noted))


def from_words(arrow: Arrow, diagram: Diagram) -> str:
    """`from every state but person`; or their names, where that is shorter."""
    states = [box for box in diagram.states if box.kind in ("agent", "waiting")]
    others = [box.name for box in states if box.id not in arrow.sources]
    if len(others) < len(arrow.sources):
        return f"from every state but {listed(others)}" if others else "from every state"
    return f"from {listed(box.name for box in states if box.id in arrow.sources)}"


def passages(arrow: Arrow, run: Overlay | None) -> int:
    """How often the run went this way, from all its sources."""
    if run is None:
        return 0
    return run.halts.get(arrow.line, 0) if arrow.kind == "stopped" else run.times(arrow.hop)


def _times(number: int) -> str:
    return times(number) if number else ""


def state_facts(box: Box) -> tuple[str, ...]:
    """A state's title and kind; of an agent, which most are, only the limits of a visit that it declares itself."""
    title = (shown(box.title),) if box.title else ()
    if box.kind == "waiting":
        return (*title, f"waits {duration(box.timeout_ms)}" if box.timeout_ms is not None else "waits")
    if box.kind != "agent":
        return (*title, box.kind)
    usual = box.timeout_ms in (None, DEFAULT_TIMEOUT_S * 1000)
    late = () if usual or box.timeout_ms is None else (f"times out after {duration(box.timeout_ms)}",)
    tokens = [count(box.tokens_max, "token")] if box.tokens_max is not None else []
    spends = [*tokens, *([money(box.usd_micros_max)] if box.usd_micros_max is not None else [])]
    return (*title, *late, *([f"spends up to {' and '.join(spends)} a visit"] if spends else []))


def state_notes(box: Box, run: Overlay | None) -> tuple[str, ...]:
    """Events nothing took there, and that the run is there now."""
    if run is None:
        return ()
    unhandled = ((event, number) for (state, event), number in run.unhandled.items() if state == box.name)
    ended = box.kind in ("completed", "failed")
    here = (f"{run.outcome} here",) if run.state == box.name and not ended else ()
    return (*(f"unhandled: {shown(event)} {times(number)}" for event, number in unhandled), *here)


def refusal_lines(run: Overlay | None, at: str) -> tuple[str, ...]:
    """What the guards that stand on an attribute refused with, a line each."""
    codes = run.refusals.get(at, {}) if run else {}
    return tuple(f"refused: {shown(code)} {times(number)}" for code, number in codes.items())


def event_words(arrow: Arrow) -> str:
    """`Verdict when is_good`."""
    return listed(arrow.events) + (f" when {shown(arrow.when)}" if arrow.when is not None else "")


def carried(arrow: Arrow) -> tuple[str, ...]:
    """That it enters its target with the payload of the visit it leaves."""
    return ("with the same payload",) if arrow.carries else ()


def retry_lines(arrow: Arrow) -> tuple[str, ...]:
    """How often at most, how far apart; and which failures are tried again, where that is the user's to say."""
    words = (*(guard.words for guard in arrow.guards), pause_words(*(arrow.pause_ms or (0, 0))))
    return words if arrow.when == retriable.__name__ else (*words, f"when {shown(arrow.when or '')}")


def check_lines(guards: tuple[Check, ...], stays: bool = False) -> tuple[str, ...]:
    """A line per guard; the last says so where a refusal leaves the run in its state."""
    lines = [f"{shown(guard.name)}: {guard.words}" if guard.words else shown(guard.name) for guard in guards]
    return (*lines, "if refused, it stays") if stays else tuple(lines)


def tone(arrow: Arrow, diagram: Diagram) -> Tone:
    """How a way stands out: halts, refused ways, and ways of failure, which lead on or end."""
    if arrow.kind in ("stopped", "otherwise"):
        return "stopped" if arrow.kind == "stopped" else "otherwise"
    target = next(box for box in diagram.boxes if box.id == arrow.target)
    failing = arrow.kind == "retry" or (bool(arrow.events) and all(event in RUNTIME_EVENTS for event in arrow.events))
    return "failing" if target.kind == "failed" or failing else "plain"


def is_shared(arrow: Arrow) -> bool:
    """Whether it is drawn as a junction of its own; its `otherwise` then begins there too."""
    return arrow.kind == "direct" and len(arrow.sources) != 1
