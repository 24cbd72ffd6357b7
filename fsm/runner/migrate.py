"""All unfinished runs of a changed machine: which can go on with it, and letting them.

Each run is accepted in a transaction of its own, with the record that `resume(accept=True)` writes. Nothing is
advanced: the next runner with this machine takes the runs up. One that a living runner advances is left to it, and so
is one that moves on meanwhile.
"""

from collections.abc import Iterator

from attrs import frozen

from fsm.clock import Clock
from fsm.core.record import ENDED
from fsm.define.machine import Machine
from fsm.errors import Fenced
from fsm.journal.journal import Journal
from fsm.journal.lease import is_alive
from fsm.journal.reader import Reader
from fsm.journal.rows import Run
from fsm.runner.repin import Obstacle, Prospect, accept, prospect

ADVANCED = "another runner advances it"


@frozen
class Candidate:
    """An unfinished run, and what stands in the way; `left`: why it is left alone although nothing does."""

    run: Run
    obstacles: tuple[Obstacle, ...] = ()
    left: str = ""

    @property
    def able(self) -> bool:
        return not (self.obstacles or self.left)


def candidates(read: Reader, machine: type[Machine], clock: Clock) -> Iterator[Candidate]:
    """Every run of this machine that has not ended, under whichever definition; nothing is written."""
    return (candidate for candidate, _ in _found(read, machine, clock))


def _found(read: Reader, machine: type[Machine], clock: Clock) -> Iterator[tuple[Candidate, Prospect]]:
    spec, now = machine.spec, clock.monotonic()
    for listed in read.runs(spec.name):
        if listed.outcome in ENDED:
            continue
        found = prospect(read, listed, spec)
        run = found.run
        if run.outcome in ENDED:  # meanwhile
            continue
        changed = run.fingerprint != spec.fingerprint
        held = changed and run.outcome == "running" and is_alive(read, run.owner, now)
        yield Candidate(run, found.obstacles, ADVANCED if held else ""), found


async def migrate(
    journal: Journal, machine: type[Machine], clock: Clock, *, by: str = "", reason: str = ""
) -> list[Candidate]:
    """Accept the machine for every run that can go on with it; each as it was found, or why it was left after all.

    The journal is open for writing. Runs that are under this definition already are among the result, untouched.
    """
    done = []
    for one, found in _found(journal.read, machine, clock):
        left = one.left
        if one.able and one.run.fingerprint != machine.spec.fingerprint:
            journal.tick()
            try:
                await journal.release(await accept(journal, clock, found, by=by, reason=reason))
            except Fenced as fenced:
                left = fenced.why
        done.append(Candidate(one.run, one.obstacles, left))
    return done
