"""No handoff again and again of what was handed over before."""

import heapq
from typing import ClassVar

from attrs import field, frozen

from fsm import Facts, Guard, Kind, Standing, Verdict, allow, refuse
from fsm.define.guard import KEPT_MAX, not_whole
from fsm.define.volatile import number_said

NTH_MAX = 1_000_000


@frozen
class Repeat(Guard):
    """Refuses the nth arrival of the same payload at the transition it stands on, also not in a row.

    The same is what has the same canonical bytes, fields marked `Volatile` left out. An arrival counts when the
    transition is taken: one that a guard refused, this one included, does not, so the payload stays refused. It
    remembers the `remembered_max` payloads (256) that arrived last and forgets the oldest: of payloads that
    come around less often than that, none is ever refused. Code: `repeat`, with the arrivals so far and the most
    there may be.
    """

    kind: ClassVar[Kind] = "data"
    codes: ClassVar[tuple[str, ...]] = ("repeat",)

    nth: int
    remembered_max: int = field(default=256, kw_only=True)

    def check(self, facts: Facts, /) -> Verdict:
        """Kept of each payload, under its number: which arrival was its last, in millions, and how many it had."""
        assert facts.payload is not None
        known = facts.kept
        name = f"{number_said(facts.payload, facts.payload_digest):x}"
        arrivals = known.get(name, 0) % NTH_MAX
        if arrivals >= self.nth - 1:
            return refuse("repeat", arrivals=arrivals, arrivals_max=self.nth - 1)
        now = max(known.values(), default=0) // NTH_MAX + 1
        keep = {name: now * NTH_MAX + arrivals + 1}
        if name not in known and len(known) >= self.remembered_max:
            beyond = len(known) + 1 - self.remembered_max
            keep |= dict.fromkeys(heapq.nsmallest(beyond, known, known.__getitem__), 0)
        return allow(keep, arrivals=arrivals, arrivals_max=self.nth - 1)

    def mistake(self, standing: Standing) -> tuple[str, str] | None:
        wrong = not_whole(self, "nth", 2) or not_whole(self, "remembered_max", 1)
        if wrong is not None:
            return wrong
        if self.nth > NTH_MAX:
            return f"Repeat(nth={self.nth})", f"give a whole number, 2 to {NTH_MAX:,}"
        if self.remembered_max > KEPT_MAX:
            return f"Repeat(remembered_max={self.remembered_max})", f"give a whole number, 1 to {KEPT_MAX:,}"
        if standing == "transition":
            return None
        where = "in everywhere()" if standing == "run" else "on a state"
        return f"Repeat stands {where}", "put it on a transition: what arrives there is compared"
