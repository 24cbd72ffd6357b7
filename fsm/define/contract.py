"""What keeps a class from being a payload, known before a single one is made.

A payload is stored as JSON and read back on another day, by another process: what JSON cannot hold, what
reads back as something else, and what is valid only at some hour, is refused with the definition.
"""

import collections
import collections.abc
import datetime as dt
from collections.abc import Iterator
from typing import Any

import pydantic
from attrs import frozen
from pydantic import AliasChoices, BaseModel, RootModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from fsm.define.annotations import MAPPINGS, Leaf, Member, leaves, members
from fsm.define.payload import excerpt
from fsm.define.volatile import marked_in_vain

Found = tuple[str, str]

CLOCKED = (pydantic.PastDate, pydantic.FutureDate, pydantic.PastDatetime, pydantic.FutureDatetime)
ONCE = (collections.abc.Iterator, collections.abc.Generator, collections.abc.Iterable)
NO_KEYS = (type(None), tuple, frozenset, BaseModel)
SERIALIZERS = ("PlainSerializer", "WrapSerializer", "EncodedBytes", "EncodedStr")


@frozen
class _Field:
    """A field of a payload or of something inside it: the dotted name of the class it stands in, and itself."""

    prefix: str
    owner: Any
    member: Member

    @property
    def path(self) -> str:
        return f"{self.prefix}.{self.member.name}"


def contract_mistakes(cls: object) -> list[Found]:
    """What keeps a class from being a payload: pairs of (what is wrong, what to write instead)."""
    if not (isinstance(cls, type) and issubclass(cls, BaseModel)):
        return [_no_model(cls)]
    if issubclass(cls, RootModel):
        return [(f"{cls.__name__} is a RootModel; a payload is an object", "put the value in a field of a BaseModel")]
    if getattr(cls, "__parameters__", None) or cls.__pydantic_generic_metadata__["parameters"]:
        return [(f"{cls.__name__} is generic without its parameters", f"name a concrete one, as {cls.__name__}[int]")]
    if not cls.__pydantic_complete__ and cls.model_rebuild(raise_errors=False) is not True:
        rebuild = f"define them before the machine, then {cls.__name__}.model_rebuild()"
        return [(f"{cls.__name__} has fields of types that are not defined yet", rebuild)]
    return list(dict.fromkeys(mistake for item in _fields(cls) for mistake in _mistakes(item)))


def _no_model(cls: object) -> Found:
    if isinstance(cls, list | set):
        names = ", ".join(getattr(part, "__name__", "...") for part in cls)
        return f"it names its payloads in a {type(cls).__name__}", f"write a tuple: ({names})"
    if isinstance(cls, BaseModel):
        return f"{excerpt(cls)} is a payload, not its class", f"name the class: {type(cls).__name__}"
    told = cls.__name__ if isinstance(cls, type) else repr(cls)
    return f"{told[:200]} is not a pydantic model class", "declare class X(BaseModel) and name it here"


def _fields(cls: type[BaseModel]) -> Iterator[_Field]:
    """Every field of `cls` and of what its fields name."""
    seen: set[Any] = {cls}
    todo: list[tuple[str, Any]] = [(cls.__name__, cls)]
    while todo:
        prefix, owner = todo.pop(0)
        for member in members(owner) or ():
            yield (item := _Field(prefix, owner, member))
            for leaf in leaves(member.annotation):
                if members(leaf.type) is not None and leaf.type not in seen:
                    seen.add(leaf.type)
                    todo.append((item.path, leaf.type))


def _mistakes(item: _Field) -> Iterator[Found]:
    if item.member.info is not None:
        yield from _lost(item, item.member.info)
    if marked_in_vain(item.owner, item.member):
        what = f"{item.path} is marked Volatile where no guard could leave it out"
        yield what, "mark a whole field of a model or dataclass: at: Annotated[AwareDatetime, Volatile]"
    if not _is_serialized_by_hand(item):
        for leaf in leaves(item.member.annotation, item.member.metadata):
            mistake = _leaf_mistake(item.owner, leaf)
            if mistake is not None:
                yield f"{item.path} {mistake[0]}", mistake[1]


def _lost(item: _Field, info: FieldInfo) -> Iterator[Found]:
    """Fields that are not written, or under another name than they are read."""
    name, key = item.member.name, item.member.key
    if info.exclude and info.is_required():
        yield f"{item.path} is required and exclude=True; it would not be stored", "drop exclude=True, or the field"
    read = info.validation_alias
    ways = read.choices if isinstance(read, AliasChoices) else [name if read is None else read]
    by_name = _setting(item.owner, "populate_by_name") or _setting(item.owner, "validate_by_name")
    if key not in ways and not (by_name and key == name):
        told = " or ".join(repr(way) for way in ways)
        yield f"{item.path} is written as {key!r} and read as {told}", 'give it one name for both: Field(alias="...")'


def _setting(owner: Any, name: str) -> Any:
    config = getattr(owner, "model_config", None) or getattr(owner, "__pydantic_config__", None) or {}
    return config.get(name)


def _is_serialized_by_hand(item: _Field) -> bool:
    """The user's own code writes this field; whether it reads back is seen when it is written."""
    decorators = getattr(item.owner, "__pydantic_decorators__", None)
    if decorators is None:
        return False
    by_hand = [name for found in decorators.field_serializers.values() for name in found.info.fields]
    return item.member.name in by_hand or "*" in by_hand or bool(decorators.model_serializers)


def _leaf_mistake(owner: Any, leaf: Leaf) -> Found | None:
    kind = leaf.type
    if kind in (type, collections.abc.Callable):
        return "is code, which JSON cannot hold", "pass a name, and look it up where it is used"
    if not isinstance(kind, type) or any(type(meta).__name__ in SERIALIZERS for meta in leaf.metadata):
        return None
    if issubclass(kind, SecretStr | SecretBytes | pydantic.Secret):
        return "is a secret; it would be stored as stars", "pass the name of the secret, not its value"
    if issubclass(kind, bytes | bytearray) and not _is_text(owner):
        return "is bytes; JSON holds text only", "use str, or pydantic.Base64Bytes, or the file's path"
    if kind in (dt.datetime, pydantic.NaiveDatetime):
        return "is a datetime without a declared zone", "use pydantic.AwareDatetime"
    if kind in CLOCKED:
        return f"is a {kind.__name__}; what is valid today may not be when it is replayed", "use AwareDatetime or date"
    if issubclass(kind, collections.OrderedDict):
        return "is an OrderedDict; JSON objects are stored with sorted keys", "use list[tuple[str, ...]]"
    if kind in ONCE:
        return f"is an {kind.__name__}, which can be read only once", "use list[...]"
    if issubclass(kind, MAPPINGS) and any(map(_is_no_key, leaves(leaf.arguments[0]) if leaf.arguments else ())):
        return "has keys that are no text in JSON", "use str, int or an Enum as keys, or a list of pairs"
    return None


def _is_text(owner: Any) -> bool:
    """Bytes are written and read as text by this model's own configuration."""
    ways = _setting(owner, "ser_json_bytes"), _setting(owner, "val_json_bytes")
    return ways in (("base64", "base64"), ("hex", "hex"))


def _is_no_key(leaf: Leaf) -> bool:
    kind = leaf.type
    return kind is None or (isinstance(kind, type) and issubclass(kind, NO_KEYS))
