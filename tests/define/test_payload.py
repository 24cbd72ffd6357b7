"""What may cross a handoff: everyday payloads do, and come back equal; nothing is lost without being told."""

import collections
import dataclasses
import datetime as dt
import enum
import functools
import hashlib
import ipaddress
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, NewType, NotRequired, Optional, TypeVar
from zoneinfo import ZoneInfo

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    AwareDatetime,
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    JsonValue,
    PlainSerializer,
    PrivateAttr,
    RootModel,
    SecretStr,
    SerializeAsAny,
    computed_field,
    create_model,
    field_serializer,
    field_validator,
)
from pydantic.alias_generators import to_camel
from typing_extensions import TypeAliasType, TypedDict  # typing has them from 3.12 on, as pydantic wants them

from fsm.define.contract import contract_mistakes
from fsm.define.payload import Invalid, TooLarge, canonical, seal, unseal

MIB = 1 << 20
T = TypeVar("T")

BERLIN = ZoneInfo("Europe/Berlin")
NOON = dt.datetime(2024, 5, 1, 12, tzinfo=BERLIN)
TWICE = dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN)  # this hour comes twice, so it equals no time elsewhere


def of(annotation: Any, default: Any = ...) -> Any:
    """A payload class with one field."""
    return create_model("Made", value=(annotation, default))


def body(payload: BaseModel, bytes_max: int = MIB) -> Any:
    return json.loads(seal(payload, bytes_max).body)


def problems(payload: BaseModel, bytes_max: int = MIB) -> list[str]:
    with pytest.raises(Invalid) as raised:
        seal(payload, bytes_max)
    return raised.value.problems


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Point(NamedTuple):
    x: int
    y: int = 0


@dataclasses.dataclass
class Span:
    first: int
    notes: list[str] = dataclasses.field(default_factory=list)


class Limits(TypedDict):
    low: int
    high: NotRequired[int]


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class Tree(BaseModel):
    children: list["Tree"] = []


class Box(BaseModel, Generic[T]):
    content: T


class Texts(RootModel[list[str]]):
    pass


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    some_name: int


class Aliased(BaseModel):
    kind: int = Field(alias="Kind")


