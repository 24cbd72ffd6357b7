"""What an agent reports, read and priced."""

import functools
import logging
from typing import Any, Final

from attrs import frozen

from fsm.core.record import Spent
from fsm.core.used import Uses, used
from fsm.define.prices import NAME_MAX, Prices
from fsm.define.usage import Usage, model_of
from fsm.runner.most import Refusal

log = logging.getLogger("fsm.runner")

UNTOLD: Final = object()
MODELS_MAX = 32
"""Of how many models the usage of one visit is told apart."""
OTHERS = "(others)"


@frozen(kw_only=True)
class Report:
    """What is spent; `refusal` is for the state, of a price that is unknown, `mistake` for the agent."""

    spent: Spent
    refusal: Refusal | None = None
    mistake: str = ""


@frozen
class Till:
    """How reports are read: with these prices; `bounded` where something bounds money, so that it must be known."""

    prices: Prices | None = None
    bounded: bool = False

    def read(self, usage: Any, tokens: int, usd_micros: int | None, model: str, known: Uses) -> Report:
        """A report; `known` is the usage of the visit so far. `ValueError` for what is none."""
        for name, amount in (("tokens", tokens), ("usd_micros", usd_micros)):
            if (type(amount) is not int or amount < 0) and (name, amount) != ("usd_micros", None):
                raise ValueError(f"spend({name}={amount!r}): give a whole number, 0 or more")
        if usage is UNTOLD:
            if model:
                raise ValueError(f"spend(model={model!r:.80}) without a usage\n  -> spend(usage, model=...)")
            return Report(spent=Spent(tokens, usd_micros or 0))
        if tokens:
            raise ValueError(
                f"spend(usage, tokens={tokens}): its tokens are those of the usage\n  -> give one of the two"
            )
        told = Usage.of(usage)
        named = _name(model or model_of(usage))
        line = named if named in {one.model for one in known} or len(known) < MODELS_MAX else OTHERS
        return self._priced(told, named, line, usd_micros)

    def _priced(self, told: Usage, model: str, line: str, usd_micros: int | None) -> Report:
        if usd_micros is not None or self.prices is None:
            told_or_free = usd_micros or 0
            spent = Spent(told.tokens, told_or_free, used(line, told, "", told_or_free))
            return Report(spent=spent, mistake=_unbilled(model) if self.bounded and usd_micros is None else "")
        prices, priced = self.prices, self.prices.of(model, told)
        if priced.usd_micros is not None:
            lines = used(line, told, prices.version, priced.usd_micros)
            return Report(spent=Spent(told.tokens, priced.usd_micros, lines))
        charged = prices.charged(told)
        lines = used(line, told, prices.version, charged or 0, told.tokens)
        if charged is not None:
            _warn(f"{priced.text}; {prices.unknown} micro-dollars a million tokens are charged")
        refusal = ("price_unknown", {"tokens": told.tokens}, priced.text) if charged is None else None
        return Report(spent=Spent(told.tokens, charged or 0, lines), refusal=refusal)


def _name(model: object) -> str:
    if not isinstance(model, str):
        raise ValueError(f"spend(model={model!r:.80}): give the name of a model")
    return model[:NAME_MAX].encode("utf-8", "replace").decode()


def _unbilled(model: str) -> str:
    return (
        f"nobody knows what this usage of {model or 'a model'} costs, and this machine bounds money\n"
        "  -> Runner(..., prices=Prices(...)), or spend(usage, usd_micros=...); usd_micros=0 if it is free"
    )


@functools.lru_cache(maxsize=256)
def _warn(text: str) -> None:
    """Each once: a run may ask a thousand times."""
    log.warning("%s", text)
