"""Agents, and what an agent may see and use.

An agent is any callable of one view, async or not, that returns a payload. It belongs to a state; what it
returns is the state's next event.
"""

import collections.abc
import inspect
import types
import typing
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Literal, Protocol, get_args, get_origin

from pydantic import BaseModel
from typing_extensions import TypeVar

from fsm.define.annotations import alias_of, is_union
from fsm.define.events import RuntimeEvent
from fsm.define.guard import Ruling
from fsm.errors import AgentsMissing

P_co = TypeVar("P_co", bound=BaseModel, covariant=True)
P_contra = TypeVar("P_contra", bound=BaseModel, contravariant=True)
Unsure = Literal["repeat", "refuse", "ask"]


class View(Protocol[P_co]):
    """What an agent sees and uses during one attempt; after the attempt it is dead."""

    @property
    def payload(self) -> P_co:
        """The payload that entered the state, decoded anew from its stored bytes."""
        ...

    @property
    def memory(self) -> Any:
        """The run's memory, an instance of the machine's `memory=` model; a copy, writing to it changes nothing."""
        ...

    @property
    def refusal(self) -> Ruling | None:
        """The refusal that led here, when an `otherwise` did."""
        ...

    @property
    def failure(self) -> RuntimeEvent | None:
        """What ended the attempt before: this one is its retry, or a fallback's; None for any other attempt."""
        ...

    @property
    def run_id(self) -> str: ...

    @property
    def visit(self) -> int:
        """How many times the run has entered this state, this time included."""
        ...

    @property
    def attempt(self) -> int:
        """1 at first; a crash or a retry starts the next."""
        ...

    @property
    def deadline_ms(self) -> int | None:
        """Wall clock, in milliseconds, at which this attempt is abandoned."""
        ...

    @property
    def remaining(self) -> Mapping[str, int]:
        """What caps and this visit's limits leave of `tokens`, `usd_micros` and `hops`; an unlimited one is absent."""
        ...

    def spend(self, usage: Any = ..., /, *, tokens: int = 0, usd_micros: int | None = None, model: str = "") -> None:
        """Report spending; it is recorded with the next call, decision or failure.

        `usage` is a `Usage`, or a response that `Usage.of` reads: its tokens count, and it is recorded by `model` (the
        one that the response names, if none is given) and price version. Its money is what the runner's `prices` say,
        or `usd_micros`. `ValueError` where it cannot be read, is None, or nobody knows its price in a machine that
        bounds money. Without a usage `tokens` and `usd_micros` are what was spent.

        Inside a call's `fn` it is that call's, recorded with its outcome. Beyond the visit's `tokens_max` or
        `usd_micros_max` the attempt is over: it is recorded, and the state hears `CallRefused`; so also, with code
        `price_unknown`, where the prices refuse what they do not know.
        """
        ...

    async def call(
        self,
        name: str,
        fn: Callable[..., Any],
        /,
        *args: Any,
        returns: Any = None,
        key: str | None = None,
        timeout_s: float | None = None,
        unsure: Unsure = "repeat",
        tokens_max: int | None = None,
        usd_micros_max: int | None = None,
    ) -> Any:
        """Run `fn(*args)` as a recorded effect and return its result as the journal holds it.

        `args` and the result must be plain JSON data; with `returns=Model` the result is validated as that.
        Raises `CallFailed` when `fn` raises. After a crash a finished call gives back its recorded result;
        of one in flight nobody knows whether it happened. It is repeated with the same key; or, with
        `unsure="refuse"`, refused (`CallRefused`); or, with `unsure="ask"`, the visit ends with `CallUnsure`,
        and `runner.answer` goes on with it. `key` names the call across retries, for one set of arguments; of
        two at once under one key the second waits and gets the outcome of the first. An async `fn` is
        awaited, any other runs on a thread.

        `tokens_max` and `usd_micros_max` declare the most that `fn` spends. Where that, with what the visit has spent
        and what calls in flight have declared, goes beyond a limit of the state or a budget of the run, the call is not
        made (`CallRefused` with that limit's code); so calls at once cannot overshoot together. What a call spent that
        was cut off, or in flight when its process died, nobody knows: what it declared is booked.
        """
        ...

    def call_sync(
        self,
        name: str,
        fn: Callable[..., Any],
        /,
        *args: Any,
        returns: Any = None,
        key: str | None = None,
        timeout_s: float | None = None,
        unsure: Unsure = "repeat",
        tokens_max: int | None = None,
        usd_micros_max: int | None = None,
    ) -> Any:
        """`call`, for agents that are not async; `fn` runs on the agent's own thread."""
        ...


class Agent(Protocol[P_contra]):
    """`async def write(view: View[Brief]) -> Draft`, a plain function, or an object with such a `__call__`."""

    def __call__(self, view: View[P_contra], /) -> Awaitable[BaseModel] | BaseModel: ...


def unbound(view: View[Any], /) -> BaseModel:
    """Stands where a ready-made machine needs an agent of yours: `Machine.with_agents(state=...)`."""
    raise AgentsMissing(machine="this machine", states=("?",))


def is_async(agent: Any) -> bool:
    """Whether calling it gives an awaitable, as far as one can know beforehand."""
    return inspect.iscoroutinefunction(agent) or inspect.iscoroutinefunction(type(agent).__call__)


def returned(agent: object) -> tuple[Any, ...]:
    """The types in an agent's return annotation; empty where it has none or it cannot be resolved."""
    function = _function(agent)
    annotation = _resolved(function, "return") if function is not None else None
    return tuple(_parts(annotation)) if annotation is not None else ()


def viewed(agent: object) -> tuple[Any, ...]:
    """The payload types in the `View[...]` that an agent's parameter is annotated with; empty where none is found."""
    function = _function(agent)
    found = (_resolved(function, name) for name in function.__annotations__) if function is not None else ()
    view = next((annotation for annotation in found if get_origin(annotation) is View), None)
    return tuple(_parts(get_args(view)[0])) if view is not None else ()


def is_model(annotation: Any) -> bool:
    """Whether it is a payload class; `Any`, a type variable and whatever else stands in an annotation is none."""
    return isinstance(annotation, type) and annotation is not Any and issubclass(annotation, BaseModel)


def _function(agent: object) -> types.FunctionType | None:
    function = agent if inspect.isroutine(agent) else getattr(type(agent), "__call__", None)  # noqa: B004
    function = inspect.unwrap(function) if callable(function) else None
    function = getattr(function, "__func__", function)
    return function if isinstance(function, types.FunctionType) else None


def _resolved(function: types.FunctionType, name: str) -> Any:
    """One annotation, alone, so that no other stands in its way; None where there is none, or it cannot be resolved."""
    try:
        alone = types.SimpleNamespace(__annotations__={name: function.__annotations__[name]})
        return typing.get_type_hints(alone, function.__globals__)[name]
    except Exception:  # a name that only a type checker knows
        return None


def _parts(annotation: Any) -> Iterator[Any]:
    alias = alias_of(annotation)
    if alias is not None:
        yield from _parts(alias)
    elif is_union(annotation):
        for part in get_args(annotation):
            yield from _parts(part)
    elif get_origin(annotation) in (collections.abc.Awaitable, collections.abc.Coroutine):
        yield from _parts(get_args(annotation)[-1])
    else:
        yield annotation
