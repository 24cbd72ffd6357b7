"""From JSON on the command line to a payload, with words that help when it is none."""

import difflib
import json
import sys
from collections.abc import Iterable
from typing import Any

import click
from pydantic import BaseModel, ValidationError

from fsm.define.payload import told, validation_problems
from fsm.define.shape import shape_of
from fsm.define.spec import MachineSpec
from fsm.show.skeleton import skeleton


def named(event: str, spec: MachineSpec, taken: Iterable[str], verb: str) -> type[BaseModel]:
    """The payload class of this event name, one of those `taken`."""
    names = sorted(taken)
    if event in names:
        return spec.classes[event]
    if not names:
        raise click.UsageError(f"{spec.name} {verb} no event from outside, so not {event}")
    near = difflib.get_close_matches(event, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    fields = "".join(f"\n  {name} {example(spec.classes[name])}" for name in names)
    raise click.UsageError(f"{spec.name} {verb} no event {event!r}{hint}\nIt {verb}:{fields}")


def payload(cls: type[BaseModel], text: str | None, option: str) -> BaseModel:
    """The payload that `text` (JSON, @file, or - for standard input) holds; the empty one where none is given."""
    shape = example(cls)
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


def example(cls: type[BaseModel]) -> str:
    return json.dumps(skeleton(shape_of(cls)), ensure_ascii=False)
