"""The payload contract: what may cross a handoff, and the bytes it crosses as.

A payload is stored as canonical JSON: UTF-8, sorted keys, no NaN or infinity, no lone surrogates, an
object at the top. Before it counts, those very bytes are validated again, strictly, by the payload's own
class and compared with what was given: validating an instance checks nothing, and a model made with
`model_construct`, an excluded field or a NaN would otherwise be written as something else than it was.
"""

import hashlib
import json
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError

from fsm.define.sameness import differing, has_sets, ordered, same
from fsm.define.value import value

EXCERPT_MAX = 200
PROBLEMS_MAX = 8


class Invalid(Exception):
    """The payload does not survive being stored: `problems` say why, `excerpt` shows its beginning."""

    def __init__(self, problems: list[str], excerpt: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
        self.excerpt = excerpt


class TooLarge(Invalid):
    """More bytes than the machine's bound allows."""


@value
class Payload:
    """A payload that passed: its event name, the object as decoded from its canonical bytes, these, their sha256.

    `value` is None where the class is not at hand (replay without the machine's code).
    """

    event: str
    value: Any
    body: bytes
    digest: bytes


@lru_cache(maxsize=4096)
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


def plain(value: BaseModel) -> Any:
    """The JSON data of a payload, as it is stored but for the order in sets."""
    return value.model_dump(mode="json", by_alias=True, round_trip=True, warnings=False)


def seal(value: BaseModel, bytes_max: int) -> Payload:
    """Canonical bytes of `value`, proven to read back as an equal payload; raises `Invalid` otherwise."""
    cls = type(value)
    data: Any = None
    try:
        data = plain(value)
        body = canonical(ordered(value, data, canonical) if has_sets(cls) else data)
    except Exception as error:
        raise Invalid([_unwritable(error, data)], excerpt(value)) from None
    if len(body) > bytes_max:
        raise TooLarge([f"{len(body)} bytes, payload_bytes_max is {bytes_max}"], excerpt(body))
    adopted = _read(cls, body, body)
    if not same(value, adopted):
        raise Invalid(_lost(value, adopted), excerpt(body))
    return Payload(event_name(cls), adopted, body, digest(body))


def _read(cls: type[BaseModel], body: bytes, stored: bytes) -> BaseModel:
    """`body` as `cls`; validators are the user's code and may raise anything."""
    try:
        return cls.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise Invalid(validation_problems(error), excerpt(stored)) from None
    except Exception as error:
        raise Invalid([f"a validator of {cls.__name__} raised {told(error)}"], excerpt(stored)) from None


def former_names(cls: type[BaseModel]) -> tuple[str, ...]:
    """The event names that payloads of this class were recorded under before: `formerly` of the class."""
    former = getattr(cls, "formerly", ())
    return (former,) if isinstance(former, str) else tuple(former)


def unseal(cls: type[BaseModel], body: bytes) -> BaseModel:
    """The payload that `body` holds; `Invalid` if it does not satisfy `cls` (any more).

    A class that has grown may have a static method `upcast(old, version)`: it gets the stored body as a dict
    and returns one that satisfies the class of today. A record holds no version, a body may: of a class with
    a field `version: int = 2` every body with another version is upcast, one without it as version 0; of a
    class without that field, every body that does not validate as it is, as version 0.
    """
    return _read(cls, _upcast(cls, body) if _grows(cls) else body, body)


@lru_cache(maxsize=1024)
def _grows(cls: type[BaseModel]) -> bool:
    return hasattr(cls, "upcast")  # asking a pydantic class takes longer than validating a small payload


def _upcast(cls: Any, body: bytes) -> bytes:
    old = json.loads(body)
    version = old.get("version", 0)
    if "version" in cls.model_fields:
        current = version == cls.model_fields["version"].default
    else:
        current, version = _satisfies(cls, body), 0
    try:
        return body if current else canonical(cls.upcast(old, version))
    except Exception as error:
        raise Invalid([f"{cls.__name__}.upcast(old, {version!r}) raised {told(error)}"], excerpt(body)) from None


def _satisfies(cls: type[BaseModel], body: bytes) -> bool:
    try:
        _read(cls, body, body)
    except Invalid:
        return False
    return True


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


def told(error: BaseException) -> str:
    """An error in one line, whatever its text is made of."""
    try:
        text = " ".join(str(error).split())
    except Exception as unprintable:
        text = f"unprintable: {type(unprintable).__name__}"
    return f"{type(error).__name__}: {text[:300]}".encode("utf-8", "replace").decode()


def _unwritable(error: Exception, plain: Any) -> str:
    """Why there is no canonical JSON; `plain` is the data if it came that far."""
    where = f"{path}: ".encode("utf-8", "replace").decode() if (path := _culprit(plain)[:200]) else ""
    if isinstance(error, UnicodeEncodeError):
        return f"{where}text holds a lone surrogate, which is not UTF-8"
    if isinstance(error, ValueError) and "JSON compliant" in str(error):
        return f"{where}NaN and infinity are no numbers in JSON"
    if isinstance(error, AttributeError):
        return f"a field is missing ({error})"
    return " ".join(str(error).split())[:300]


def _culprit(plain: Any, path: str = "") -> str:
    """Where in JSON data something stands that JSON cannot hold; "" if it is not found."""
    if isinstance(plain, dict | list):
        items = plain.items() if isinstance(plain, dict) else enumerate(plain)
        found = (_culprit(item, f"{path}.{key}" if path else str(key)) for key, item in items)
        return next(filter(None, found), "")
    bad = isinstance(plain, float) and plain - plain != 0
    return path if bad or (isinstance(plain, str) and plain.encode("utf-8", "replace").decode() != plain) else ""


def validation_problems(error: ValidationError) -> list[str]:
    """One sentence a problem, the field first."""
    found = error.errors(include_url=False, include_context=False)
    told = [
        f"{_path(item['loc'])}: {item['msg'][:200]}, got {excerpt(item['input'])[:80]}" for item in found[:PROBLEMS_MAX]
    ]
    return told if len(found) <= PROBLEMS_MAX else [*told, f"and {len(found) - PROBLEMS_MAX} more"]


def _path(parts: tuple[int | str, ...]) -> str:
    return ".".join(map(str, parts))[:EXCERPT_MAX] or "payload"


def _lost(value: Any, adopted: Any) -> list[str]:
    """What does not read back as it was given, a sentence each."""
    names = differing(value, adopted)
    return [_difference(name, value, adopted) for name in names[:PROBLEMS_MAX]] or ["it reads back as something else"]


def _difference(name: str, value: Any, adopted: Any) -> str:
    if name in (getattr(value, "__pydantic_private__", None) or {}):
        return f"{name}: it is private, and is not stored; make it a field"
    given, back = getattr(value, name, None), getattr(adopted, name, None)
    if isinstance(given, BaseModel) and type(given) is not type(back):
        return f"{name}: a {type(given).__name__} reads back as {excerpt(back)}; its field is of another class"
    return f"{name}: {excerpt(given)[:80]} reads back as {excerpt(back)[:80]}"
