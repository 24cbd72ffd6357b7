"""No bill without a declared bound."""

from typing import Any, ClassVar

from attrs import frozen

from guards.budget import Budget


@frozen
class TokenBudget(Budget):
    """Refuses to go on once spending has reached `tokens_max` tokens, of a run, or of many together.

    It counts what agents report with `view.spend(tokens=...)`, visits that failed included. Code: `token_budget`,
    with both numbers.

    Of a run (`scope="run"`) it looks between visits: one visit can overshoot by what it spends. With `scope="machine"`
    all runs of the machine share it, with `"label:tenant"` all runs with the same value of that label, with
    `"pool:NAME"` all that name it; in all processes of the journal, in windows of `window_s` seconds if given. Then a
    visit sets aside its state's `tokens_max` before its agent begins and settles when it is over, so that many at
    once cannot spend more than there is; without a declared `tokens_max` nothing is set aside. What would fit but for
    others' reservations is deferred (`reserved`) until they settle. Nothing is set aside either where it is not asked:
    on ways that no guard of the machine stands on (`otherwise`, fallbacks) and when a halted run is resumed; what is
    spent there counts, and may go beyond the limit. From `warn_at` on a visit is refused with
    `budget_warned`, for `otherwise` to lead to a cheaper agent. `unreadable`: its row is damaged; it fails closed.

    A reserve for the end: `everywhere(TokenBudget(45_000, scope="machine"), otherwise=wrap_up)`, and on `wrap_up`
    itself `TokenBudget(50_000, scope="machine")`. It is one budget, and the last 5,000 are for `wrap_up` alone.
    """

    unit: ClassVar[Any] = "tokens"
    codes: ClassVar[tuple[str, ...]] = ("token_budget",)

    tokens_max: int

    def limit_of(self) -> int:
        return self.tokens_max
