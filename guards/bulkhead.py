"""No flood into what can only do so much at once."""

from typing import ClassVar

from attrs import frozen

from fsm import Guard, Kind, Share, Standing
from fsm.define.guard import not_whole


@frozen
class Bulkhead(Guard):
    """Lets at most `visits_max` visits be at once where it stands, of all runs and processes of the journal.

    One bulkhead a name: on several states, also of other machines, it counts their visits together. Who finds it
    full is put off (`full`) and goes on when a visit is over, as a rule longest wait first. A visit that crashed holds
    its place until it is taken up again and ends, or its run is cancelled: `fsm doctor` names those that nobody takes
    up. A halted run that somebody resumes, and a way that leads past it (`fallback`), ask nobody. It counts visits of
    agents alone; people wait without a place. `unreadable`: its row is damaged; it fails closed.
    """

    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("unreadable",)

    name: str
    visits_max: int

    def shared(self) -> Share:
        return Share("budget", f"visits:pool:{self.name}")

    def params(self) -> dict[str, int | str]:
        return {"limit": self.visits_max, "scope": f"pool:{self.name}"}

    def mistake(self, standing: Standing) -> tuple[str, str] | None:
        return not_named(self, self.name, standing) or not_whole(self, "visits_max", 1)


def not_named(guard: Guard, name: object, standing: Standing) -> tuple[str, str] | None:
    """What is wrong with the name of what visits share, or with the place of a guard that counts visits."""
    shown = f"{type(guard).__name__}({name!r})"
    if not isinstance(name, str) or not name or not name.isprintable() or set(name) & set("/="):
        return shown, 'name what the visits share, in letters without "/" and "="'
    if standing == "transition":
        return f"{shown} stands on a transition", "put it on the state, or in everywhere(): it counts visits"
    return None
