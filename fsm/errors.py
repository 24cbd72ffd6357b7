"""Every error a user can meet, one family, each with its facts as fields.

A message says what happened, with the numbers, where, and what to do next. The fields say the same to
a program. `FsmError` catches them all.
"""

from attrs import frozen


@frozen(kw_only=True, slots=False)
class FsmError(Exception):
    """The root of the family; never raised itself."""

    def __str__(self) -> str:
        return self.message()

    def message(self) -> str:
        raise NotImplementedError


@frozen
class Mistake:
    """One thing wrong with a definition: the attribute, its file and line, and what to write instead."""

    attribute: str
    where: str
    what: str
    instead: str

    def __str__(self) -> str:
        head = f"{self.attribute}  ({self.where})" if self.attribute else self.where
        return f"{head}\n      {self.what}\n      -> {self.instead}"


@frozen(kw_only=True, slots=False)
class DefinitionError(FsmError):
    """The machine is not a machine; nothing was created."""

    machine: str
    mistakes: tuple[Mistake, ...]

    def message(self) -> str:
        many = f"{len(self.mistakes)} mistakes" if len(self.mistakes) != 1 else "1 mistake"
        lines = [f"  {n}. {mistake}" for n, mistake in enumerate(self.mistakes, 1)]
        return "\n".join([f"machine {self.machine} has {many}:", *lines])


@frozen(kw_only=True, slots=False)
class PayloadRefused(FsmError):
    """A payload that cannot be stored and read back as itself; nothing was written."""

    event: str
    problems: tuple[str, ...]
    excerpt: str = ""

    def message(self) -> str:
        seen = f"\n  it began: {self.excerpt}" if self.excerpt else ""
        listed = "".join(f"\n  - {problem}" for problem in self.problems)
        told = f"{self.event} is not a valid payload:{listed}{seen}"
        return f"{told}\n  -> correct the payload and send it again; nothing was written"


@frozen(kw_only=True, slots=False)
class AgentsMissing(FsmError):
    """States that need an agent have none."""

    machine: str
    states: tuple[str, ...]

    def message(self) -> str:
        given = ", ".join(f"{state}=..." for state in self.states)
        return (
            f"{self.machine} needs agents for: {', '.join(self.states)}\n"
            f"  -> bind them first: {self.machine}.with_agents({given})"
        )


@frozen(kw_only=True, slots=False)
class RunNotFound(FsmError):
    run_id: str
    journal: str

    def message(self) -> str:
        return f"no run {self.run_id!r} in {self.journal}\n  -> list those that are there: fsm runs --db {self.journal}"


@frozen(kw_only=True, slots=False)
class RunConflict(FsmError):
    """The run id is taken by a run that began differently."""

    run_id: str
    what: str

    def message(self) -> str:
        told = f"run {self.run_id!r} exists and began with {self.what}"
        return f"{told}\n  -> give the new run another id; the old one is unchanged"


@frozen(kw_only=True, slots=False)
class RunEnded(FsmError):
    """An event for a run that is over; nothing was written."""

    run_id: str
    outcome: str
    event: str

    def message(self) -> str:
        return f"run {self.run_id!r} has ended ({self.outcome}); {self.event} was not recorded\n  -> start a new run"


@frozen(kw_only=True, slots=False)
class RunHalted(FsmError):
    """An event for a run that stands still until somebody resumes it; nothing was written."""

    run_id: str
    outcome: str
    event: str

    def message(self) -> str:
        return (
            f"run {self.run_id!r} is halted ({self.outcome}); {self.event} was not recorded\n"
            f"  -> resume it first: await runner.resume({self.run_id!r})"
        )


@frozen(kw_only=True, slots=False)
class RunnerStopped(FsmError):
    """The runner was asked to stop while somebody waited for its runs; they can be resumed."""

    unfinished: int

    def message(self) -> str:
        many = f"{self.unfinished} runs" if self.unfinished != 1 else "1 run"
        told = f"the runner was asked to stop (a signal, or runner.stop()) with {many} unfinished"
        return f"{told}\n  -> start them again: they go on where they are"


@frozen(kw_only=True, slots=False)
class EventConflict(FsmError):
    """The event id was used before, for another payload."""

    run_id: str
    event_id: str

    def message(self) -> str:
        return (
            f"event id {self.event_id!r} of run {self.run_id!r} already stands for another payload\n"
            "  -> send it under a new event id; the first one stays as it was decided"
        )


