"""Fields that say nothing of what a payload says."""

import dataclasses
import os
import subprocess
import sys
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType, TypedDict

from fsm import DefinitionError, Machine, State, Volatile
from fsm.define.contract import contract_mistakes
from fsm.define.payload import seal
from fsm.define.shape import shape_of
from fsm.define.volatile import number_of_value, number_said

Stamp = Annotated[str, Volatile]
Alias = TypeAliasType("Alias", Annotated[str, Volatile])


class Part(BaseModel, frozen=True):
    what: str = "a"
    at: Stamp = ""


@dataclasses.dataclass
class Piece:
    what: str = "a"
    at: Stamp = ""


class Whole(BaseModel):
    text: str = "a"
    at: Stamp = ""
    perhaps: Annotated[str, Volatile] | None = None
    aliased: Alias = ""
    called: Annotated[int, Volatile, Field(serialization_alias="called_as", validation_alias="called_as", ge=0)] = 0
    part: Part = Part()
    parts: list[Part] = []
    named: dict[str, Part] = {}
    pair: tuple[Part, int] = (Part(), 1)
    few: frozenset[Part] = frozenset()
    piece: Piece = dataclasses.field(default_factory=Piece)
    either: Part | Literal["none"] = "none"
    inner: "Whole | None" = None


class Unmarked(BaseModel):
    text: str = "a"


def said(value: BaseModel) -> int:
    payload = seal(value, 10_000)
    return number_said(payload.value, payload.digest)


PLAIN = said(Whole())
LATE = Part(at="late")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Whole(at="late"), Whole()),
        (Whole(perhaps="late"), Whole()),
        (Whole(aliased="late"), Whole()),
        (Whole.model_validate({"called_as": 9}), Whole()),
        (Whole(part=LATE), Whole()),
        (Whole(parts=[LATE, Part()]), Whole(parts=[Part(), LATE])),
        (Whole(named={"x": LATE}), Whole(named={"x": Part()})),
        (Whole(pair=(LATE, 1)), Whole()),
        (Whole(few=frozenset({LATE, Part(what="b")})), Whole(few=frozenset({Part(), Part(what="b", at="z")}))),
        (Whole(piece=Piece(at="late")), Whole()),
        (Whole(either=LATE), Whole(either=Part())),
        (Whole(inner=Whole(at="late", parts=[LATE])), Whole(inner=Whole(parts=[Part()]))),
    ],
)
def test_what_is_marked_makes_no_difference(one: Whole, other: Whole) -> None:
    assert seal(one, 10_000).body != seal(other, 10_000).body, "what is stored has it"
    assert said(one) == said(other)


@pytest.mark.parametrize(
    "other",
    [
        Whole(text="b"),
        Whole(part=Part(what="b")),
        Whole(parts=[Part()]),
        Whole(named={"x": Part()}),
        Whole(pair=(Part(), 2)),
        Whole(few=frozenset({Part()})),
        Whole(piece=Piece(what="b")),
        Whole(either=Part()),
        Whole(inner=Whole()),
    ],
)
def test_everything_else_does(other: Whole) -> None:
    assert said(other) != PLAIN


def test_the_mark_is_in_no_fingerprint_and_in_no_bytes() -> None:
    class Marked(BaseModel):
        text: Annotated[str, Volatile, Field(max_length=9)] = "a"
        part: Part = Part()

    class Part_(BaseModel):
        what: str = "a"
        at: str = ""

    class Bare(BaseModel):
        text: Annotated[str, Field(max_length=9)] = "a"
        part: Part_ = Part_()

    assert shape_of(Marked).fields[1] == shape_of(Bare).fields[1]
    assert shape_of(Marked).parts[0].fields == shape_of(Bare).parts[0].fields
    assert seal(Marked(), 99).body == seal(Bare(), 99).body


def test_a_payload_without_marks_is_told_by_its_digest() -> None:
    payload = seal(Unmarked(), 99)
    assert said(Unmarked()) == number_said(payload.value, payload.digest) != said(Unmarked(text="b"))
    assert 0 < said(Unmarked()) <= 1 << 48


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1, True),
        (1, True, False),
        (1, 1.0, False),
        ((1, [2]), [1, (2,)], True),
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}, True),
        ({"x", "y", "z"}, {"z", "y", "x"}, True),
        ([Part(at="late")], [Part()], True),
        (None, 0, False),
    ],
)
def test_values_are_compared_by_their_json(one: Any, other: Any, same: bool) -> None:
    assert (number_of_value(one) == number_of_value(other)) is same


@pytest.mark.parametrize("value", [object(), float("nan"), "\ud800", len])
def test_what_has_no_json_cannot_be_compared(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        number_of_value(value)


def test_a_number_is_the_same_under_any_hash_seed() -> None:
    code = "from fsm.define.volatile import number_of_value as n; print(n({'x', 'y', 'z'}))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


# --- where the mark would say nothing -------------------------------------------------------------


class Loose(TypedDict):
    at: Annotated[str, Volatile]


class Tuple(NamedTuple):
    at: Annotated[str, Volatile]


class Items(BaseModel):
    times: list[Annotated[str, Volatile]] = []


class Held(BaseModel):
    loose: Loose
    tuple_: Tuple


@pytest.mark.parametrize(("cls", "where"), [(Items, ["Items.times"]), (Held, ["Held.loose.at", "Held.tuple_.at"])])
def test_a_mark_in_vain_is_a_mistake(cls: type[BaseModel], where: list[str]) -> None:
    told = f"is marked {Volatile!r} where no guard could leave it out"
    instead = "mark a whole field of a model or dataclass: at: Annotated[AwareDatetime, Volatile]"
    assert contract_mistakes(cls) == [(f"{path} {told}", instead) for path in where]
    with pytest.raises(DefinitionError, match="is marked Volatile"):

        class Wrong(Machine):
            here = State(initial=cls)
            done = State[Any](final="completed")
            go = here.to(done, on=cls)


def test_marks_on_fields_are_none() -> None:
    assert contract_mistakes(Whole) == []
