"""Two runs side by side, in words."""

from pathlib import Path

import pytest

from fsm.replay.diff import ABSENT, Change, Diff
from fsm.show.diffing import Specs, beneath, causes, diff_data, fields, opening, parted, picked, totals
from fsm.show.path import Gap
from fsm.show.texts import worded
from guards import LoopCap
from tests.replay.twins import BAD, GOOD, Desk, Draft, Twins


@pytest.fixture
def twins(tmp_path: Path) -> Twins:
    return Twins(tmp_path)


def compared(twins: Twins) -> tuple[Diff, Specs]:
    found = twins.diff("a", "b")
    with twins.reading() as reader:
        return found, Specs(a=reader.spec(found.a.run.fingerprint), b=reader.spec(found.b.run.fingerprint))


def test_where_they_part_is_told_first_with_the_predicate_behind_it(twins: Twins):
    twins.record("a", reviews=[BAD, GOOD])
    twins.record("b", reviews=[BAD, BAD, GOOD])
    found, specs = compared(twins)
    assert opening(found) == "the same until record 3; then, in review:"
    assert parted(found) == [
        ("A", "record 4: Review, approve → done (completed)"),
        ("B", "record 4: Review, reject → draft"),
    ]
    assert causes(found, specs) == ["predicate is_good of approve answered yes in A, no in B"]


def test_a_guard_behind_it_is_told_with_its_numbers(twins: Twins):
    class Stricter(Desk, machine_name="Desk"):
        reject = Desk.reject.but(guards=[LoopCap(1)])

    twins.record("a", reviews=[BAD, BAD, GOOD])
    twins.record("b", reviews=[BAD, BAD, GOOD], machine=Stricter)
    assert causes(*compared(twins)) == [
        "LoopCap on reject allowed firing 2 of 2 in A, LoopCap on reject refused firing 2 of 1 in B"
    ]


def test_events_that_differ_are_told(twins: Twins):
    twins.record("a")
    twins.record("b", reviews=[ValueError("no")])
    found, specs = compared(twins)
    assert causes(found, specs) == ["Review arrived in A, AgentFailed in B"]
    assert found.parting is not None and found.parting.changes == (), "fields of two events do not compare"


def test_the_same_way_with_other_payloads_says_where_they_first_differ(twins: Twins):
    twins.record("a")
    twins.record("b", drafts=[Draft(text="another text")])
    found, specs = compared(twins)
    assert opening(found) == "the same way to the end, 3 records; payloads first differ at record 1 (Draft)"
    (row,) = (row for row in found.rows if row.differs)
    assert list(beneath(row, specs)) == ["text: [-a-] {+another+} text"]


def test_nothing_differs(twins: Twins):
    twins.record("a")
    twins.record("b")
    found, _ = compared(twins)
    assert opening(found) == "the same way to the end, 3 records, with the same payloads"


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        ("one two three four five", "one two 3 four five", "one two [-three-] {+3+} four five"),
        ("a b c d e f g h X", "a b c d e f g h Y", "… f g h [-X-] {+Y+}"),
        ("X a b c d e f g h", "Y a b c d e f g h", "[-X-] {+Y+} a b c …"),
        ("X a b c d e f g h X", "Y a b c d e f g h Y", "[-X-] {+Y+} a b c … f g h [-X-] {+Y+}"),
        ("all of it", "something quite different here", None),
        ("yes", "no", None),
        ("a  b", "a b", "other white space, or other words after the first 2,000"),
    ],
)
def test_of_a_text_the_words_that_differ_are_shown(a: str, b: str, told: str | None):
    assert worded(a, b) == told


def test_many_fields_are_cut_and_nothing_in_them_reaches_the_terminal():
    changes = [Change(f"f{number}", number, ABSENT) for number in range(6)]
    assert list(fields(changes)) == [*(f"f{number}: {number} / absent" for number in range(4)), "and 2 fields more"]
    assert len(list(fields(changes, everything=True))) == 6
    assert list(fields([Change("x\n", "\x1b[31m", 1)])) == ['x: "\\u001b[31m" / 1']


def test_of_a_long_path_what_is_around_the_difference_is_shown(twins: Twins):
    class Longer(Desk):
        reject = Desk.reject.but(guards=[LoopCap(30)])

    twins.record("a", machine=Longer, reviews=[*[BAD] * 20, GOOD])
    twins.record("b", machine=Longer, reviews=[BAD])
    found, _ = compared(twins)
    items = list(picked(found))
    assert isinstance(items[0], Gap) and items[0].records == 41
    assert sum(item.records if isinstance(item, Gap) else 1 for item in items) == len(found.rows)
    assert len(items) < 40 < len(list(picked(found, everything=True)))


def test_totals_and_data_tell_the_same(twins: Twins):
    twins.record("a", reviews=[BAD, BAD, BAD])
    twins.record("b")
    found, specs = compared(twins)
    told = {name: (a, b) for name, a, b in totals(found)}
    assert told["hops"] == ("6", "2") and told["LoopCap on reject: loop_cap"] == ("1", "0")
    data = diff_data(found, specs)
    assert (data["a"]["hops"], data["b"]["hops"], data["agreed"]) == (6, 2, 2)
    assert data["parting"]["fields"] == [{"field": "good", "a": False, "b": True}]
