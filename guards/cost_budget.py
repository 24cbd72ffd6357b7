"""No bill without a declared bound, in money."""

from typing import Any, ClassVar

from attrs import frozen

from guards.budget import Budget


@frozen
class CostBudget(Budget):
    """`TokenBudget` in millionths of a dollar: what agents report with `view.spend(usd_micros=...)`.

    A visit sets aside its state's `usd_micros_max`. Code: `cost_budget`; the others as there.
    """

    unit: ClassVar[Any] = "usd_micros"
    codes: ClassVar[tuple[str, ...]] = ("cost_budget",)

    usd_micros_max: int

    def limit_of(self) -> int:
        return self.usd_micros_max
