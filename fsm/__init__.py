"""Turnstile: multi-agent workflows as explicit finite-state machines."""

from fsm.define.agent import Agent, View, unbound
from fsm.define.events import AgentFailed, CallRefused, Cancelled, PayloadInvalid, RuntimeEvent, TimedOut
from fsm.define.guard import Counter, Facts, Guard, Kind, Ruling, Standing, Verdict, allow, defer, refuse
from fsm.define.machine import Machine
from fsm.define.parts import Bounds
from fsm.define.spec import MachineSpec
from fsm.define.state import State, any_of, days, hours, minutes
from fsm.define.transition import Transition, everywhere

__all__ = [
    "Agent",
    "AgentFailed",
    "Bounds",
    "CallRefused",
    "Cancelled",
    "Counter",
    "Facts",
    "Guard",
    "Kind",
    "Machine",
    "MachineSpec",
    "PayloadInvalid",
    "Ruling",
    "RuntimeEvent",
    "Standing",
    "State",
    "TimedOut",
    "Transition",
    "Verdict",
    "View",
    "allow",
    "any_of",
    "days",
    "defer",
    "everywhere",
    "hours",
    "minutes",
    "refuse",
    "unbound",
]
