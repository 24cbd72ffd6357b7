"""A payload to fill in: JSON that satisfies the types of a shape, its strings left as `...`."""

import re
from collections.abc import Iterable
from typing import Any

from fsm.define.shape import FieldShape, Shape

DEPTH_MAX = 4
SAMPLES: dict[str, Any] = {
    "str": "...",
    "bool": False,
    "None": None,
    "Decimal": "0",
    "datetime": "2030-01-01T00:00:00Z",
    "date": "2030-01-01",
    "time": "00:00:00",
    "timedelta": "PT0S",
    "UUID": "00000000-0000-4000-8000-000000000000",
    "Url": "https://example.org/",
    "EmailStr": "name@example.org",
    "dict": {},
}
LISTS = ("list", "set", "frozenset", "tuple")
WORD = re.compile(r"\w+")
FIRST = re.compile(r"[\[(](?:(?P<quote>['\"])(?P<text>.*?)(?P=quote)|(?P<number>-?\d+)(?=[,\])]))")
BOUND = re.compile(r"\b(ge|gt|le|lt|min_length|max_length)=(-?\d+)")


def skeleton(shape: Shape) -> dict[str, Any]:
    """What must be given, with something of its type in each field; where nothing must, all there is.

    Constraints on the words of a text, as a pattern, are beyond it.
    """
    fields = [field for field in shape.fields if field.required] or shape.fields
    return _object(fields, {part.name: part for part in (shape, *shape.parts)}, 0)


def _object(fields: Iterable[FieldShape], parts: dict[str, Shape], depth: int) -> dict[str, Any]:
    return {field.name: _sample(field.type, field.constraints, parts, depth) for field in fields if field.name != "*"}


def _sample(text: str, constraints: Iterable[str], parts: dict[str, Shape], depth: int) -> Any:
    """A value of the first alternative that is not None; its constraints stand beside it, or in its text."""
    choice = next((part for part in _alternatives(text) if part != "None"), "None")
    found = WORD.match(choice)
    name = found[0] if found else ""
    inside, after = _brackets(choice[len(name) :])
    bounds = {word: int(number) for word, number in BOUND.findall(" ".join([*constraints, after]))}
    if name in parts and depth < DEPTH_MAX:
        return _object([field for field in parts[name].fields if field.required], parts, depth + 1)
    if name in ("int", "float"):
        return _number(bounds)
    if name in LISTS:
        return [_sample(inside or "str", (), parts, depth + 1)] * bounds.get("min_length", 0)
    if name == "str":
        return "..."[: bounds.get("max_length")].ljust(bounds.get("min_length", 0), ".")
    return SAMPLES[name] if name in SAMPLES else _literal(choice[len(name) :])


def _number(bounds: dict[str, int]) -> int:
    """0, or what is nearest to it within the bounds."""
    least, most = bounds.get("ge", bounds.get("gt", -1) + 1), bounds.get("le", bounds.get("lt", 1) - 1)
    return least if least > 0 else min(0, most)


def _literal(text: str) -> Any:
    """The first value of `['a', 'b']` or `('a', 'b')`, as a Literal and an Enum tell theirs."""
    found = FIRST.match(text)
    if found is None:
        return "..."
    return int(found["number"]) if found["number"] else found["text"]


def _brackets(text: str) -> tuple[str, str]:
    """What stands in the square brackets that a text begins with, and what follows them."""
    depth = 0
    for at, char in enumerate(text if text.startswith("[") else ""):
        depth += (char == "[") - (char == "]")
        if depth == 0:
            return text[1:at], text[at + 1 :]
    return "", text


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
