"""The machine as a value: its JSON, its fingerprint, and what tells two of them apart."""

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, NewType, TypeVar

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, Field, HttpUrl, create_model
from typing_extensions import TypeAliasType

import machines
from fsm import (
    AgentFailed,
    Bounds,
    Counter,
    Guard,
    Machine,
    MachineSpec,
    State,
    TimedOut,
    View,
    any_of,
    days,
    everywhere,
)
from fsm import Kind as GuardKind
from fsm.core.engine import Engine
from fsm.define.events import RUNTIME_EVENTS
from fsm.define.guard import Placed
from fsm.define.parts import EverywhereSpec, Named, StateSpec, TransitionSpec
from fsm.define.shape import FieldShape, Shape, shape_of
from guards import LoopCap, TokenBudget


class Tone(Enum):
    DRY = "dry"
    KIND = "kind"


class Source(BaseModel):
    url: HttpUrl
    line: Annotated[int, Field(ge=1)]


class Brief(BaseModel):
    task: str = Field(min_length=1)
    tone: Tone = Tone.DRY
    sources: list[Source] = []


class Draft(BaseModel):
    text: str
    scores: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}


class Verdict(BaseModel):
    kind: Literal["good", "bad"]
    at: AwareDatetime | None = None


class Notes(BaseModel):
    rounds: int = 0


async def write(view: View[Any]) -> Draft:
    return Draft(text="")


async def judge(view: View[Any]) -> Verdict:
    return Verdict(kind="good")


def is_good(verdict: Verdict) -> bool:
    return verdict.kind == "good"


def is_late(verdict: Verdict, notes: Notes) -> bool:
    return notes.rounds > 2


def note(notes: Notes, verdict: Verdict) -> Notes:
    return Notes(rounds=notes.rounds + 1)


@attrs.frozen
class Blocked(Guard):
    """Refuses what names the word."""

    kind: ClassVar[GuardKind] = "data"
    codes: ClassVar[tuple[str, ...]] = ("blocked", "unsure")
    word: str = "secret"
    rate: float = 0.5

    def check(self, facts: Any, /) -> Any:
        raise NotImplementedError


class Small(Machine, memory=Notes, refusals_max=9):
    """A small machine with one of everything; its fingerprint is for ever."""

    draft = State(initial=Brief, agent=write, timeout_s=60, title="Writing")
    person = State(timeout_s=days(2))
    review = State(agent=judge, guards=[Blocked("x")], otherwise={"blocked": person, "*": draft})
    done = State[Any](final="completed")

    submit = draft.to(review, on=Draft)
    approve = review.to(done, on=Verdict, when=is_good)
    late = review.to(person, on=Verdict, when=is_late)
    reject = review.to(draft, on=Verdict, guards=[LoopCap(3, since=person)], otherwise=person, remember=note)
    accept = person.to(done, on=(Verdict, TimedOut))
    broken = draft.to(person, on=AgentFailed)
    limits = everywhere(TokenBudget(50_000), LoopCap(200), otherwise=person)


GOLDEN = "57b1a5e4558210f5e6323f8f588170f056f96e26bff3c9888ee324ccf5f1d9cb"


def shipped() -> list[type[Machine]]:
    """Every machine in `machines/`."""
    found = []
    for module in pkgutil.iter_modules(machines.__path__, "machines."):
        members = vars(importlib.import_module(module.name)).values()
        found += [cls for cls in members if isinstance(cls, type) and issubclass(cls, Machine) and cls is not Machine]
    return found


def test_the_shipped_machines_are_found() -> None:
    assert "ReviewLoop" in [machine.__name__ for machine in shipped()]


@pytest.mark.parametrize("machine", [*shipped(), Small])
def test_a_machine_survives_its_json(machine: type[Machine]) -> None:
    again = MachineSpec.from_json(machine.spec.to_json())
    assert again == machine.spec
    assert again.fingerprint == machine.spec.fingerprint
    assert again.to_json() == machine.spec.to_json()
    assert again.hops == machine.spec.hops
    assert again.changes(machine.spec) == ()


