"""What providers say of the usage of a request, read alike; and what it costs by a price list of the user's.

The names of the fields are those of openai 3.54, anthropic 2.12 and pydantic-ai 2.68, against whose own classes this
was tried once.
"""

from types import SimpleNamespace as Told
from typing import Any

import pytest

from fsm import Prices, Usage
from fsm.define.prices import Priced
from fsm.define.usage import model_of

CHAT: dict[str, Any] = {
    "prompt_tokens": 100,
    "completion_tokens": 40,
    "total_tokens": 140,
    "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": None},
    "completion_tokens_details": {"reasoning_tokens": 30, "accepted_prediction_tokens": 0},
}
RESPONSES: dict[str, Any] = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 0},
    "output_tokens": 40,
    "output_tokens_details": {"reasoning_tokens": 30},
    "total_tokens": 140,
}
ANTHROPIC: dict[str, Any] = {
    "input_tokens": 10,
    "cache_read_input_tokens": 60,
    "cache_creation_input_tokens": 30,
    "output_tokens": 40,
    "output_tokens_details": {"thinking_tokens": 30},
    "server_tool_use": None,
}
PYDANTIC_AI: dict[str, Any] = {
    "input_tokens": 100,
    "cache_read_tokens": 60,
    "cache_write_tokens": 30,
    "output_tokens": 40,
    "details": {"reasoning_tokens": 30},
    "requests": 1,
}
SHAPES = {"chat": CHAT, "responses": RESPONSES, "anthropic": ANTHROPIC, "pydantic-ai": PYDANTIC_AI}
SAME = Usage(100, 40, 60, 30)


def told(form: dict[str, Any]) -> Told:
    """The same as objects."""
    return Told(**{name: told(part) if isinstance(part, dict) else part for name, part in form.items()})


@pytest.mark.parametrize("form", SHAPES.values(), ids=SHAPES)
def test_the_same_usage_in_every_providers_words(form: dict[str, Any]) -> None:
    for usage in (form, told(form)):
        assert Usage.of(usage) == SAME
        assert Usage.of({"model": "m", "usage": usage}) == SAME
        assert Usage.of(Told(model="m", usage=usage)) == SAME
        assert Usage.of(Told(usage=lambda usage=usage: usage)) == SAME, "a method, as pydantic-ai had it"
    assert SAME.tokens == 140


def test_a_usage_is_its_own() -> None:
    assert Usage.of(SAME) is SAME
    assert Usage.of(Told(usage=SAME)) is SAME


@pytest.mark.parametrize(
    ("form", "usage"),
    [
        ({"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": None}, Usage(1, 2)),
        ({"input_tokens": 1, "output_tokens": 2}, Usage(1, 2)),
        ({**ANTHROPIC, "cache_read_input_tokens": None, "output_tokens_details": None}, Usage(40, 40)),
        ({**PYDANTIC_AI, "requests": 3, "details": {}, "output_reasoning_tokens": 7}, Usage(100, 40, 60, 7, 3)),
        ({**CHAT, "completion_tokens": 9, "total_tokens": 341}, Usage(100, 241, 60, 30)),
        ({**CHAT, "cache_read_input_tokens": 60}, SAME),
    ],
    ids=["no details", "plain", "half a cache", "several requests", "reasoning in the total alone", "both names"],
)
def test_parts_that_are_missing_or_told_otherwise(form: dict[str, Any], usage: Usage) -> None:
    assert Usage.of(form) == usage
    assert Usage.of(told(form)) == usage


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "no usage: None, but no input_tokens"),
        (7, "no usage: 7"),
        ({}, "no usage: a dict, but no input_tokens"),
        ({"cost": 1}, "no usage: a dict with cost"),
        ({"prompt_tokens": 4}, "no usage: a dict with prompt_tokens, but no completion_tokens"),
        ({"prompt_tokens": None, "completion_tokens": 4}, "but no prompt_tokens"),
        ({"input_tokens": -1, "output_tokens": 1}, "input_tokens is -1, not a whole number"),
        ({"input_tokens": 1.5, "output_tokens": 1}, "input_tokens is 1.5"),
        ({"input_tokens": True, "output_tokens": 1}, "input_tokens is True"),
        ({"usage": None}, "the usage of a dict is None, and that is not zero"),
        (Told(usage=None), "the usage of a SimpleNamespace is None, and that is not zero"),
        (told({**PYDANTIC_AI, "unmeasured_requests": 2}), "the usage of 2 of its requests is missing"),
        ({**RESPONSES, "input_tokens": 50}, "cached=60, input=50"),
    ],
)
def test_what_is_no_usage_is_told_and_never_zero(given: object, said: str) -> None:
    with pytest.raises(ValueError, match=r"\n  -> ") as error:
        Usage.of(given)
    assert said in str(error.value)


@pytest.mark.parametrize("wrong", [{"input": -1}, {"output": 1.0}, {"cached": 2}, {"reasoning": 2}, {"requests": None}])
def test_a_usage_holds_whole_numbers_that_fit(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
        Usage(**{"input": 1, "output": 1, **wrong})


@pytest.mark.parametrize(
    ("response", "model"),
    [({"model": "a"}, "a"), (Told(model_name="b"), "b"), (Told(model=Told()), ""), (None, ""), (SAME, "")],
)
def test_the_model_that_a_response_names(response: object, model: str) -> None:
    assert model_of(response) == model


def test_a_price() -> None:
    prices = Prices("2026-11", lambda model, usage: usage.input * 3 + usage.output * 15 if model == "m" else None)
    assert prices.of("m", SAME) == Priced(900)
    assert prices.of("n", SAME) == Priced(None, "prices 2026-11 know no price of model 'n'")
    assert prices.charged(SAME) is None


@pytest.mark.parametrize("answer", [-1, 1.0, True, "1", SAME])
def test_nonsense_is_an_unknown_price(answer: Any) -> None:
    priced = Prices("v", lambda model, usage: answer).of("m", SAME)
    assert priced.usd_micros is None
    assert priced.text.startswith("prices v know no price of model 'm': it answered ")


def test_an_error_is_an_unknown_price_and_told() -> None:
    def price(model: str, usage: Usage) -> int:
        raise KeyError(f"{model}\ud800")

    assert Prices("v", price).of("m", SAME) == Priced(None, "prices v know no price of model 'm': KeyError: 'm\\ud800'")


@pytest.mark.parametrize(("rate", "charged"), [(1, 1), (1_000_000, 140), (2_500_001, 351)])
def test_what_is_charged_for_the_unknown_is_rounded_up(rate: int, charged: int) -> None:
    assert Prices("v", lambda model, usage: None, unknown=rate).charged(SAME) == charged


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"version": ""}, "version=''"),
        ({"version": 3}, "version=3"),
        ({"version": "a\nb"}, "version="),
        ({"price": 3}, "price=3"),
        ({"unknown": 0}, "unknown=0"),
        ({"unknown": 1.5}, "unknown=1.5"),
        ({"unknown": "free"}, "unknown='free'"),
    ],
)
def test_a_price_list_that_is_none(wrong: dict[str, Any], said: str) -> None:
    good: dict[str, Any] = {"version": "v", "price": lambda model, usage: 1}
    with pytest.raises(ValueError, match=r"Prices\(") as error:
        Prices(**{**good, **wrong})
    assert said in str(error.value)
