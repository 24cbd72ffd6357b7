"""A payload to fill in: JSON that satisfies the types of a shape, its strings left as `...`."""

import re
from typing import Any

from fsm.define.shape import FieldShape, Shape

DEPTH_MAX = 4
SAMPLES: dict[str, Any] = {
    "str": "...",
    "bool": False,
    "float": 0.0,
    "None": None,
    "Decimal": "0",
    "datetime": "2030-01-01T00:00:00Z",
    "date": "2030-01-01",
    "time": "00:00:00",
    "timedelta": "PT0S",
    "UUID": "00000000-0000-0000-0000-000000000000",
    "Url": "https://example.org/",
    "dict": {},
    "list": [],
    "set": [],
    "frozenset": [],
    "tuple": [],
}
WORD = re.compile(r"\w+")
FIRST = re.compile(r"[\[(](?:(?P<quote>['\"])(?P<text>.*?)(?P=quote)|(?P<number>-?\d+)(?=[,\])]))")
LEAST = re.compile(r"\b(ge|gt)=(-?\d+)")


def skeleton(shape: Shape) -> dict[str, Any]:
    """The required fields of a payload with something of their type in each."""
    return _object(shape, {part.name: part for part in shape.parts}, 0)


def _object(shape: Shape, parts: dict[str, Shape], depth: int) -> dict[str, Any]:
    return {field.name: _field(field, parts, depth) for field in shape.fields if field.required}


def _field(field: FieldShape, parts: dict[str, Shape], depth: int) -> Any:
    least = LEAST.search(" ".join(field.constraints))
    if least and field.type in ("int", "float"):
        return int(least[2]) + (least[1] == "gt")
    return _sample(field.type, parts, depth)


def _sample(text: str, parts: dict[str, Shape], depth: int) -> Any:
    """The first alternative that is not None."""
    choice = next((part for part in _alternatives(text) if part != "None"), "None")
    found = WORD.match(choice)
    name = found[0] if found else ""
    if name in parts and depth < DEPTH_MAX:
        return _object(parts[name], parts, depth + 1)
    if name == "int":
        return 0
    if name in SAMPLES:
        return SAMPLES[name]
    return _literal(choice[len(name) :])


def _literal(text: str) -> Any:
    """The first value of `['a', 'b']` or `('a', 'b')`, as a Literal and an Enum tell theirs."""
    found = FIRST.match(text)
    if found is None:
        return "..."
    return int(found["number"]) if found["number"] else found["text"]


def _alternatives(text: str) -> list[str]:
    """The members of a union, those inside brackets left alone."""
    found, depth = [""], 0
    for char in text:
        depth += (char in "[(") - (char in "])")
        if char == "|" and depth == 0:
            found.append("")
        else:
            found[-1] += char
    return [part.strip() for part in found]
