"""What is recorded of an error: its type, its text, and what decides whether trying again may help.

The errors of HTTP and model clients are known by the attributes and names they have, so none is imported:
`status_code` or `response.status_code` (httpx, requests, openai, anthropic), `status` (aiohttp), `code`
(urllib), and a Retry-After header beside it.
"""

import email.utils
from collections.abc import Mapping
from typing import Any

from attrs import asdict, frozen

from fsm.core.strikes import BUSY
from fsm.errors import CallFailed

NAME_MAX = 200
TEXT_MAX = 2_000
RETRY_AFTER_MS_MAX = 86_400_000

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
    try:
        status = _status(error)
        retriable = bool(getattr(error, "retriable", _may_help(error, status)))
        retry_after_ms = _retry_after_ms(error, now_ms)
    except Exception:
        status, retriable, retry_after_ms = None, False, None
    return Fault(type(error).__name__[:NAME_MAX], text, retriable, status, retry_after_ms)


def _may_help(error: BaseException, status: int | None) -> bool:
    if status is not None:
        return status >= 500 or status in BUSY
    family = {(cls.__module__.split(".")[0], cls.__name__) for cls in type(error).__mro__}
    return isinstance(error, LOST) or bool(family & LOST_ELSEWHERE)


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    found = [getattr(error, name, None) for name in ("status_code", "status", "code")]
    found += [getattr(response, name, None) for name in ("status_code", "status")]
    return next((status for status in found if type(status) is int and 100 <= status <= 599), None)


def _retry_after_ms(error: BaseException, now_ms: int) -> int | None:
    """The Retry-After of the response behind an error, as seconds or as a date (RFC 9110, 10.2.3)."""
    headers: Any = getattr(getattr(error, "response", None), "headers", None) or getattr(error, "headers", None)
    if not isinstance(headers, Mapping) and not hasattr(headers, "get"):
        return None
    given = headers.get("retry-after") or headers.get("Retry-After")
    if not isinstance(given, str):
        return None
    try:
        ms = round(float(given) * 1000)
    except ValueError:
        ms = round(email.utils.parsedate_to_datetime(given).timestamp() * 1000) - now_ms
    return min(max(0, ms), RETRY_AFTER_MS_MAX)
