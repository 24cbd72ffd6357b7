"""From JSON on the command line to a payload, with words that help when it is none."""

import difflib
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from pydantic import AliasChoices, AliasPath, BaseModel, ValidationError
from pydantic.fields import FieldInfo

from fsm.define.events import RUNTIME_EVENTS
from fsm.define.payload import told, validation_problems
from fsm.define.shape import shape_of
from fsm.define.spec import MachineSpec
from fsm.show.skeleton import skeleton
from fsm.show.words import joined, safe


def named(event: str, spec: MachineSpec, taken: Iterable[str], verb: str, state: str = "") -> type[BaseModel]:
    """The payload class of this event name, one of those `taken`; an error lists what `state` takes first."""
    names = sorted(taken)
    if event in names:
        return spec.classes[event]
    if not names:
        raise click.UsageError(f"{spec.name} {verb} no event from outside, so not {event}")
    now = [name for name in names if name in spec.events_from(state)]
    others = [name for name in names if name not in now]
    listed = _listed(f"{safe(state)} takes", now, spec)
    listed += _listed(f"Other states of {spec.name} take" if now else f"It {verb}", others, spec)
    raise click.UsageError(f"{spec.name} {verb} no event {event!r}{_hint(event, spec, names)}{listed}")


def _listed(title: str, names: Sequence[str], spec: MachineSpec) -> str:
    fields = "".join(f"\n  {name} {example(spec.classes[name])}" for name in names)
    return f"\n{title}:{fields}" if names else ""


def _hint(event: str, spec: MachineSpec, names: Sequence[str]) -> str:
    if event in RUNTIME_EVENTS:
        return "; only the runtime sends it"
    line = next((line for line in spec.transitions if line.name == event), None)
    if line is not None:
        return f"; {event} is a transition; it takes {joined(line.events, 'or')}"
    near = difflib.get_close_matches(event, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def payload(cls: type[BaseModel], text: str | None, option: str) -> BaseModel:
    """The payload that `text` (JSON, @file, or - for standard input) holds; the empty one where none is given."""
    shape = example(cls)
    body = b"{}" if text is None else _bytes(text, option)
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        seen = f"{option} is no JSON: {error}"
        raise click.UsageError(f"{seen}\n  -> in single quotes for the shell: {option} '{shape}'") from None
    try:
        made = cls.model_validate_json(body, strict=True)
        problems = _unknown(cls, data)
        if not problems:
            return made
    except ValidationError as error:
        if text is None:
            raise click.UsageError(f"{cls.__name__} has fields to fill\n  -> {option} '{shape}'") from None
        problems = validation_problems(error)
    except Exception as error:  # a validator is the user's code
        problems = [f"a validator of {cls.__name__} raised {told(error)}"]
    listed = "".join(f"\n  - {problem}" for problem in problems)
    raise click.UsageError(f"{option} is no {cls.__name__}:{listed}\n  -> it wants {shape}")


def _unknown(cls: type[BaseModel], data: Any) -> list[str]:
    """Fields that the class does not have and would pass over in silence: a slip of the keyboard.

    A class that allows extras, or whose own validator reads the data before pydantic does, knows better.
    """
    validators = cls.__pydantic_decorators__.model_validators.values()
    if cls.model_config.get("extra") == "allow" or any(found.info.mode != "after" for found in validators):
        return []
    known = {name for field_name, field in cls.model_fields.items() for name in _names(field_name, field)}
    problems = []
    for name in sorted(set(data) - known):
        near = difflib.get_close_matches(name, known, n=1)
        problems.append(f"{name}: there is no such field" + (f"; did you mean {near[0]}?" if near else ""))
    return problems


def _names(name: str, field: FieldInfo) -> set[str]:
    """All that JSON may call a field."""
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias or name]
    return {name, *(str(choice.path[0]) if isinstance(choice, AliasPath) else choice for choice in choices)}


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
