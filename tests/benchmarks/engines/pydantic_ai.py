"""pydantic-ai under one limit for many runs, from pydantic-ai-slim 2.68.

`UsageLimits` with a `RunUsage` that all runs share: `Agent.run(usage=...)` is how its documentation has several runs
count together ("Agent delegation"). The model is a `FunctionModel` that answers after ten milliseconds and bills what
it is told. A run is refused before it asked the model, or after the answer, which is then paid for, not handed out.
"""

import asyncio
import contextlib
import json
import sys
from importlib.metadata import version
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.exceptions import UsageLimitExceeded
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage, RunUsage, UsageLimits


async def spent(at_once: bool, runs: int, bill: int, limit: int) -> dict[str, Any]:
    """What the runs spent together, how many asked the model, and how many were refused before that."""
    usage, asked = RunUsage(), 0

    async def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.01)
        return ModelResponse(parts=[TextPart("x")], usage=RequestUsage(input_tokens=bill))

    agent = Agent(FunctionModel(model))
    limits = UsageLimits(total_tokens_limit=limit, request_limit=None)

    async def run() -> None:
        with contextlib.suppress(UsageLimitExceeded):
            await agent.run("x", usage=usage, usage_limits=limits)

    if at_once:
        await asyncio.gather(*(run() for _ in range(runs)))
    else:
        for _ in range(runs):
            await run()
    return {"tokens": usage.total_tokens, "asked": asked, "refused": runs - asked}


if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    if job["task"] == "versions":
        told = {"pydantic-ai-slim": version("pydantic-ai-slim")}
    else:
        told = asyncio.run(spent(job["task"] == "all at once", job["runs"], job["bill"], job["limit"]))
    print(json.dumps(told), flush=True)