def test_json_holds_the_whole_machine_but_its_code() -> None:
    form = json.loads(Small.spec.to_json())
    states = {state["name"]: state for state in form["states"]}
    assert states["draft"]["timeout_ms"] == 60_000
    assert states["draft"]["title"] == "Writing"
    assert states["review"]["otherwise"] == {"blocked": "person", "*": "draft"}
    (blocked,) = states["review"]["guards"]
    assert (blocked["kind"], blocked["codes"]) == ("data", ["blocked", "unsure"])
    assert blocked["params"] == {"word": "x", "rate": "0.5"}
    lines = {line["name"]: line for line in form["transitions"]}
    assert lines["approve"]["when"] == {"name": "is_good", "memory": False}
    assert lines["late"]["when"] == {"name": "is_late", "memory": True}
    assert lines["reject"]["remember"] == "note"
    (cap,) = lines["reject"]["guards"]
    assert cap["counter"] == {"of": "fires", "subject": "reject", "since": "person"}
    assert (cap["limit"], cap["params"]) == (3, {"limit": 3, "since": "person"})
    assert form["doc"].startswith("A small machine")
    assert form["bounds"]["refusals_max"] == 9
    assert [shape["name"] for shape in form["payloads"]] == ["Brief", "Draft", "Verdict"]
    assert form["payloads"][0]["parts"][0]["fields"]["line"]["constraints"] == ["Ge(ge=1)"]


def test_a_machine_from_json_has_no_code() -> None:
    spec = MachineSpec.from_json(Small.spec.to_json())
    assert dict(spec.classes) == {}
    assert spec.state["draft"].agent is None
    assert all(line.when is None or line.when.fn is None for line in spec.transitions)
    assert spec.state["review"].guards[0].check is None


# --- the fingerprint ------------------------------------------------------------------------------


def test_the_fingerprint_is_for_ever() -> None:
    """If this fails, every recorded run of every user is of a changed machine: that takes a new format."""
    assert Small.spec.fingerprint == GOLDEN


def test_the_fingerprint_is_the_same_under_every_hash_seed() -> None:
    root = str(Path(__file__).parents[2])
    script = "from tests.define.test_spec import Small; print(Small.spec.fingerprint); print(Small.spec.to_json())"
    told = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            check=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1
    assert told.pop().startswith(GOLDEN)


def answer(view):
    return Draft(text="")


class Parts(NamedTuple):
    """What may be changed of the one machine below."""

    name: str = "Variant"
    doc: str = "One."
    title: str = ""
    timeout_s: float = 60
    agent: Any = answer
    brief: Any = Brief
    draft: Any = Draft
    memory: Any = Notes
    bounds: Mapping[str, int] = {}
    person_agent: Any = None
    when: Any = is_good
    remember: Any = note
    guards: Sequence[Guard] = (LoopCap(3),)
    otherwise: str = "person"
    reject_first: bool = False
    review_first: bool = False


def _variant(**changed: Any) -> MachineSpec:
    parts = Parts(**changed)

    class Made(Machine, memory=parts.memory, machine_name=parts.name, **parts.bounds):
        __doc__ = parts.doc
        draft = State[Any](initial=parts.brief, agent=parts.agent, timeout_s=parts.timeout_s, title=parts.title)
        person = State[Any](agent=parts.person_agent)
        review = State[Any](agent=judge)
        done = State[Any](final="completed")
        submit = draft.to(review, on=parts.draft)
        if parts.reject_first:
            reject = review.to(draft, on=Verdict, remember=parts.remember)
        approve = review.to(done, on=Verdict, when=parts.when)
        if not parts.reject_first:
            reject = review.to(draft, on=Verdict, remember=parts.remember)
        again = person.to(draft, on=Verdict, guards=parts.guards, otherwise=locals()[parts.otherwise])
        broken = (any_of(review, draft) if parts.review_first else any_of(draft, review)).to(person, on=AgentFailed)

    return Made.spec


class DescribedBrief(BaseModel):
    """What is to be done."""

    event_name: ClassVar[str] = "Brief"
    task: str = Field(min_length=1, title="Task", description="In one sentence.", examples=["Write."])
    tone: Tone = Field(default=Tone.KIND, description="Of the text.")
    sources: list[Annotated[Source, Field(description="Where it stands.")]] = []


SAME: dict[str, dict[str, Any]] = {
    "docstring": {"doc": "Two."},
    "title": {"title": "Writing"},
    "timeout": {"timeout_s": 5},
    "agent": {"agent": lambda view: Draft(text="")},
    "descriptions and defaults of payloads": {"brief": DescribedBrief},
    "order of sources": {"review_first": True},
}


