"""What is recorded of an error: whether trying again may help, by what clients' errors look like."""

import email.message
import email.utils
import http.client
import io
import json
import urllib.error
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import BaseModel, ValidationError

from fsm.errors import CallFailed
from fsm.runner.faults import RETRY_AFTER_MS_MAX, fault_of

NOW_MS = 1_700_000_000_000


def made(module: str, name: str, *bases: type, **attributes: Any) -> BaseException:
    """An error of a class of this name in this module, as a client library that is not imported has it."""
    cls = type(name, bases or (Exception,), {"__module__": module})
    error: BaseException = cls("told")
    for attribute, value in attributes.items():
        setattr(error, attribute, value)
    return error


def answered(status: Any, headers: Any = None) -> Any:
    return SimpleNamespace(status_code=status, headers=headers or {})


SHAPES = {
    "httpx, requests": lambda status, headers: made("httpx", "HTTPStatusError", response=answered(status, headers)),
    "openai, anthropic": lambda status, headers: made(
        "openai", "APIStatusError", status_code=status, response=answered(status, headers)
    ),
    "aiohttp": lambda status, headers: made("aiohttp", "ClientResponseError", status=status, headers=headers),
    "an enum": lambda status, headers: made("own", "Bad", status_code=HTTPStatus(status), headers=headers),
}


def shaped(shape: str, status: int, headers: Any = None) -> Any:
    if shape == "urllib":
        message = email.message.Message()
        for name, value in (headers or {}).items():
            message[name] = value
        return urllib.error.HTTPError("http://x", status, "told", message, io.BytesIO())
    return SHAPES[shape](status, headers)


@pytest.mark.parametrize("shape", [*SHAPES, "urllib"])
@pytest.mark.parametrize(
    ("status", "retriable"),
    [
        *((status, True) for status in (408, 425, 429, 500, 502, 503, 504)),
        *((status, False) for status in (400, 401, 403, 404, 409, 422)),
    ],
)
def test_an_http_status_decides_whatever_client_it_comes_from(shape: str, status: int, retriable: bool) -> None:
    fault = fault_of(shaped(shape, status), NOW_MS)
    assert (fault.status, fault.retriable, fault.retry_after_ms) == (status, retriable, None)


def date(seconds: float) -> str:
    return email.utils.formatdate(NOW_MS / 1000 + seconds, usegmt=True)


