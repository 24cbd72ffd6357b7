"""The payload contract: what may cross a handoff, and the bytes it crosses as.

A payload is stored as canonical JSON: UTF-8, sorted keys, no NaN or infinity, no lone surrogates, an
object at the top. Before it counts, those very bytes are validated again, strictly, by the payload's own
class and compared with what was given: validating an instance checks nothing, and a model made with
`model_construct`, an excluded field or a NaN would otherwise be written as something else than it was.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from typing import Any, get_args

from attrs import frozen
from pydantic import BaseModel, RootModel, SecretBytes, SecretStr, ValidationError
from pydantic_core import PydanticSerializationError

EXCERPT_MAX = 200
PROBLEMS_MAX = 8


class Invalid(Exception):
    """The payload does not survive being stored: `problems` say why, `excerpt` shows its beginning."""

    def __init__(self, problems: list[str], excerpt: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
        self.excerpt = excerpt


@frozen
class Payload:
    """A payload that passed: its event name, the object as decoded from its canonical bytes, these, their sha256.

    `value` is None where the class is not at hand (replay without the machine's code).
    """

    event: str
    value: Any
    body: bytes
    digest: bytes


def event_name(cls: type[BaseModel]) -> str:
    """The name under which payloads of this class are recorded: `event_name` of the class, or its own name."""
    named = getattr(cls, "event_name", None)
    return named if isinstance(named, str) else cls.__name__


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical(value: object) -> bytes:
    """Canonical JSON of plain data; ValueError for NaN, infinity and lone surrogates."""
    return _encode(value).encode()


def digest(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


def seal(value: BaseModel, bytes_max: int) -> Payload:
    """Canonical bytes of `value`, proven to read back as an equal payload; raises `Invalid` otherwise."""
    cls = type(value)
    try:
        plain = value.model_dump(mode="json", by_alias=True, round_trip=True, warnings="error")
        body = canonical(plain)
    except (PydanticSerializationError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Invalid([_told(error)], excerpt(value)) from None
    if len(body) > bytes_max:
        raise Invalid([f"{len(body)} bytes, payload_bytes_max is {bytes_max}"], excerpt(body))
    try:
        adopted = cls.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise Invalid(validation_problems(error), excerpt(body)) from None
    if adopted != value:
        raise Invalid(_lost(value, adopted), excerpt(body))
    return Payload(event_name(cls), adopted, body, digest(body))


def unseal(cls: type[BaseModel], body: bytes) -> BaseModel:
    """The payload that `body` holds; `Invalid` if it does not satisfy `cls` (any more)."""
    upcast = getattr(cls, "upcast", None)
    try:
        return cls.model_validate_json(body, strict=True)
    except ValidationError as error:
        if upcast is None:
            raise Invalid(validation_problems(error), excerpt(body)) from None
    try:
        grown = canonical(upcast(json.loads(body)))
        return cls.model_validate_json(grown, strict=True)
    except ValidationError as error:
        raise Invalid(validation_problems(error), excerpt(body)) from None


def excerpt(value: object) -> str:
    """The first characters of anything, safe to store and to print."""
    try:
        text = value[: EXCERPT_MAX * 4].decode("utf-8", "replace") if isinstance(value, bytes) else _short(value)
    except Exception as error:
        text = f"<{type(value).__name__}, unprintable: {type(error).__name__}>"
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= EXCERPT_MAX else text[:EXCERPT_MAX] + "…"


def _short(value: object) -> str:
    if isinstance(value, str | bytearray):
        return repr(value[: EXCERPT_MAX * 2])
    if isinstance(value, BaseModel):
        parts = (f"{name}={_short(part)}" for name, part in list(value.__dict__.items())[:8])
        return f"{type(value).__name__}({', '.join(parts)})"
    if isinstance(value, list | tuple | dict | set) and len(value) > 8:
        return f"{type(value).__name__} of {len(value)}"
    return repr(value)


def _told(error: Exception) -> str:
    text = str(error).splitlines()
    if isinstance(error, UnicodeEncodeError):
        return "text holds a lone surrogate, which is not UTF-8"
    if isinstance(error, ValueError) and "JSON compliant" in str(error):
        return "a number is NaN or infinite, which JSON cannot hold"
    if isinstance(error, AttributeError):
        return f"a field is missing ({error})"
    return " ".join(line.strip() for line in text[:3])[:300]


def validation_problems(error: ValidationError) -> list[str]:
    """One sentence a problem, the field first."""
    found = error.errors(include_url=False, include_context=False)
    told = [
        f"{'.'.join(str(part) for part in item['loc']) or 'payload'}: {item['msg'][:200]}, got {excerpt(item['input'])[:80]}"
        for item in found[:PROBLEMS_MAX]
    ]
    return told if len(found) <= PROBLEMS_MAX else [*told, f"and {len(found) - PROBLEMS_MAX} more"]


def _lost(value: BaseModel, adopted: BaseModel) -> list[str]:
    names = [name for name in type(value).model_fields if getattr(value, name, None) != getattr(adopted, name, None)]
    if not names:
        return ["it does not read back equal to what was given (private or extra attributes)"]
    return [f"{name}: reads back as {excerpt(getattr(adopted, name))}" for name in names[:PROBLEMS_MAX]]


def contract_mistakes(cls: object) -> list[tuple[str, str]]:
    """What keeps a class from being a payload: pairs of (what is wrong, what to write instead)."""
    if not (isinstance(cls, type) and issubclass(cls, BaseModel)):
        return [(f"{excerpt(cls)} is not a pydantic model class", "declare class X(BaseModel) and name it here")]
    if issubclass(cls, RootModel):
        return [(f"{cls.__name__} is a RootModel; a payload is an object", "put the value in a field of a BaseModel")]
    if getattr(cls, "__parameters__", None) or cls.__pydantic_generic_metadata__["parameters"]:
        return [(f"{cls.__name__} is generic without its parameters", f"name a concrete one, as {cls.__name__}[int]")]
    found: list[tuple[str, str]] = []
    for name, annotation in _leaves(cls):
        if isinstance(annotation, type):
            if issubclass(annotation, SecretStr | SecretBytes):
                found.append(
                    (f"{name} is a secret; it would be stored as stars", "pass the name of the secret, not its value")
                )
            elif issubclass(annotation, bytes | bytearray):
                found.append((f"{name} is bytes; JSON holds text only", "use str, or Base64Str, or the file's path"))
            elif annotation is dt.datetime:
                found.append((f"{name} is a datetime without a declared zone", "use pydantic.AwareDatetime"))
    return found


def _leaves(cls: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    """Every type named anywhere in the fields of `cls`, nested models included, with the field's dotted name."""
    seen: set[type] = {cls}
    todo: list[tuple[str, type[BaseModel]]] = [(cls.__name__, cls)]
    while todo:
        prefix, model = todo.pop()
        for name, info in model.model_fields.items():
            if any(getattr(meta, "encoding", None) or "Encoded" in type(meta).__name__ for meta in info.metadata):
                continue
            for part in _parts(info.annotation):
                if isinstance(part, type) and issubclass(part, BaseModel) and part not in seen:
                    seen.add(part)
                    todo.append((f"{prefix}.{name}", part))
                yield f"{prefix}.{name}", part


def _parts(annotation: Any) -> Iterator[Any]:
    arguments = get_args(annotation)
    if not arguments:
        yield annotation
    for argument in arguments:
        yield from _parts(argument)
