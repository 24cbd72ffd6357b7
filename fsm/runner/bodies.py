"""What the rows of a call hold, as bytes, and what an agent gets of them."""

import functools
import inspect
import json
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, TypeAdapter

from fsm.core.strikes import Outcome, is_failure
from fsm.define.payload import canonical
from fsm.errors import CallFailed
from fsm.runner.faults import fault_of


def prepared(fn: Callable[..., Any], key: str) -> Callable[..., Any]:
    """`fn`, given the idempotency key if it has a parameter of that name."""
    return functools.partial(fn, idempotency_key=key) if _wants_key(fn) else fn


@functools.lru_cache(maxsize=1024)
def _wants_key(fn: Callable[..., Any]) -> bool:
    try:
        return "idempotency_key" in inspect.signature(fn).parameters
    except (TypeError, ValueError):
        return False


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, round_trip=True)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def arguments_body(name: str, arguments: tuple[Any, ...]) -> bytes:
    """The arguments of a call as they are recorded; `TypeError` if they are not JSON data."""
    return _json(f"the arguments of call {name!r} are", list(arguments))


def answer_body(name: str, result: Any) -> bytes:
    """The result that a person says a call gave; `TypeError` if it is not JSON data."""
    return _json(f"the result of call {name!r} is", result)


def _json(what: str, value: Any) -> bytes:
    try:
        return canonical(_plain(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{what} not JSON data: {error}") from None


def outcome_body(result: Any, error: BaseException | None, now_ms: int) -> tuple[str, bytes]:
    """How a call went, and the bytes that say so."""
    if error is None:
        try:
            return "ok", canonical(_plain(result))
        except (TypeError, ValueError, RecursionError) as unfit:
            error = TypeError(f"its result is not JSON data: {unfit}")
    return "failed", canonical(fault_of(error, now_ms).form())


def said_of(status: str, body: bytes) -> Outcome:
    """What an outcome says of the other side; a fault of the caller's own says nothing."""
    if status != "failed":
        return "success" if status == "ok" else "neutral"
    return "failure" if is_failure(json.loads(body).get("status")) else "neutral"


def decoded(name: str, status: str, body: bytes, returns: Any) -> Any:
    """What an agent gets of a recorded outcome: the value, or `CallFailed`."""
    adapter: TypeAdapter[Any] = TypeAdapter(Any if status == "failed" or returns is None else returns)
    value = adapter.validate_json(body)
    if status == "failed":
        raise CallFailed(name=name, **value)
    return value