class ByName(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    kind: int = Field(validation_alias="Kind")


class Chosen(BaseModel):
    kind: int = Field(validation_alias=AliasChoices("kind", "type"))


class Counted(BaseModel, extra="forbid"):
    parts: list[str]
    _seen: int = PrivateAttr(0)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def many(self) -> int:
        return len(self.parts)

    @functools.cached_property
    def joined(self) -> str:
        return "".join(self.parts)


class Locking(BaseModel):
    n: int
    _lock: Any = PrivateAttr(default_factory=threading.Lock)


class Open(BaseModel, extra="allow"):
    known: int


class Frozen(BaseModel, frozen=True):
    parts: tuple[str, ...]


class EnumValues(BaseModel):
    model_config = ConfigDict(use_enum_values=True)
    colour: Colour = Colour.RED


class Defaults(BaseModel):
    share: float = 0
    parts: tuple[str, ...] = []  # type: ignore[assignment]


class Normal(BaseModel):
    tags: list[str]

    @field_validator("tags", mode="before")
    @classmethod
    def split(cls, value: object) -> object:
        return value.split(",") if isinstance(value, str) else value


class Hexed(BaseModel):
    raw: bytes

    @field_serializer("raw")
    def as_hex(self, raw: bytes) -> str:
        return raw.hex()

    @field_validator("raw", mode="before")
    @classmethod
    def from_hex(cls, raw: object) -> object:
        return bytes.fromhex(raw) if isinstance(raw, str) else raw


UserId = NewType("UserId", str)
Names = TypeAliasType("Names", list[str])
Maybe = TypeAliasType("Maybe", T | None, type_params=(T,))
Nested = TypeAliasType("Nested", "list[Nested] | int")
Rgb = Annotated[tuple[int, int, int], AfterValidator(lambda rgb: rgb)]
Pet = Annotated[Cat | Dog, Field(discriminator="kind")]

EVERYDAY: list[tuple[Any, Any]] = [
    (of(str)(value="naïve ☃ 𝄞 \x00 \u2028"), {"value": "naïve ☃ 𝄞 \x00 \u2028"}),
    (of(int)(value=2**80), {"value": 2**80}),
    (of(float)(value=0.1), {"value": 0.1}),
    (of(float)(value=1), {"value": 1.0}),
    (of(bool)(value=True), {"value": True}),
    (of(Decimal)(value="1.10"), {"value": "1.10"}),
    (of(uuid.UUID)(value=uuid.UUID(int=7)), {"value": "00000000-0000-0000-0000-000000000007"}),
    (of(dt.date)(value=dt.date(2024, 2, 29)), {"value": "2024-02-29"}),
    (of(dt.time)(value=dt.time(1, 2, 3, 4)), {"value": "01:02:03.000004"}),
    (of(dt.timedelta)(value=dt.timedelta(days=-1, microseconds=3)), None),
    (of(AwareDatetime)(value=NOON), {"value": "2024-05-01T12:00:00+02:00"}),
    (of(AwareDatetime)(value=TWICE), {"value": "2024-10-27T02:30:00+02:00"}),
    (of(list[AwareDatetime])(value=[TWICE]), {"value": ["2024-10-27T02:30:00+02:00"]}),
    (
        of(set[AwareDatetime])(value={NOON, TWICE}),
        {"value": ["2024-05-01T12:00:00+02:00", "2024-10-27T02:30:00+02:00"]},
    ),
    (of(dict[AwareDatetime, list[AwareDatetime]])(value={TWICE: [TWICE], NOON: []}), None),
    (of(pathlib.Path)(value="notes/today.md"), {"value": "notes/today.md"}),
    (of(ipaddress.IPv4Address)(value="10.0.0.1"), {"value": "10.0.0.1"}),
    (of(re.Pattern[str])(value="a+"), {"value": "a+"}),
    (of(pydantic.HttpUrl)(value="https://example.org/a?b=c"), {"value": "https://example.org/a?b=c"}),
    (of(Base64Bytes)(value=b"aGVsbG8="), None),
    (of(list[Base64Bytes] | None)(value=[b"aGVsbG8="]), None),
    (of(Colour)(value="red"), {"value": "red"}),
    (of(dict[Colour, Level])(value={"red": 1}), {"value": {"red": 1}}),
    (of(Literal["a", 1, None])(value=1), {"value": 1}),
    (of(int | None)(value=None), {"value": None}),
    (of(int | str)(value="1"), {"value": "1"}),
    (of(tuple[int, str])(value=(1, "a")), {"value": [1, "a"]}),
    (of(tuple[int, ...])(value=(1, 2)), {"value": [1, 2]}),
    (of(Rgb)(value=(1, 2, 3)), {"value": [1, 2, 3]}),
    (of(set[str])(value={"b", "a", "c"}), {"value": ["a", "b", "c"]}),
    (of(frozenset[Level])(value={2, 1}), {"value": [1, 2]}),
    (of(list[set[int]])(value=[{3, 1}, {2}]), {"value": [[1, 3], [2]]}),
    (of(dict[int, set[str]])(value={1: {"b", "a"}}), {"value": {"1": ["a", "b"]}}),
    (of(frozenset[frozenset[str]])(value=[{"b", "a"}, {"c"}]), {"value": [["a", "b"], ["c"]]}),
    (of(frozenset[Frozen])(value=[Frozen(parts=("b",)), Frozen(parts=("a",))]), None),
    (of(AbstractSet[str])(value={"b", "a"}), {"value": ["a", "b"]}),
    (of(dict[int, str])(value={10: "x", 9: "y"}), {"value": {"10": "x", "9": "y"}}),
    (of(dict[uuid.UUID, dt.date])(value={uuid.UUID(int=1): dt.date(2024, 1, 1)}), None),
    (of(dict[str, Any])(value={"a": [1, None, {"b": 2.5}]}), {"value": {"a": [1, None, {"b": 2.5}]}}),
    (of(Mapping[str, Sequence[int]])(value={"a": (1, 2)}), {"value": {"a": [1, 2]}}),
    (of(Sequence[int])(value=(1, 2)), {"value": [1, 2]}),
    (of(collections.deque[int])(value=[1, 2]), {"value": [1, 2]}),
    (of(collections.defaultdict[str, list[int]])(value={"a": [1]}), {"value": {"a": [1]}}),
    (of(Point)(value=Point(1)), {"value": [1, 0]}),
    (of(Span)(value=Span(1, ["a"])), {"value": {"first": 1, "notes": ["a"]}}),
    (of(Limits)(value={"low": 1}), {"value": {"low": 1}}),
    (of(JsonValue)(value={"a": [1, True, None]}), {"value": {"a": [1, True, None]}}),
    (of(Json[list[int]])(value="[1, 2]"), {"value": "[1,2]"}),
    (of(UserId)(value="u1"), {"value": "u1"}),
    (of(Names)(value=["a"]), {"value": ["a"]}),
    (of(Maybe[int])(value=None), {"value": None}),
    (of(Nested)(value=[[1], 2]), {"value": [[1], 2]}),
    (of(Texts)(value=["a"]), {"value": ["a"]}),
    (of(list[Pet])(value=[{"kind": "dog", "name": "Rex"}, Cat()]), None),
    (of(Cat | Dog)(value=Dog(name="Rex")), {"value": {"kind": "dog", "name": "Rex"}}),
    (of(Box[int])(value=Box[int](content=1)), {"value": {"content": 1}}),
    (Box[Texts](content=Texts(["a"])), {"content": ["a"]}),
    (Tree(children=[Tree(), Tree()]), {"children": [{"children": []}, {"children": []}]}),
    (Camel(some_name=1), {"someName": 1}),
    (Aliased(Kind=1), {"Kind": 1}),
    (ByName(kind=1), {"kind": 1}),
    (Chosen(type=1), {"kind": 1}),  # type: ignore[call-arg]
    (Counted(parts=["a"]), {"parts": ["a"]}),
    (Open(known=1, other=[2], more={"a": None}), {"known": 1, "other": [2], "more": {"a": None}}),  # type: ignore[call-arg]
    (Frozen(parts=("a",)), {"parts": ["a"]}),
    (EnumValues(), {"colour": "red"}),
    (Defaults(), {"share": 0.0, "parts": []}),
    (Normal(tags="a,b"), {"tags": ["a", "b"]}),  # type: ignore[arg-type]
    (Hexed(raw=b"\xff"), {"raw": "ff"}),
]


@pytest.mark.parametrize(("payload", "stored"), EVERYDAY, ids=range(len(EVERYDAY)))
def test_everyday_payloads_are_taken_as_they_are(payload: BaseModel, stored: Any) -> None:
    assert contract_mistakes(type(payload)) == []
    sealed = seal(payload, MIB)
    if stored is not None:
        assert json.loads(sealed.body) == stored
    again = unseal(type(payload), sealed.body)
    assert again == sealed.value
    assert type(again) is type(payload)
    assert seal(again, MIB).body == sealed.body, "what was read back is written the same"
    assert sealed.digest == hashlib.sha256(sealed.body).digest()


def test_the_adopted_payload_is_another_object() -> None:
    parts = ["a"]
    sealed = seal(Normal(tags=parts), MIB)
    parts.append("b")
    assert sealed.value.tags == ["a"]


def test_a_private_lock_or_client_is_no_part_of_a_payload() -> None:
    assert body(Locking(n=1)) == {"n": 1}


def test_a_used_cache_is_no_difference() -> None:
    payload = Counted(parts=["a", "b"])
    assert payload.joined == "ab"
    assert body(payload) == {"parts": ["a", "b"]}


# --- what is refused, with the text a user reads --------------------------------------------------


class Parent(BaseModel):
    a: int = 0


class Child(Parent):
    b: int = 1


class Holds(BaseModel):
    part: Parent


class HoldsAny(BaseModel):
    part: SerializeAsAny[Parent]


class Hidden(BaseModel):
    token: str = Field(default="none", exclude=True)


class Falls(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def fall(cls, n: int) -> int:
        if n == 7:
            raise KeyError("seven")
        return n


class Stumbles(BaseModel):
    n: int

    @field_serializer("n")
    def stumble(self, n: int) -> int:
        raise KeyError("dumped")


class Unequal(BaseModel):
    n: int

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("incomparable")

    __hash__ = None  # type: ignore[assignment]


class Drifts(BaseModel):
    price: float

    @field_validator("price")
    @classmethod
    def with_tax(cls, price: float) -> float:
        return price * 2


def _cyclic() -> Tree:
    tree = Tree()
    tree.children.append(tree)
    return tree


def _deep(levels: int) -> Tree:
    tree = Tree()
    for _ in range(levels):
        tree = Tree(children=[tree])
    return tree


def _private() -> Counted:
    payload = Counted(parts=[])
    payload._seen = 5
    return payload


REFUSED: list[tuple[BaseModel, str]] = [
    (of(float)(value=float("nan")), r"value: NaN and infinity are no numbers in JSON"),
    (of(list[float])(value=[1, float("-inf")]), r"value\.1: NaN and infinity are no numbers in JSON"),
    (of(Any)(value=float("inf")), r"value: inf reads back as None"),
    (of(dict[str, Any]).model_construct(value={"a": {"b": "\ud800"}}), r"value\.a\.b: text holds a lone surrogate"),
    (of(dict[str, int]).model_construct(value={"\udfff": 1}), r"value: "),
    (of(int).model_construct(value="x"), r"value: Input should be a valid integer, got 'x'"),
    (of(list[int]).model_construct(value=[1, "x"]), r"value\.1: Input should be a valid integer, got 'x'"),
    (of(int).model_construct(value=None), r"value: Input should be a valid integer, got None"),
    (of(int).model_construct(), r"value: Field required, got {}"),
    (of(Colour).model_construct(value="green"), r"value: Input should be 'red' or 'blue', got 'green'"),
    (of(Annotated[int, Field(ge=0)]).model_construct(value=-1), r"value: Input should be greater than or equal to 0"),
    (of(Any)(value=NOON), r"value: datetime.datetime\(2024.* reads back as '2024-05-01T12:00:00\+02:00'"),
    (of(dict[str, Any])(value={"a": {1: 2}}), r"value: .* reads back as {'a': {'1': 2}}"),
    (of(str | dt.date)(value=dt.date(2024, 1, 1)), r"value: datetime.date\(2024, 1, 1\) reads back as '2024-01-01'"),
    (of(int)(value=10**5000), r"Exceeds the limit \(4300 digits\)"),
    (of(Any)(value=object()), r"Unable to serialize unknown type: <class 'object'>"),
    (Holds(part=Child(a=1, b=2)), r"part: a Child reads back as Parent\(a=1\); its field is of another class"),
    (Holds(part=Child()), r"part: a Child reads back as Parent\(a=0\)"),
    (HoldsAny(part=Child(b=2)), r"part: a Child reads back as Parent\(a=0\)"),
    (Hidden(token="abc"), r"token: 'abc' reads back as 'none'"),
    (Open(known=1, at=NOON), r"at: datetime.* reads back as '2024-05-01T12:00:00\+02:00'"),  # type: ignore[call-arg]
    (_private(), r"_seen: it is private, and is not stored; make it a field"),
    (Falls.model_construct(n=7), r"a validator of Falls raised KeyError: 'seven'"),
    (Stumbles(n=1), r"Error calling function `stumble`: KeyError: 'dumped'"),
    (Drifts(price=1.0), r"price: 2\.0 reads back as 4\.0"),
    (_cyclic(), r"Circular reference"),
    (_deep(120), r"recursion limit exceeded"),
    (_deep(400), r"depth exceeded"),
]


@pytest.mark.parametrize(("payload", "told"), REFUSED, ids=range(len(REFUSED)))
def test_what_would_be_stored_as_something_else_is_refused(payload: BaseModel, told: str) -> None:
    found = problems(payload)
    assert len(found) == 1
    assert re.search(told, found[0]), found


def test_an_equality_of_the_users_that_raises_is_not_asked() -> None:
    assert body(Unequal(n=3)) == {"n": 3}


def test_an_excluded_field_at_its_default_is_no_loss() -> None:
    assert body(Hidden()) == {}


def test_every_problem_is_told_but_not_a_thousand() -> None:
    found = problems(of(list[int]).model_construct(value=["x"] * 1_000))
    assert (len(found), found[-1]) == (9, "and 992 more")


def test_no_model_at_all_is_left_half_made() -> None:
    bare = Parent.__new__(Parent)
    assert problems(bare) == ["a: None reads back as 0"]


@pytest.mark.parametrize(("size", "fits"), [(99, True), (100, False)])
def test_the_size_is_that_of_the_canonical_bytes(size: int, fits: bool) -> None:
    """`{"value":"..."}` has twelve bytes besides the text; a snowman has three."""
    payload = of(str)(value="x" * (size - 12 - 3) + "☃")
    if fits:
        assert len(seal(payload, 99).body) == 99
        return
    with pytest.raises(TooLarge, match="100 bytes, payload_bytes_max is 99"):
        seal(payload, 99)


def test_fifty_megabytes_are_refused_with_a_short_excerpt() -> None:
    with pytest.raises(TooLarge, match="52428812 bytes, payload_bytes_max is 1048576") as raised:
        seal(of(str)(value="x" * (50 << 20)), MIB)
    assert len(raised.value.excerpt) < 300
    assert raised.value.excerpt.endswith("…")


def test_an_excerpt_is_always_text() -> None:
    class Unprintable(BaseModel):
        part: Any

        def __repr__(self) -> str:
            raise RuntimeError("no")

    class Ghost:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    with pytest.raises(Invalid) as raised:
        seal(Unprintable(part=Ghost()), MIB)
    assert raised.value.excerpt.encode()
    with pytest.raises(Invalid) as raised:
        seal(of(str).model_construct(value="\ud800" * 1_000), MIB)
    assert len(raised.value.excerpt.encode()) < 1_000


# --- what is refused with the definition ----------------------------------------------------------


class Clash(BaseModel):
    kind: int = Field(serialization_alias="Kind")


class ReadOnly(BaseModel):
    kind: int = Field(validation_alias="Kind")


class ByPath(BaseModel):
    kind: int = Field(validation_alias=AliasPath("kinds", 0))


class WrittenCamel(BaseModel):
    model_config = ConfigDict(alias_generator=pydantic.AliasGenerator(serialization_alias=to_camel))
    some_name: int


class Deep(BaseModel):
    inner: dict[str, list[Optional["Innermost"]]]


class Innermost(BaseModel):
    at: dt.datetime
    key: SecretStr


Deep.model_rebuild()


@dataclasses.dataclass
class Stamped:
    at: dt.datetime


class StampedDict(TypedDict):
    at: NotRequired[dt.datetime]


class StampedTuple(NamedTuple):
    at: dt.datetime


Stamp = NewType("Stamp", dt.datetime)
Stamps = TypeAliasType("Stamps", list[dt.datetime])

ZONE = ("is a datetime without a declared zone", "use pydantic.AwareDatetime")
BYTES = ("is bytes; JSON holds text only", "use str, or pydantic.Base64Bytes, or the file's path")
SECRET = ("is a secret; it would be stored as stars", "pass the name of the secret, not its value")
CODE = ("is code, which JSON cannot hold", "pass a name, and look it up where it is used")
KEYS = ("has keys that are no text in JSON", "use str, int or an Enum as keys, or a list of pairs")

NO_PAYLOADS: list[tuple[Any, str, tuple[str, str]]] = [
    (of(dt.datetime), "Made.value", ZONE),
    (of(Annotated[dt.datetime, Field(description="when")]), "Made.value", ZONE),
    (of(list[dt.datetime]), "Made.value", ZONE),
    (of(dict[str, dt.datetime | None]), "Made.value", ZONE),
    (of(tuple[int, Annotated[dt.datetime, "when"]]), "Made.value", ZONE),
    (of(Stamp), "Made.value", ZONE),
    (of(Stamps), "Made.value", ZONE),
    (of(Maybe[dt.datetime]), "Made.value", ZONE),
    (of(Stamped), "Made.value.at", ZONE),
    (of(StampedDict), "Made.value.at", ZONE),
    (of(StampedTuple), "Made.value.at", ZONE),
    (of(Box[dt.datetime]), "Made.value.content", ZONE),
    (of(pydantic.NaiveDatetime), "Made.value", ZONE),
    (of(bytes), "Made.value", BYTES),
    (of(bytes | None), "Made.value", BYTES),
    (of(SecretStr), "Made.value", SECRET),
    (of(list[pydantic.SecretBytes]), "Made.value", SECRET),
    (of(pydantic.Secret[int]), "Made.value", SECRET),
    (of(type[int]), "Made.value", CODE),
    (of(Callable[[int], int]), "Made.value", CODE),
    (of(dict[tuple[int, int], str]), "Made.value", KEYS),
    (of(dict[str | None, str]), "Made.value", KEYS),
    (of(Iterable[int]), "Made.value", ("is an Iterable, which can be read only once", "use list[...]")),
    (
        of(collections.OrderedDict[str, int]),
        "Made.value",
        ("is an OrderedDict; JSON objects are stored with sorted keys", "use list[tuple[str, ...]]"),
    ),
    (
        of(pydantic.FutureDate),
        "Made.value",
        ("is a FutureDate; what is valid today may not be when it is replayed", "use AwareDatetime or date"),
    ),
    (
        of(int, Field(exclude=True)),
        "Made.value",
        ("is required and exclude=True; it would not be stored", "drop exclude=True, or the field"),
    ),
    (Clash, "Clash.kind", ("is written as 'Kind' and read as 'kind'", 'give it one name for both: Field(alias="...")')),
    (
        ReadOnly,
        "ReadOnly.kind",
        ("is written as 'kind' and read as 'Kind'", 'give it one name for both: Field(alias="...")'),
    ),
    (
        WrittenCamel,
        "WrittenCamel.some_name",
        ("is written as 'someName' and read as 'some_name'", 'give it one name for both: Field(alias="...")'),
    ),
]


@pytest.mark.parametrize(("cls", "path", "told"), NO_PAYLOADS)
def test_a_class_that_cannot_be_stored_is_no_payload(cls: Any, path: str, told: tuple[str, str]) -> None:
    assert contract_mistakes(cls) == [(f"{path} {told[0]}", told[1])]


def test_an_alias_that_is_a_path_is_no_name() -> None:
    ((what, _),) = contract_mistakes(ByPath)
    assert what.startswith("ByPath.kind is written as 'kind' and read as AliasPath(")


def test_mistakes_far_inside_are_told_with_the_way_there() -> None:
    assert contract_mistakes(Deep) == [
        ("Deep.inner.at is a datetime without a declared zone", "use pydantic.AwareDatetime"),
        ("Deep.inner.key is a secret; it would be stored as stars", "pass the name of the secret, not its value"),
    ]


def test_what_the_user_writes_by_hand_is_left_to_the_user() -> None:
    hexed = Annotated[bytes, PlainSerializer(bytes.hex), pydantic.BeforeValidator(_unhexed)]
    assert contract_mistakes(of(hexed)) == []
    assert body(of(hexed)(value=b"\xff")) == {"value": "ff"}


def _unhexed(raw: object) -> object:
    return bytes.fromhex(raw) if isinstance(raw, str) else raw


def test_a_model_that_writes_bytes_as_base64_is_a_payload() -> None:
    class Encoded(BaseModel):
        model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
        raw: bytes

    assert contract_mistakes(Encoded) == []


# --- reading back ---------------------------------------------------------------------------------


class Grown(BaseModel):
    """It had `name` once; now there are two names."""

    first: str
    last: str

    @staticmethod
    def upcast(old: dict[str, Any], version: int) -> dict[str, Any]:
        first, _, last = old["name"].partition(" ")
        return {"first": first, "last": last}


class Versioned(BaseModel):
    version: int = 3
    total_cents: int

    @staticmethod
    def upcast(old: dict[str, Any], version: int) -> dict[str, Any]:
        euros = old["total"] if version < 2 else old["total_euros"]
        return {"version": 3, "total_cents": euros * 100}


def test_an_old_body_is_upcast() -> None:
    assert unseal(Grown, b'{"name":"Ada Lovelace"}') == Grown(first="Ada", last="Lovelace")
    assert unseal(Grown, b'{"first":"Ada","last":"King"}') == Grown(first="Ada", last="King")


def test_upcast_is_told_the_version_it_gets() -> None:
    assert unseal(Versioned, b'{"total":2}') == Versioned(total_cents=200)
    assert unseal(Versioned, b'{"total_euros":2,"version":2}') == Versioned(total_cents=200)
    assert unseal(Versioned, seal(Versioned(total_cents=5), MIB).body) == Versioned(total_cents=5)


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        (b'{"nome":"Ada"}', "Grown.upcast(old, 0) raised KeyError: 'name'"),
        (b'{"name":"Ada \\ud800"}', "Grown.upcast(old, 0) raised UnicodeEncodeError"),
    ],
)
def test_an_upcast_that_fails_is_a_problem_of_the_payload(stored: bytes, told: str) -> None:
    with pytest.raises(Invalid) as raised:
        unseal(Grown, stored)
    assert raised.value.problems[0].startswith(told)