@pytest.mark.parametrize("changed", SAME.values(), ids=SAME)
def test_what_decides_nothing_is_not_in_the_fingerprint(changed: dict[str, Any]) -> None:
    assert _variant().changes(_variant(**changed)) == ()
    assert _variant(**changed).fingerprint == _variant().fingerprint


def _draft(**fields: Any) -> Any:
    return create_model("Draft", **{"text": (str, ...), "scores": (dict[str, float], {}), **fields})


class Stern(BaseModel):
    event_name: ClassVar[str] = "Brief"
    task: str = Field(min_length=1)
    tone: Literal["dry"] = "dry"
    sources: list[Source] = []


def is_fine(verdict: Verdict) -> bool:
    return True


def note_all(notes: Notes, verdict: Verdict) -> Notes:
    return notes


class MoreNotes(BaseModel):
    rounds: int = 0
    words: int = 0


OTHER: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "machine": ({"name": "Other"}, ('name: "Variant" -> "Other"',)),
    "parameter of a guard": (
        {"guards": [LoopCap(4)]},
        ("transitions.again.guards.0.params.limit: 3 -> 4",),
    ),
    "guard": (
        {"guards": [TokenBudget(3)]},
        (
            'transitions.again.guards.0.guard: "LoopCap" -> "TokenBudget"',
            'transitions.again.guards.0.codes.0: "loop_cap" -> "token_budget"',
            "transitions.again.guards.0.params.limit: gone",
            "transitions.again.guards.0.params.tokens_max: new",
            'transitions.again.guards.0.counter.of: "fires" -> "tokens"',
            'transitions.again.guards.0.counter.subject: "again" -> ""',
        ),
    ),
    "otherwise": ({"otherwise": "done"}, ('transitions.again.otherwise.*: "person" -> "done"',)),
    "predicate": ({"when": is_fine}, ('transitions.approve.when.name: "is_good" -> "is_fine"',)),
    "no predicate": ({"when": None}, ('transitions.approve.when: {"name": "is_good", "memory": false} -> null',)),
    "remember": ({"remember": note_all}, ('transitions.reject.remember: "note" -> "note_all"',)),
    "memory": ({"memory": MoreNotes}, ('memory.name: "Notes" -> "MoreNotes"', "memory.fields.words: new")),
    "bounds": ({"bounds": {"calls_max": 3}}, ("bounds.calls_max: 100 -> 3",)),
    "kind of a state": ({"person_agent": judge}, ('states.person.kind: "waiting" -> "agent"',)),
    "order of transitions": (
        {"reject_first": True},
        ('order.1: "approve" -> "reject"', 'order.2: "reject" -> "approve"'),
    ),
    "new field": (
        {"draft": _draft(scores=(dict[str, Annotated[float, Field(ge=0, le=1)]], {}), pages=(int, 1))},
        ("payloads.Draft.fields.pages: new",),
    ),
    "type of a field": (
        {"draft": _draft(text=(int, ...), scores=(dict[str, Annotated[float, Field(ge=0, le=1)]], {}))},
        ('payloads.Draft.fields.text.type: "str" -> "int"',),
    ),
    "field that may be missing": (
        {"draft": _draft(text=(str, ""), scores=(dict[str, Annotated[float, Field(ge=0, le=1)]], {}))},
        ("payloads.Draft.fields.text.required: true -> false",),
    ),
    "constraint": (
        {"draft": _draft(text=(str, Field(max_length=3)), scores=(dict[str, Annotated[float, Field(ge=0, le=1)]], {}))},
        ('payloads.Draft.fields.text.constraints: [] -> ["MaxLen(max_length=3)"]',),
    ),
    "constraint inside a type": (
        {"draft": _draft(scores=(dict[str, Annotated[float, Field(ge=0, le=2)]], {}))},
        (
            'payloads.Draft.fields.scores.type: "dict[str, float(Ge(ge=0), Le(le=1))]" -> '
            '"dict[str, float(Ge(ge=0), Le(le=2))]"',
        ),
    ),
    "values of an enum": (
        {"brief": Stern},
        ("payloads.Brief.fields.tone.type: \"Tone('dry', 'kind')\" -> \"Literal['dry']\"",),
    ),
}


@pytest.mark.parametrize(("changed", "told"), OTHER.values(), ids=OTHER)
def test_what_decides_is_in_the_fingerprint_and_told(changed: dict[str, Any], told: tuple[str, ...]) -> None:
    assert _variant(**changed).fingerprint != _variant().fingerprint
    assert _variant().changes(_variant(**changed)) == told


