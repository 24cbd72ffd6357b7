"""Payloads made up for questions about predicates: small fields take every value, the others one that is valid.

A small field is a bool, a Literal or an Enum, or an optional one of these; those of a model within count too, as
`inner.good`. Nothing is asked of the user's code but what pydantic asks when it validates.
"""

import datetime as dt
import itertools
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from fsm.define.annotations import MAPPINGS, SETS, alias_of, flat, is_union

DEPTH_MAX = 5


def domains(cls: type[BaseModel], values_max: int) -> dict[str, tuple[Any, ...]]:
    """The values of every small field, the smallest first, as long as all combinations are at most `values_max`."""
    found = dict(_fields(cls))
    kept: dict[str, tuple[Any, ...]] = {}
    many = 1
    for name, values in sorted(found.items(), key=lambda item: len(item[1])):
        if len(values) > 1 and many * len(values) <= values_max:
            kept[name] = values
            many *= len(values)
    return {name: kept[name] for name in found if name in kept}


def _fields(cls: type[BaseModel], within: str = "", depth: int = 0) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for name, info in cls.model_fields.items():
        inner = _model(info.annotation)
        if inner is None:
            yield f"{within}{name}", domain(info.annotation)
        elif depth < DEPTH_MAX:
            yield from _fields(inner, f"{within}{name}.", depth + 1)


def _model(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, if it always holds one."""
    if alias_of(annotation) is not None:
        return _model(alias_of(annotation))
    if get_origin(annotation) is Annotated:
        return _model(get_args(annotation)[0])
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def combinations(fields: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Every combination of the values of these fields."""
    for values in itertools.product(*fields.values()):
        yield dict(zip(fields, values, strict=True))


def domain(annotation: Any) -> tuple[Any, ...]:
    """All values of a small type; none of any other."""
    if alias_of(annotation) is not None:
        return domain(alias_of(annotation))
    if get_origin(annotation) is Annotated:
        return domain(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if is_union(annotation):
        parts = [domain(part) for part in get_args(annotation)]
        return tuple(value for part in parts for value in part) if all(parts) else ()
    if annotation is type(None):
        return (None,)
    if annotation is bool:
        return (True, False)
    return tuple(annotation) if isinstance(annotation, type) and issubclass(annotation, Enum) else ()


def sample(cls: type[BaseModel], given: Mapping[str, Any] | None = None, depth: int = 0) -> BaseModel:
    """A valid payload with the given fields; required others get the least value. `ValueError` where none is found."""
    given = given or {}
    values: dict[str, Any] = {}
    for name, info in cls.model_fields.items():
        within = {key.removeprefix(f"{name}."): value for key, value in given.items() if key.startswith(f"{name}.")}
        inner = _model(info.annotation)
        if name in given:
            values[info.alias or name] = given[name]
        elif within and inner is not None:
            values[info.alias or name] = sample(inner, within, depth + 1)
        elif info.is_required():
            values[info.alias or name] = least(info.annotation, flat(tuple(info.metadata)), depth)
    return cls.model_validate(values)


def least(annotation: Any, metadata: tuple[Any, ...] = (), depth: int = 0) -> Any:
    """The least value of a type, within the bounds that `Annotated` or `Field` declare."""
    if depth > DEPTH_MAX:
        raise ValueError("nested too deep to make one up")
    if alias_of(annotation) is not None:
        return least(alias_of(annotation), metadata, depth)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return least(arguments[0], (*metadata, *flat(arguments[1:])), depth)
    small = domain(annotation)
    if small:
        return small[0]
    if is_union(annotation):
        return None if type(None) in arguments else least(arguments[0], metadata, depth)
    kind = origin or annotation
    bound = _bounds(metadata)
    if kind in (int, float):
        return kind(max(bound.get("ge", 0), bound["gt"] + 1 if "gt" in bound else 0))
    if kind is str:
        return "x" * int(bound.get("min_length", 0))
    if kind in _LEAST:
        return _LEAST[kind]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return sample(kind, None, depth + 1)
    if isinstance(kind, type) and issubclass(kind, (list, tuple, *SETS)):
        return [least(arguments[0], (), depth + 1) for _ in range(int(bound.get("min_length", 0)))]
    if isinstance(kind, type) and issubclass(kind, MAPPINGS):
        return {}
    raise ValueError(f"no value of {annotation} is known")


_LEAST: dict[Any, Any] = {
    Any: None,
    dt.date: dt.date(2000, 1, 1),
    dt.datetime: dt.datetime(2000, 1, 1, tzinfo=dt.UTC),
    dt.timedelta: dt.timedelta(0),
}


def _bounds(metadata: tuple[Any, ...]) -> dict[str, Any]:
    names = ("ge", "gt", "min_length")
    return {name: getattr(meta, name) for meta in metadata for name in names if getattr(meta, name, None) is not None}
