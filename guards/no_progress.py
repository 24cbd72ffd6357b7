"""No going round without getting anywhere, however different it sounds each time."""

from collections.abc import Callable
from typing import Any, ClassVar

from attrs import Factory, field, frozen

from fsm import Facts, Guard, Kind, Standing, Verdict, allow, refuse
from fsm.define.functions import arity, function_mistake
from fsm.define.guard import not_whole
from fsm.define.volatile import number_of_value

A_MEASURE = "def progress(payload) -> int"


def _takes_memory(guard: "NoProgress") -> bool:
    of: object = guard.of
    return callable(of) and arity(of) == 2


@frozen
class NoProgress(Guard):
    """Refuses to go on after `cycles_max` whole cycles in which a value of yours did not change.

    `of` is a named, pure function of the payload, or of payload and memory: the score, the open findings,
    the tests that fail. A cycle is a firing of the transition it stands on, or an entry of the state it stands on
    (there `of` gets every payload that leads in). The value of each is compared, by its JSON form, with that of the
    one before; a value that changed, if only for the worse, begins the count again. Refused, the value stays as it
    was. Code: `no_progress`, with the cycles and the most there may be.
    """

    kind: ClassVar[Kind] = "data"
    codes: ClassVar[tuple[str, ...]] = ("no_progress",)

    cycles_max: int
    of: Callable[..., Any] = field(kw_only=True)
    _with_memory: bool = field(init=False, eq=False, repr=False, default=Factory(_takes_memory, takes_self=True))

    @property
    def reads_memory(self) -> bool:
        return self._with_memory

    def check(self, facts: Facts, /) -> Verdict:
        found = self.of(facts.payload, facts.memory) if self._with_memory else self.of(facts.payload)
        value = number_of_value(found)
        same = facts.kept.get("value") == value
        cycles = facts.kept.get("cycles", 0) + 1 if same else 0
        if cycles >= self.cycles_max:
            return refuse("no_progress", cycles=cycles, cycles_max=self.cycles_max)
        keep = {"cycles": cycles} if same else {"value": value, "cycles": 0}
        return allow(keep, cycles=cycles, cycles_max=self.cycles_max)

    def mistake(self, standing: Standing) -> tuple[str, str] | None:
        of: object = self.of
        wrong = not_whole(self, "cycles_max", 1) or function_mistake("of", of, (1, 2), A_MEASURE)
        if wrong is None and of is None:
            wrong = "NoProgress(of=None) measures nothing", f"name a function: {A_MEASURE}"
        if wrong is None and standing == "run":
            wrong = "NoProgress stands in everywhere()", "put it on the transition or state that closes a cycle"
        return wrong