T = TypeVar("T")
Maybe = TypeAliasType("Maybe", T | None, type_params=(T,))
Score = NewType("Score", int)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int | None, "None | int"),
        (Maybe[int], "(None | T)[int]"),
        (Maybe[str], "(None | T)[str]"),
        (Score, "int"),
        (list[Score], "list[int]"),
        (dict[str, tuple[int, ...]], "dict[str, tuple[int, ...]]"),
        (Literal["b", "a", 1], "Literal['a', 'b', 1]"),
        (Tone, "Tone('dry', 'kind')"),
        (HttpUrl, "Url"),
        (list[HttpUrl], "list[Url(UrlConstraints(allowed_schemes=['http', 'https'], max_length=2083))]"),
        (
            list[Annotated[str, Field(pattern="^a", description="x")]],
            "list[str(PydanticGeneralMetadata(pattern='^a'))]",
        ),
        (Annotated[list[int], "a comment"], "list[int]"),
        (Any, "Any"),
    ],
)
def test_types_have_one_text_under_every_pydantic(annotation: Any, text: str) -> None:
    cls = create_model("Made", value=(annotation, ...))
    assert [field.type for field in shape_of(cls).fields] == [text]


def test_the_order_of_everywhere_lines_decides() -> None:
    class One(Machine, machine_name="M"):
        draft = State(initial=Brief, agent=write)
        done = State[Any](final="completed")
        submit = draft.to(done, on=Draft)
        cap = everywhere(LoopCap(3))
        budget = everywhere(TokenBudget(3))

    class Two(Machine, machine_name="M"):
        draft = State(initial=Brief, agent=write)
        done = State[Any](final="completed")
        submit = draft.to(done, on=Draft)
        budget = everywhere(TokenBudget(3))
        cap = everywhere(LoopCap(3))

    assert One.spec.changes(Two.spec) == (
        'everywhere_order.0: "cap" -> "budget"',
        'everywhere_order.1: "budget" -> "cap"',
    )


def test_a_nested_class_belongs_to_its_payload() -> None:
    class Part(BaseModel):
        n: Annotated[int, Field(gt=0)]

    class Whole(BaseModel):
        part: Part

    class Strict(Machine, machine_name="M"):
        draft = State[Any](initial=Brief, agent=write)
        done = State[Any](final="completed")
        submit = draft.to(done, on=(Draft, Whole))

    strict = Strict.spec
    loose_part = create_model("Part", n=(int, ...))
    loose_whole = create_model("Whole", part=(loose_part, ...))

    class Loose(Machine, machine_name="M"):
        draft = State[Any](initial=Brief, agent=write)
        done = State[Any](final="completed")
        submit = draft.to(done, on=(Draft, loose_whole))

    assert strict.changes(Loose.spec) == ('payloads.Whole.parts.0.fields.n.constraints: ["Gt(gt=0)"] -> []',)


# --- any machine ----------------------------------------------------------------------------------

WORDS = st.sampled_from(["a", "b c", "0", "é☃", "*", ".", '"', "\\", "\n", "null"])
STATES = ("draft", "review", "person", "done", "gone")
EVENTS = ("Brief", "Draft", "Verdict")

counters = st.builds(
    Counter, st.sampled_from(["fires", "visits"]), st.sampled_from(["", *STATES]), st.just("")
) | st.builds(Counter, st.sampled_from(["hops", "tokens", "usd_micros"]))


def _placed(standing: Any, at: str) -> st.SearchStrategy[tuple[Placed, ...]]:
    one = st.builds(
        Placed,
        name=WORDS,
        at=st.just(at),
        standing=st.just(standing),
        kind=st.sampled_from(["cap", "data", "env", "sure"]),
        codes=st.lists(WORDS, min_size=1, max_size=2).map(tuple),
        params=st.dictionaries(WORDS, st.integers() | WORDS | st.booleans(), max_size=2),
        counter=st.none() | counters,
        limit=st.none() | st.integers(),
    )
    return st.lists(one, max_size=2).map(tuple)


names = st.none() | st.builds(Named, WORDS)
ways = st.dictionaries(WORDS, st.sampled_from(STATES), max_size=2)
shapes: st.SearchStrategy[Shape] = st.deferred(
    lambda: st.builds(
        Shape,
        name=WORDS,
        fields=st.lists(
            st.builds(FieldShape, WORDS, WORDS, st.booleans(), st.lists(WORDS, max_size=2).map(tuple)),
            max_size=2,
            unique_by=lambda field: field.name,
        ).map(tuple),
        formerly=st.lists(WORDS, max_size=1).map(tuple),
        parts=st.lists(shapes, max_size=1).map(tuple),
    )
)


