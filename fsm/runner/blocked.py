"""Async agents that block the event loop: all runs of this process stand still as long as one computes or sleeps."""

import logging
from collections.abc import Iterable

from attrs import define, field

from fsm.define.agent import is_async
from fsm.runner.live import Live

log = logging.getLogger("fsm.runner")

BLOCKED_S = 1.0
TOLD_MAX = 1_000
NAMED_MAX = 5


@define(eq=False)
class Blocked:
    """Warns of each state once; of TOLD_MAX states, and of NAMED_MAX at a time, at most."""

    _told: set[tuple[str, str]] = field(factory=set)

    def look(self, lives: Iterable[Live], late_s: float) -> None:
        """The loop came back `late_s` after it should have; whose agent held it was at work, or has just returned."""
        if late_s < BLOCKED_S:
            return
        found: dict[tuple[str, str], str] = {}
        for live in lives:
            state = live.engine.spec.state[live.snapshot.state]
            at_work = live.in_agent or live.turn.locked()
            if at_work and state.agent is not None and is_async(state.agent):
                found.setdefault((live.engine.spec.name, state.name), live.run.run_id)
        new = [key for key in found if key not in self._told][:NAMED_MAX]
        if not new or len(self._told) >= TOLD_MAX:
            return
        self._told.update(new)
        named = ", ".join(f"{state} of {machine} (run {found[machine, state]})" for machine, state in new)
        log.warning(
            "the event loop was blocked for %.1f s, and with it every run here; at work was the async agent of %s\n"
            "  -> if it blocks, make it a plain `def` (it then runs on a thread), or await view.call(...)",
            late_s,
            named,
        )
