"""One line of the transition table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic

from pydantic import BaseModel
from typing_extensions import TypeVar

from fsm.define.guard import Guard
from fsm.define.place import Line

P = TypeVar("P", bound=BaseModel)

Otherwise = Line | Mapping[str, Line] | None


UNCHANGED: Any = object()


class Transition(Line, Generic[P]):
    """Source states, payload class, predicate, guards, target; made by `state.to(...)`, named by its attribute."""

    def __init__(
        self,
        sources: tuple[Line, ...],
        target: Line,
        on: object,
        when: Callable[..., bool] | None,
        guards: Sequence[Guard],
        otherwise: Otherwise,
        remember: Callable[..., BaseModel] | None,
    ) -> None:
        super().__init__()
        self.sources = sources
        self.target = target
        self.on = on
        self.when = when
        self.guards = guards
        self.otherwise = otherwise
        self.remember = remember
        self.origin: Line | None = None

    def but(
        self,
        *,
        when: Callable[[P], bool] | Callable[[P, Any], bool] | None = UNCHANGED,
        guards: Sequence[Guard] = UNCHANGED,
        otherwise: Otherwise = UNCHANGED,
        remember: Callable[[Any, P], BaseModel] | None = UNCHANGED,
    ) -> "Transition[P]":
        """This line with a change, for a subclass: `reject = Parent.reject.but(guards=[LoopCap(5)])`."""
        changed = Transition[P](
            self.sources,
            self.target,
            self.on,
            self.when if when is UNCHANGED else when,
            self.guards if guards is UNCHANGED else guards,
            self.otherwise if otherwise is UNCHANGED else otherwise,
            self.remember if remember is UNCHANGED else remember,
        )
        changed.origin = self
        return changed


class Everywhere(Line):
    """Guards of the whole machine; made by `everywhere(...)`."""

    def __init__(self, guards: Sequence[Guard], otherwise: Otherwise) -> None:
        super().__init__()
        self.guards = guards
        self.otherwise = otherwise


def everywhere(*guards: Guard, otherwise: Line | Mapping[str, Line] | None = None) -> Everywhere:
    """Guards asked at every transition, after its own and the target state's.

    A run must always be able to fail, so these are not asked for the runtime's own events, for `otherwise`
    hops, and on entering a final state.
    """
    return Everywhere(guards, otherwise)
