"""The shape of a payload class as text, the same under every pydantic release.

pydantic's own JSON schema is no fingerprint: it differs between releases and after a docstring edit. The
shape holds what decides whether stored bytes still validate: fields, types, required or not, enum values,
constraints. Titles, descriptions and defaults are not in it.
"""

import types
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from attrs import frozen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fsm.define.payload import event_name


@frozen
class FieldShape:
    """One field: its name in JSON, its type as text, whether it must be there, its constraints."""

    name: str
    type: str
    required: bool
    constraints: tuple[str, ...] = ()


@frozen
class Shape:
    """A payload class without its code; nested models follow in `parts`, by name."""

    name: str
    fields: tuple[FieldShape, ...]
    formerly: tuple[str, ...] = ()
    parts: tuple["Shape", ...] = ()


def shape_of(cls: type[BaseModel]) -> Shape:
    """The shape of `cls` and of every model its fields name."""
    nested: dict[type[BaseModel], None] = {}
    fields = _fields(cls, nested)
    done: dict[type[BaseModel], Shape] = {}
    while todo := [model for model in nested if model not in done and model is not cls]:
        for model in todo:
            done[model] = Shape(model.__name__, _fields(model, nested))
    former = getattr(cls, "formerly", ())
    return Shape(
        name=event_name(cls),
        fields=fields,
        formerly=(former,) if isinstance(former, str) else tuple(former),
        parts=tuple(sorted(done.values(), key=lambda shape: shape.name)),
    )


def _fields(cls: type[BaseModel], nested: dict[type[BaseModel], None]) -> tuple[FieldShape, ...]:
    found = [_field(name, info, nested) for name, info in cls.model_fields.items()]
    if cls.model_config.get("extra") == "allow":
        found.append(FieldShape("*", "Any", required=False))
    return tuple(sorted(found, key=lambda field: field.name))


def _field(name: str, info: FieldInfo, nested: dict[type[BaseModel], None]) -> FieldShape:
    constraints = sorted(_constraint(meta) for meta in info.metadata)
    return FieldShape(info.alias or name, type_text(info.annotation, nested), info.is_required(), tuple(constraints))


def type_text(annotation: Any, nested: dict[type[BaseModel], None]) -> str:
    """A type as text: `list[str]`, `None | int`, `Literal['a', 'b']`; the models it names are added to `nested`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = type_text(arguments[0], nested)
        return f"{inner}({', '.join(sorted(_constraint(meta) for meta in arguments[1:]))})"
    if origin is Union or origin is types.UnionType:
        return " | ".join(sorted(type_text(argument, nested) for argument in arguments))
    if origin is Literal:
        return f"Literal[{', '.join(sorted(repr(argument) for argument in arguments))}]"
    if origin is not None:
        return f"{_name(origin)}[{', '.join(type_text(argument, nested) for argument in arguments)}]"
    if isinstance(annotation, type):
        if issubclass(annotation, BaseModel):
            nested.setdefault(annotation)
            return annotation.__name__
        if issubclass(annotation, Enum):
            return f"{annotation.__name__}({', '.join(sorted(repr(member.value) for member in annotation))})"
        return _name(annotation)
    if annotation is Ellipsis:
        return "..."
    return _name(annotation)


def _name(annotation: Any) -> str:
    if annotation is type(None):
        return "None"
    return str(getattr(annotation, "__name__", None) or getattr(annotation, "_name", None) or annotation)


def _constraint(meta: Any) -> str:
    """`Ge(ge=0)`: the class of a constraint and its plain values; a validator function by its name only."""
    values = getattr(meta, "__dict__", None) or {
        name: getattr(meta, name) for name in getattr(meta, "__slots__", ()) if hasattr(meta, name)
    }
    told = [
        f"{name}={value.__name__ if callable(value) and hasattr(value, '__name__') else value!r}"
        for name, value in sorted(values.items())
        if isinstance(value, str | int | float | bool) or (callable(value) and hasattr(value, "__name__"))
    ]
    return f"{type(meta).__name__.lstrip('_')}({', '.join(told)})"
