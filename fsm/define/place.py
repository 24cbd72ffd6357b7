"""Where in the user's own files a line of a machine was written."""

import inspect
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from attrs import frozen

# As it is spelled in the frames of our own code: a path through a symbolic link is another text.
_OURS = str(Path(sys._getframe().f_code.co_filename).parent.parent) + os.sep
_STANDARD = str(Path(traceback.__file__).parent) + os.sep
INSTALLED = frozenset({"site-packages", "dist-packages"})
WHERE_MAX = 200


@frozen
class Place:
    """A file and a line, as the user's editor shows them."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line}"


class Body(dict[str, object]):
    """The namespace of a machine's class body: it sees every line made in it and every name given twice."""

    def __init__(self) -> None:
        super().__init__()
        self.place = here()
        self.made: list[Line] = []
        self.overwritten: list[tuple[str, Line]] = []

    def __setitem__(self, name: str, value: object) -> None:
        before = self.get(name)
        if isinstance(before, Line) and before is not value:
            self.overwritten.append((name, before))
        super().__setitem__(name, value)


class Line:
    """Anything that stands as one line in a class body: a state, a transition, `everywhere(...)`.

    The attribute it is bound to names it. A line knows its place, and the class body it was made in knows
    of the line, so that a line without a name is noticed; of a line made by a function, the place is where
    the class body calls that function.
    """

    def __init__(self) -> None:
        self.name = ""
        body, self.place = _body()
        if body is not None:
            body.made.append(self)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = self.name or name

    def __repr__(self) -> str:
        return f"the {type(self).__name__.lower()} {self.name or 'without a name'} ({self.place})"


def here() -> Place:
    """The user's line that is being executed."""
    frame = next(_outside(), None)
    return _place(frame) if frame is not None else Place("?", 0)


def raised_at(error: BaseException) -> str:
    """The user's line that an error was raised from, as `agents.py:17 in write`: the innermost that is theirs.

    If none is, it is the innermost of all; "" for an error that was never raised.
    """
    steps = list(traceback.walk_tb(error.__traceback__))
    if not steps:
        return ""
    theirs = (step for step in reversed(steps) if not _is_library(step[0].f_code.co_filename))
    frame, line = next(theirs, steps[-1])
    told = f"{Place(frame.f_code.co_filename, line)} in {frame.f_code.co_name}"
    return told[:WHERE_MAX].encode("utf-8", "replace").decode()


def _is_library(file: str) -> bool:
    """Ours, the standard library's, or an installed package's."""
    installed = not INSTALLED.isdisjoint(Path(file).parts)
    return installed or file.startswith((_OURS, _STANDARD, "<frozen "))


def _body() -> tuple[Body | None, Place]:
    """The class body being executed, if any is, and the line there; otherwise the user's line."""
    for frame in _outside():
        if frame.f_code.co_name == "<module>":
            break
        if not frame.f_code.co_flags & inspect.CO_OPTIMIZED:  # a class body: functions have fast locals
            found = frame.f_locals
            return (found, _place(frame)) if isinstance(found, Body) else (None, here())
    return None, here()


def _outside() -> Iterator[FrameType]:
    """The frames that are not ours, the innermost first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not frame.f_code.co_filename.startswith(_OURS):
            yield frame
        frame = frame.f_back


def _place(frame: FrameType) -> Place:
    return Place(frame.f_code.co_filename, frame.f_lineno)
