"""Runs from an export, each proven before anything of it is written here.

Nobody vouches for the file. A run's rows are put into a staging, where they must prove themselves as those of any
journal do; only then they come into this one, in one transaction. What is wrong with one run keeps no other out.
A run that has not ended comes in only where somebody asks for that: two journals that go on with it would do
everything twice. It is then free for any runner here, with its timers and its inbox.
"""

from collections.abc import Callable, Iterator
from typing import IO, Literal

from attrs import define, field, frozen

from fsm.core.record import ENDED, HALTED
from fsm.errors import JournalError, NewerFormat, RunNotFound
from fsm.journal.alone import Alone, alone
from fsm.journal.exchange import EXPORT_FORMAT, ROWS, Line, lines
from fsm.journal.reader import Reader
from fsm.journal.receive import Receive, differing, is_same
from fsm.journal.rows import Run
from fsm.journal.schema import FORMAT
from fsm.journal.staging import Staging, Unfit, staging

Proof = Callable[[Reader, str], tuple[int, str] | None]
"""Of a run in a journal the first record that is not what was written, and why; None if all agree."""


@frozen(kw_only=True)
class Arrival:
    """What became of a run of an export. `line` is where it begins, or where it is refused; `run_id` "" for no run."""

    run_id: str
    line: int
    what: Literal["taken", "here", "refused"]
    records: int = 0
    seq: int | None = None
    why: str = ""


@define
class _Arriving:
    """A run whose lines are being read. `fate` is known before its end where nothing more of it matters."""

    run_id: str
    line: int
    lines: int = 0
    first: int = 0
    fate: Arrival | None = None

    def refuse(self, line: int, why: str, seq: int | None = None) -> None:
        if self.fate is None:
            self.fate = Arrival(run_id=self.run_id, line=line, what="refused", seq=seq, why=why)


def take_in(
    stream: IO[bytes], name: str, path: str, proof: Proof, monotonic: float, unfinished: bool = False
) -> Iterator[Arrival]:
    """Take in the runs of the export that `stream` holds, one after the other, into the journal at `path`.

    Raises `JournalError`s where the stream holds no export at all, or one of a later release; before it writes.
    """
    found = lines(stream)
    first = next(found, Line(0, "", {}, "it is empty"))
    if first.kind != "turnstile":
        what = f"it is no export of runs: line {first.number}: {first.why or f'a {first.kind} comes first'}"
        raise JournalError(path=name, what=what, next="make one: fsm export --all --out FILE")
    _check_formats(name, first)
    with alone(path, monotonic) as journal, staging() as staged:
        yield from _Incoming(name, journal, staged, proof, unfinished).arrivals(found)


def _check_formats(name: str, header: Line) -> None:
    for what, ours in (("format", EXPORT_FORMAT), ("journal", FORMAT)):
        told = header.form.get(what)
        if not isinstance(told, int) or told > ours:
            raise NewerFormat(
                path=name,
                what=f"line {header.number}: it has {what} {told}, this release reads up to {ours}",
                next="install the release that wrote it, or a later one",
            )


@define
class _Incoming:
    name: str
    journal: Alone
    staged: Staging
    proof: Proof
    unfinished: bool
    _run: _Arriving | None = None
    _number: int = 1
    _done: bool = field(default=False, init=False)

    def arrivals(self, found: Iterator[Line]) -> Iterator[Arrival]:
        for line in found:
            self._number = line.number
            if self._run is not None and line.kind in ("turnstile", "machine", "run", "done"):
                self._run.refuse(line.number, f"a {line.kind} comes before its end")
                yield self._close()
            if self._run is None:
                yield from self._outside(line)
            elif line.kind == "end":
                self._end(self._run, line)
                yield self._close()
            else:
                self._row(self._run, line)
        if self._run is not None:
            self._run.refuse(self._number, "the file ends before it does: it was cut")
            yield self._close()
        if not self._done:
            yield self._stray("the file ends without its last line: it was cut")

    def _outside(self, line: Line) -> Iterator[Arrival]:
        """A line between two runs."""
        self._done = line.kind == "done"
        if line.kind == "turnstile":
            _check_formats(self.name, line)
        elif line.kind == "run":
            self._run = self._begin(line)
        elif line.kind == "machine":
            try:
                self.staged.put_machine(line.form)
            except Unfit as unfit:
                yield self._stray(str(unfit))
        elif line.kind != "done":
            yield self._stray(line.why or f"a {line.kind} that belongs to no run")

    def _begin(self, line: Line) -> _Arriving:
        run_id = line.form.get("run_id")
        run = _Arriving(run_id if isinstance(run_id, str) else "", line.number)
        try:
            self.staged.put_run(line.form)
            self._meet(run, self.staged.read.run(run.run_id))
        except Unfit as unfit:
            run.refuse(line.number, str(unfit))
        return run

    def _meet(self, run: _Arriving, arriving: Run) -> None:
        """What this journal says to it before its rows are looked at."""
        try:
            known = self.journal.read.run(run.run_id)
        except RunNotFound:
            if arriving.outcome not in ENDED | HALTED and not self.unfinished:
                run.refuse(run.line, f"it has not ended ({arriving.outcome}), and two journals must not go on with it")
            return
        if is_same(known, arriving):
            run.fate = Arrival(run_id=run.run_id, line=run.line, what="here", records=arriving.seq + 1)
            return
        run.refuse(run.line, differing(self.journal.read, known, arriving))

    def _row(self, run: _Arriving, line: Line) -> None:
        run.lines += 1
        if line.kind == "record" and not run.first:
            run.first = line.number
        if run.fate is not None:
            return
        seq = line.form.get("seq") if line.kind == "record" else None
        if line.kind not in ROWS:
            return run.refuse(line.number, line.why)
        try:
            self.staged.put(line.kind, line.form)
        except Unfit as unfit:
            run.refuse(line.number, str(unfit), seq if isinstance(seq, int) else None)

    def _end(self, run: _Arriving, line: Line) -> None:
        if run.fate is not None:
            return
        told = {"run_id": run.run_id, "lines": run.lines}
        if line.form != told:
            return run.refuse(line.number, f"its end tells of {dict(line.form)}, and it is {told}")
        problem = self._proven(run)
        if problem is not None:
            seq, why = problem
            return run.refuse(run.first + seq if run.first else run.line, why, seq)
        try:
            records = self.staged.read.run(run.run_id).seq + 1
            taken = self.journal.write(Receive(staged=self.staged.read, run_id=run.run_id))
            what: Literal["taken", "here"] = "taken" if taken else "here"
            run.fate = Arrival(run_id=run.run_id, line=run.line, what=what, records=records)
        except Unfit as conflict:  # somebody was faster
            run.refuse(run.line, str(conflict))

    def _proven(self, run: _Arriving) -> tuple[int, str] | None:
        try:
            found = self.proof(self.staged.read, run.run_id)
            arriving = self.staged.read.run(run.run_id)
            spec = self.staged.read.spec(arriving.fingerprint) if found is None else None
        except Exception as error:  # rows made to break what reads them are no rows of a run
            return 0, f"it cannot be replayed: {type(error).__name__}: {error}"
        if spec is not None and spec.name != arriving.machine:
            return 0, f"it is a run of {arriving.machine}, and its machine is {spec.name}"
        return found

    def _close(self) -> Arrival:
        assert self._run is not None and self._run.fate is not None
        fate, self._run = self._run.fate, None
        self.staged.clear()
        return fate

    def _stray(self, why: str) -> Arrival:
        return Arrival(run_id="", line=self._number, what="refused", why=why)
