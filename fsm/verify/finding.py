"""One thing that is said of a machine: which attribute, where it is written, what is so, and what to write."""

from typing import Any, Literal

from attrs import frozen

from fsm.define.guard import Placed
from fsm.define.parts import Part, PromiseSpec
from fsm.define.place import Place

LISTED_MAX = 5

Level = Literal["error", "warning", "note"]


@frozen(kw_only=True)
class Finding:
    """An error breaks what a check is for, a warning should be looked at, a note is good to know.

    `code` names the kind of finding, `attribute` the line in the class ("" for the machine as a whole).
    """

    level: Level
    code: str
    attribute: str
    what: str
    instead: str
    place: Place | None = None

    def __str__(self) -> str:
        where = f"  ({self.place})" if self.place is not None else ""
        at = f" {self.attribute}" if self.attribute else ""
        return f"{self.level}{at}{where}\n    {self.what}\n    -> {self.instead}"

    @property
    def data(self) -> dict[str, Any]:
        where = str(self.place) if self.place is not None else ""
        told = {"level": self.level, "code": self.code, "attribute": self.attribute, "where": where}
        return {**told, "what": self.what, "instead": self.instead}


def about(part: Part | PromiseSpec | None, level: Level, code: str, what: str, instead: str) -> Finding:
    """A finding at a line of the machine; None: at the machine as a whole."""
    attribute, place = (part.name, part.place) if part is not None else ("", None)
    return Finding(level=level, code=code, attribute=attribute, what=what, instead=instead, place=place)


def named(cap: Placed) -> str:
    """A cap, or a budget that runs share, as a person calls it."""
    limit = cap.limit if cap.limit is not None else int(cap.params["limit"])
    return f"{cap.name}({limit:,}) on `{cap.at}`"


def listed(names: list[str], word: str = "and") -> str:
    """`a`, `b` and `c`; of very many the first few."""
    if len(names) > LISTED_MAX + 1:
        return f"{', '.join(f'`{name}`' for name in names[:LISTED_MAX])} {word} {len(names) - LISTED_MAX:,} more"
    quoted = [f"`{name}`" for name in names]
    return f" {word} ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