@st.composite
def specs(draw: st.DrawFn) -> MachineSpec:
    states = [
        StateSpec(
            name=name,
            kind="final" if name in ("done", "gone") else draw(st.sampled_from(["agent", "waiting"])),
            initial=("Brief",) if name == "draft" else (),
            final={"done": "completed", "gone": "failed"}.get(name),  # type: ignore[arg-type]
            timeout_ms=draw(st.none() | st.integers(1)),
            guards=draw(_placed("state", name)),
            otherwise=draw(ways),
            remember=draw(names),
            title=draw(st.just("") | WORDS),
        )
        for name in draw(st.permutations(STATES))
    ]
    transitions = [
        TransitionSpec(
            name=f"line_{index}",
            sources=tuple(draw(st.lists(st.sampled_from(STATES[:3]), min_size=1, max_size=3, unique=True))),
            target=draw(st.sampled_from(STATES)),
            events=tuple(
                draw(st.lists(st.sampled_from([*EVENTS, *RUNTIME_EVENTS]), min_size=1, max_size=2, unique=True))
            ),
            when=draw(st.none() | st.builds(Named, WORDS, st.booleans())),
            guards=draw(_placed("transition", f"line_{index}")),
            otherwise=draw(ways),
            remember=draw(names),
        )
        for index in range(draw(st.integers(0, 4)))
    ]
    return MachineSpec(
        name=draw(WORDS),
        doc=draw(st.just("") | WORDS),
        states=tuple(states),
        transitions=tuple(transitions),
        everywhere=tuple(
            EverywhereSpec(name=name, guards=draw(_placed("run", name)), otherwise=draw(ways))
            for name in draw(st.lists(st.sampled_from(["limits", "budget"]), max_size=2, unique=True))
        ),
        payloads=tuple(attrs.evolve(draw(shapes), name=name) for name in EVENTS),
        memory=draw(st.none() | shapes),
        bounds=Bounds(refusals_max=draw(st.integers(0))),
    )


@settings(max_examples=40)
@given(specs())
def test_any_machine_survives_its_json(spec: MachineSpec) -> None:
    again = MachineSpec.from_json(spec.to_json())
    assert again == spec
    assert again.fingerprint == spec.fingerprint
    assert spec.changes(again) == ()
    Engine(again)


# --- what is no machine ---------------------------------------------------------------------------


def _broken(change: Callable[[dict[str, Any]], Any]) -> str:
    form = json.loads(Small.spec.to_json())
    change(form)
    return json.dumps(form)