@pytest.mark.parametrize("stored", [b"", b"\xff", b"[]", b"null", b'{"a":"1"}', b'{"a":1.5}', b'{"a":NaN}'])
def test_bytes_that_are_no_such_payload_are_invalid(stored: bytes) -> None:
    with pytest.raises(Invalid) as raised:
        unseal(Parent, stored)
    assert raised.value.problems


def test_reading_is_strict() -> None:
    class Day(BaseModel):
        day: dt.date
        open: bool

    with pytest.raises(Invalid, match="open: Input should be a valid boolean, got 'yes'"):
        unseal(Day, b'{"day":"2024-01-01","open":"yes"}')


def test_an_event_name_names_the_payload() -> None:
    class Sent(BaseModel):
        event_name: ClassVar[str] = "mail.sent"

    assert seal(Sent(), MIB).event == "mail.sent"
    assert seal(Parent(), MIB).event == "Parent"


# --- for any model and any value ------------------------------------------------------------------

SCALARS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers()),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (str, st.text(max_size=10)),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False, places=3)),
    (uuid.UUID, st.uuids()),
    (dt.date, st.dates()),
    (dt.timedelta, st.timedeltas(min_value=dt.timedelta(days=-9_000), max_value=dt.timedelta(days=9_000))),
    (AwareDatetime, st.datetimes(min_value=dt.datetime(1980, 1, 1), timezones=st.timezones())),  # noqa: DTZ001
    (Colour, st.sampled_from(Colour)),
    (Literal["a", 1, None], st.sampled_from(["a", 1, None])),
    (Frozen, st.builds(Frozen, parts=st.lists(st.text(max_size=3), max_size=2).map(tuple))),
]
KEYED: list[tuple[Any, st.SearchStrategy[Any]]] = [SCALARS[0], SCALARS[3], SCALARS[5], SCALARS[6], SCALARS[9]]

