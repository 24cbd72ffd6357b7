"""Where in the user's own files a line of a machine was written."""

import sys
from pathlib import Path
from types import FrameType

from attrs import frozen

_OURS = str(Path(__file__).resolve().parent.parent)


@frozen
class Place:
    """A file and a line, as the user's editor shows them."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line}"


def _outside() -> FrameType | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return frame


class Body(dict[str, object]):
    """The namespace of a machine's class body: it sees every line made in it and every name given twice."""

    def __init__(self) -> None:
        super().__init__()
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
    of the line, so that a line without a name is noticed.
    """

    def __init__(self) -> None:
        self.name = ""
        self.owner: type | None = None
        self.aliases: list[str] = []
        frame = _outside()
        self.place = Place(frame.f_code.co_filename, frame.f_lineno) if frame else Place("?", 0)
        if frame is not None and isinstance(frame.f_locals, Body):
            frame.f_locals.made.append(self)

    def __set_name__(self, owner: type, name: str) -> None:
        if not self.name:
            self.name, self.owner = name, owner
        elif self.name != name:
            self.aliases.append(name)
