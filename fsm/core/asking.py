"""Asking one guard: its verdict as a ruling, whatever its code does.

A cap is counted here and runs no code. Any other guard may raise or answer nonsense, and is then refused
with `guard_error`; where its code is not at hand, it answers as it did in the record that is replayed.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import define, field

from fsm.core.record import Record
from fsm.core.snapshot import Pending, keeping
from fsm.define.guard import KEPT_MAX, KEPT_NAME_MAX, NOTHING_KEPT, Facts, Kept, Placed, Ruling, Verdict
from fsm.define.parts import Bounds
from fsm.define.payload import excerpt, told

DEFER_EXHAUSTED = "defer_exhausted"
Answer = Ruling | Placed
"""A guard's ruling, or the guard itself, which has yet to be asked where the row that it shares can be seen."""


class NotRecorded(Exception):
    """A predicate's or guard's answer is needed that neither code nor record gives."""


@define
class Asking:
    """The guards asked for one event; `pending` is that event, if it was put off before; `kept` what guards keep.

    `answered` says how often those alike at one place have answered from the record.
    """

    bounds: Bounds
    pending: Pending | None
    recorded: Record | None
    kept: Mapping[str, Kept]
    answered: Mapping[tuple[str, str], int] = field(factory=dict)

    def ruling(self, guard: Placed, counters: Mapping[str, int], facts: Callable[[Kept], Facts]) -> Answer:
        """What `guard` rules on these counters, or on the facts, which come with what it keeps.

        Itself, if that takes a row it shares with other runs.
        """
        if guard.shares is not None:
            return guard
        counted = guard.count(counters)
        if counted is not None:
            return Ruling(guard.name, guard.at, guard.standing, counted)
        if guard.check is None:
            return self._as_recorded(guard)
        kept = self.kept.get(guard.kept_as, NOTHING_KEPT) if self.kept else NOTHING_KEPT
        seen = facts(kept)
        try:
            verdict = guard.check(seen)
        except Exception as error:
            return broken(guard.name, guard.at, "guard_error", error, guard.standing)
        flaw = _flaw(verdict, guard) or _flaw_of_keeping(verdict, kept)
        if flaw:
            wrong = TypeError(f"answered {excerpt(verdict)}: {flaw}")
            return broken(guard.name, guard.at, "guard_error", wrong, guard.standing)
        nth = guard.nth if verdict.keep else 1
        verdict = bounded(verdict, self.bounds, self.pending, seen.at_ms)
        return Ruling(guard.name, guard.at, guard.standing, verdict, nth)

    def _as_recorded(self, guard: Placed) -> Ruling:
        """What the record holds of this guard; of several alike at one place each gets its own."""
        rulings = self.recorded.rulings if self.recorded else ()
        same = [ruling for ruling in rulings if (ruling.guard, ruling.at) == (guard.name, guard.at)]
        nth = self.answered.get((guard.name, guard.at), 0)
        if nth >= len(same):
            raise NotRecorded(f"{guard.name} on {guard.at}")
        self.answered = {**self.answered, (guard.name, guard.at): nth + 1}
        return same[nth]


def bounded(verdict: Verdict, bounds: Bounds, pending: Pending | None, at_ms: int) -> Verdict:
    """A deferral within the machine's bounds; beyond them it is refused with `defer_exhausted`."""
    if verdict.decision != "defer" or verdict.until_ms is None:
        return verdict
    defers = pending.defers if pending else 0
    since_ms = pending.since_ms if pending else at_ms
    waited_s = -(-(max(verdict.until_ms, at_ms + 1) - since_ms) // 1000)  # begun ones count: it is a bound
    if defers < bounds.defers_max and waited_s <= bounds.defer_s_max:
        return verdict
    numbers = {
        "defers": defers,
        "defers_max": bounds.defers_max,
        "defer_s": waited_s,
        "defer_s_max": bounds.defer_s_max,
    }
    return Verdict("refuse", DEFER_EXHAUSTED, numbers)


def refusing(rulings: Iterable[Answer]) -> Ruling | None:
    """The first refusal; it decides."""
    for ruling in rulings:
        if isinstance(ruling, Ruling) and ruling.verdict.decision == "refuse":
            return ruling
    return None


def is_allowed(answer: Answer) -> bool:
    """Whether this does not refuse, whatever becomes known."""
    return isinstance(answer, Ruling) and answer.verdict.decision != "refuse"


def broken(name: str, at: str, code: str, error: Exception | None, standing: Any = "transition") -> Ruling:
    """The refusal that a failure of the user's own code becomes."""
    return Ruling(name, at, standing, Verdict("refuse", code, text=told(error) if error is not None else ""))


def _flaw(verdict: object, guard: Placed) -> str:
    """What is wrong with a guard's answer, if anything is."""
    if not isinstance(verdict, Verdict):
        return "no verdict"
    if verdict.decision not in ("allow", "refuse", "defer"):
        return "it neither allows nor refuses nor defers"
    if verdict.code not in guard.codes and (verdict.decision != "allow" or verdict.code != ""):
        return f"its codes are {', '.join(guard.codes)}"
    numbers: object = verdict.numbers
    if not isinstance(numbers, Mapping) or not _are_whole(numbers):
        return "its numbers are not whole"
    if not all(map(_is_text, (verdict.text, *numbers))):
        return "its text cannot be stored"
    if verdict.decision == "defer" and type(verdict.until_ms) is not int:
        return "it defers without a moment"
    if verdict.decision == "defer" and guard.kind != "env":  # a proof of how long runs take relies on it
        return f"only a guard of kind env may defer, and its kind is {guard.kind}"
    return ""


def _flaw_of_keeping(verdict: Verdict, kept: Kept) -> str:
    """What is wrong with what it would keep, beside what it has kept."""
    keep: object = verdict.keep
    if keep is NOTHING_KEPT:
        return ""
    if not isinstance(keep, Mapping) or not _are_whole(keep):
        return "what it keeps are no whole numbers"
    if keep and verdict.decision != "allow":
        return "it keeps counts of a move that it does not allow"
    if any(not _is_text(name) or len(name) > KEPT_NAME_MAX for name in keep):
        return f"what it keeps has names that cannot be stored, or longer than {KEPT_NAME_MAX} characters"
    if any(abs(number) >= 1 << 63 for number in keep.values()):
        return "what it keeps does not fit in 64 bits"
    if keep and len(kept) + len(keep) > KEPT_MAX and len(keeping(kept, keep)) > KEPT_MAX:
        return f"it keeps more than {KEPT_MAX:,} counts"
    return ""


def _are_whole(numbers: Mapping[str, int]) -> bool:
    return set(map(type, numbers.values())) <= {int}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and (value.isascii() or value.encode("utf-8", "replace").decode() == value)