Typed = tuple[Any, st.SearchStrategy[Any]]


# Types made at run time; a type checker would read `list[x]` as an annotation.
LIST: Any = list
TUPLE: Any = tuple
DICT: Any = dict
SET: Any = set
made: Any = create_model


def _wrapped(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    def mapping(drawn: tuple[Typed, Typed]) -> Typed:
        (key, keys), (value, values) = drawn
        return DICT[key, value], st.dictionaries(keys, values, max_size=3)

    def nested(one: Typed) -> Typed:
        cls = made("Nested", inner=(one[0], ...))
        return cls, st.builds(cls, inner=one[1])

    return st.one_of(
        inner.map(lambda one: (LIST[one[0]], st.lists(one[1], max_size=3))),
        inner.map(lambda one: (one[0] | None, st.none() | one[1])),
        inner.map(lambda one: (TUPLE[one[0], ...], st.lists(one[1], max_size=3).map(tuple))),
        st.tuples(st.sampled_from(KEYED), inner).map(mapping),
        st.sampled_from(SCALARS).map(lambda one: (SET[one[0]], st.sets(one[1], max_size=3))),
        inner.map(nested),
    )


TYPED: st.SearchStrategy[Typed] = st.recursive(st.sampled_from(SCALARS), _wrapped, max_leaves=4)


@st.composite
def payloads(draw: st.DrawFn) -> BaseModel:
    fields = draw(st.dictionaries(st.sampled_from(["z", "a", "m", "B", "é"]), TYPED, min_size=1, max_size=3))
    cls = made("Drawn", **{name: (annotation, ...) for name, (annotation, _) in fields.items()})
    return cls(**{name: draw(values) for name, (_, values) in fields.items()})  # type: ignore[no-any-return]


@given(payloads())
def test_any_payload_comes_back_equal_from_canonical_bytes(payload: BaseModel) -> None:
    assert contract_mistakes(type(payload)) == []
    sealed = seal(payload, MIB)
    assert unseal(type(payload), sealed.body) == sealed.value
    assert seal(sealed.value, MIB).body == sealed.body
    assert canonical(json.loads(sealed.body)) == sealed.body


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        max_leaves=8,
    )
)
def test_canonical_json_has_one_form(value: Any) -> None:
    text = canonical(value)
    assert json.loads(text) == value
    assert canonical(json.loads(text)) == text
    assert b", " not in canonical([1, 2])


SEEDED = """
import hashlib
from pydantic import BaseModel
from fsm.define.payload import seal

class Inner(BaseModel, frozen=True):
    words: frozenset[str]

class Bag(BaseModel):
    words: set[str]
    inner: set[Inner]
    by_word: dict[str, frozenset[tuple[str, int]]]

words = {f"word-{n}" for n in range(50)}
bag = Bag(words=words, inner={Inner(words=frozenset(words)), Inner(words=frozenset({"x", "y"}))},
          by_word={word: frozenset({(word, 1), ("other", 2)}) for word in words})
print(hashlib.sha256(seal(bag, 1 << 20).body).hexdigest())
"""


def test_the_bytes_are_the_same_under_every_hash_seed() -> None:
    root = str(pathlib.Path(__file__).parents[2])
    told = {
        subprocess.run(
            [sys.executable, "-c", SEEDED],
            capture_output=True,
            check=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1
