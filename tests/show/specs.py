"""Machines as no class body could write them: names of any kind, and any ways between their states."""

from hypothesis import Phase, settings
from hypothesis import strategies as st

from fsm.define.guard import Counter, Placed, Standing
from fsm.define.parts import EverywhereSpec, Named, RetrySpec, StateSpec, TransitionSpec, retry_id, retry_spec, way_id
from fsm.define.shape import Shape
from fsm.define.spec import MachineSpec
from fsm.show.diagram import Declared

HOSTILE = [
    *(
        "wait human",
        "default",
        "to-do",
        'a"b',
        "<script>alert(1)</script>",
        "new\nline",
        "end",
        "state",
        "ünïcode 漢字 🎉",
    ),
    *(
        "subgraph",
        "1. item",
        "- list",
        "* x",
        "+ plus",
        "1) a",
        "> q",
        "# h",
        "==",
        "---",
        "--> x",
        "`code`",
        "**bold**",
    ),
    *("~~s~~", "x_y_z __a__", "#quot;", "#35;", "&amp;", "&#60;", "$$x^2$$", "https://example.com/x", "mailto:x@y.z"),
    *(
        "www.example.com",
        "",
        " ",
        "  pad  ",
        "a  b",
        "%%{init: {}}%%",
        "a;b",
        "a|b]c)",
        "{{x}}",
        "@x",
        "}",
        "\u202ertl",
    ),
    *("fa:fa-car", "ﬂ°°", "ﬂ°quot¶ß", "C:\\new", "\\n", "\\N", "[link](javascript:alert(1))", "[red]x[/red]", "<br/>"),
    *(
        "class s0 here",
        "graph TD",
        "click",
        "style",
        "\x00\x1b[31m",
        "\ud800",
        "a\u0301",
        "ß¶",
        "accTitle: x",
        "]]",
        "\\",
    ),
    *("<b>x</b>", "\u200b", "مرحبا", "\N{WOMAN}\u200d\N{PERSONAL COMPUTER}", "l" * 60, "very many words " * 6),
]


SIGNS = st.text(alphabet="\"'`<>&;#\\|[](){}%$*_~-=:@/.\n n\ufb02°¶ßaé漢🎉", max_size=8)
EXAMPLES = settings(max_examples=40)
TOOL = settings(max_examples=20, phases=(Phase.reuse, Phase.generate))  # an outside tool is too slow to shrink with
LEADS = "→"  # the one sign that the tests look for; no name has it
NAMES = st.one_of(st.sampled_from(HOSTILE), SIGNS, st.text(max_size=12)).filter(lambda name: LEADS not in name)


def guard(name: str, at: str, standing: Standing, limit: int | None = None) -> Placed:
    """A guard that refuses with a code of its own name; with `limit`, a cap on hops."""
    return Placed(
        name=name,
        at=at,
        standing=standing,
        kind="data" if limit is None else "cap",
        codes=(name, "other"),
        params={name: name},
        counter=None if limit is None else Counter("hops"),
        limit=limit,
    )


def hostile() -> MachineSpec:
    """One machine that has every hostile name as that of a state, a line, an event, a predicate and a guard."""
    last = len(HOSTILE) - 1
    states = [
        StateSpec(
            name=name,
            kind="final" if index == last else "agent",
            final="failed" if index == last else None,
            initial=(name,) if index == 0 else (),
            title=name,
            guards=(guard(name, name, "state"),) if index % 5 == 1 else (),
        )
        for index, name in enumerate(HOSTILE)
    ]
    lines = [
        TransitionSpec(
            name=f"{name}.",
            sources=(name,),
            target=HOSTILE[index + 1],
            events=(name,),
            when=Named(name) if index % 2 else None,
            guards=(guard(name, f"{name}.", "transition"),) if index % 3 == 0 else (),
            otherwise={"*": HOSTILE[0], name: HOSTILE[1]} if index % 6 == 0 else {},
        )
        for index, name in enumerate(HOSTILE[:last])
    ]
    few = TransitionSpec(name="few", sources=tuple(HOSTILE[:3]), target=HOSTILE[last], events=("AgentFailed",))
    many = TransitionSpec(name="many", sources=tuple(HOSTILE[5:25]), target=HOSTILE[last], events=("TimedOut",))
    limits = EverywhereSpec(name='<b>"', guards=(guard("#35;", '<b>"', "run", 3),))
    payloads = tuple(Shape(name=name, fields=()) for name in HOSTILE)
    return MachineSpec(
        name="<i>\n",
        doc="`doc`\n\nmore",
        states=tuple(states),
        transitions=(*lines, few, many),
        everywhere=(limits,),
        payloads=payloads,
    )


