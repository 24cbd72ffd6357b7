"""Many runs of a machine against the machine of today: what goes another way, and what is proved no more."""

from collections.abc import Iterable, Iterator
from typing import Literal

from attrs import frozen

from fsm.replay.against import Today
from fsm.replay.divergence import Kind
from fsm.replay.replay import Replay
from fsm.verify.check import Report, check
from fsm.verify.figures import amount

KINDS: dict[Kind, str] = {
    "state_gone": "a state is gone",
    "transition_gone": "a transition is gone",
    "transition_new": "a new transition takes the event",
    "leads_elsewhere": "a transition leads elsewhere",
    "predicate_differs": "a predicate answers otherwise",
    "guard_flips": "a guard says otherwise",
    "bound_moved": "a limit was moved",
    "payload_invalid": "a payload is no longer valid",
    "memory_differs": "what is remembered is another",
    "outcome_differs": "a state ends or waits otherwise",
    "unknown": "a payload was erased that it takes to know",
    "damaged": "the journal is not what was written",
}


SITUATIONS_MAX = 20_000  # a tenth of what `fsm check` looks at: it is done for each definition met


@frozen
class Lost:
    """What `fsm check` proves of the recorded machine and does not prove of today's, within SITUATIONS_MAX."""

    what: Literal["ends", "worst", "promise"]
    then: str
    today: str

    def __str__(self) -> str:
        return f"proof lost: {self.then}; today {self.today}"


@frozen
class Changed:
    """A definition that runs were recorded under and that is not today's: what differs, and which proofs are lost.

    `unseen` names guards of today of which no such record says what they would have found.
    """

    fingerprint: str
    changes: tuple[str, ...]
    lost: tuple[Lost, ...]
    unseen: tuple[str, ...]


@frozen
class Held:
    """What became of one run of this machine, and the journal that holds it."""

    journal: str
    machine: str
    replay: Replay

    @property
    def kind(self) -> Kind | None:
        return self.replay.divergence.kind if self.replay.divergence is not None else None


@frozen
class Comparison:
    """What became of runs of one machine; `changed` has each of its other definitions once."""

    machine: str
    held: tuple[Held, ...]
    changed: tuple[Changed, ...]

    @property
    def diverging(self) -> list[Held]:
        return [held for held in self.held if not held.replay.agreed]

    @property
    def kinds(self) -> dict[Kind, list[Held]]:
        """The runs that diverge by kind, in the order of `KINDS`."""
        found: dict[Kind, list[Held]] = {kind: [] for kind in KINDS}
        for held in self.diverging:
            if held.kind is not None:
                found[held.kind].append(held)
        return {kind: runs for kind, runs in found.items() if runs}


def compared(today: Today, held: Iterable[Held]) -> Comparison:
    """These runs, held against today's machine one after the other, and the definitions met on the way."""
    found = tuple(held)
    others = [pair for pair in today.pairs.values() if pair.then != today.spec]
    report = check(today.spec, SITUATIONS_MAX) if others else None
    changed = []
    for pair in others:
        assert report is not None
        unseen = tuple(dict.fromkeys(f"{guard.name} on {guard.at}" for guard in pair.unseen()))
        changes, proofs = pair.then.changes(today.spec), tuple(lost(check(pair.then, SITUATIONS_MAX), report))
        if changes or proofs:  # what is no part of the fingerprint, as a timeout, may be what a proof rested on
            changed.append(Changed(pair.then.fingerprint, changes, proofs, unseen))
    return Comparison(today.spec.name, found, tuple(changed))


def lost(then: Report, today: Report) -> Iterator[Lost]:
    """What was proved of the one and is not of the other: that runs end, how much they cost, which promises hold."""
    before, after = then.termination, today.termination
    if before.kind == "ends":
        new = [state for state in after.waits if state not in before.waits]
        if after.kind != "ends" or new or (after.halts and not before.halts):
            yield Lost("ends", str(before), str(after))
    figures = {figure.cost: figure for figure in today.figures}
    for figure in then.figures:
        if figure.most is None or figure.cost == "ms":
            continue
        now = figures[figure.cost]
        if now.most is None or now.most > figure.most:
            told = amount(now.cost, now.most) if now.most is not None else f"{now.cost}: {now.mark}"
            yield Lost(
                "worst", f"at most {amount(figure.cost, figure.most)}", told if now.most is None else f"at most {told}"
            )
    answers = {answer.promise.name: answer for answer in today.promises}
    for kept in (answer for answer in then.promises if answer.answer == "kept"):
        now_kept = answers.get(kept.promise.name)
        if now_kept is None or now_kept.answer != "kept":
            what = f"{kept.promise.name} = {kept.promise}"
            yield Lost("promise", f"{what} is kept", f"it is {now_kept.answer}" if now_kept else "nobody promises it")