@frozen(kw_only=True, slots=False)
class Busy(FsmError):
    """The run's inbox is full."""

    run_id: str
    waiting: int
    inbox_max: int

    def message(self) -> str:
        return (
            f"run {self.run_id!r} has {self.waiting} events waiting, inbox_max is {self.inbox_max}; "
            "nothing was written\n"
            "  -> let a runner with this machine work them off, then send again"
        )


@frozen(kw_only=True, slots=False)
class NotResumable(FsmError):
    run_id: str
    why: str

    def message(self) -> str:
        return f"run {self.run_id!r} cannot be resumed: {self.why}"


@frozen(kw_only=True, slots=False)
class NothingToAnswer(FsmError):
    """The run did not ask about this call, or not any more; nothing was written. `open` is the key it asks about."""

    run_id: str
    call: str
    why: str
    open: str = ""

    def message(self) -> str:
        ask = f"answer {self.open!r}" if self.open else "read its records: it goes on, or stands, for another reason"
        return f"run {self.run_id!r} does not ask about call {self.call!r}: {self.why}\n  -> {ask}"


@frozen(kw_only=True, slots=False)
class MachineUnknown(FsmError):
    """The run belongs to a machine this runner was not given."""

    run_id: str
    machine: str

    def message(self) -> str:
        return (
            f"run {self.run_id!r} belongs to machine {self.machine}, which this runner does not have\n"
            f"  -> Runner(..., machines=[{self.machine}])"
        )


@frozen(kw_only=True, slots=False)
class MachineChanged(FsmError):
    """The run was recorded under another definition of its machine."""

    run_id: str
    machine: str
    changes: tuple[str, ...]

    def message(self) -> str:
        listed = "".join(f"\n  - {change}" for change in self.changes)
        return (
            f"{self.machine} has changed since run {self.run_id!r} was recorded:{listed}\n"
            "  -> run it with the old definition, or accept the new one: runner.resume(run_id, accept=True)"
        )


@frozen(kw_only=True, slots=False)
class RunUnreadable(FsmError):
    """What the run has on record is read no more by the machine's code of today; the journal is as it was."""

    run_id: str
    machine: str
    seq: int
    event: str
    problems: tuple[str, ...]

    def message(self) -> str:
        listed = "".join(f"\n  - {problem}" for problem in self.problems)
        return (
            f"run {self.run_id!r} of {self.machine} cannot be read: record {self.seq} ({self.event}){listed}\n"
            f"  -> let today's code read it: {self.event}.upcast(old, version) makes a stored body valid,"
            " `formerly` names a renamed class; or run it with the code that wrote it"
        )


@frozen(kw_only=True, slots=False)
class CallFailed(FsmError):
    """A call inside a visit failed; live and replayed attempts see the same facts."""

    name: str
    type: str
    text: str
    retriable: bool
    status: int | None = None
    retry_after_ms: int | None = None

    def message(self) -> str:
        again = "may succeed if tried again" if self.retriable else "will not succeed by trying again"
        return f"call {self.name!r} failed with {self.type}: {self.text} ({again})"


@frozen(kw_only=True, slots=False)
class JournalError(FsmError):
    """The journal cannot do what was asked; the file is as it was."""

    path: str
    what: str
    next: str

    def message(self) -> str:
        return f"{self.path}: {self.what}\n  -> {self.next}"


class NotAJournal(JournalError):
    """The file is something else."""


class NewerFormat(JournalError):
    """Written by a later release."""


class JournalUnwritable(JournalError):
    """Read-only, full, locked, or on a file system without WAL."""


@frozen(kw_only=True, slots=False)
class Damaged(JournalError):
    """A row of record `seq` holds what no release of this program writes."""

    seq: int


class JournalClosed(JournalError):
    """The writer has stopped; what was not acknowledged was not written."""


@frozen(kw_only=True, slots=False)
class Fenced(FsmError):
    """Another runner advances this run now, or the run has moved on; nothing was written."""

    run_id: str
    why: str

    def message(self) -> str:
        told = f"run {self.run_id!r}: {self.why}; nothing was written"
        return f"{told}\n  -> read the run again, its journal says where it is"
