"""What a diagram holds of a machine."""

import io
from collections import Counter

import attrs
from hypothesis import given
from rich.console import Console

from fsm import Machine, State, everywhere, unbound
from fsm.define.spec import MachineSpec
from fsm.show.diagram import Arrow, Box, Diagram, diagram
from fsm.show.dot import dot
from fsm.show.mermaid import escaped, mermaid
from fsm.show.terminal import tree
from fsm.show.words import duration, money, shown
from guards import LoopCap, TokenBudget
from machines import ReviewLoop
from tests.core.trip import Says, answer
from tests.show.small import Approval, Brief, Draft, Small, Verdict
from tests.show.specs import EXAMPLES, declared, specs

SMALL = diagram(Small.spec)


def box(name: str) -> Box:
    return next(box for box in SMALL.boxes if box.name == name)


def arrow(hop: str, of: Diagram = SMALL) -> Arrow:
    return next(arrow for arrow in of.arrows if arrow.hop == hop)


def told(of: Diagram) -> list[tuple[str, str, str, str]]:
    """Every arrow: what kind, which hop or refused line, from where, to where."""
    names = {box.id: box.name or box.kind for box in of.boxes}
    return [
        (way.kind, way.hop or way.line, "+".join(names[source] for source in way.sources), names[way.target])
        for way in of.arrows
    ]


def test_every_state_is_a_box_in_declared_order() -> None:
    assert [(box.id, box.name, box.kind) for box in SMALL.boxes] == [
        ("s0", "lost", "failed"),
        ("s1", "write", "agent"),
        ("s2", "check", "agent"),
        ("s3", "person", "waiting"),
        ("s4", "done", "completed"),
        ("start", "", "start"),
        ("anywhere0", "limits", "anywhere"),
        ("stopped", "stopped", "stopped"),
    ]
    assert SMALL.states == SMALL.boxes[:5]
    assert box("write").starts == ("Brief",) and box("write").timeout_ms == 60_000
    assert box("person").title == "An editor"
    assert [(check.name, check.words, check.codes) for check in box("check").guards] == [
        ("Says", "label door", ("no", "never", "later"))
    ]
    assert [(check.words, check.limit) for check in box("limits").guards] == [("up to 1,000 tokens", 1_000)]


def test_every_way_is_an_arrow() -> None:
    assert told(SMALL) == [
        ("start", "start", "start", "write"),
        ("direct", "submit", "write", "check"),
        ("direct", "good", "check", "done"),
        ("direct", "again", "check", "write"),
        ("otherwise", "again.otherwise.loop_cap", "check", "person"),
        ("otherwise", "again.otherwise", "check", "lost"),
        ("direct", "accept", "person", "done"),
        ("direct", "drop", "person", "lost"),
        ("direct", "broken", "write+check", "person"),
        ("stopped", "limits", "limits", "stopped"),
        ("otherwise", "check.otherwise", "check", "lost"),
    ]
    assert (arrow("good").events, arrow("good").when) == (("Verdict",), "is_good")
    assert [check.words for check in arrow("again").guards] == ["up to 2 times", "label tone"]
    assert [way.standing for way in SMALL.arrows[-2:]] == ["run", "state"]


def test_an_otherwise_names_the_codes_that_lead_there() -> None:
    assert (arrow("again.otherwise.loop_cap").codes, arrow("again.otherwise.loop_cap").rest) == (("loop_cap",), False)
    assert (arrow("again.otherwise").codes, arrow("again.otherwise").rest) == (("no", "never", "later"), True)


def test_what_halts_and_what_stays() -> None:
    """Only an event of the run's own halts it: a person's that is refused leaves the run waiting."""

    class Doors(Machine):
        work = State(initial=Brief, agent=answer, guards=[Says("in")])
        ask = State(guards=[Says("ask")])
        desk = State(agent=answer, guards=[Says("desk")])
        out = State(final="completed")
        go = work.to(ask, on=Draft, guards=[Says("go")])
        back = ask.to(ask, on=Approval, guards=[Says("back")])
        pass_on = ask.to(desk, on=Draft)
        end = desk.to(out, on=Draft)
        limits = everywhere(LoopCap(9))

    doors = diagram(Doors.spec)
    assert [way for way in told(doors) if way[0] == "stopped"] == [
        ("stopped", "go", "work", "stopped"),
        ("stopped", "limits", "limits", "stopped"),
        ("stopped", "work", "work", "stopped"),
        ("stopped", "ask", "ask", "stopped"),
    ]
    assert [way.hop for way in doors.arrows if way.stays] == ["back"]
    assert [box.name for box in doors.boxes if box.stays] == ["desk"]


