"""Turnstile: multi-agent workflows as explicit finite-state machines.

A name is imported when it is first used: `fsm --help` answers at once, and defining a machine opens no
database.
"""

import importlib

# Each module with the names it gives to the front; `__init__.pyi` says the same to type checkers.
_NAMES = {
    "fsm.core.breaking": "Breaking",
    "fsm.core.record": "Record Spent",
    "fsm.define.agent": "Agent View unbound",
    "fsm.define.events": "AgentFailed CallRefused CallUnsure Cancelled PayloadInvalid RuntimeEvent TimedOut",
    "fsm.define.guard": "Counter Facts Guard Kind Ruling Share Standing Verdict allow defer refuse",
    "fsm.define.machine": "Machine",
    "fsm.define.parts": "Bounds",
    "fsm.define.prices": "Prices",
    "fsm.define.promise": "always_after never unreachable",
    "fsm.define.retry": "Retry retriable",
    "fsm.define.spec": "MachineSpec",
    "fsm.define.state": "State any_of days hours minutes",
    "fsm.define.transition": "Transition everywhere",
    "fsm.define.usage": "Usage",
    "fsm.define.volatile": "Volatile",
    "fsm.errors": "AgentsMissing Busy CallFailed DefinitionError EventConflict FsmError JournalError MachineChanged"
    " MachineUnknown NothingToAnswer NotResumable PayloadRefused RunConflict RunEnded RunHalted RunNotFound"
    " RunUnreadable RunnerStopped",
    "fsm.journal.journal": "SqliteJournal",
    "fsm.journal.reader": "read_journal",
    "fsm.journal.rows": "Run",
    "fsm.replay.replay": "Divergence Replay replay_run",
    "fsm.runner.once": "run",
    "fsm.runner.runner": "Runner",
    "fsm.verify.check": "check",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]  # it reads the stub instead


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'fsm' has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *__all__]
