"""The HTTP client of the agents: one call is one request, and trying again is the machine's business.

It is urllib, as it comes with Python and never repeats a request by itself. With a client that does, switch
that off (httpx: `HTTPTransport(retries=0)`; openai, anthropic: `max_retries=0`). Its errors are raised as they
are: the runtime reads status and Retry-After off them.
"""

from typing import TypeVar
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from pydantic import BaseModel, ValidationError

ANSWER_S = 0.3

T = TypeVar("T", bound=BaseModel)

_opener = build_opener(ProxyHandler({}))  # the services are on this machine, whatever proxy it is behind


class Garbled(ValueError):
    """An answer that is none. `retriable` is for the runtime: the service may find its words again."""

    retriable = True


def get(url: str, shape: type[T]) -> T:
    """The answer to a question; it must come within ANSWER_S seconds and have this shape."""
    return _answer(Request(url), shape)


def post(url: str, message: BaseModel, key: str, shape: type[T]) -> T:
    """The answer to a message, which the service takes once, however often it comes under the same key."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    return _answer(Request(url, message.model_dump_json().encode(), headers, method="POST"), shape)


def _answer(request: Request, shape: type[T]) -> T:
    try:
        with _opener.open(request, timeout=ANSWER_S) as response:
            body = response.read()
    except HTTPError as error:
        error.close()
        raise
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        raise Garbled(f"no {shape.__name__}: {body[:40]!r}") from error
