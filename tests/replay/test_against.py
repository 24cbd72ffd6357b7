"""Recorded runs against a changed machine: each kind of difference, and what makes none."""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from attrs import evolve
from pydantic import BaseModel, Field

from fsm import Guard, Replay, read_journal
from fsm.define.guard import Standing
from fsm.define.parts import Named, StateSpec, TransitionSpec, retry_spec
from fsm.define.spec import MachineSpec
from fsm.journal.reader import Reader
from fsm.replay.against import Today
from fsm.replay.comparison import Comparison, Held, compared
from fsm.replay.divergence import Kind
from guards import Bulkhead, CostBudget, Deadline, LoopCap, PayloadSize, RateLimit, Strikes, TokenBudget
from tests.kept.shop import Shop
from tests.replay.test_changed_code import CHANGED
from tests.replay.workshop import Ledger, Older, Part, Workshop, is_weather

REPINNED = {"repinned", "repinned-halted"}
SPEC, SHOP = Workshop.spec, Shop.spec
KEPT = Path(__file__).parent.parent / "kept" / "0.1.0" / "shop.db"


@pytest.fixture(scope="module")
def reader(recorded: Path) -> Iterator[Reader]:
    reader = read_journal(recorded)
    yield reader
    reader.close()


def comparison(reader: Reader, spec: MachineSpec) -> Comparison:
    today = Today(spec)
    return compared(today, [Held(reader.path, run.machine, today.holds(reader, run)) for run in reader.runs(spec.name)])


# -- the machine of the recorded runs, with one thing changed --------------------------------------


def line(name: str, spec: MachineSpec = SPEC, **changes: Any) -> MachineSpec:
    """With one transition changed."""
    lines = [evolve(one, **changes) if one.name == name else one for one in spec.transitions]
    return evolve(spec, transitions=tuple(lines))


def state(name: str, **changes: Any) -> MachineSpec:
    states = [evolve(one, **changes) if one.name == name else one for one in SPEC.states]
    return evolve(SPEC, states=tuple(states))


def bound(**changes: int) -> MachineSpec:
    return evolve(SPEC, bounds=evolve(SPEC.bounds, **changes))


def without(*names: str) -> MachineSpec:
    return evolve(SPEC, transitions=tuple(one for one in SPEC.transitions if one.name not in names))


def first(new: TransitionSpec) -> MachineSpec:
    return evolve(SPEC, transitions=(new, *SPEC.transitions))


def placed(standing: Standing, at: str, *guards: Guard) -> tuple[Any, ...]:
    return tuple(guard.place(standing, at) for guard in guards)


def everywhere(*guards: Guard) -> MachineSpec:
    limits = SPEC.everywhere[0]
    return evolve(SPEC, everywhere=(evolve(limits, guards=placed("run", "limits", *guards)),))


def reading(event: str, cls: type[BaseModel] | None) -> MachineSpec:
    """With another class for an event, or none."""
    classes = {name: own for name, own in SPEC.classes.items() if name != event}
    return evolve(SPEC, classes={**classes, event: cls} if cls is not None else classes)


def remembering(fn: Callable[..., Any]) -> MachineSpec:
    return line("made", remember=Named("keep", fn=fn))


def renamed(old: str, new: str) -> MachineSpec:
    """With another name for a state, wherever it stands."""

    def told(names: Any) -> Any:
        return tuple(new if name == old else name for name in names)

    def ways(part: Any) -> dict[str, str]:
        return dict(zip(part.otherwise, told(part.otherwise.values()), strict=True))

    states = [evolve(one, name=new) if one.name == old else one for one in SPEC.states]
    lines = [
        evolve(one, sources=told(one.sources), target=told([one.target])[0], otherwise=ways(one))
        for one in SPEC.transitions
    ]
    limits = [evolve(one, otherwise=ways(one)) for one in SPEC.everywhere]
    return evolve(SPEC, states=tuple(states), transitions=tuple(lines), everywhere=tuple(limits))


class Tight(BaseModel):
    score: Annotated[int, Field(le=4)]


def no_page(ledger: Ledger, part: Part) -> Ledger:
    raise ValueError("no page")


HOPELESS = TransitionSpec(
    name="hopeless",
    sources=("test",),
    target="scrapped",
    events=("Check",),
    when=Named("is_hopeless", fn=lambda check: check.score < 2),
)
FINAL_DESK = StateSpec(name="shipped", kind="final", final="failed")

