"""What a type annotation is made of, down to the types it names."""

import collections.abc
import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typing_extensions
from attrs import field, frozen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

Metadata = tuple[Any, ...]

SETS: tuple[type, ...] = (set, frozenset, collections.abc.Set, collections.abc.MutableSet)
MAPPINGS: tuple[type, ...] = (dict, collections.abc.Mapping)


@frozen
class Leaf:
    """One type that an annotation names, without its parameters; `metadata` is what `Annotated` says of it."""

    type: Any
    arguments: tuple[Any, ...] = ()
    metadata: Metadata = ()


@frozen
class Member:
    """A field of a model, dataclass, TypedDict or named tuple: its attribute, and the key it is written as."""

    name: str
    key: str
    annotation: Any
    required: bool
    metadata: Metadata = ()
    info: FieldInfo | None = field(default=None, eq=False)


def flat(metadata: Metadata) -> Metadata:
    """`Annotated[int, Field(ge=0)]` says the same as `Annotated[int, Ge(0)]`."""
    found: list[Any] = []
    for meta in metadata:
        found += meta.metadata if isinstance(meta, FieldInfo) else [meta]
    return tuple(found)


def is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def alias_of(annotation: Any) -> Any:
    """What a NewType or a `type X = ...` stands for; None for anything else."""
    if hasattr(annotation, "__supertype__"):
        return annotation.__supertype__
    alias = get_origin(annotation) or annotation
    is_alias = type(alias).__name__ == "TypeAliasType" and not alias.__module__.startswith("pydantic")
    return alias.__value__ if is_alias else None


def leaves(annotation: Any, metadata: Metadata = (), seen: frozenset[int] = frozenset()) -> Iterator[Leaf]:
    """Every type named in an annotation, the outer ones first; `seen` ends recursive aliases."""
    alias = alias_of(annotation)
    if alias is not None:
        if id(annotation) not in seen:
            yield from leaves(alias, metadata, seen | {id(annotation)})
        for argument in get_args(annotation):
            yield from leaves(argument, (), seen)
    elif get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        yield from leaves(inner, (*flat(tuple(more)), *metadata), seen)
    elif is_union(annotation):
        for argument in get_args(annotation):
            yield from leaves(argument, metadata, seen)
    elif get_origin(annotation) is not Literal:
        arguments = tuple(part for part in get_args(annotation) if part is not Ellipsis)
        yield Leaf(get_origin(annotation) or annotation, arguments, metadata)
        for argument in arguments:
            yield from leaves(argument, (), seen)


def members(cls: Any) -> tuple[Member, ...] | None:
    """The fields of a class that has any; None for every other type."""
    if not isinstance(cls, type):
        return None
    infos = cls.model_fields if issubclass(cls, BaseModel) else cls.__dict__.get("__pydantic_fields__")
    if infos is not None:
        return tuple(
            Member(
                name, info.serialization_alias or name, info.annotation, info.is_required(), tuple(info.metadata), info
            )
            for name, info in infos.items()
        )
    if dataclasses.is_dataclass(cls):
        required = {item.name: _is_required(item) for item in dataclasses.fields(cls)}
    elif typing_extensions.is_typeddict(cls):
        keys: Any = cls
        required = {name: name in keys.__required_keys__ for name in cls.__annotations__}
    elif issubclass(cls, tuple) and hasattr(cls, "_field_defaults"):
        required = {name: name not in cls._field_defaults for name in cls._fields}  # type: ignore[attr-defined]
    else:
        return None
    hints = _hints(cls)
    return tuple(_member(name, hints.get(name, Any), must) for name, must in required.items())


def _is_required(item: "dataclasses.Field[Any]") -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception:  # a name only known in a function's body: what is no text is known all the same
        return {name: part for name, part in cls.__annotations__.items() if not isinstance(part, str)}


def _member(name: str, annotation: Any, required: bool) -> Member:
    while get_origin(annotation) in (typing.Required, typing.NotRequired):
        (annotation,) = get_args(annotation)
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return Member(name, name, inner, required, flat(tuple(more)))
    return Member(name, name, annotation, required)