@pytest.mark.parametrize("shape", [*SHAPES, "urllib"])
@pytest.mark.parametrize(
    ("value", "ms"),
    [
        ("0", 0),
        ("7", 7_000),
        ("1.5", 1_500),
        (" 30", 30_000),
        ("999999999", RETRY_AFTER_MS_MAX),
        (date(90), 90_000),
        (date(90).replace("GMT", "-0000"), 90_000),
        (date(90).replace(" GMT", ""), 90_000),
        (email.utils.formatdate(NOW_MS / 1000 + 90, localtime=True), 90_000),
        (date(-90), 0),
        (date(10 * 86_400), RETRY_AFTER_MS_MAX),
        *((odd, None) for odd in ("", "soon", "nan", "inf", "-5", "7 s", "1e999", "Wed, 99 Foo 2025 07:28:00 GMT")),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date_and_otherwise_not_at_all(
    shape: str, value: str, ms: int | None
) -> None:
    for name in ("retry-after", "Retry-After"):
        fault = fault_of(shaped(shape, 503, {name: value}), NOW_MS)
        assert (fault.status, fault.retriable, fault.retry_after_ms) == (503, True, ms)


def test_a_header_given_as_a_number() -> None:
    assert fault_of(shaped("aiohttp", 429, {"Retry-After": 5}), NOW_MS).retry_after_ms == 5_000


def test_a_local_clock_changes_no_date(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        fault = fault_of(shaped("aiohttp", 503, {"Retry-After": date(90).replace(" GMT", "")}), NOW_MS)
        assert fault.retry_after_ms == 90_000
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        ConnectionError(),
        ConnectionResetError(),
        BrokenPipeError(),
        urllib.error.URLError("no host"),
        http.client.RemoteDisconnected("gone"),
        http.client.IncompleteRead(b""),
        made("httpx", "ConnectTimeout", type("TransportError", (Exception,), {"__module__": "httpx"})),
        made("requests.exceptions", "ConnectionError"),
        made(
            "requests.exceptions", "ReadTimeout", type("Timeout", (Exception,), {"__module__": "requests.exceptions"})
        ),
        made("urllib3.exceptions", "HTTPError"),
        made("aiohttp.client_exceptions", "ClientConnectionError"),
        made("openai", "APIConnectionError"),
        made("anthropic", "APIConnectionError"),
        made("own", "Busy", retriable=True),
    ],
    ids=lambda error: f"{type(error).__module__}.{type(error).__name__}",
)
def test_a_lost_connection_or_no_answer_may_go_better_next_time(error: BaseException) -> None:
    fault = fault_of(error, NOW_MS)
    assert (fault.retriable, fault.status) == (True, None)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("told"),
        KeyError("x"),
        made("own", "TransportError"),
        made("own", "ConnectionFailed", code="rate_limit_exceeded"),
        made("own", "Closed", code=1006),
        made("own", "Coded", code=lambda: 503),
        made("own", "Yes", status=True),
        made("own", "Final", TimeoutError, retriable=False),
        made("own", "Given up", response=answered(503), retriable=False),
        SystemExit(1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_only_looks_like_it_is_not_tried_again(error: BaseException) -> None:
    assert not fault_of(error, NOW_MS).retriable


class Hostile(Exception):
    """Every attribute raises."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("closed")

    def __str__(self) -> str:
        raise RuntimeError("no text")


class NoResponse(Exception):
    status_code = 503
    headers: ClassVar[Any] = {"retry-after": "3"}

    @property
    def response(self) -> Any:
        raise RuntimeError("the response is closed")


def test_an_error_that_raises_when_looked_at_is_recorded_all_the_same() -> None:
    fault = fault_of(Hostile(), NOW_MS)
    assert (fault.type, fault.text, fault.retriable, fault.status) == (
        "Hostile",
        "unprintable: RuntimeError",
        False,
        None,
    )
    fault = fault_of(NoResponse("told"), NOW_MS)
    assert (fault.status, fault.retriable, fault.retry_after_ms) == (503, True, 3_000)


def test_a_failed_call_keeps_what_was_recorded_of_it() -> None:
    failed = CallFailed(name="search", type="Oh", text="told", retriable=True, status=429, retry_after_ms=70)
    fault = fault_of(failed, NOW_MS)
    assert (fault.type, fault.status, fault.retriable, fault.retry_after_ms) == ("Oh", 429, True, 70)
    old = CallFailed(name="search", type="Oh", text="told", retriable=False)
    assert fault_of(old, NOW_MS).form() == {"type": "Oh", "text": "told", "retriable": False}


def test_the_real_thing() -> None:
    request = httpx.Request("GET", "http://x")
    response = httpx.Response(429, headers={"Retry-After": "12"}, request=request)
    with pytest.raises(httpx.HTTPStatusError) as raised:
        response.raise_for_status()
    fault = fault_of(raised.value, NOW_MS)
    assert (fault.type, fault.status, fault.retriable, fault.retry_after_ms) == ("HTTPStatusError", 429, True, 12_000)
    for error in (httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x")):
        assert fault_of(error, NOW_MS).retriable
    for other in (httpx.InvalidURL("x"), httpx.DecodingError("x"), httpx.TooManyRedirects("x")):
        assert not fault_of(other, NOW_MS).retriable


def test_what_a_models_garbage_becomes_may_be_tried_again() -> None:
    class Draft(BaseModel):
        text: str

    with pytest.raises(ValidationError) as invalid:
        Draft.model_validate({})
    with pytest.raises(json.JSONDecodeError) as unread:
        json.loads("<html>")
    assert fault_of(invalid.value, NOW_MS).retriable and fault_of(unread.value, NOW_MS).retriable


def test_a_wrapper_says_what_it_was_raised_from() -> None:
    request = httpx.Request("GET", "http://x")
    busy = httpx.HTTPStatusError(
        "busy", request=request, response=httpx.Response(429, headers={"retry-after-ms": "70"})
    )
    try:
        raise RuntimeError("the model said no") from busy
    except RuntimeError as error:
        fault = fault_of(error, NOW_MS)
    assert (fault.type, fault.status, fault.retriable, fault.retry_after_ms) == ("RuntimeError", 429, True, 70)
    endless = RuntimeError("a")
    endless.__cause__ = endless
    assert not fault_of(endless, NOW_MS).retriable
