"""Who is told of committed records."""

import logging
from collections.abc import Callable, Sequence

from attrs import evolve, frozen

from fsm.core.record import Record
from fsm.journal.rows import Run
from fsm.runner.live import Live

log = logging.getLogger("fsm.runner")

Observer = Callable[[Run, Record], object]


@frozen
class Observers:
    """Each is called with the run as it stands and the record; one that fails is logged and undoes nothing."""

    all: Sequence[Observer]

    def tell(self, live: Live, record: Record) -> None:
        if not self.all:
            return
        after = live.snapshot
        run = evolve(live.run, state=after.state, outcome=after.outcome, seq=after.seq, entered=after.entered)
        for observer in self.all:
            try:
                observer(run, record)
            except Exception:
                log.exception("an observer failed at %s record %d", run.run_id, record.seq)
