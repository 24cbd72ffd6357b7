"""Ready-made machines; one a file. Bind your own agents: `ReviewLoop.with_agents(draft=...)`."""

from machines.review_loop import ReviewLoop

__all__ = ["ReviewLoop"]
