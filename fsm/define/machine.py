"""The `Machine` class: a class body that is a transition table.

    class Door(Machine):
        closed = State(initial=Arrived)
        open   = State(final="completed")
        push   = closed.to(open, on=Coin)

Creating the class compiles and checks it; all mistakes are told at once. The class is a value from then
on: it is never instantiated, and nothing in it changes.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Never

import attrs
from pydantic import BaseModel

from fsm.define.agent import Agent
from fsm.define.compile import compile_machine
from fsm.define.mistakes import Mistakes
from fsm.define.parts import BOUND_NAMES, Bounds
from fsm.define.place import Body, here
from fsm.define.spec import MachineSpec
from fsm.define.state import State
from fsm.errors import DefinitionError


class MachineType(type):
    """The metaclass: it lets the class body notice lines that are overwritten or have no name."""

    @classmethod
    def __prepare__(mcls, name: str, bases: tuple[type, ...], /, **keywords: object) -> Body:
        return Body()

    def __new__(mcls, name: str, bases: tuple[type, ...], body: Mapping[str, Any], /, **keywords: Any) -> "MachineType":
        return super().__new__(mcls, name, bases, {**body, "_body": body}, **keywords)

    def __call__(cls, *_: object, **__: object) -> Never:
        name = cls.__name__
        raise TypeError(
            f"{name} is a definition, not something to instantiate\n  -> await runner.start({name}, payload)"
        )


class Machine(metaclass=MachineType):
    """Subclass it and write states and transitions as attributes.

    Class keywords: `memory=`, a pydantic model that a run carries between hops, and any bound of
    `fsm.Bounds`, such as `payload_bytes_max=4 << 20`. Raises `DefinitionError` with every mistake found.
    """

    spec: ClassVar[MachineSpec]
    _memory: ClassVar[type[BaseModel] | None] = None
    _bounds: ClassVar[Bounds] = Bounds()

    def __init_subclass__(
        cls, *, memory: type[BaseModel] | None = None, machine_name: str | None = None, **bounds: int
    ) -> None:
        super().__init_subclass__()
        body = cls.__dict__.get("_body")
        del cls._body  # type: ignore[attr-defined]
        mistakes = Mistakes(body.place if isinstance(body, Body) else here())
        if memory is not None:
            cls._memory = memory
        for name, value in bounds.items():
            if name not in BOUND_NAMES:
                known = f"the bounds are {', '.join(BOUND_NAMES)}{mistakes.near(name, BOUND_NAMES)}"
                mistakes.add(None, f"there is no class keyword {name!r}", known)
            elif type(value) is not int or value < 0:
                mistakes.add(None, f"{name}={value!r}", "a bound is a whole number, 0 or more")
        if not mistakes.found:
            cls._bounds = attrs.evolve(cls._bounds, **bounds)
        name = machine_name or cls.__name__
        spec = compile_machine(cls, name, body if isinstance(body, Body) else None, cls._memory, cls._bounds, mistakes)
        if spec is None:
            raise DefinitionError(machine=cls.__name__, mistakes=mistakes.found)
        cls.spec = spec

    @classmethod
    def with_agents(cls, **agents: Agent[Never]) -> "type[Machine]":  # with Any, mypy lets wrong results pass
        """The same machine with other agents bound: same name, same fingerprint, same recorded runs.

        A fallback is given by the name of its state: `with_agents(**{"draft.fallback": other})`.
        """
        for name in agents:
            state = cls.spec.state.get(name)
            if state is None or state.kind != "agent":
                known = [item.name for item in cls.spec.states if item.kind == "agent"]
                raise TypeError(
                    f"{cls.__name__} has no agent state {name!r}\n  -> its agent states are {', '.join(known)}"
                )
        lines: dict[str, Any] = {}
        for name, agent in agents.items():
            owner, _, role = name.partition(".")
            line: State[Any] = lines.get(owner) or getattr(cls, owner)
            lines[owner] = line.but(**{role or "agent": agent})
        keywords: dict[str, Any] = {"machine_name": cls.spec.name}
        namespace = {"__doc__": cls.__doc__, "__module__": cls.__module__, "__qualname__": cls.__qualname__, **lines}
        return MachineType(cls.__name__, (cls,), namespace, **keywords)  # type: ignore[return-value]
