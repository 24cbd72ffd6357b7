"""Promises: what no run of a machine does, declared as lines and proved by `fsm check`.

    class Release(Machine):
        ...
        safe = never(deploy, before=approve)
        fresh = always_after(edit, review, before=deploy)
        unused = unreachable(panic)

They name states and transitions. A state happens when it is entered, a transition when it is taken, just before
its target is entered. Nothing of them is asked while a run goes on, and they are no part of the fingerprint.
"""

from typing import Any

from fsm.define.parts import PromiseKind
from fsm.define.place import Line
from fsm.define.state import State
from fsm.define.transition import Transition

Happening = State[Any] | Transition[Any]


class Promise(Line):
    """One promise; made by `never`, `always_after` or `unreachable`, named by its attribute."""

    def __init__(self, kind: PromiseKind, what: Line, then: Line | None = None, before: Line | None = None) -> None:
        super().__init__()
        self.kind: PromiseKind = kind
        self.what = what
        self.then = then
        self.before = before


def never(what: Happening, /, *, before: Happening) -> Promise:
    """No run does `what` unless it has done `before` at some earlier time."""
    return Promise("never", what, before=before)


def always_after(what: Happening, then: Happening, /, *, before: Happening) -> Promise:
    """After `what`, each time, `then` happens before `before` can."""
    return Promise("always_after", what, then, before)


def unreachable(what: Happening, /) -> Promise:
    """No run ever enters this state, or takes this transition."""
    return Promise("unreachable", what)
