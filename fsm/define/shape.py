"""The shape of a payload class as text, the same under every pydantic release.

pydantic's own JSON schema is no fingerprint: it differs between releases and after a docstring edit. The
shape holds what decides whether stored bytes still validate: fields, types, required or not, enum values,
constraints. Titles, descriptions and defaults are not in it.
"""

import datetime as dt
import re
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, get_args, get_origin

from attrs import frozen
from pydantic import BaseModel

from fsm.define.annotations import Member, Metadata, alias_of, flat, is_union, members
from fsm.define.payload import event_name, former_names

PLAIN = (str, int, float, Decimal, dt.date, dt.time, dt.timedelta)
TALK = ("str", "Doc", "DocInfo", "WithJsonSchema", "SkipJsonSchema", "Examples", "_Volatile")  # constrain nothing


@frozen
class FieldShape:
    """One field: its name in JSON, its type as text, whether it must be there, its constraints."""

    name: str
    type: str
    required: bool
    constraints: tuple[str, ...] = ()


@frozen
class Shape:
    """A payload class without its code; the models, dataclasses and so on inside it follow in `parts`, by name."""

    name: str
    fields: tuple[FieldShape, ...]
    formerly: tuple[str, ...] = ()
    parts: tuple["Shape", ...] = ()


def shape_of(cls: type[BaseModel]) -> Shape:
    """The shape of `cls` and of everything with fields that its fields name."""
    nested: dict[Any, None] = {}
    fields = _fields(cls, nested)
    done: dict[Any, Shape] = {}
    while todo := [part for part in nested if part not in done and part is not cls]:
        for part in todo:
            done[part] = Shape(part.__name__, _fields(part, nested))
    return Shape(
        name=event_name(cls),
        fields=fields,
        formerly=former_names(cls),
        parts=tuple(sorted(done.values(), key=lambda shape: shape.name)),
    )


def _fields(cls: Any, nested: dict[Any, None]) -> tuple[FieldShape, ...]:
    found = [_field(member, nested) for member in members(cls) or ()]
    if getattr(cls, "model_config", {}).get("extra") == "allow":
        found.append(FieldShape("*", "Any", required=False))
    return tuple(sorted(found, key=lambda field: field.name))


def _field(member: Member, nested: dict[Any, None]) -> FieldShape:
    text, metadata = _typed(member.annotation, member.metadata, nested, ())
    return FieldShape(member.key, text, member.required, _constraints(metadata))


def type_text(annotation: Any, nested: dict[Any, None], within: tuple[Any, ...] = ()) -> str:
    """A type as text: `list[str]`, `Literal['a', 'b']`; what it names that has fields goes to `nested`."""
    text, metadata = _typed(annotation, (), nested, within)
    constraints = _constraints(metadata)
    return f"{text}({', '.join(constraints)})" if constraints else text


def _typed(
    annotation: Any, metadata: Metadata, nested: dict[Any, None], within: tuple[Any, ...]
) -> tuple[str, Metadata]:
    """The text of a type without its metadata, and all of that; `within` are the aliases that are being resolved."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _typed(arguments[0], (*metadata, *arguments[1:]), nested, within)
    alias = alias_of(annotation)
    if alias is not None and annotation in within:
        return _name(annotation), metadata
    if alias is not None:
        text, metadata = _typed(alias, metadata, nested, (*within, annotation))
        given = ", ".join(type_text(part, nested, within) for part in arguments)
        return (f"({text})[{given}]" if given else text), metadata
    if is_union(annotation):
        return " | ".join(sorted(type_text(part, nested, within) for part in arguments)), metadata
    if origin is Literal:
        return f"Literal[{', '.join(sorted(map(_literal, arguments)))}]", metadata
    if origin is not None:
        return f"{_name(origin)}[{', '.join(type_text(part, nested, within) for part in arguments)}]", metadata
    if isinstance(annotation, type):
        return _class_text(annotation, nested), (*metadata, getattr(annotation, "_constraints", None))
    return ("..." if annotation is Ellipsis else _name(annotation)), metadata


def _class_text(cls: type, nested: dict[Any, None]) -> str:
    if members(cls) is not None:
        nested.setdefault(cls)
    if issubclass(cls, Enum):
        return f"{cls.__name__}({', '.join(sorted(repr(member.value) for member in cls))})"
    if hasattr(cls, "_constraints") and hasattr(cls, "unicode_string"):  # until pydantic 2.9 they were plain URLs
        return "MultiHostUrl" if hasattr(cls, "hosts") else "Url"
    return _name(cls)


def _literal(value: Any) -> str:
    return f"{type(value).__name__}.{value.name}" if isinstance(value, Enum) else repr(value)


def _name(annotation: Any) -> str:
    if annotation is type(None):
        return "None"
    return str(getattr(annotation, "__name__", None) or getattr(annotation, "_name", None) or annotation)


def _constraints(metadata: Metadata) -> tuple[str, ...]:
    told = [_constraint(meta) for meta in flat(metadata) if meta is not None and type(meta).__name__ not in TALK]
    return tuple(sorted(text for text in told if text != "UrlConstraints()"))


def _constraint(meta: Any) -> str:
    """`Ge(ge=0)`: the class of a constraint and its plain values; a validator function by its name only."""
    slots = [name for cls in type(meta).__mro__ for name in getattr(cls, "__slots__", ())]
    values = {name: getattr(meta, name) for name in slots if hasattr(meta, name)} | getattr(meta, "__dict__", {})
    told = [f"{name}={text}" for name, value in sorted(values.items()) if (text := _value(name, value))]
    return f"{type(meta).__name__.lstrip('_')}({', '.join(told)})"


def _value(name: str, value: Any) -> str:
    """A constraint's value as text; "" for what constrains nothing."""
    if isinstance(value, re.Pattern):
        return repr(value.pattern)
    if name.startswith("json_schema"):
        return ""
    plain = all(isinstance(part, PLAIN) for part in (value if isinstance(value, list | tuple) else [value]))
    return repr(value) if plain else str(value.__name__) if callable(value) and hasattr(value, "__name__") else ""
