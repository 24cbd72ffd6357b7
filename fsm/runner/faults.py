"""What is recorded of an error: its type, its text, and what decides whether trying again may help.

The errors of HTTP and model clients are known by the attributes and names they have, so none is imported:
`status_code` or `response.status_code` (httpx, requests, openai, anthropic), `status` (aiohttp), `code`
(urllib), and a Retry-After header beside it.
"""

import email.utils
from datetime import UTC
from typing import Any

from attrs import asdict, frozen

from fsm.core.strikes import BUSY
from fsm.errors import CallFailed

NAME_MAX = 200
TEXT_MAX = 2_000
RETRY_AFTER_MS_MAX = 86_400_000

CAUSES_MAX = 4

LOST = (TimeoutError, ConnectionError)
LOST_ELSEWHERE = {  # package, class: a connection that was lost, or an answer that did not come
    ("httpx", "TransportError"),
    ("requests", "ConnectionError"),
    ("requests", "Timeout"),
    ("urllib", "URLError"),
    ("urllib3", "HTTPError"),
    ("http", "HTTPException"),
    ("aiohttp", "ClientConnectionError"),
    ("openai", "APIConnectionError"),
    ("anthropic", "APIConnectionError"),
    ("socket", "gaierror"),
    ("pydantic_core", "ValidationError"),  # what came was no answer of the shape that was asked for
    ("json", "JSONDecodeError"),
}


@frozen
class Fault:
    """An error as data. `retriable`: whether the same may succeed later."""

    type: str
    text: str
    retriable: bool = False
    status: int | None = None
    retry_after_ms: int | None = None

    def form(self) -> dict[str, object]:
        """As plain data; what is not known is left out."""
        return {name: part for name, part in asdict(self).items() if part is not None}


def fault_of(error: BaseException, now_ms: int) -> Fault:
    """What there is to record, safe to store, whatever the error is made of; `now_ms` is for dates in Retry-After."""
    if isinstance(error, CallFailed):
        return Fault(error.type, error.text, error.retriable, error.status, error.retry_after_ms)
    try:
        text = str(error)[:TEXT_MAX].encode("utf-8", "replace").decode()
    except Exception as unprintable:
        text = f"unprintable: {type(unprintable).__name__}"
    causes = _causes(error)
    status = next((status for cause in causes if (status := _status(cause)) is not None), None)
    retriable = bool(_part(error, "retriable", _may_help(causes, status)))
    retry_after_ms = next((ms for cause in causes if (ms := _retry_after_ms(cause, now_ms)) is not None), None)
    return Fault(type(error).__name__[:NAME_MAX], text, retriable, status, retry_after_ms)


def _causes(error: BaseException) -> list[BaseException]:
    """The error, and those it was raised `from`: a wrapper of the user's says less than what it wraps."""
    found: list[BaseException] = [error]
    while (cause := found[-1].__cause__) is not None and len(found) < CAUSES_MAX:
        found.append(cause)
    return found


def _part(of: Any, name: str, default: Any = None) -> Any:
    """An attribute, where it can be had: a client's may be a property that raises."""
    try:
        return getattr(of, name, default)
    except Exception:
        return default


def _may_help(causes: list[BaseException], status: int | None) -> bool:
    if status is not None:
        return status >= 500 or status in BUSY
    family = {(cls.__module__.split(".")[0], cls.__name__) for cause in causes for cls in type(cause).__mro__}
    return any(isinstance(cause, LOST) for cause in causes) or bool(family & LOST_ELSEWHERE)


def _status(error: BaseException) -> int | None:
    response = _part(error, "response")
    found = [_part(error, name) for name in ("status_code", "status", "code")]
    found += [_part(response, name) for name in ("status_code", "status")]
    return next((int(status) for status in found if isinstance(status, int) and 100 <= status <= 599), None)


def _retry_after_ms(error: BaseException, now_ms: int) -> int | None:
    """The Retry-After of the response behind an error (RFC 9110, 10.2.3); None where it is neither seconds nor date.

    `retry-after-ms`, which some model servers send, is finer and goes first.
    """
    headers = _part(_part(error, "response"), "headers") or _part(error, "headers")
    try:
        finer = str(headers.get("retry-after-ms") or "")
        if finer.isdigit():
            return min(int(finer), RETRY_AFTER_MS_MAX)
        given = str(headers.get("retry-after") or headers.get("Retry-After")).strip()
        ms = float(given) * 1000 if given[:1].isdigit() else _moment_ms(given) - now_ms
        return min(max(0, round(ms)), RETRY_AFTER_MS_MAX)
    except Exception:
        return None


def _moment_ms(date: str) -> float:
    """An HTTP date; one that names no zone is in GMT."""
    moment = email.utils.parsedate_to_datetime(date)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000
