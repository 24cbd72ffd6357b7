"""Guards to put on transitions, states and whole machines; one a file."""

from guards.loop_cap import LoopCap
from guards.token_budget import TokenBudget

__all__ = ["LoopCap", "TokenBudget"]
