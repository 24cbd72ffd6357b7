"""From `LoopCap(20)` on the command line to the guard. The text is read, never evaluated.

It is one call of a shipped guard by its name, with plain values. Besides these it may name `news`, the backtest's own
measure for `NoProgress`, and say a time as `minutes(5)`.
"""

import ast
import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from fsm.define.guard import Guard, Standing
from fsm.define.state import days, hours, minutes
from fsm.replay.backtest import Asked, news
from fsm.show.words import safe

CHARS_MAX = 500
UNITS: Mapping[str, Callable[[float], float]] = {"minutes": minutes, "hours": hours, "days": days}
VALUES: Mapping[str, object] = {"news": news}

Shipped = Mapping[str, type[Guard]]


def shipped() -> Shipped:
    """The guards that come with Turnstile, by name; the runtime itself knows none of them."""
    found = importlib.import_module("guards")
    known = {name: value for name, value in vars(found).items() if isinstance(value, type) and issubclass(value, Guard)}
    if not known:
        where = getattr(found, "__file__", None) or "a folder of that name"
        raise click.ClickException(f"{where} hides Turnstile's guards\n  -> rename it, or work in another folder")
    return known


def asked(text: str, standings: Sequence[Standing], known: Shipped) -> Asked:
    """The guard that `text` writes, where it may stand; the first of `standings` that it takes."""
    written = " ".join(text.split())
    if len(written) > CHARS_MAX:
        raise _wrong(written, f"it has {len(written):,} characters, at most {CHARS_MAX} are read", "write it shorter")
    guard = _made(written, known)
    mistakes = {standing: _mistake(written, guard, standing) for standing in standings}
    taken: list[Standing] = [standing for standing in standings if mistakes[standing] is None]
    if not taken:
        raise _wrong(written, *(mistakes[standings[0]] or ("", "")))
    if guard.shared() is not None:
        raise _wrong(
            written,
            "it looks at what runs share (a breaker, a rate, a budget of many), and a trace is one run by itself",
            "ask a guard of one run: LoopCap, Repeat, NoProgress, Strikes, TokenBudget, Deadline, PayloadSize",
        )
    return Asked(written, guard, taken[0])


def _wrong(text: str, what: str, instead: str) -> click.UsageError:
    return click.UsageError(f"{safe(text, 80)}: {safe(what, 300)}\n  -> {safe(instead, 300)}")


def _made(text: str, known: Shipped) -> Guard:
    call = _call(text, known)
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"they are {', '.join(known)}"
        raise _wrong(text, f"there is no guard {name or ast.unparse(call.func)!r}", hint)
    cls = known[name]
    if any(isinstance(arg, ast.Starred) for arg in call.args) or any(word.arg is None for word in call.keywords):
        raise _wrong(text, "stars have nothing to unpack here", f"write {_signature(cls)}")
    values = [_value(text, arg) for arg in call.args]
    named = {word.arg: _value(text, word.value) for word in call.keywords if word.arg is not None}
    try:
        inspect.signature(cls).bind(*values, **named)
        return cls(*values, **named)
    except Exception as error:
        raise _wrong(text, str(error), f"write {_signature(cls)}") from None


def _call(text: str, known: Shipped) -> ast.Call:
    example = next((f"{name}(...)" for name in known if name == text), "LoopCap(20)")
    try:
        found = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _wrong(text, "this is no guard", f"write one as in Python: {example}") from None
    if not isinstance(found, ast.Call):
        raise _wrong(text, "a guard is made by a call", f"write {example}")
    return found


def _value(text: str, part: ast.expr) -> object:
    if isinstance(part, ast.Name) and part.id in VALUES:
        return VALUES[part.id]
    try:
        match part:
            case ast.Call(func=ast.Name(id=unit), args=[amount], keywords=[]) if unit in UNITS:
                number = ast.literal_eval(amount)
                if not isinstance(number, int | float):
                    raise ValueError
                return UNITS[unit](number)
            case _:
                return ast.literal_eval(part)
    except (ValueError, TypeError, OverflowError, RecursionError, MemoryError):
        shown = safe(ast.unparse(part), 80)
        known = f"numbers, texts, {', '.join(f'{unit}(n)' for unit in UNITS)}, and of={'/'.join(VALUES)} for NoProgress"
        raise _wrong(text, f"{shown} is no plain value", f"a trace has no code of yours; write {known}") from None


def _mistake(text: str, guard: Guard, standing: Standing) -> tuple[str, str] | None:
    try:
        return guard.mistake(standing)
    except Exception as error:  # a value of a kind that it does not expect
        raise _wrong(text, str(error), f"write {_signature(type(guard))}") from None


def _signature(cls: type[Guard]) -> str:
    parts: list[Any] = list(inspect.signature(cls).parameters.values())
    told = [part.name if part.default is part.empty else f"{part.name}={part.default!r}" for part in parts]
    return f"{cls.__name__}({', '.join(told)})"
