"""Replay: every record decided again, without agents, calls or network, and compared.

Each row is first proven to be the one that was written (`intact.py`). Then its event is decided again from
the snapshot before it. With the machine's class everything is decided anew; from the journal alone,
predicates and guards that need code answer as they did. The first thing that differs is the divergence;
what follows a divergence means nothing.
"""

import os
from collections import OrderedDict
from operator import attrgetter

from attrs import frozen

from fsm.core.asking import NotRecorded
from fsm.core.conclude import decide
from fsm.core.engine import Engine, Undeclared
from fsm.core.record import Record
from fsm.core.snapshot import Snapshot, apply
from fsm.define.machine import Machine
from fsm.define.payload import excerpt
from fsm.define.spec import MachineSpec
from fsm.journal.reader import Reader, read_journal
from fsm.journal.rows import Run
from fsm.replay.divergence import Diverged, Divergence, cause, differ, short, told
from fsm.replay.event import event_of
from fsm.replay.intact import Intact
from fsm.replay.origin import check_origin

UNDECIDED = ("forked", "resumed", "repinned")
ENGINES_MAX = 16

_decision = attrgetter("kind", "source", "state", "outcome", "hop", "predicates", "rulings", "until_ms", "attempt")


@frozen
class Replay:
    """What a replay found: how many records agreed, and where they first did not."""

    run_id: str
    records: int
    divergence: Divergence | None = None
    erased: int = 0

    @property
    def agreed(self) -> bool:
        return self.divergence is None

    def __str__(self) -> str:
        if self.divergence is not None:
            return f"run {self.run_id} diverges at {self.divergence}"
        rest = f"; {self.erased} without payload, which was erased, are not decided again" if self.erased else ""
        many = "1 record" if self.records == 1 else f"{self.records} records"
        return f"run {self.run_id}: {many}, all agree{rest}"


def replay_run(journal: str | os.PathLike[str] | Reader, run_id: str, machine: type[Machine] | None = None) -> Replay:
    """Replay one run of a journal, with the machine's code or, without `machine`, from the journal alone.

    Raises `RunNotFound` and the `JournalError`s of opening; never for what the records say.
    """
    if not isinstance(journal, Reader):
        reader = read_journal(journal)
        try:
            return replay_run(reader, run_id, machine)
        finally:
            reader.close()
    run = journal.run(run_id)
    if machine is not None and machine.spec.name != run.machine == journal.spec(run.fingerprint).name:
        why = f"this is a run of {run.machine}; {machine.spec.name} was given"
        return Replay(run_id, 0, Divergence(0, run.machine, machine.spec.name, why))
    replaying = _Replaying(Intact(journal, run), run, machine.spec if machine is not None else None)
    try:
        replaying.all()
    except Diverged as diverged:
        return Replay(run_id, replaying.agreed, diverged.divergence, replaying.erased)
    return Replay(run_id, replaying.agreed, None, replaying.erased)


class _Replaying:
    """One replay in progress.

    `lost` says that the memory is not known just now: its records were decided under an older definition,
    or a payload it was made of was erased. Until a snapshot row brings it back, the record answers for code.
    """

    def __init__(self, intact: Intact, run: Run, code: MachineSpec | None) -> None:
        self.intact = intact
        self.run = run
        self.code = code
        self.agreed = 0
        self.erased = 0
        self.lost = False
        self.snapshot = Snapshot()
        self.fingerprint = ""
        self.engine: Engine
        self.alone: Engine

    def all(self) -> None:
        for record in self.intact.records():
            if self.fingerprint != self.intact.fingerprint:  # a `repinned` record is the first of the new definition
                self._use(self.intact.fingerprint)
            if record.kind == "forked":
                check_origin(self.intact.reader, record, self.engine.spec)
            if record.kind in UNDECIDED or (record.body is None and "unread" not in record.note):
                self._follow(record)
            else:
                self._decide(record)
            kept = self.intact.compare(self.snapshot)
            if kept is not None:
                self.snapshot, self.lost = kept, False
            elif record.kind == "forked":
                differ(
                    record.seq, "a snapshot row, with the memory of its parent", "none", "its snapshot row is missing"
                )
            self.agreed += 1
        self.intact.close(self.snapshot)

    def _use(self, fingerprint: str) -> None:
        """The machine for the records to come: its code for its own, and for those of the definition in force today."""
        self.fingerprint = fingerprint
        self.alone = self.engine = _engine(self.intact.spec(self.code))
        if self.code is not None and fingerprint in (self.code.fingerprint, self.run.fingerprint):
            self.engine = _engine(self.code)

    def _follow(self, record: Record) -> None:
        """A record that decides nothing, or whose payload is gone: only its effect."""
        self.erased += record.kind not in UNDECIDED
        try:
            self.snapshot = apply(self.engine.spec, self.snapshot, record)
        except KeyError as error:
            differ(record.seq, str(record), "nothing", f"the machine no longer declares {error}")
        self.lost = self.lost or record.memory is not None

    def _decide(self, record: Record) -> None:
        engine = self.alone if self.lost else self.engine
        event = event_of(engine.spec, record)
        try:
            decision = decide(engine, self.snapshot, event, record)
        except NotRecorded as missing:
            differ(record.seq, str(record), "unknown", f"the record has no answer of {missing}")
        except Undeclared as error:
            differ(record.seq, str(record), "nothing", f"the machine does not allow it: {error}")
        now = decision.record
        if now is None:
            differ(record.seq, str(record), "only counted", "the visit had its refusals_max")
        if _decision(record) != _decision(now) or now.event != event.payload.event:
            why = cause(record, now, engine.spec.hops) or f"its event would be {now.event}"
            differ(record.seq, *told(record, now), why)
        if engine is self.alone:
            self.lost = self.lost or record.memory is not None
        elif now.memory != record.memory:
            memory = decision.snapshot.memory if now.memory is not None else None
            text = f": {excerpt(memory)}" if memory is not None else ""
            after = f"memory {short(now.memory)}{text}"
            differ(record.seq, f"memory {short(record.memory)}", after, "the memory after it is another")
        self.snapshot = decision.snapshot


_engines: OrderedDict[int, Engine] = OrderedDict()


def _engine(spec: MachineSpec) -> Engine:
    """The engine of a spec; kept, since many short runs of one machine are replayed one after the other."""
    engine = _engines.pop(id(spec), None)
    if engine is None or engine.spec is not spec:
        engine = Engine(spec)
    _engines[id(spec)] = engine
    if len(_engines) > ENGINES_MAX:
        _engines.popitem(last=False)
    return engine


__all__ = ["Divergence", "Replay", "replay_run"]
