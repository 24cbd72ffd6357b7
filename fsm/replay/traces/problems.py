"""What is wrong with traces: every place is named, and nothing is used of any."""

from typing import TypeVar

from attrs import frozen
from pydantic import BaseModel, ValidationError

from fsm.define.payload import validation_problems
from fsm.errors import FsmError

BYTES_MAX = 1 << 24
"""How many bytes a line, or a file that is one document, may have."""
PROBLEMS_MAX = 8
EXAMPLE = '{"run": "7", "agent": "writer", "content": "..."}'

M = TypeVar("M", bound=BaseModel)


@frozen(kw_only=True, slots=False)
class TracesRefused(FsmError):
    """Traces with lines that cannot be read, each named in `problems`."""

    problems: tuple[str, ...]
    next: str = f"one message a line, as {EXAMPLE}; see fsm backtest --help"

    def message(self) -> str:
        shown, more = self.problems[:PROBLEMS_MAX], len(self.problems) - PROBLEMS_MAX
        listed = "".join(f"\n  - {problem}" for problem in shown) + (f"\n  - and {more:,} more" if more > 0 else "")
        return f"these traces cannot be read:{listed}\n  -> {self.next}"


def parsed(cls: type[M], body: bytes, at: str, problems: list[str]) -> M | None:
    """`body` as `cls`; what is wrong with it is added to `problems`, and then it is None."""
    if len(body) > BYTES_MAX:
        problems.append(f"{at}: {len(body):,} bytes, at most {BYTES_MAX:,} are read")
        return None
    try:
        return cls.model_validate_json(body)
    except ValidationError as error:
        problems.append(f"{at}: {validation_problems(error)[0].removeprefix('payload: ')}")
    return None
