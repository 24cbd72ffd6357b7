"""The front of the package as type checkers see it; `__init__.py` says where each name is found."""

from fsm.core.breaking import Breaking
from fsm.core.record import Record, Spent
from fsm.define.agent import Agent, View, unbound
from fsm.define.events import AgentFailed, CallRefused, CallUnsure, Cancelled, PayloadInvalid, RuntimeEvent, TimedOut
from fsm.define.guard import Counter, Facts, Guard, Kind, Ruling, Share, Standing, Verdict, allow, defer, refuse
from fsm.define.machine import Machine
from fsm.define.parts import Bounds
from fsm.define.prices import Prices
from fsm.define.promise import always_after, never, unreachable
from fsm.define.retry import Retry, retriable
from fsm.define.spec import MachineSpec
from fsm.define.state import State, any_of, days, hours, minutes
from fsm.define.transition import Transition, everywhere
from fsm.define.usage import Usage
from fsm.define.volatile import Volatile
from fsm.errors import (
    AgentsMissing,
    Busy,
    CallFailed,
    DefinitionError,
    EventConflict,
    FsmError,
    JournalError,
    MachineChanged,
    MachineUnknown,
    NothingToAnswer,
    NotResumable,
    PayloadRefused,
    RunConflict,
    RunEnded,
    RunHalted,
    RunnerStopped,
    RunNotFound,
    RunUnreadable,
)
from fsm.journal.journal import SqliteJournal
from fsm.journal.reader import read_journal
from fsm.journal.rows import Run
from fsm.replay.replay import Divergence, Replay, replay_run
from fsm.runner.once import run
from fsm.runner.runner import Runner
from fsm.verify.check import check

__all__ = [
    "Agent",
    "AgentFailed",
    "AgentsMissing",
    "Bounds",
    "Breaking",
    "Busy",
    "CallFailed",
    "CallRefused",
    "CallUnsure",
    "Cancelled",
    "Counter",
    "DefinitionError",
    "Divergence",
    "EventConflict",
    "Facts",
    "FsmError",
    "Guard",
    "JournalError",
    "Kind",
    "Machine",
    "MachineChanged",
    "MachineSpec",
    "MachineUnknown",
    "NotResumable",
    "NothingToAnswer",
    "PayloadInvalid",
    "PayloadRefused",
    "Prices",
    "Record",
    "Replay",
    "Retry",
    "Ruling",
    "Run",
    "RunConflict",
    "RunEnded",
    "RunHalted",
    "RunNotFound",
    "RunUnreadable",
    "Runner",
    "RunnerStopped",
    "RuntimeEvent",
    "Share",
    "Spent",
    "SqliteJournal",
    "Standing",
    "State",
    "TimedOut",
    "Transition",
    "Usage",
    "Verdict",
    "View",
    "Volatile",
    "allow",
    "always_after",
    "any_of",
    "check",
    "days",
    "defer",
    "everywhere",
    "hours",
    "minutes",
    "never",
    "read_journal",
    "refuse",
    "replay_run",
    "retriable",
    "run",
    "unbound",
    "unreachable",
]