def retry(state: str, attempts_max: int, when: str) -> RetrySpec:
    """The retry of a state, as the compiler makes it."""
    return retry_spec(state, attempts_max, 500, 60_000, Named(when))


@st.composite
def specs(draw: st.DrawFn) -> MachineSpec:
    """Any machine: 1 to 6 states, up to 8 lines, guards and `otherwise` wherever they may stand."""
    names = draw(st.lists(NAMES, min_size=2, max_size=16, unique=True))
    cut = draw(st.integers(1, min(6, len(names) - 1)))
    states, rest = names[:cut], names[cut:]
    split = draw(st.integers(0, len(rest)))
    open_states = states[: draw(st.integers(1, cut))]
    some = st.lists(st.sampled_from(open_states), min_size=1, unique=True).map(tuple)
    events = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    chosen = st.lists(st.sampled_from([*events, "AgentFailed", "TimedOut"]), min_size=1, unique=True).map(tuple)

    def guards(at: str, standing: Standing, least: int = 0) -> tuple[Placed, ...]:
        found = draw(st.lists(st.tuples(NAMES, st.sampled_from([None, 1, 2_000])), min_size=least, max_size=2))
        return tuple(guard(name, at, standing, limit) for name, limit in found)

    def ways(placed: tuple[Placed, ...]) -> dict[str, str]:
        codes = st.sampled_from(["*", *(code for one in placed for code in one.codes)])
        return draw(st.dictionaries(codes, st.sampled_from(states), max_size=2)) if placed else {}

    def state(name: str) -> StateSpec:
        placed = guards(name, "state")
        final = name not in open_states
        return StateSpec(
            name=name,
            kind="final" if final else draw(st.sampled_from(("agent", "waiting"))),
            final=draw(st.sampled_from(("completed", "failed"))) if final else None,
            initial=(events[0],) if name == states[0] else (),
            timeout_ms=None if final else draw(st.sampled_from((None, 300_000, 90_061_000))),
            title=draw(NAMES),
            guards=placed,
            otherwise=ways(placed),
            retry=None if final else draw(st.none() | st.builds(retry, st.just(name), st.integers(2, 9), NAMES)),
        )

    def line(name: str) -> TransitionSpec:
        placed = guards(name, "transition")
        return TransitionSpec(
            name=name,
            sources=draw(some),
            target=draw(st.sampled_from(states)),
            events=draw(chosen),
            when=draw(st.none() | NAMES.map(Named)),
            guards=placed,
            otherwise=ways(placed),
        )

    def everywhere(name: str) -> EverywhereSpec:
        placed = guards(name, "run", 1)
        return EverywhereSpec(name=name, guards=placed, otherwise=ways(placed))

    return MachineSpec(
        name=draw(NAMES),
        doc=draw(NAMES),
        states=tuple(map(state, states)),
        transitions=tuple(map(line, rest[:split])),
        everywhere=tuple(map(everywhere, rest[split:][:2])),
        payloads=tuple(Shape(name=event, fields=()) for event in events),
    )


def declared(spec: MachineSpec) -> list[str]:
    """The id of every declared hop, counted here by hand."""
    found = ["start", *(line.name for line in spec.transitions)]
    places: tuple[Declared, ...] = (*spec.transitions, *spec.states, *spec.everywhere)
    for place in places:
        found += [way_id(place.name, code) for code in place.otherwise]
    found += [retry_id(state.name) for state in spec.states if state.retry is not None]
    return found