NO_MACHINE: list[tuple[str, str]] = [
    ("", "not a machine: no JSON"),
    ("{", "not a machine: no JSON"),
    ("[" * 100_000, "not a machine: no JSON"),
    ("null", "not a machine in format 1: write it with spec.to_json()"),
    ("[]", "not a machine in format 1: write it with spec.to_json()"),
    ("\"__import__('os').abort()\"", "not a machine in format 1"),
    ('{"format": 1}', "not a machine: name: Field required"),
    (_broken(lambda form: form.update(format=2)), "not a machine in format 1"),
    (_broken(lambda form: form.update(name=5)), "name: Input should be a valid string, got 5"),
    (_broken(lambda form: form.update(states=[])), "not exactly one state is initial"),
    (_broken(lambda form: form["states"].append(form["states"][1])), "two parts are named 'person'"),
    (_broken(lambda form: form["transitions"][1].update(name="submit")), "two parts are named 'submit'"),
    (_broken(lambda form: form["payloads"].append(form["payloads"][0])), "two payloads are named"),
    (
        _broken(lambda form: form["transitions"][0].update(name="limits.otherwise")),
        "two hops have the id 'limits",
    ),
    (_broken(lambda form: form["transitions"][0].update(name="start")), "two hops have the id 'start'"),
    (_broken(lambda form: form["transitions"][0].update(sources=[])), "submit leaves no state"),
    (_broken(lambda form: form["transitions"][0].update(events=[])), "submit takes no payload"),
    (
        _broken(lambda form: form["states"][0].update(kind="odd")),
        "states.0.kind: Input should be 'agent', 'waiting' or",
    ),
    (_broken(lambda form: form["transitions"][0].update(target="x")), "submit names the state 'x', which is not there"),
    (_broken(lambda form: form["transitions"][0].update(sources=["x"])), "submit names the state 'x'"),
    (_broken(lambda form: form["everywhere"][0]["otherwise"].update({"*": "x"})), "limits names the state 'x'"),
    (
        _broken(lambda form: form["transitions"][0].update(events=["X"])),
        "submit names the payload 'X', which is not there",
    ),
    (_broken(lambda form: form["bounds"].update(luck_max=1)), "there is no bound 'luck_max'"),
    (_broken(lambda form: form["bounds"].update(calls_max="3")), "bounds.calls_max: Input should be a valid integer"),
    (_broken(lambda form: form.update(agents={})), "agents: Extra inputs are not permitted"),
    (_broken(lambda form: form["payloads"][0].pop("fields")), "payloads.0.fields: Field required"),
    (
        _broken(lambda form: form["transitions"][3]["guards"][0].update(limit="3")),
        "transitions.3.guards.0.limit: Input should be a valid integer, got '3'",
    ),
    (_broken(lambda form: form["everywhere"][0].update(name="(start)")), "a part is named '(start)'"),
    (_broken(lambda form: form["everywhere"][0].update(name="start", otherwise={})), "a part is named 'start'"),
    (_broken(lambda form: form["states"][3].update(final=None)), "done is of kind final and final=None"),
    (_broken(lambda form: form["states"][1].update(final="failed")), "person is of kind waiting and final=failed"),
    (_broken(lambda form: form["states"][0].update(tokens_min=-1)), "states.0.tokens_min: Input should be greater"),
    (
        _broken(lambda form: form["states"][0].update(tokens_min=2, tokens_max=1)),
        "draft has tokens_min 2 above tokens_max 1",
    ),
    (_broken(lambda form: form["states"][0].update(timeout_ms=0)), "states.0.timeout_ms: Input should be greater"),
    (_broken(lambda form: form["bounds"].update(resumes_max=-1)), "bounds.resumes_max: Input should be greater"),
    (
        _broken(lambda form: form["transitions"][3]["guards"][0].update(at="draft")),
        "LoopCap of reject says that it stands at draft",
    ),
    (
        _broken(lambda form: form["transitions"][3]["guards"][0].update(codes=[])),
        "LoopCap of reject has no code to refuse with",
    ),
]


@pytest.mark.parametrize(("text", "told"), NO_MACHINE, ids=[told[-50:] for _, told in NO_MACHINE])
def test_what_is_no_machine_is_told_so(text: str, told: str) -> None:
    with pytest.raises(ValueError, match="not a machine") as raised:
        MachineSpec.from_json(text)
    assert told in str(raised.value)


JSON: st.SearchStrategy[Any] = st.sampled_from([None, True, False, 0, -1, "", "a", [], {}])


@given(st.data())
def test_a_machine_with_a_part_exchanged_is_a_machine_or_told(data: st.DataObject) -> None:
    form = json.loads(Small.spec.to_json())
    part: Any = form
    while isinstance(part, dict | list) and part:
        at = data.draw(st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part))))
        if not isinstance(part[at], dict | list) or not part[at] or data.draw(st.booleans()):
            part[at] = data.draw(JSON)
            break
        part = part[at]
    try:
        read: MachineSpec | str = MachineSpec.from_json(json.dumps(form))
    except ValueError as error:
        read = str(error)
    if isinstance(read, str):
        assert read.startswith("not a machine")
    else:
        assert MachineSpec.from_json(read.to_json()) == read
        Engine(read)


class Watch:
    """Notes what the interpreter is asked to do while it is open; a hook like this can never be taken off."""

    def __init__(self) -> None:
        self.open = False
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, _: Any) -> None:
        if self.open and event in ("import", "exec", "compile", "open", "os.system", "subprocess.Popen"):
            self.seen.append(event)


def test_reading_a_machine_runs_and_imports_nothing() -> None:
    text = Small.spec.to_json().replace("is_good", "__import__('os').abort()").replace("Blocked", "antigravity.fly")
    MachineSpec.from_json(text)
    watch = Watch()
    watch.open = True
    spec = MachineSpec.from_json(text)
    _ = spec.fingerprint
    watch.open = False
    assert watch.seen == []
    assert spec.state["review"].guards[0].name == "antigravity.fly"
