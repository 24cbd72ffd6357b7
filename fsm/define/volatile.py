"""What of a payload says the same thing again, though its bytes differ: all but what is marked as volatile.

A time, a request id or a duration makes every payload another one. `Annotated[str, Volatile]` marks such a
field, of a payload, a model or a dataclass in it, or of what these hold in lists, sets and mappings. The mark
changes neither what is stored nor the machine's fingerprint; guards that compare payloads leave the field out.
"""

import hashlib
from collections.abc import Mapping, Set
from functools import lru_cache
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from fsm.define.annotations import Member, Metadata, alias_of, flat, is_union, leaves, members
from fsm.define.payload import canonical, plain
from fsm.define.sameness import ordered

BITS = 48


class _Volatile:
    """Marks a field that two payloads which say the same may differ in: `at: Annotated[AwareDatetime, Volatile]`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Volatile"


Volatile: Final = _Volatile()


def number_of(digest: bytes) -> int:
    """A digest as a whole number above 0, to keep or to compare; two that differ agree once in 2**48 times."""
    return 1 + int.from_bytes(digest[: BITS // 8])


def number_said(payload: BaseModel, digest: bytes) -> int:
    """A number for what `payload` says apart from its volatile fields; `digest` is that of all its bytes."""
    return number_of(digest) if not _has_volatile(type(payload)) else number_of_value(payload)


def number_of_value(value: Any) -> int:
    """A number for a value's JSON form: plain data, models without their volatile fields, and lists of such.

    Raises `TypeError` or `ValueError` where it has no JSON form.
    """
    return number_of(hashlib.sha256(canonical(_form(value))).digest())


def _form(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return ordered(value, plain(value), canonical, volatile_keys)
    if isinstance(value, Mapping):
        return {key: _form(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_form(part) for part in value]
    if isinstance(value, Set):
        return sorted(map(_form, value), key=canonical)
    return to_jsonable_python(value)


@lru_cache(maxsize=1024)
def volatile_keys(cls: type) -> frozenset[str]:
    """The keys of the fields of a class that are marked."""
    return frozenset(member.key for member in members(cls) or () if _is_volatile(member.annotation, member.metadata))


def marked_in_vain(owner: Any, member: Member) -> bool:
    """Whether a mark says nothing here: on the items of a list, or on what has no class once it is read."""
    marks = (leaf for leaf in leaves(member.annotation, flat(member.metadata)) if _marks(leaf.metadata))
    is_field = isinstance(owner, type) and not issubclass(owner, dict | tuple)
    return any(marks) and not (is_field and _is_volatile(member.annotation, member.metadata))


def _is_volatile(annotation: Any, metadata: Metadata = ()) -> bool:
    """Whether a field is marked itself, or through an alias or a part of a union."""
    if _marks(flat(metadata)):
        return True
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return _is_volatile(inner, tuple(more))
    if is_union(annotation):
        return any(map(_is_volatile, get_args(annotation)))
    alias = alias_of(annotation)
    return alias is not None and _is_volatile(alias)


def _marks(metadata: Metadata) -> bool:
    return any(isinstance(meta, _Volatile) for meta in metadata)


@lru_cache(maxsize=1024)
def _has_volatile(cls: type) -> bool:
    """Whether a payload of this class may hold a marked field."""
    seen: set[Any] = {cls}
    todo: list[Any] = [cls]
    while todo:
        here = todo.pop()
        if volatile_keys(here):
            return True
        found = {leaf.type for member in members(here) or () for leaf in leaves(member.annotation)}
        new = [part for part in found if members(part) is not None and part not in seen]
        seen.update(new)
        todo += new
    return False
