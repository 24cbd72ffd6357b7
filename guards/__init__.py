"""Guards to put on transitions, states and whole machines; one a file."""

from guards.breaker import Breaker
from guards.bulkhead import Bulkhead
from guards.cost_budget import CostBudget
from guards.deadline import Deadline
from guards.loop_cap import LoopCap
from guards.no_progress import NoProgress
from guards.payload_size import PayloadSize
from guards.rate_limit import RateLimit
from guards.repeat import Repeat
from guards.strikes import Strikes
from guards.token_budget import TokenBudget

__all__ = [
    "Breaker",
    "Bulkhead",
    "CostBudget",
    "Deadline",
    "LoopCap",
    "NoProgress",
    "PayloadSize",
    "RateLimit",
    "Repeat",
    "Strikes",
    "TokenBudget",
]
