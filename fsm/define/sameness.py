"""Whether a payload reads back as what was given, and the one order of what has none.

`==` alone is too strict: a tuple in a field of type `Sequence` reads back as a list, and an aware datetime
in the hour that a summer time repeats equals no datetime of another zone.
"""

import collections
import collections.abc
import dataclasses
import datetime as dt
from collections.abc import Callable, Collection
from enum import Enum
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from fsm.define.annotations import SETS, leaves, members

Encode = Callable[[Any], bytes]
Without = Callable[[type], Collection[str]]


def same(given: Any, adopted: Any) -> bool:
    """Whether `adopted`, read back from JSON, says all that `given` did."""
    try:
        if given == adopted:
            return True
    except Exception:  # an `__eq__` of the user's; what is inside can still be compared
        pass
    if isinstance(given, Enum):  # use_enum_values keeps a default as it is
        return bool(given.value == adopted)
    if isinstance(given, dt.datetime) and isinstance(adopted, dt.datetime):
        return None not in (given.tzinfo, adopted.tzinfo) and given.timestamp() == adopted.timestamp()
    if isinstance(given, list | tuple) and isinstance(adopted, list | tuple):
        return len(given) == len(adopted) and all(map(same, given, adopted))
    if isinstance(given, dict) and isinstance(adopted, dict):
        keys = _paired(given, adopted)
        return len(given) == len(adopted) == len(keys) and all(same(given[old], adopted[new]) for old, new in keys)
    if isinstance(given, collections.abc.Set) and isinstance(adopted, collections.abc.Set):
        return len(given) == len(adopted) == len(_paired(given, adopted))
    return type(given) is type(adopted) and _parts(given) is not None and not differing(given, adopted)


def _paired(given: Collection[Any], adopted: Collection[Any]) -> list[tuple[Any, Any]]:
    """Members of two sets, or keys of two dicts, that say the same."""
    rest = [part for part in adopted if part not in given]
    return [(part, other) for part in given for other in ((part,) if part in adopted else rest) if same(part, other)]


def differing(given: Any, adopted: Any) -> list[str]:
    """The names of the attributes that differ between two objects of one class."""
    before, after = _parts(given) or {}, _parts(adopted) or {}
    return [name for name in before | after if not same(before.get(name, ...), after.get(name, ...))]


def _parts(value: Any) -> dict[str, Any] | None:
    """The attributes that make a model or dataclass what it is."""
    if isinstance(value, BaseModel):
        kept = {name: value.__dict__[name] for name in type(value).model_fields if name in value.__dict__}
        return kept | (getattr(value, "__pydantic_extra__", None) or {}) | _private(value)
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name, ...) for field in dataclasses.fields(value)}
    return None


def _private(value: BaseModel) -> dict[str, Any]:
    """Private attributes that hold data; a lock or a client is equal to itself only, and never part of a payload."""
    private = getattr(value, "__pydantic_private__", None) or {}
    return {name: part for name, part in private.items() if not _is_itself_only(part)}


def _is_itself_only(value: object) -> bool:
    equals: Any = type(value).__eq__
    return equals is object.__eq__


@lru_cache(maxsize=1024)
def has_sets(cls: type[BaseModel]) -> bool:
    """Whether a payload of this class may hold a set."""
    seen: set[Any] = {cls}
    todo: list[Any] = [cls]
    while todo:
        for member in members(todo.pop()) or ():
            for leaf in leaves(member.annotation):
                if isinstance(leaf.type, type) and issubclass(leaf.type, SETS):
                    return True
                if members(leaf.type) is not None and leaf.type not in seen:
                    seen.add(leaf.type)
                    todo.append(leaf.type)
    return False


def ordered(value: Any, plain: Any, encode: Encode, without: Without = lambda cls: ()) -> Any:
    """`plain`, the JSON data of `value`, with every set in the order of its members' JSON.

    A set has the order of this process's hash seed; its canonical bytes may not. `without` names the keys that
    are left out of the objects of a class.
    """
    if isinstance(plain, list) and isinstance(value, list | tuple | collections.abc.Set | collections.deque):
        if len(value) != len(plain):
            return plain
        parts = [ordered(part, item, encode, without) for part, item in zip(value, plain, strict=True)]
        return sorted(parts, key=encode) if isinstance(value, collections.abc.Set) else parts
    if not isinstance(plain, dict):
        return plain
    if isinstance(value, collections.abc.Mapping) and len(value) == len(plain):
        pairs = zip(value.values(), plain.items(), strict=True)
        return {key: ordered(part, item, encode, without) for part, (key, item) in pairs}
    found = {member.key: value.__dict__.get(member.name) for member in members(type(value)) or ()}
    found |= getattr(value, "__pydantic_extra__", None) or {}
    left = {key: item for key, item in plain.items() if key not in without(type(value))}
    return {key: ordered(found[key], item, encode, without) if key in found else item for key, item in left.items()}
