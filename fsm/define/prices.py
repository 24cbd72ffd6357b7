"""What usage costs: a function of the user's, and what to do where it does not know."""

from collections.abc import Callable
from typing import Any, Literal

from attrs import frozen

from fsm.define.usage import Usage

NAME_MAX = 200
MILLION = 1_000_000


@frozen
class Priced:
    """What a usage costs; None where nobody knows, and `text` says why."""

    usd_micros: int | None
    text: str = ""


@frozen
class Prices:
    """A price list: `price(model, usage)` says millionths of a dollar, or None for a model it does not know.

    `version` names it in every record, so that a bill can be checked once the prices have changed. `unknown` says what
    is done where it does not know, raises, or answers anything but a whole number: "refuse" counts the tokens and ends
    the visit (`CallRefused`, code `price_unknown`); a number is what is charged, in millionths of a dollar a million
    tokens, rounded up. It is never free. `ValueError` where these are not as said.

    The function is called where `view.spend` is, on the event loop or the agent's thread; it must be quick.
    """

    version: str
    price: Callable[[str, Usage], int | None]
    unknown: int | Literal["refuse"] = "refuse"

    def __attrs_post_init__(self) -> None:
        version: object = self.version
        if not isinstance(version, str) or not 0 < len(version) <= NAME_MAX or not version.isprintable():
            raise ValueError(f"Prices(version={version!r:.80})\n  -> give a name of 1 to {NAME_MAX} characters")
        if not callable(self.price):
            raise ValueError(f"Prices(price={self.price!r:.80})\n  -> give a function of a model and a usage")
        rate: object = self.unknown
        if rate != "refuse" and (type(rate) is not int or rate < 1):
            raise ValueError(
                f'Prices(unknown={rate!r:.80})\n  -> write "refuse", or a whole number of millionths of a dollar'
                " a million tokens, 1 or more"
            )

    def of(self, model: str, usage: Usage) -> Priced:
        """What the price function says; whatever is no price is none."""
        try:
            found: Any = self.price(model, usage)
        except Exception as error:
            return Priced(None, f"{_unknown(self.version, model)}: {type(error).__name__}: {_shown(error)}")
        if found is None:
            return Priced(None, _unknown(self.version, model))
        if type(found) is not int or found < 0:
            return Priced(
                None, f"{_unknown(self.version, model)}: it answered {found!r:.80}, no whole number, 0 or more"
            )
        return Priced(found)

    def charged(self, usage: Usage) -> int | None:
        """What is charged where the price is unknown; None where that is refused."""
        return -(-usage.tokens * self.unknown // MILLION) if isinstance(self.unknown, int) else None


def _unknown(version: str, model: str) -> str:
    return f"prices {version} know no price of model {model[:NAME_MAX]!r}"


def _shown(error: Exception) -> str:
    try:
        return f"{error!s:.200}".encode("utf-8", "replace").decode()
    except Exception as unprintable:
        return f"unprintable: {type(unprintable).__name__}"
