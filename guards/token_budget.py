"""No bill without a declared bound."""

from typing import ClassVar

from attrs import frozen

from fsm import Counter, Guard, Kind, Standing
from fsm.define.guard import not_whole


@frozen
class TokenBudget(Guard):
    """Refuses to go on once the run's recorded spending has reached `tokens_max` tokens.

    It counts what agents report with `view.spend(tokens=...)`, visits that failed included. It looks
    between visits: one visit can overshoot by what it spends. Code: `token_budget`, with both numbers.
    """

    kind: ClassVar[Kind] = "cap"
    codes: ClassVar[tuple[str, ...]] = ("token_budget",)

    tokens_max: int

    def counted(self, standing: Standing, owner: str) -> Counter:
        return Counter("tokens")

    def limit_of(self) -> int:
        return self.tokens_max

    def mistake(self, standing: Standing) -> tuple[str, str] | None:
        return not_whole(self, "tokens_max", 1)
