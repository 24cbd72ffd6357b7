"""From JSON on the command line to a payload, with words that help when it is none."""

import difflib
import json
import sys
from collections.abc import Iterable
from typing import Any, TypeVar

import click
from pydantic import BaseModel, ValidationError

from fsm.define.payload import told, validation_problems
from fsm.define.spec import MachineSpec

DEPTH_MAX = 8
FORMATS = {
    "date-time": "2030-01-31T12:00:00Z",
    "date": "2030-01-31",
    "time": "12:00:00",
    "duration": "PT1H",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.org",
    "email": "name@example.org",
}
PLAIN: dict[str, Any] = {"integer": 0, "number": 0, "boolean": False, "null": None, "object": {}}

NameT = TypeVar("NameT", bound=str)


def named(event: str, spec: MachineSpec, taken: Iterable[str], verb: str) -> type[BaseModel]:
    """The payload class of this event name, one of those `taken`."""
    names = sorted(taken)
    if event in names:
        return spec.classes[event]
    if not names:
        raise click.UsageError(f"{spec.name} {verb} no event from outside, so not {event}")
    near = difflib.get_close_matches(event, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    fields = "".join(f"\n  {name} {json_line(skeleton(spec.classes[name]))}" for name in names)
    raise click.UsageError(f"{spec.name} {verb} no event {event!r}{hint}\nIt {verb}:{fields}")


def payload(cls: type[BaseModel], text: str | None, option: str) -> BaseModel:
    """The payload that `text` (JSON, @file, or - for standard input) holds; the empty one where none is given."""
    shape = json_line(skeleton(cls))
    body = b"{}" if text is None else _bytes(text, option)
    try:
        json.loads(body)
    except (ValueError, RecursionError) as error:
        seen = f"{option} is no JSON: {error}"
        raise click.UsageError(f"{seen}\n  -> in single quotes for the shell: {option} '{shape}'") from None
    try:
        return cls.model_validate_json(body, strict=True)
    except ValidationError as error:
        if text is None:
            raise click.UsageError(f"{cls.__name__} has fields to fill\n  -> {option} '{shape}'") from None
        problems = validation_problems(error)
    except Exception as error:  # a validator is the user's code
        problems = [f"a validator of {cls.__name__} raised {told(error)}"]
    listed = "".join(f"\n  - {problem}" for problem in problems)
    raise click.UsageError(f"{option} is no {cls.__name__}:{listed}\n  -> it wants {shape}")


def plain(text: str, option: str) -> Any:
    """Any JSON value, from JSON, @file or -."""
    try:
        return json.loads(_bytes(text, option))
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{option} is no JSON: {error}\n  -> text goes in double quotes: '\"...\"'") from None


def _bytes(text: str, option: str) -> bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    try:
        with open(text[1:], "rb") as file:
            return file.read()
    except OSError as error:
        raise click.UsageError(f"{option} {text}: {error.strerror or error}") from None


def json_line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def skeleton(cls: type[BaseModel]) -> dict[str, Any]:
    """An example of a payload: what must be given; where nothing must, all there is, as it would be by itself."""
    try:
        schema = cls.model_json_schema(by_alias=True)
    except Exception:  # a field of a type that JSON schema has no word for
        return {name: "..." for name, field in cls.model_fields.items() if field.is_required()}
    defs = schema.get("$defs", {})
    schema = _resolved(schema, defs)
    properties, required = schema.get("properties", {}), schema.get("required", [])
    names = required or list(properties)
    return {name: _example(properties[name], defs, DEPTH_MAX) for name in names}


def _resolved(schema: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    return {**defs.get(schema["$ref"].rpartition("/")[2], {}), **schema} if "$ref" in schema else schema


def _example(schema: dict[str, Any], defs: dict[str, Any], depth: int) -> Any:
    """A value this schema is likely to accept; constraints on text are beyond it."""
    if depth == 0:
        return None
    schema = _resolved(schema, defs)
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum", "anyOf", "oneOf", "allOf"):
        if schema.get(key):
            first = schema[key][0]
            return first if key in ("examples", "enum") else _example(first, defs, depth - 1)
    match schema.get("type"):
        case "object":
            parts, required = schema.get("properties", {}), schema.get("required", [])
            return {name: _example(part, defs, depth - 1) for name, part in parts.items() if name in required}
        case "array":
            item = _example(schema.get("items", {}), defs, depth - 1)
            return [item] * schema.get("minItems", 1)
        case "integer" | "number":
            above = schema.get("exclusiveMinimum")
            least = schema.get("minimum", above + 1 if above is not None else 0)
            return min(least, schema.get("maximum", least))
        case "string" | None:
            return FORMATS.get(schema.get("format", ""), "...")
        case known:
            return PLAIN.get(known)
