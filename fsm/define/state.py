"""States, and how lines start from them."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, Never

from pydantic import BaseModel
from typing_extensions import TypeVar

from fsm.define.agent import Agent
from fsm.define.guard import Guard
from fsm.define.place import Line
from fsm.define.retry import Retry
from fsm.define.transition import Transition

P = TypeVar("P", bound=BaseModel)
In = TypeVar("In", bound=BaseModel, contravariant=True, default=BaseModel)

Final = Literal["completed", "failed"]


class Sources:
    """Several states that share a line: `any_of(draft, review).to(person, on=AgentFailed)`."""

    def __init__(self, *states: Line) -> None:
        self.states = states

    def to(
        self,
        target: "State[P] | Callable[[P], Never]",
        /,
        *,
        on: type[P] | tuple[type[P], ...],
        when: Callable[[P], bool] | Callable[[P, Any], bool] | None = None,
        guards: Sequence[Guard] = (),
        otherwise: "State[P] | Mapping[str, State[P]] | None" = None,
        remember: Callable[[Any, P], BaseModel] | None = None,
    ) -> Transition[P]:
        """A transition from each of these states; see `State.to`."""
        line: Any = target
        return Transition(self.states, line, on, when, guards, otherwise, remember)


class State(Line, Generic[In]):
    """A named stage of a machine.

    With `agent` it is worked in; without, it waits for an event from outside; with `final` it ends the run.
    `initial` names the payload class (or a tuple of them) a run starts with. `timeout_s` bounds one attempt
    of the agent, or the wait since the state was entered. `guards` are asked on every entry, and a refusal
    leads to `otherwise`: a state, or a mapping from verdict code to state that holds "*". `remember`, on the
    initial state only, folds the starting payload into memory.

    What a visit reports is bounded by `tokens_max` and `usd_micros_max` (millionths of a dollar), summed over its
    attempts: one that reports more is cut off at once with `CallRefused`, and what it spent is recorded as it is.
    A visit that ends with less than `tokens_min` is charged that much, so a loop of such visits does spend.

    `retry` begins a failed attempt again, in the same visit. `fallback` is a second agent for the same payload:
    short for a state of its own, `draft.fallback`, entered on what would be an `AgentFailed` of this one (after all
    retries), or when entry is refused and there is no `otherwise`; whatever leaves this state leaves that one too.
    """

    def __init__(
        self,
        *,
        initial: type[BaseModel] | tuple[type[BaseModel], ...] | None = None,
        agent: Agent[In] | None = None,
        final: Final | None = None,
        timeout_s: float | None = None,
        tokens_max: int | None = None,
        usd_micros_max: int | None = None,
        tokens_min: int = 0,
        retry: Retry | None = None,
        fallback: Agent[In] | None = None,
        guards: Sequence[Guard] = (),
        otherwise: "State[Any] | Mapping[str, State[Any]] | None" = None,
        remember: Callable[[Any, Any], BaseModel] | None = None,
        title: str = "",
    ) -> None:
        super().__init__()
        self.initial = initial
        self.agent: Any = agent
        self.final: Final | None = final
        self.timeout_s = timeout_s
        self.tokens_max = tokens_max
        self.usd_micros_max = usd_micros_max
        self.tokens_min = tokens_min
        self.retry = retry
        self.fallback: Any = fallback
        self.guards = guards
        self.otherwise = otherwise
        self.remember = remember
        self.title = title

    def to(
        self,
        target: "State[P] | Callable[[P], Never]",
        /,
        *,
        on: type[P] | tuple[type[P], ...],
        when: Callable[[P], bool] | Callable[[P, Any], bool] | None = None,
        guards: Sequence[Guard] = (),
        otherwise: "State[P] | Mapping[str, State[P]] | None" = None,
        remember: Callable[[Any, P], BaseModel] | None = None,
    ) -> Transition[P]:
        """The transition from this state to `target` on payloads of exactly class `on`.

        `when` is a pure, named function of the payload, or of the payload and the memory; the first
        transition in the order written whose class and predicate match is the candidate, and only its guards
        are asked. A refusal leads to `otherwise`, never to a later transition. `remember` is a pure function
        from memory and payload to the next memory.
        """
        line: Any = target
        return Transition((self,), line, on, when, guards, otherwise, remember)

    def but(self, **changes: Any) -> "State[Any]":
        """This state with a change, for a subclass: `draft = Parent.draft.but(agent=write)`."""
        names = list(inspect.signature(State.__init__).parameters)[1:]
        return State(**{**{name: getattr(self, name) for name in names}, **changes})


def any_of(*states: State[Any]) -> Sources:
    """The same line from several states."""
    return Sources(*states)


def minutes(n: float) -> float:
    """`n` minutes, in seconds."""
    return n * 60


def hours(n: float) -> float:
    """`n` hours, in seconds."""
    return n * 3600


def days(n: float) -> float:
    """`n` days, in seconds."""
    return n * 86400
