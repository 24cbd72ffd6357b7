"""What requests to models used, said once for every provider.

Providers count alike in different words: OpenAI's input has what came from its cache in it, Anthropic's has not. So
what they say is read into whole numbers that mean the same for all. None of their packages is imported.
"""

from collections.abc import Mapping
from typing import Any, Final

from attrs import fields, frozen

_ABSENT: Final = object()
_PAIRS = (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"))
_APART = ("cache_read_input_tokens", "cache_creation_input_tokens")  # Anthropic's, and not in its input_tokens
EXPECTED = (
    "give a response with a usage, or the usage itself: prompt_tokens and completion_tokens, or input_tokens and"
    " output_tokens"
)


@frozen
class Usage:
    """Whole numbers, 0 or more: `cached` is of `input`, `reasoning` of `output`; `requests` is how many were made.

    `ValueError` for anything else.
    """

    input: int
    output: int
    cached: int = 0
    reasoning: int = 0
    requests: int = 1

    def __attrs_post_init__(self) -> None:
        for name in (attribute.name for attribute in fields(Usage)):
            number = getattr(self, name)
            if type(number) is not int or number < 0:
                raise ValueError(f"Usage({name}={number!r})\n  -> give a whole number, 0 or more")
        for part, whole in (("cached", "input"), ("reasoning", "output")):
            if getattr(self, part) > getattr(self, whole):
                told = f"{part}={getattr(self, part)}, {whole}={getattr(self, whole)}"
                raise ValueError(f"Usage({told})\n  -> {part} is part of {whole}: give no more than that")

    @property
    def tokens(self) -> int:
        return self.input + self.output

    @staticmethod
    def of(told: Any) -> "Usage":
        """The usage that a response or a usage tells of; objects and mappings alike.

        Read are the shapes of OpenAI (chat completions and responses), Anthropic and pydantic-ai. `ValueError` for all
        else, also where a response has no usage: what nobody counted is not zero.
        """
        if isinstance(told, Usage):
            return told
        usage = _part(told, "usage")
        if callable(usage) and _part(usage, "input_tokens") is _ABSENT:  # a result's method, or its property by now
            usage = usage()
        if usage is None:
            raise ValueError(
                f"the usage of {_named(told)} is None, and that is not zero\n  -> ask the provider for it"
                ' (OpenAI, streaming: stream_options={"include_usage": True}), or report an estimate of your own'
            )
        return _read(told if usage is _ABSENT else usage)


def model_of(told: Any) -> str:
    """The model that a response names; "" where it names none."""
    found = (_part(told, name) for name in ("model", "model_name"))
    return next((model for model in found if isinstance(model, str)), "")


def _read(told: Any) -> Usage:
    if isinstance(told, Usage):
        return told
    pair = next((pair for pair in _PAIRS if any(_count(told, name) is not None for name in pair)), _PAIRS[-1])
    given, made = (_count(told, name) for name in pair)
    if given is None or made is None:
        missing = pair[0] if given is None else pair[1]
        raise ValueError(f"no usage: {_found(told)}, but no {missing}\n  -> {EXPECTED}")
    if uncounted := _count(told, "unmeasured_requests"):
        raise ValueError(
            f"the usage of {uncounted} of its requests is missing, and that is not zero\n"
            "  -> ask the provider for it, or report an estimate of your own"
        )
    kinds = [kind.removesuffix("_tokens") for kind in pair]
    cached = _detail(told, kinds[0], "cached_tokens") or _count(told, "cache_read_tokens") or 0
    if pair == _PAIRS[-1] and any(_part(told, name) is not _ABSENT for name in _APART):
        cached, written = (_count(told, name) or 0 for name in _APART)
        given += cached + written
    else:  # some servers count reasoning in the total alone
        made = max(made, (_count(told, "total_tokens") or 0) - given)
    requests = _count(told, "requests")
    return Usage(given, made, cached, _reasoning(told, kinds[1]), 1 if requests is None else requests)


def _reasoning(told: Any, made: str) -> int:
    names = ("reasoning_tokens", "thinking_tokens")
    found = [_detail(told, made, name) for name in names]
    found += [_count(told, "output_reasoning_tokens"), _count(_part(told, "details"), "reasoning_tokens")]
    return max(number or 0 for number in found)


def _detail(told: Any, kind: str, name: str) -> int | None:
    return _count(_part(told, f"{kind}_tokens_details"), name)


def _count(told: Any, name: str) -> int | None:
    """A number of tokens or requests; None where there is none."""
    number = _part(told, name)
    if number is None or number is _ABSENT:
        return None
    if type(number) is not int or number < 0:
        raise ValueError(f"no usage: {name} is {number!r:.80}, not a whole number, 0 or more\n  -> {EXPECTED}")
    return number


def _part(told: Any, name: str) -> Any:
    if isinstance(told, Mapping):
        return told.get(name, _ABSENT)
    return getattr(told, name, _ABSENT)


def _named(told: Any) -> str:
    return f"a {type(told).__name__}"


def _found(told: Any) -> str:
    """What was given instead of a usage."""
    if told is None or isinstance(told, str | int | float):
        return f"{told!r:.80}"
    names = list(told) if isinstance(told, Mapping) else list(getattr(told, "__dict__", ()))
    shown = ", ".join(str(name) for name in names[:12] if not str(name).startswith("_"))
    return f"{_named(told)} with {shown}" if shown else _named(told)
