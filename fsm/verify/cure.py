"""What to write so that a loop without end has one: at which line, and why there."""

from collections.abc import Iterator, Sequence

from fsm.define.guard import Counter
from fsm.define.parts import START
from fsm.define.spec import MachineSpec
from fsm.verify.finding import listed, named
from fsm.verify.move import Move
from fsm.verify.shares import is_shared_budget

Cure = tuple[str, str, str]
"""The attribute; what is wrong with it, if anything but the loop is; and what to write instead."""


def cure(spec: MachineSpec, loop: Sequence[Move], within: Sequence[str]) -> Cure:
    """The first that applies of: a cap that is begun again, a budget that counts nothing, a line to cap."""
    begun = list(dict.fromkeys(_begun_again(loop)))
    if begun:
        at = list(dict.fromkeys(owner for owner, _ in begun))
        which = "one of the caps" if len(at) > 1 else "the cap"
        return at[-1], "; ".join(why for _, why in begun), f"drop since= of {which} on {listed(at)}"
    back = _back(spec, loop)
    asked = [asked.guard for move in loop for asked in move.asked if asked.below]
    budget = next((guard for guard in asked if guard.counter is not None and guard.counter.of == "tokens"), None)
    spends = [move.source for move in loop if move.source != START and spec.state[move.source].kind == "agent"]
    if budget is not None and spends:
        why = f"{named(budget)} ends no loop whose visits may spend nothing"
        other = f", or cap `{back.course.line}`" if back is not None else ""
        return spends[-1], why, f"give one of its states tokens_min=, as `{spends[-1]}`{other}"
    shared = next((a.guard for move in loop for a in move.asked if is_shared_budget(a.guard)), None)
    why = f"{named(shared)} ends no run: many spend it, and people may raise it" if shared is not None else ""
    if back is not None:
        line = back.course.line
        led = any(other.name == line and other.otherwise for other in spec.transitions)
        otherwise = "" if led else f", otherwise={_elsewhere(spec, loop)}"
        return line, why, f"cap the line that goes back: guards=[LoopCap(3)]{otherwise} on `{line}`"
    turning = [move for move in loop if move.event != "Cancelled"]
    if turning:
        state = turning[0].target
        return state, why, f"cap a state, as it turns by otherwise: guards=[LoopCap(3)] on `{state}`, without since="
    if loop:
        return loop[0].course.line, "", "lead Cancelled to a final state: no guard is asked on it"
    return within[0], "", "cap a line of every loop there, without since="


def _begun_again(loop: Sequence[Move]) -> Iterator[tuple[str, str]]:
    """Where caps stand that count in the loop, and what in the loop begins their count again."""
    resets: dict[Counter, str] = {counter: move.hop for move in loop for counter in move.course.reset}
    counted = {counter for move in loop for counter in move.course.up}
    for move in loop:
        for asked in move.asked:
            cap, counter = asked.guard, asked.guard.counter
            if asked.below and counter is not None and counter in resets and counter in counted:
                why = f"`{resets[counter]}` enters `{counter.since}`, where {named(cap)} begins to count again"
                yield cap.at, why


def _back(spec: MachineSpec, loop: Sequence[Move]) -> Move | None:
    """The line of the loop that leads furthest back, in the order written; a cap there counts every turn."""
    order = {state.name: at for at, state in enumerate(spec.states)}
    direct = [move for move in loop if move.event != "Cancelled" and move.hop == move.course.line and not move.retries]
    return max(direct, key=lambda move: order[move.source] - order[move.target], default=None)


def _elsewhere(spec: MachineSpec, loop: Sequence[Move]) -> str:
    """A state out of the loop: one where somebody is asked, or a final one."""
    inside = {move.source for move in loop}
    outside = [state for state in spec.states if state.name not in inside]
    ranked = sorted(
        outside, key=lambda state: (state.kind != "waiting", state.final != "failed", state.kind != "final")
    )
    return ranked[0].name if ranked else "<a final state>"