Case = tuple[MachineSpec, str, int, Kind, str]

CASES: dict[str, Case] = {
    "a cap that was raised": (
        CHANGED["a cap"][0].spec,
        "otherwise",
        6,
        "bound_moved",
        "LoopCap(2) on again refused here (loop_cap: fires 2, fires_max 2);"
        " today's LoopCap(3) lets it pass (fires 2, fires_max 3)",
    ),
    "a cap that was lowered": (
        Older.spec,
        "otherwise",
        4,
        "bound_moved",
        "LoopCap(2) on again let it pass here (fires 1, fires_max 2);"
        " today's LoopCap(1) refuses (loop_cap: fires 1, fires_max 1)",
    ),
    "fewer retries": (
        state("test", retry=retry_spec("test", 2, 0, 0, Named("is_weather", fn=is_weather))),
        "retried",
        3,
        "bound_moved",
        "Retry(3) on test.retry let it pass here (fires 1, fires_max 2);"
        " today's Retry(2) refuses (attempts_max: fires 1, fires_max 1)",
    ),
    "no retries": (
        state("test", retry=None),
        "retried",
        2,
        "transition_gone",
        "test.retry is gone; broken takes AgentFailed today, to desk",
    ),
    "more calls": (
        bound(calls_max=5),
        "calls",
        2,
        "bound_moved",
        "calls_max 3 refused call ring here; today's calls_max is 5",
    ),
    "fewer refusals": (
        bound(refusals_max=1),
        "ships",
        4,
        "bound_moved",
        "refusals_max 3; today's 1 is reached here",
    ),
    "smaller payloads": (
        bound(payload_bytes_max=50_000),
        "big",
        1,
        "bound_moved",
        "Part has 100,022 bytes; today's payload_bytes_max is 50,000",
    ),
    "a smaller memory": (
        bound(memory_bytes_max=200_000),
        "big",
        3,
        "memory_differs",
        "today keep on made refuses (memory_full: ",
    ),
    "fewer deferrals": (
        bound(defers_max=1),
        "waits",
        4,
        "guard_flips",
        "Hours on go put it off (closed); today it refuses (defer_exhausted: defers 1, defers_max 1, ",
    ),
    "a guard that says otherwise": (
        CHANGED["a guard"][0].spec,
        "ships",
        3,
        "guard_flips",
        "Signed on ship refused (unsigned); today it lets it pass",
    ),
    "a guard that is new": (
        line("good", guards=placed("transition", "good", PayloadSize(5))),
        "straight",
        2,
        "guard_flips",
        "PayloadSize on good was not there; today it refuses (payload_size: bytes 11, bytes_max 5)",
    ),
    "a guard that is gone": (
        line("ship", guards=()),
        "ships",
        3,
        "guard_flips",
        "Signed on ship refused (unsigned); today it is gone",
    ),
    "a predicate": (
        CHANGED["a predicate"][0].spec,
        "otherwise",
        2,
        "predicate_differs",
        "the predicate of good answered no; today it answers yes",
    ),
    "a predicate that is new": (
        line("bad", when=Named("never", fn=lambda check: False)),
        "bad",
        2,
        "predicate_differs",
        "bad had no predicate; today it has one, which answers no; nothing takes Check today",
    ),
    "a predicate that is gone": (
        line("good", when=None),
        "otherwise",
        2,
        "predicate_differs",
        "the predicate of good answered no; today it has none; good takes Check today, to shipped",
    ),
    "a transition that is gone": (
        without("again"),
        "otherwise",
        2,
        "transition_gone",
        "again is gone; bad takes Check today, to desk",
    ),
    "a transition that is gone, and none instead": (
        without("bad"),
        "bad",
        2,
        "transition_gone",
        "bad is gone; nothing takes Check today",
    ),
    "an otherwise that is gone": (
        line("again", otherwise={}),
        "otherwise",
        6,
        "transition_gone",
        "again.otherwise is gone; the run would be stopped today",
    ),
    "a transition that is new": (
        first(HOPELESS),
        "bad",
        2,
        "transition_new",
        "hopeless is new; bad took it, and hopeless takes Check today, to scrapped",
    ),
    "an event that nothing took": (
        first(TransitionSpec(name="wrong", sources=("test",), target="scrapped", events=("PayloadInvalid",))),
        "rubbish",
        2,
        "transition_new",
        "PayloadInvalid in test became AgentFailed, as nothing took it; today wrong is for it",
    ),
    "another target": (
        line("bad", target="scrapped"),
        "bad",
        2,
        "leads_elsewhere",
        "bad led to desk; today to scrapped",
    ),
    "another otherwise": (
        CHANGED["an otherwise"][0].spec,
        "otherwise",
        6,
        "leads_elsewhere",
        "again.otherwise led to desk; today to scrapped",
    ),
    "another source": (
        line("bad", sources=("make",)),
        "bad",
        2,
        "leads_elsewhere",
        "bad took it in test; nothing takes Check today",
    ),
    "a state that is gone": (
        renamed("desk", "office"),
        "bad",
        2,
        "state_gone",
        "state desk is gone; today it would be in office",
    ),
    "a state that ends otherwise": (
        state("shipped", final="failed"),
        "straight",
        2,
        "outcome_differs",
        "in shipped it was ended, completed; today ended, failed",
    ),
    "a stricter payload": (
        reading("Check", Tight),
        "straight",
        2,
        "payload_invalid",
        "its payload is no valid Check now",
    ),
    "another payload to start with": (
        state("make", initial=("Part",)),
        "straight",
        0,
        "leads_elsewhere",
        "start took it in (start); nothing takes Order today",
    ),
    "a payload that is gone": (
        reading("Check", None),
        "straight",
        2,
        "payload_invalid",
        "the machine no longer has payload Check",
    ),
    "what is remembered": (
        CHANGED["what is remembered"][0].spec,
        "straight",
        1,
        "memory_differs",
        "the memory after it is another",
    ),
    "a memory that cannot be made": (
        remembering(no_page),
        "straight",
        1,
        "memory_differs",
        "today keep on made refuses (remember_error: ValueError: no page)",
    ),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_kind_of_difference(reader: Reader, case: str):
    spec, run_id, seq, kind, why = CASES[case]
    replay = Today(spec).holds(reader, reader.run(run_id))
    divergence = replay.divergence
    assert divergence is not None
    assert (divergence.seq, divergence.kind, replay.records) == (seq, kind, seq), str(divergence)
    assert divergence.why.startswith(why), divergence.why
    assert divergence.recorded != divergence.decided


def test_every_kind_but_those_of_the_journal_has_a_case():
    kinds = set(Kind.__args__) - {"unknown", "damaged"}  # type: ignore[attr-defined]
    assert {kind for _, _, _, kind, _ in CASES.values()} == kinds


# -- guards that runs share: by the rows as they were seen ------------------------------------------

MAKE, TEST = SHOP.state["make"], SHOP.state["test"]


def shop(name: str, *guards: Guard, **changes: Any) -> MachineSpec:
    """With other guards on a state; those of the same kind are replaced."""
    own = SHOP.state[name]
    kinds = {type(guard).__name__ for guard in guards}
    kept = tuple(guard for guard in own.guards if guard.name not in kinds)
    states = [
        evolve(one, guards=(*kept, *placed("state", name, *guards)), **changes) if one is own else one
        for one in SHOP.states
    ]
    return evolve(SHOP, states=tuple(states))


SHARED: dict[str, Case] = {
    "a budget that was raised": (
        shop("test", TokenBudget(2_500, scope="label:tenant", warn_at=2_000)),
        "warned",
        1,
        "bound_moved",
        "TokenBudget(1500, warn_at=1000) on test refused here (budget_warned: ",
    ),
    "a budget in money that was raised": (
        shop("test", CostBudget(2_000_000, scope="machine", window_s=3_600)),
        "too-dear",
        1,
        "bound_moved",
        "CostBudget(900000) on test refused here (cost_budget: ",
    ),
    "a visit that may spend less": (
        shop("test", tokens_max=20),
        "warned",
        1,
        "guard_flips",
        "TokenBudget on test refused (budget_warned: ",
    ),
    "a visit that may spend more": (
        shop("test", tokens_max=700),
        "overspent",
        2,
        "bound_moved",
        "tokens_max 500 refused the visit's spending here; today's tokens_max is 700",
    ),
    "more at once": (
        shop("make", Bulkhead("mill", 3)),
        "third",
        0,
        "bound_moved",
        "Bulkhead(2) on make put it off here (full: ",
    ),
    "more in a while": (
        shop("make", RateLimit("mill", 9, window_s=10)),
        "crowd-6",
        0,
        "bound_moved",
        "RateLimit(visits_max=6) on make put it off here (rate_limited: ",
    ),
    "no breaker": (
        evolve(SHOP, states=tuple(evolve(one, guards=MAKE.guards[1:]) if one is MAKE else one for one in SHOP.states)),
        "refused-at-the-door",
        0,
        "guard_flips",
        "Breaker on make refused (open: ",
    ),
    "more failures": (
        shop("test", Strikes("gauge", 5)),
        "struck",
        2,
        "bound_moved",
        "Strikes refused call gauge (strikes 2, strikes_max 2); today it is made",
    ),
}


@pytest.mark.parametrize("case", SHARED, ids=str)
def test_guards_that_share_rows_decide_again_by_what_they_saw(case: str):
    spec, run_id, seq, kind, why = SHARED[case]
    reader = read_journal(KEPT)
    try:
        divergence = Today(spec).holds(reader, reader.run(run_id)).divergence
    finally:
        reader.close()
    assert divergence is not None
    assert (divergence.seq, divergence.kind) == (seq, kind), str(divergence)
    assert divergence.why.startswith(why), divergence.why


# -- no difference ---------------------------------------------------------------------------------


def test_a_machine_that_is_as_it_was_lets_every_run_go_as_it_went(reader: Reader):
    """But those that were repinned: they are compared as a whole, and began under another definition."""
    found = comparison(reader, SPEC)
    assert {held.replay.run_id for held in found.diverging} == REPINNED
    assert len(found.held) == len(reader.runs()) > 25
    assert found.kinds.keys() == {"bound_moved"}
    whole = {held.replay.run_id: held.replay.records for held in found.held}
    assert all(whole[run.run_id] == run.seq + 1 for run in reader.runs() if run.run_id not in REPINNED)


SAME = {
    "a limit that nobody met": everywhere(LoopCap(59), TokenBudget(1_100), Strikes("horn", 4), Deadline(86_400 * 41)),
    "another pause before a retry": state(
        "test", retry=retry_spec("test", 3, 60_000, 60_000, Named("is_weather", fn=is_weather))
    ),
    "another way to write an otherwise": line("again", otherwise={"loop_cap": "desk", "*": "scrapped"}),
    "a guard that shares a row nobody looked at": state(
        "test", guards=placed("state", "test", Bulkhead("bench", 1), TokenBudget(10, scope="machine"))
    ),
}


@pytest.mark.parametrize("case", SAME, ids=str)
def test_what_makes_no_difference(reader: Reader, case: str):
    found = comparison(reader, SAME[case])
    diverging = {held.replay.run_id: str(held.replay) for held in found.diverging if held.replay.run_id not in REPINNED}
    assert not diverging


def test_what_new_guards_would_have_seen_is_said_to_be_unknown(reader: Reader):
    spec = state("test", guards=placed("state", "test", Bulkhead("bench", 1)))
    changed = {one.fingerprint: one for one in comparison(reader, spec).changed}
    assert changed[SPEC.fingerprint].unseen == ("Bulkhead on test",)


# -- the journal itself ----------------------------------------------------------------------------


def changed_copy(recorded: Path, folder: Path, sql: str) -> Reader:
    copy = folder / "copy.db"
    shutil.copy(recorded, copy)
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as shell:
        for (name,) in shell.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            shell.execute(f"DROP TRIGGER {name}")
        shell.execute(sql)
    return read_journal(copy)


def held_in(reader: Reader, run_id: str) -> Replay:
    try:
        return Today(SPEC).holds(reader, reader.run(run_id))
    finally:
        reader.close()


def test_a_journal_that_was_changed_is_no_difference_of_the_machine(recorded: Path, tmp_path: Path):
    sql = "UPDATE record SET body = replace(body, '9', '8') WHERE seq = 2"
    replay = held_in(changed_copy(recorded, tmp_path, sql), "straight")
    assert replay.divergence is not None
    assert (replay.divergence.kind, replay.divergence.why) == ("damaged", "its payload was changed")


def test_a_payload_that_was_erased_is_followed_and_counted(recorded: Path, tmp_path: Path):
    replay = held_in(changed_copy(recorded, tmp_path, "UPDATE record SET body = NULL WHERE seq = 2"), "straight")
    assert replay.agreed and (replay.records, replay.erased) == (3, 1)


def test_where_memory_was_made_of_it_nobody_can_know(recorded: Path, tmp_path: Path):
    replay = held_in(changed_copy(recorded, tmp_path, "UPDATE record SET body = NULL WHERE seq = 1"), "straight")
    assert replay.divergence is not None and replay.divergence.kind == "unknown"