def test_no_halt_where_every_refusal_has_its_way() -> None:
    loop = diagram(ReviewLoop.spec)
    assert all(box.kind != "stopped" for box in loop.boxes)
    assert ("otherwise", "limits.otherwise", "limits", "person") in told(loop)


def test_limits_in_words() -> None:
    class Limits(Machine):
        work = State(initial=Brief, agent=answer, guards=[LoopCap(1)])
        out = State(final="completed")
        again = work.to(work, on=Draft, guards=[LoopCap(1_000, scope="run")])
        end = work.to(out, on=Approval, guards=[TokenBudget(1), LoopCap(2, since=work)])

    limits = diagram(Limits.spec)
    assert [check.words for check in limits.boxes[0].guards] == ["up to 1 visit"]
    assert [check.words for check in arrow("again", limits).guards] == ["up to 1,000 hops"]
    assert [check.words for check in arrow("end", limits).guards] == ["up to 1 token", "up to 2 times since work"]


def test_durations_and_money() -> None:
    told = [duration(ms) for ms in (0, 250, 1_000, 90_000, 3_600_000, 172_800_000, 93_784_005)]
    assert told == ["0 ms", "250 ms", "1 s", "1 min 30 s", "1 h", "2 d", "1 d 2 h"]
    assert [money(usd) for usd in (0, 5, 1_500_000, 2_000_000_000)] == ["$0", "$0.000005", "$1.5", "$2,000"]


def test_names_are_shown_on_one_line() -> None:
    told = [shown(name) for name in ("", " ", "a  b", " a ", "a\nb", "\\n", "\u202e", "\ud800", "漢 字")]
    assert told == ['""', r"\x20", r"a \x20b", r"\x20a\x20", r"a\nb", r"\\n", r"\u202e", r"\ud800", "漢 字"]


@EXAMPLES
@given(specs())
def test_every_hop_of_any_machine_is_one_arrow(spec: MachineSpec) -> None:
    drawn = diagram(spec)
    ids = [box.id for box in drawn.boxes]
    assert len({*ids, *(way.id for way in drawn.arrows)}) == len(ids) + len(drawn.arrows)
    assert [box.id for box in drawn.states] == [f"s{index}" for index in range(len(spec.states))]
    assert Counter(way.hop for way in drawn.arrows if way.kind != "stopped") == Counter(declared(spec))
    names = {box.id: box.name for box in drawn.states}
    for way in drawn.arrows:
        assert {*way.sources, way.target} <= {*ids}
        if way.kind == "direct":
            line = next(line for line in spec.transitions if line.name == way.hop)
            assert [names[source] for source in way.sources] == list(line.sources)
            assert (names[way.target], way.events) == (line.target, line.events)


@EXAMPLES
@given(specs())
def test_a_machine_from_json_is_drawn_alike(spec: MachineSpec) -> None:
    loaded = MachineSpec.from_json(spec.to_json())
    assert diagram(loaded) == diagram(spec)
    assert diagram(attrs.evolve(spec)) == diagram(spec)


def test_what_a_visit_may_take_stands_at_its_state_where_it_is_declared():
    class Limited(Machine):
        write = State(initial=Brief, agent=unbound, timeout_s=90, tokens_max=4_000, usd_micros_max=50_000)
        check = State(agent=unbound, tokens_max=0)
        done = State(final="completed")

        submit = write.to(check, on=Draft)
        good = check.to(done, on=Verdict)

    drawn = diagram(Limited.spec)
    console = Console(file=io.StringIO(), width=120)
    console.print(tree(drawn))
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "agent, times out after 1 min 30 s, spends up to 4,000 tokens and $0.05 a visit, starts on Brief" in told
    assert "agent, spends up to 0 tokens a visit" in told
    spends = "spends up to 4,000 tokens and $0.05 a visit"
    assert f"times out after 1 min 30 s<br/>{escaped(spends)}" in mermaid(drawn)
    assert "times out after 1 min 30 s" in dot(drawn) and spends in dot(drawn)
    assert all("spends up to 0 tokens a visit" in text for text in (mermaid(drawn), dot(drawn)))
    assert drawn.states[0].tokens_max == 4_000  # for programs: fsm diagram --json
