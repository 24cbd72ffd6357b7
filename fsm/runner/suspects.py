"""Which visits go on at once after their process died in them.

When a process dies nobody knows which of its visits killed it. After a first loss all go on together: most
were only there. A visit that is lost again is a suspect, and so is one that has its last chance: few suspects
go on at once in a process, one with its last chance as the only one there. So who kills its process is still
stopped after `resumes_max` resumes, and a visit that shared the process with it is not condemned: when it
counts, the two are no longer in progress together. All other visits go on meanwhile. What this cannot tell
from a visit that kills: one at work in each of so many deaths that had nothing to do with visits.
"""

from collections.abc import Mapping

from attrs import define, field, frozen

from fsm.core.snapshot import Snapshot
from fsm.journal.rows import Run
from fsm.runner.live import Live

SUSPECTS_MAX = 32


@frozen
class _Suspect:
    live: Live
    entered: int
    alone: bool


@define(eq=False)
class Suspects:
    """Those at work in this process (`lives` are all its runs), and which runs were told to wait.

    The latter only so that a run which asks again need not be read again.
    """

    lives: Mapping[int, Live]
    _at_work: list[_Suspect] = field(factory=list)
    _waiting: dict[int, tuple[int, bool]] = field(factory=dict)

    def waits(self, run: Run) -> bool:
        """Whether this run was told to wait, and still has to."""
        seq, alone = self._waiting.get(run.key, (-1, False))
        return seq == run.seq and not self._room(alone)

    def admit(self, live: Live, why: str, at_ms: int) -> bool:
        """Whether the visit may go on at this moment; False if it has to wait. Who was asked for never waits."""
        now, resumes_max = live.snapshot, live.engine.spec.bounds.resumes_max
        losses = now.resumes + (why == "lost" and not now.rests(max(at_ms, now.at_ms)))
        alone = losses == resumes_max
        if not 0 < losses <= resumes_max or (losses == 1 and not alone) or _rests(now):
            return True
        if why in ("lost", "released") and not self._room(alone):
            self._waiting[live.run.key] = now.seq, alone
            return False
        self._waiting.pop(live.run.key, None)
        self._at_work.append(_Suspect(live, now.entered, alone))
        return True

    def _room(self, alone: bool) -> bool:
        self._at_work = [suspect for suspect in self._at_work if self._is_at_work(suspect)]
        if any(suspect.alone for suspect in self._at_work):
            return False
        return len(self._at_work) < (1 if alone else SUSPECTS_MAX)

    def _is_at_work(self, suspect: _Suspect) -> bool:
        now = suspect.live.snapshot
        here = self.lives.get(suspect.live.run.key) is suspect.live
        return here and now.entered == suspect.entered and now.outcome == "running" and not _rests(now)


def _rests(now: Snapshot) -> bool:
    """Whether it has no agent at work that could kill: its own event was put off."""
    return now.pending is not None and now.pending.own
